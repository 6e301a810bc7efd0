"""A small world for intake's tests: the sample directory, tokens, and the service on PostgreSQL."""

import csv
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
from joserfc.jwk import ECKey

from intake.settings import IntakeSettings
from intake.wiring import INTAKE
from services.app import create_app
from services.auth import sign
from services.directory import DirectoryCopy
from services.events.envelope import Event, payload
from services.ids import new_id
from services.messaging.inbox import Memory
from services.messaging.kafka import Envelope, Incoming
from services.runtime import Runtime
from services.service import Received
from services.unit_of_work import UnitOfWork

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
        database_url=url,
        LIANDIAO_KEYS_DIR=keys_dir,
        LIANDIAO_REQUESTS_PER_SECOND=100000,
        public_reads_per_second=100000,
        public_reads_in_all_per_second=100000,
        files_dir=keys_dir.parent / "files",
    )
    runtime = await Runtime.open(INTAKE, settings)
    copy = directory()
    for key, value in copy.entries.items():
        runtime.directory.put(key, 1, value)
    jwk = TOKEN_KEY.as_dict(private=False)
    runtime.directory.put("key:test-token", 1, {"use": "token", "jwk": jwk})
    app = create_app(INTAKE, runtime=runtime)
    transport = httpx.ASGITransport(app=app, client=("127.0.0.9", 1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://intake") as client,
    ):
        yield runtime, client
    await runtime.close()


def bearer(text: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {text}"}


class Intake:
    """The running service with short ways to what tests do."""

    def __init__(self, runtime: Runtime, http: httpx.AsyncClient, superuser_url: str) -> None:
        self.runtime = runtime
        self.http = http
        self.superuser_url = superuser_url
        self._keys = 0

    def key(self) -> dict[str, str]:
        """A fresh Idempotency-Key."""
        self._keys += 1
        return {"Idempotency-Key": f"test-key-{self._keys:012d}"}

    async def post(self, path: str, body: Any, organisation: str = COURT, **headers: str) -> Any:
        """POST as an organisation's client."""
        head = {**bearer(token(organisation, *SENDER)), **headers}
        return await self.http.post(path, json=body, headers=head)

    async def send(self, body: bytes, organisation: str = COURT) -> httpx.Response:
        """POST a referral's bytes as they are."""
        head = {**bearer(token(organisation, *SENDER)), "Content-Type": "application/json"}
        return await self.http.post("/v1/referrals", content=body, headers=head)

    async def get(self, path: str, organisation: str = COURT, *scopes: str) -> httpx.Response:
        """GET as an organisation's client."""
        return await self.http.get(path, headers=bearer(token(organisation, *(scopes or SENDER))))

    async def registered(self, reference: str = "R1", **members: Any) -> dict[str, Any]:
        """A registered case: the answer to its referral."""
        answer = await self.post("/v1/referrals", referral(reference, **members))
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def hear(
        self, event: Event, sequence: int, *, episode: int = 1, at: datetime | None = None
    ) -> None:
        """Handle one event as the consumer would, without Kafka."""
        async with self.runtime.unit_of_work() as uow:
            await self._handle(self._received(event, sequence, episode, at, uow.now), uow)

    async def _handle(self, received: Received[Any], uow: UnitOfWork) -> None:
        for subscription in INTAKE.consumes:
            if subscription.event is type(received.data):
                await subscription.handler(received, uow)

    def _received(
        self, event: Event, sequence: int, episode: int, at: datetime | None, now: datetime
    ) -> Received[Any]:
        envelope = Envelope(
            new_id(),
            f"/{event.spec.owner}",
            event.spec.type,
            event.case_id,
            sequence,
            episode,
            at or now,
            now,
        )
        data = orjson.dumps(payload(event))
        record = Incoming("cases", 0, sequence, str(event.case_id), [], data)
        return Received(event, envelope, record)

    async def hear_together(self, events: list[Event]) -> None:
        """Handle events of one source in one batch of the consumer."""
        async with self.runtime.unit_of_work() as uow:
            batch = Memory(uow.db, "intake.cases")
            for sequence, event in enumerate(events, 1):
                uow.batch = batch
                await self._handle(self._received(event, sequence, 1, None, uow.now), uow)
            for ending in batch.endings:
                await ending()

    async def events(self, case_id: str) -> list[dict[str, Any]]:
        """The outbox of a case: type and data, in order."""
        rows = await self.runtime.pool.fetch(
            "SELECT type, data, headers FROM outbox WHERE key = $1 ORDER BY sequence", case_id
        )
        return [
            {"type": row["type"], "headers": dict(row["headers"]), **json.loads(row["data"])}
            for row in rows
        ]

    async def counts(self) -> dict[str, int]:
        """Rows per table, as the superuser sees them."""
        db = await asyncpg.connect(self.superuser_url)
        try:
            names = sorted(INTAKE.schema().metadata.tables)
            return {name: await db.fetchval(f"SELECT count(*) FROM {name}") for name in names}
        finally:
            await db.close()
