"""The owner's side over REST."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from notification.webhooks.sender import WebhookSender
from services.runtime import Runtime
from tests.fixtures.languages import told_in_both
from tests.notification.builders import COURT, POLICE
from tests.notification.conftest import Client
from tests.notification.webhooks.conftest import rounds, some_case, until
from tests.notification.webhooks.receiver import Receiver, example

pytestmark = pytest.mark.postgres
URL = "https://receiver.example/liandiao?token=sample-token"
SCOPES = "webhook:read webhook:write feed:read"


@pytest.fixture
def court(client_of: Client) -> httpx.AsyncClient:
    """A connection that speaks for several organisations and names none."""
    return client_of("o-court", COURT, SCOPES, organisations=[COURT, POLICE])


async def post(
    client: httpx.AsyncClient, path: str = "", body: Any = None, key: str | None = None
) -> httpx.Response:
    return await client.post(
        f"/v1/webhooks{path}", json=body or {}, headers={"Idempotency-Key": key or uuid4().hex}
    )


async def test_a_webhook_is_made_once_and_its_secret_shown_with_that_answer_alone(
    runtime: Runtime, court: httpx.AsyncClient
) -> None:
    """Checklist 1.22: the hotline says where it wants status and result to be brought."""
    key = uuid4().hex

    made = await post(court, body={"url": URL}, key=key)
    again = await post(court, body={"url": URL}, key=key)
    other = await post(court, body={"url": "https://other.example/"}, key=key)
    bare = await court.post("/v1/webhooks", json={"url": URL})

    view = made.json()
    assert made.status_code == 201
    assert made.headers["Location"] == f"/v1/webhooks/{view['webhook_id']}"
    assert view["secret"].startswith("whsec_")
    assert len(view["secret"]) > 40
    assert (view["state"], view["position"], view["waiting"]) == ("active", "0000000000", 0)
    assert (again.status_code, again.json()) == (201, view)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert (bare.status_code, bare.json()["code"]) == (400, "idempotency-key-missing")
    read = await court.get(made.headers["Location"])
    listed = await court.get("/v1/webhooks")
    assert "secret" not in read.json()
    assert read.json() == {k: v for k, v in view.items() if k != "secret"}
    assert listed.json()["items"] == [read.json()]
    assert view["secret"][6:] not in read.text + listed.text


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"url": "http://receiver.example/"}, "/url", "url_not_https"),
        ({"url": "https://127.0.0.1/"}, "/url", "address_refused"),
        ({"url": "https://a:b@receiver.example/"}, "/url", "url_with_credentials"),
        ({"url": URL, "types": ["liandiao.no.such.v1"]}, "/types/0", "type_unknown"),
        ({"url": URL, "types": []}, "/types", "too_short"),
        ({"url": URL, "after": "0000000001"}, "/after", "behind_the_end"),
        ({"url": URL, "secret": "mine"}, "/secret", "unknown_field"),
        ({}, "/url", "required"),
    ],
)
async def test_what_cannot_be_is_refused_in_both_languages_without_its_value(
    court: httpx.AsyncClient, body: Any, pointer: str, code: str
) -> None:
    answer = await post(court, body=body)

    (fault,) = answer.json()["errors"]
    assert (answer.status_code, fault["pointer"], fault["code"]) == (422, pointer, code)
    told_in_both(answer.json())
    assert "receiver.example" not in answer.text
    assert (await court.get("/v1/webhooks")).json()["items"] == []


async def test_the_webhooks_of_another_connection_are_not_there(
    court: httpx.AsyncClient, client_of: Client
) -> None:
    path = (await post(court, body={"url": URL})).json()["webhook_id"]
    police = client_of("o-police", POLICE, SCOPES)

    answers = [await police.get(f"/v1/webhooks/{path}")]
    answers.append(await police.get(f"/v1/webhooks/{path}/attempts"))
    for act in ("pauses", "resumptions", "endings", "secrets", "pings"):
        answers.append(await post(police, f"/{path}/{act}"))
    answers.append(
        await post(police, f"/{path}/replays", {"from": "0000000001", "to": "0000000001"})
    )

    assert {(a.status_code, a.json()["code"]) for a in answers} == {(404, "not-found")}
    assert (await police.get("/v1/webhooks")).json()["items"] == []
    reading = client_of("o-court", COURT, "webhook:read")
    assert (await reading.get(f"/v1/webhooks/{path}")).status_code == 200
    assert (await post(reading, f"/{path}/endings")).status_code == 403


async def test_a_connection_has_ten_at_most_and_what_has_ended_counts_no_more(
    court: httpx.AsyncClient,
) -> None:
    made = [(await post(court, body={"url": URL})).json() for _ in range(10)]

    refused = await post(court, body={"url": URL})
    ended = await post(court, f"/{made[0]['webhook_id']}/endings")
    taken = await post(court, body={"url": URL})

    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (ended.json()["state"], ended.json()["reason"]) == ("ended", "asked")
    assert taken.status_code == 201


async def test_it_rests_goes_on_and_ends_and_a_repeat_answers_the_same(
    court: httpx.AsyncClient,
) -> None:
    path = f"/{(await post(court, body={'url': URL})).json()['webhook_id']}"
    states = []
    for act in ("pauses", "pauses", "resumptions", "resumptions", "endings", "endings"):
        answer = await court.post(f"/v1/webhooks{path}/{act}", json={})
        assert answer.status_code == 200, answer.text
        states.append((answer.json()["state"], answer.json()["reason"], answer.headers["ETag"]))

    assert states == [
        *[("paused", "asked", '"2"')] * 2,
        *[("active", None, '"3"')] * 2,
        *[("ended", "asked", '"4"')] * 2,
    ]
    for act in ("pauses", "resumptions", "secrets", "pings"):
        assert (await post(court, f"{path}/{act}")).status_code == 409
    replay = {"from": "0000000001", "to": "0000000001"}
    assert (await post(court, f"{path}/replays", replay)).status_code == 409


async def test_a_secret_is_changed_and_a_key_shows_it_again_until_the_next(
    court: httpx.AsyncClient,
) -> None:
    key = uuid4().hex
    made = (await post(court, body={"url": URL}, key=key)).json()
    path, rotation = f"/{made['webhook_id']}/secrets", uuid4().hex

    changed = (await post(court, path, {"previous_valid_seconds": 3600}, rotation)).json()
    again = (await post(court, path, {"previous_valid_seconds": 3600}, rotation)).json()
    first_again = (await post(court, body={"url": URL}, key=key)).json()
    last = (await post(court, path, {"previous_valid_seconds": 0})).json()
    old_again = (await post(court, path, {"previous_valid_seconds": 3600}, rotation)).json()

    assert changed["secret"] != made["secret"]
    assert (changed["secret_version"], again["secret"]) == (2, changed["secret"])
    assert changed["previous_secret_until"] is not None
    assert first_again["secret"] is None
    assert (last["secret_version"], last["previous_secret_until"]) == (3, None)
    assert old_again["secret"] is None
    too_long = await post(court, path, {"previous_valid_seconds": 604_801})
    assert too_long.status_code == 422


@pytest.mark.parametrize(
    ("first", "last", "code"),
    [
        ("0000000000", "0000000001", "range"),
        ("0000000002", "0000000001", "range"),
        ("0000000001", "0000010001", "range_too_long"),
    ],
)
async def test_a_range_that_is_none_or_too_long_is_refused(
    court: httpx.AsyncClient, first: str, last: str, code: str
) -> None:
    path = f"/{(await post(court, body={'url': URL})).json()['webhook_id']}/replays"

    answer = await post(court, path, {"from": first, "to": last})
    most = await post(court, path, {"from": "0000000001", "to": "0000010000"})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code)
    assert most.status_code == 202


async def test_tries_are_listed_page_by_page_and_say_no_more_than_status_and_reason(
    near: Runtime, sender: WebhookSender, court: httpx.AsyncClient
) -> None:
    said = b"HTTP/1.1 500 X\r\ncontent-length: 19\r\n\r\nsomething sensitive"
    async with Receiver(lambda r: said if r.number == 3 else 200) as receiver:
        made = (await post(court, body={"url": receiver.url})).json()
        path = f"/v1/webhooks/{made['webhook_id']}"
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 3)
        await rounds(sender)

    first = (await court.get(f"{path}/attempts?limit=2")).json()
    rest = await court.get(f"{path}/attempts", params={"limit": 2, "cursor": first["next"]})
    failed = (await court.get(f"{path}/attempts?outcome=failed")).json()["items"]
    other = await court.get(
        f"{path}/attempts", params={"outcome": "failed", "cursor": first["next"]}
    )
    view = (await court.get(path)).json()

    tries = first["items"] + rest.json()["items"]
    assert [t["feed_sequence"] for t in tries] == ["0000000003", "0000000002", "0000000001"]
    assert rest.json()["next"] is None
    assert [(t["status"], t["reason"]) for t in failed] == [(500, "status")]
    assert failed[0]["message_id"] == receiver.requests[-1].headers["webhook-id"]
    assert (other.status_code, other.json()["code"]) == (400, "cursor-invalid")
    assert "sensitive" not in str(tries)
    assert (view["position"], view["waiting"]) == ("0000000004", 2)
    assert view["failing_since"] is not None


async def test_rest_and_webhook_show_the_same_entry(
    near: Runtime, sender: WebhookSender, court: httpx.AsyncClient
) -> None:
    """Feeds serve the same rows with the same gapless numbers (contracts section 2)."""
    async with Receiver() as receiver:
        made = (await post(court, body={"url": receiver.url})).json()
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 4)

    feed = (await court.get("/v1/feeds/o-court")).json()["items"]
    assert [request.entry for request in receiver.requests] == feed
    last = receiver.requests[-1]
    assert example()(made["secret"], last.headers, last.body)


async def test_a_ping_and_a_replay_are_done_once_under_their_key(
    near: Runtime, sender: WebhookSender, court: httpx.AsyncClient
) -> None:
    async with Receiver() as receiver:
        made = (await post(court, body={"url": receiver.url})).json()
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 4)
        replay = {"from": "0000000004", "to": "0000000004"}
        for act, body in (("pings", {}), ("replays", replay)):
            key, seen = uuid4().hex, len(receiver.requests)
            for _ in range(2):
                answer = await post(court, f"/{made['webhook_id']}/{act}", body, key)
                assert answer.status_code == 202
                await until(sender, lambda n=seen: len(receiver.requests) == n + 1)
            await rounds(sender)

    assert receiver.numbers == [1, 2, 3, 4, 0, 4]
