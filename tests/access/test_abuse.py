"""Keys used wrongly and clients that ask too much: told what is wrong, and nobody else suffers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
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


@pytest.fixture
def public_rate(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five reads a second from one address, eight from all."""
    runtime = place.it.runtimes["intake"]
    shares = {"public_reads_per_second": 5, "public_reads_in_all_per_second": 8}
    monkeypatch.setattr(runtime, "settings", runtime.settings.model_copy(update=shares))


@contextlib.asynccontextmanager
async def from_address(place: Place, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a token who calls intake from there."""
    transport = httpx.ASGITransport(place.it.apps["intake"], client=(address, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://intake") as http:
        yield http


PUBLIC = "/v1/public-cases/LD2026-330681-9999999-8"


@pytest.mark.usefixtures("public_rate")
async def test_who_reads_published_cases_too_fast_is_told_and_nobody_else_suffers(
    place: Place,
) -> None:
    """Checklist 1.18, 1.33: by address; another address and every client go on."""
    async with (
        from_address(place, "203.0.113.7") as fast,
        from_address(place, "203.0.113.8") as other,
    ):
        answers = await asyncio.gather(*(fast.get(PUBLIC) for _ in range(40)))
        neighbour = await other.get(PUBLIC)
        refused = [answer for answer in answers if answer.status_code == 429]
        court = await place.it.call(
            "intake", "GET", "/v1/matters", headers=place.it.of(place.open["court"].sender)
        )
        await asyncio.sleep(max(int(answer.headers["Retry-After"]) for answer in refused))
        again = await fast.get(PUBLIC)

    assert {answer.status_code for answer in answers} == {404, 429}
    assert 5 <= len(answers) - len(refused) <= 10  # one second's share, or that of two
    assert refused[0].json()["code"] == TooManyRequests.slug
    assert (neighbour.status_code, court.status_code, again.status_code) == (404, 200, 404)


@pytest.mark.usefixtures("public_rate")
async def test_many_addresses_together_stay_within_a_share_for_all(place: Place) -> None:
    """Checklist 1.18, 1.33: a crowd of addresses takes no more of the service than its share."""

    async def ask(number: int) -> httpx.Response:
        async with from_address(place, f"198.51.100.{number}") as http:
            return await http.get(PUBLIC)

    answers = await asyncio.gather(*(ask(number) for number in range(1, 61)))

    taken = [answer for answer in answers if answer.status_code == 404]
    assert {answer.status_code for answer in answers} == {404, 429}
    assert 1 <= len(taken) <= 24  # of eight a second


@pytest.mark.usefixtures("public_rate")
async def test_the_addresses_of_one_ipv6_network_are_one(place: Place) -> None:
    """Checklist 1.18, 1.33: whoever has a network has more addresses than can be counted."""

    async def ask(number: int) -> httpx.Response:
        async with from_address(place, f"2001:db8:0:7::{number:x}") as http:
            return await http.get(PUBLIC)

    answers = await asyncio.gather(*(ask(number) for number in range(1, 31)))

    assert sum(answer.status_code == 404 for answer in answers) <= 10
    assert 429 in {answer.status_code for answer in answers}
