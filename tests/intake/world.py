"""A small world for intake's tests: the sample directory, tokens, and the service on PostgreSQL."""

import csv
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from joserfc.jwk import ECKey

from intake.settings import IntakeSettings
from intake.wiring import INTAKE
from services.app import create_app
from services.auth import sign
from services.directory import DirectoryCopy
from services.runtime import Runtime

SAMPLES = Path(__file__).parents[2] / "samples"
NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)
COURT = "330681-CT-0001"
POLICE = "330681-PS-0002"
CENTRE = "330681-CE-0001"
TOKEN_KEY = ECKey.generate_key("P-256", parameters={"kid": "test-token"})


def sample(name: str) -> dict[str, Any]:
    """One of the sample referrals, by the start of its file's name."""
    (path,) = (SAMPLES / "referrals").glob(f"{name}*.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def referral(reference: str = "（2026）浙0681民诉前调9999号", **members: Any) -> dict[str, Any]:
    """The court's loan dispute under another reference."""
    document = sample("court_pre-loan")
    document["source"]["reference"] = reference
    return {**document, **members}


@lru_cache(1)
def directory() -> DirectoryCopy:
    """The demonstration county."""
    copy = DirectoryCopy()
    for organisation in json.loads((SAMPLES / "directory.json").read_text("utf-8"))[
        "organisations"
    ]:
        copy.put(f"organisation:{organisation['code']}", 1, organisation)
        copy.put(
            f"connection:o-{organisation['code'].lower()}",
            1,
            {"organisations": [organisation["code"]], "active": True},
        )
    with (SAMPLES / "places.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            copy.put(f"place:{row['code']}", 1, {k: v or None for k, v in row.items()})
    return copy


def token(organisation: str | None, *scopes: str, connection: str = "") -> str:
    """An access token of an organisation's client, or of a service."""
    name = connection or f"o-{(organisation or '').lower()}"
    claims = {
        "sub": name,
        "connection": name,
        "organisations": [organisation] if organisation else [],
        "scopes": " ".join(scopes),
    }
    return sign(TOKEN_KEY, claims)


SENDER = (
    "referral:read", "referral:write", "case:read", "case:write", "case:leave", "party:read",
)  # fmt: skip


@asynccontextmanager
async def intake_on(url: str, keys_dir: Path) -> AsyncIterator[tuple[Runtime, httpx.AsyncClient]]:
    """The service without Kafka, called in this process."""
    settings = IntakeSettings(
        database_url=url, LIANDIAO_KEYS_DIR=keys_dir, LIANDIAO_REQUESTS_PER_SECOND=100000
    )
    runtime = await Runtime.open(INTAKE, settings)
    copy = directory()
    for key, value in copy.entries.items():
        runtime.directory.put(key, 1, value)
    jwk = TOKEN_KEY.as_dict(private=False)
    runtime.directory.put("key:test-token", 1, {"use": "token", "jwk": jwk})
    app = create_app(INTAKE, runtime=runtime)
    transport = httpx.ASGITransport(app=app, client=("127.0.0.9", 1))
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=transport, base_url="http://intake") as client:
            yield runtime, client
    await runtime.close()


def bearer(text: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {text}"}
