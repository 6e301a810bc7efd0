"""Keys used wrongly and clients that ask too much: told what is wrong, and nobody else suffers."""

import asyncio
from copy import deepcopy
from typing import Any

import httpx
import pytest

from services.errors import TooManyRequests
from tests.access.conftest import Place

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="session")]

KEY = "abuse-of-a-key-0001"


def _document(place: Place, number: int) -> dict[str, Any]:
    document: dict[str, Any] = deepcopy(place.open["court"].document)
    document["source"]["reference"] = f"ABUSE-2026-{number:04d}"
    return document


async def _post(place: Place, document: dict[str, Any], key: str, sender: str) -> httpx.Response:
    head = {**place.it.of(sender), "Idempotency-Key": key.encode("latin-1")}
    return await place.it.call("intake", "POST", "/v1/referrals", document, headers=head)


async def _count(place: Place, number: int) -> int:
    count: int = await place.it.runtimes["intake"].pool.fetchval(
        "SELECT count(*) FROM referral WHERE reference = $1", f"ABUSE-2026-{number:04d}"
    )
    return count


async def test_a_key_with_another_body_is_refused_and_does_nothing(place: Place) -> None:
    sender = place.open["court"].sender
    first = await _post(place, _document(place, 1), KEY, sender)
    second = await _post(place, _document(place, 2), KEY, sender)

    assert first.status_code == 201
    assert (second.status_code, second.json()["code"]) == (422, "idempotency-key-reused")
    assert await _count(place, 2) == 0


async def test_a_key_is_its_clients_alone(place: Place) -> None:
    court, police = place.open["court"].sender, place.open["police"].sender
    document = deepcopy(place.open["police"].document)
    document["source"]["reference"] = "ABUSE-2026-0003"
    key = "abuse-of-a-key-0003"

    first = await _post(place, _document(place, 4), key, court)
    second = await _post(place, document, key, police)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["case_id"] != second.json()["case_id"]


async def test_two_hundred_at_once_under_one_key_have_one_effect(place: Place) -> None:
    sender = place.open["court"].sender
    document = _document(place, 5)
    answers = await asyncio.gather(
        *(_post(place, document, "abuse-of-a-key-0005", sender) for _ in range(200))
    )

    by_status: dict[int, list[httpx.Response]] = {}
    for answer in answers:
        by_status.setdefault(answer.status_code, []).append(answer)
    assert set(by_status) <= {201, 409, 429, 503}
    assert len({a.json()["case_id"] for a in by_status[201]}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in by_status[201]) == 1
    assert all("Retry-After" in a.headers for s in (409, 429, 503) for a in by_status.get(s, ()))
    assert await _count(place, 5) == 1


@pytest.mark.parametrize("key", ["short", "x" * 65, "x" * 300, "with blanks in it!", "é" * 20])
async def test_a_key_that_is_none_is_told_so(place: Place, key: str) -> None:
    answer = await _post(place, _document(place, 6), key, place.open["court"].sender)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "#header/Idempotency-Key"
    assert await _count(place, 6) == 0


async def test_who_asks_too_much_is_told_when_to_come_again_and_then_it_works(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checklist 1.33: 429 with ``Retry-After`` beyond the rate."""
    runtime = place.it.runtimes["routing"]
    monkeypatch.setattr(
        runtime, "settings", runtime.settings.model_copy(update={"requests_per_second": 20})
    )
    court, police = place.open["court"].sender, place.open["police"].sender

    async def ask(sender: str) -> httpx.Response:
        return await place.it.call("routing", "GET", "/v1/rule-sets", headers=place.it.of(sender))

    answers = await asyncio.gather(*(ask(court) for _ in range(120)))
    refused = [a for a in answers if a.status_code == 429]
    neighbour = await ask(police)
    wait_seconds = max(int(a.headers["Retry-After"]) for a in refused)
    await asyncio.sleep(wait_seconds)
    again = await ask(court)

    assert {a.status_code for a in answers} == {200, 429}
    assert refused[0].json()["code"] == TooManyRequests.slug
    assert 1 <= wait_seconds <= 2
    assert (neighbour.status_code, again.status_code) == (200, 200)
