"""Beyond what a process admits it says so at once, loses nothing it accepted, and goes on."""

import asyncio
from copy import deepcopy
from typing import Any

import httpx
import pytest

from services.app import create_app
from services.idempotency import purge
from services.settings import SharedSettings
from tests.access.conftest import Place

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="session")]

AT_ONCE = 4
CROWD = 60


@pytest.fixture
def narrow(place: Place, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    """Intake once more, letting in four requests at once."""
    runtime = place.it.runtimes["intake"]
    settings = runtime.settings.model_copy(update={"requests_at_once": AT_ONCE})
    monkeypatch.setattr(runtime, "settings", settings)
    app = create_app(runtime.service, runtime=runtime)
    app.state.runtime = runtime
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://narrow")


def _document(place: Place, number: int) -> dict[str, Any]:
    document: dict[str, Any] = deepcopy(place.open["court"].document)
    document["source"]["reference"] = f"CROWD-2026-{number:04d}"
    return document


async def test_a_crowd_is_admitted_or_told_to_come_again_and_nothing_accepted_is_lost(
    place: Place, narrow: httpx.AsyncClient
) -> None:
    head = place.it.of(place.open["court"].sender)

    async def post(number: int) -> httpx.Response:
        return await narrow.post("/v1/referrals", json=_document(place, number), headers=head)

    async with narrow:
        crowd = [asyncio.create_task(post(number)) for number in range(CROWD)]
        await asyncio.sleep(0)
        alive = await narrow.get("/health/live")
        answers = await asyncio.gather(*crowd)
        afterwards = await post(CROWD)

    stored = {
        row["reference"]
        for row in await place.it.runtimes["intake"].pool.fetch(
            "SELECT reference FROM referral WHERE reference LIKE 'CROWD-2026-%'"
        )
    }
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {201, 503}
    assert len(refused) >= CROWD // 2
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert {answer.json()["code"] for answer in refused} == {"unavailable"}
    assert all(answer.json()["retryable"] for answer in refused)
    accepted = {n for n, answer in enumerate(answers) if answer.status_code == 201} | {CROWD}
    assert stored == {f"CROWD-2026-{number:04d}" for number in accepted}
    assert (alive.status_code, afterwards.status_code) == (200, 201)


async def test_a_client_that_gives_up_leaves_no_place_taken(
    place: Place, narrow: httpx.AsyncClient
) -> None:
    head = place.it.of(place.open["court"].sender)
    async with narrow:
        for _ in range(AT_ONCE * 3):
            asking = asyncio.create_task(narrow.get("/v1/cases", headers=head))
            await asyncio.sleep(0.002)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        answer = await narrow.get("/v1/cases", headers=head)

    assert answer.status_code == 200


async def test_a_flood_of_keys_is_gone_when_its_time_is_over(place: Place) -> None:
    runtime = place.it.runtimes["intake"]
    await runtime.pool.execute(
        """INSERT INTO idempotency (client_id, method, route, key, fingerprint, status, created_at)
           SELECT 'flood', 'POST', '/v1/referrals', 'flood-of-keys-' || n, '', 201,
             now() - interval '73 hours' FROM generate_series(1, 2500) AS n"""
    )

    removed = [await purge(runtime) for _ in range(4)]

    assert removed == [1000, 1000, 500, 0]


async def test_a_process_is_bounded_unless_a_site_says_otherwise() -> None:
    assert 1 <= SharedSettings().requests_at_once <= 1000
