"""The same rows under the same numbers, signed, in the order of each case, until they are taken."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta

import orjson
import pytest

from notification.feed import headers
from notification.restore import _published
from notification.webhooks import handlers, repository
from notification.webhooks.sender import WebhookSender
from notification.wiring import NOTIFICATION
from services.messaging import failpoints
from services.messaging.jobs import run_due_jobs
from services.messaging.kafka import Incoming
from services.runtime import Runtime
from services.telemetry import WEBHOOK_ATTEMPTS
from tests.fixtures.messaging import Crash, crash
from tests.notification.builders import COURT, an_offer
from tests.notification.webhooks.conftest import (
    feed_of,
    hurry,
    of,
    registered,
    rounds,
    some_case,
    until,
)
from tests.notification.webhooks.receiver import Receiver, Request, example

pytestmark = pytest.mark.postgres
verified = example()


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


async def test_an_entry_arrives_signed_with_its_number_and_the_sender_s_own_reference(
    near: Runtime, sender: WebhookSender
) -> None:
    """Checklist 1.22: pushed under the agency's own number, the entry that REST shows too."""
    async with Receiver() as receiver:
        _, secret = await registered(near, receiver.url)
        case = await some_case(near)

        await until(sender, lambda: len(receiver.requests) == 4)

        assert receiver.numbers == [1, 2, 3, 4]
        first = receiver.requests[0]
        assert first.path == "/liandiao?token=sample-token"
        assert first.entry["reference"] == "(2026)沪0105民诉前调1号"
        assert first.entry["event"]["type"] == "liandiao.referral.received.v1"
        assert first.case_id == str(case.case_id)
        assert set(first.entry) == {"feed_sequence", "reference", "read_after", "event"}
        assert all(verified(secret, r.headers, r.body) for r in receiver.requests)
        assert first.headers["webhook-id"] == f"{first.entry['event']['id']}_o-court"
        assert "." not in first.headers["webhook-id"]
        changed = first.body.replace(b"liandiao", b"liandia0", 1)
        assert not verified(secret, first.headers, changed)
        late = {**first.headers, "webhook-timestamp": str(int(time.time()) - 301)}
        assert not verified(secret, late, first.body)
        assert receiver.connections <= 2


async def test_what_was_not_taken_comes_again_under_the_same_id_and_a_signature_of_its_own(
    near: Runtime, sender: WebhookSender
) -> None:
    """Signature on every attempt, ids stable over retries, per-case order: the case waits."""
    answers = iter([500, 429, 302])
    async with Receiver(lambda _: next(answers, 200)) as receiver:
        webhook_id, secret = await registered(near, receiver.url)
        await some_case(near)

        for tries in (1, 2, 3):
            await until(sender, lambda n=tries: len(receiver.requests) == n)
            await rounds(sender)
            assert receiver.numbers == [1] * tries  # nothing goes before it
            await hurry(near)
        await until(sender, lambda: len(receiver.requests) == 7)

    assert receiver.numbers == [1, 1, 1, 1, 2, 3, 4]
    again = receiver.requests[:4]
    assert len({r.headers["webhook-id"] for r in again}) == 1
    assert len({r.body for r in again}) == 1
    assert all(verified(secret, r.headers, r.body) for r in again)
    tries = await near.pool.fetch(
        "SELECT outcome, status, reason FROM webhook_attempt WHERE webhook_id = $1 ORDER BY 1, 2",
        webhook_id,
    )
    assert [tuple(t) for t in tries] == [
        *[("delivered", 200, None)] * 4,
        ("failed", 302, "redirected"),
        ("failed", 429, "status"),
        ("failed", 500, "status"),
    ]


async def test_waits_grow_and_the_receiver_s_own_wish_is_heard(
    near: Runtime, sender: WebhookSender
) -> None:
    late = b"HTTP/1.1 503 X\r\nretry-after: 900\r\ncontent-length: 0\r\n\r\n"
    async with Receiver(lambda _: late) as receiver:
        await registered(near, receiver.url)
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 1)

    row = await near.pool.fetchrow(
        """SELECT tries, next_attempt_at - now() AS wait, failing_since FROM webhook_waiting
           WHERE feed_sequence = 1"""
    )
    assert row["tries"] == 1
    assert timedelta(seconds=890) < row["wait"] <= timedelta(seconds=900)
    assert row["failing_since"] is not None


async def test_one_case_that_nobody_takes_holds_up_no_other(
    near: Runtime, sender: WebhookSender
) -> None:
    bad: list[str] = []

    async with Receiver(lambda r: 500 if r.case_id in bad else 200) as receiver:
        await registered(near, receiver.url)
        first, second = await some_case(near), await some_case(near)
        bad.append(str(first.case_id))
        await until(sender, lambda: len(receiver.requests) == 5)
        await rounds(sender)

        assert [r.number for r in receiver.requests if r.case_id in bad] == [1]
        others = [r.number for r in receiver.requests if r.case_id == str(second.case_id)]
        assert others == [5, 6, 7, 8]


async def test_entries_wait_outside_the_feed_only_as_long_as_there_is_room(
    near: Runtime,
) -> None:
    """A receiver that is away for days costs no more than its room; the feed keeps the rest."""
    near.settings = near.settings.model_copy(update={"webhook_room": 3})
    sender = WebhookSender(near)
    status = [500]
    async with Receiver(lambda _: status[0]) as receiver:
        webhook_id, _ = await registered(near, receiver.url)
        for _ in range(3):
            await some_case(near)
        await until(sender, lambda: len(receiver.requests) >= 1)
        await rounds(sender)

        assert await near.pool.fetchval("SELECT count(*) FROM webhook_waiting") == 3
        assert (await of(near, webhook_id))["position"] == 3
        assert (await repository.figures(near.pool))["entries"] == 12
        status[0] = 200
        await hurry(near)
        await until(sender, lambda: set(receiver.numbers) == set(range(1, 13)))
        await sender.close()

    for case_id in {r.case_id for r in receiver.requests}:
        taken = [r.number for r in receiver.requests if r.case_id == case_id]
        assert taken == sorted(taken)
    figures = await repository.figures(near.pool)
    assert (figures["entries"], figures["seconds"]) == (0, 0)


async def test_a_receiver_that_is_away_is_tried_with_one_case_at_a_time_and_then_with_all(
    near: Runtime, sender: WebhookSender
) -> None:
    status = [503]
    async with Receiver(lambda _: status[0]) as receiver:
        await registered(near, receiver.url)
        for _ in range(14):
            await some_case(near)
        await until(sender, lambda: len(receiver.requests) >= 10)
        tried = len(receiver.requests)
        await rounds(sender)

        assert tried == len(receiver.requests) < 18  # ten or so failed, the others were spared
        await near.pool.execute(
            """UPDATE webhook_waiting SET next_attempt_at = now()
               WHERE feed_sequence = (SELECT min(feed_sequence) FROM webhook_waiting)"""
        )
        status[0] = 200
        await until(sender, lambda: len(set(receiver.numbers)) == 56, rounds=400)

    assert await near.pool.fetchval("SELECT count(*) FROM webhook_waiting") == 0


async def test_a_receiver_that_takes_long_gets_one_at_a_time(near: Runtime) -> None:
    near.settings = near.settings.model_copy(update={"webhook_seconds": 9.0})
    sender, under_way, most = WebhookSender(near), [0], [0]

    async def slowly(_: Request) -> int:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        await asyncio.sleep(0 if len(receiver.requests) > 4 else 3.1)
        under_way[0] -= 1
        return 200

    async with Receiver(slowly) as receiver:
        await registered(near, receiver.url, types=["liandiao.case.registered.v1"])
        for _ in range(4):
            await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 4, rounds=1000)
        assert most == [4]
        most[0] = 0
        for _ in range(6):
            await some_case(near)
        await sender.step()
        assert len(sender._running) <= 1
        await until(sender, lambda: len(receiver.requests) == 10, rounds=1000)
        await sender.close()


async def test_loopback_outside_a_test_installation_is_found_by_the_doctor(
    near: Runtime,
) -> None:
    assert NOTIFICATION.doctor
    assert await NOTIFICATION.doctor(near) == []
    near.settings = near.settings.model_copy(update={"test_installation": False})
    (found,) = await NOTIFICATION.doctor(near)
    assert "NOTIFICATION_WEBHOOK_LOOPBACK" in found


async def test_a_slow_receiver_holds_up_no_other_webhook(
    near: Runtime, sender: WebhookSender
) -> None:
    async def never(_: Request) -> int:
        await asyncio.sleep(60)
        return 200

    async with Receiver(never) as slow, Receiver() as quick:
        slow_id, _ = await registered(near, slow.url)
        await registered(near, quick.url)
        await some_case(near)
        began = time.monotonic()
        for _ in range(60):
            await sender.step()
            if len(quick.requests) == 4:
                break
        took = time.monotonic() - began

        assert len(quick.requests) == 4
        assert took < 2
        await until(sender, lambda: True, rounds=400)
        reason = await near.pool.fetchval(
            "SELECT reason FROM webhook_attempt WHERE webhook_id = $1", slow_id
        )
        assert (reason, len(slow.requests)) == ("timeout", 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n" + b"x" * 100_000,
        b"HTTP/1.1 202 X\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
    ids=["endless", "unfinished"],
)
async def test_of_an_answer_only_its_status_counts(
    near: Runtime, sender: WebhookSender, answer: bytes
) -> None:
    async with Receiver(lambda _: answer) as receiver:
        await registered(near, receiver.url, types=["liandiao.case.registered.v1"])
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 1)
        await rounds(sender)

    assert receiver.numbers == [2]
    outcomes = await near.pool.fetch("SELECT outcome FROM webhook_attempt")
    assert [row["outcome"] for row in outcomes] == ["delivered"]


@pytest.mark.parametrize("place", ["webhooks.before_send", "webhooks.after_answer"])
async def test_a_sender_that_dies_in_the_middle_loses_nothing_and_repeats_under_the_same_id(
    near: Runtime, place: str
) -> None:
    """Killed before or after the receiver has it: at least once, in the order of the case."""
    async with Receiver() as receiver:
        await registered(near, receiver.url)
        await some_case(near)
        for hit in (1, 2, 1):
            failpoints.arm(place, hit, crash)
            dying = WebhookSender(near)
            with pytest.raises(Crash):
                await rounds(dying, 50)
            failpoints.disarm()
            await dying.poster.close()
        last = WebhookSender(near)
        await until(last, lambda: set(receiver.numbers) == {1, 2, 3, 4})
        await last.close()

    ids: dict[int, set[str]] = {}
    for request in receiver.requests:
        ids.setdefault(request.number, set()).add(request.headers["webhook-id"])
    assert all(len(each) == 1 for each in ids.values())
    assert len(set.union(*ids.values())) == 4
    assert receiver.numbers == sorted(receiver.numbers)
    assert (len(receiver.requests) > 4) == (place == "webhooks.after_answer")


async def test_after_three_days_it_rests_its_owner_is_told_and_nothing_is_lost(
    near: Runtime, sender: WebhookSender
) -> None:
    """Three days *site*, to the hour: the feed says so, the doctor too; it goes on where it was."""
    status = [500]
    async with Receiver(lambda _: status[0]) as receiver:
        webhook_id, _ = await registered(near, receiver.url)
        case = await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 1)

        age = "UPDATE webhook_waiting SET failing_since = now() - $1 * interval '1 hour'"
        await near.pool.execute(f"{age} WHERE failing_since IS NOT NULL", 71)
        await hurry(near)
        await until(sender, lambda: len(receiver.requests) == 2)
        assert (await of(near, webhook_id))["state"] == "active"
        await near.pool.execute(f"{age} WHERE failing_since IS NOT NULL", 72)
        await hurry(near)
        await until(sender, lambda: len(receiver.requests) == 3)

        row = await of(near, webhook_id)
        assert (row["state"], row["reason"]) == ("paused", "failing")
        told = (await feed_of(near))[-1]
        assert told["type"] == "liandiao.webhook.paused.v1"
        assert told["feed_sequence"] == 5
        assert told["event"]["subject"] == str(webhook_id) == str(told["case_id"])
        data = told["event"]["data"]
        assert (data["reason"], data["waiting"], data["position"]) == ("failing", 4, "0000000004")
        full = await near.pool.fetchrow("SELECT * FROM feed_entry WHERE type = $1", told["type"])
        value = orjson.dumps(full["event"]["data"])
        head = [[name, text.decode()] for name, text in headers(full)]
        record = Incoming("agency.o-court.out", 0, 7, str(full["case_id"]), head, value)
        mirrored = _published("o-court", record)  # as it is taken back after a restore
        assert mirrored.event == told["event"]
        assert (mirrored.feed_sequence, mirrored.episode) == (5, 1)
        assert NOTIFICATION.doctor
        (found,) = await NOTIFICATION.doctor(near)
        assert str(webhook_id) in found
        assert (await repository.figures(near.pool))["failing"] == 1
        for _ in range(2):
            await run_due_jobs(near)
            await near.pool.execute("UPDATE job SET done_at = NULL, run_after = now()")
        (file,) = near.settings.spool_dir.rglob("*.json")
        letter = orjson.loads(file.read_bytes())
        assert letter["to"] == {"kind": "desk", "value": COURT}
        assert str(webhook_id) in letter["body"]
        assert receiver.url not in letter["body"]
        await hurry(near)
        await case.hear(an_offer(case.case_id))
        await rounds(sender)
        assert len(receiver.requests) == 3

        status[0] = 200
        async with near.unit_of_work() as uow:
            await handlers.resume(uow, "o-court", webhook_id)
        await until(sender, lambda: 6 in receiver.numbers)
        assert sorted(receiver.numbers[3:]) == [1, 2, 3, 4, 5, 6]
        assert await NOTIFICATION.doctor(near) == []


async def test_an_entry_that_the_receiver_can_never_take_is_left_behind_by_number(
    near: Runtime, sender: WebhookSender
) -> None:
    async with Receiver(lambda r: 400 if r.number == 1 else 200) as receiver:
        webhook_id, _ = await registered(near, receiver.url)
        await some_case(near)
        await until(sender, lambda: receiver.numbers == [1])
        async with near.unit_of_work() as uow:
            await handlers.pause(uow, "o-court", webhook_id)
        async with near.unit_of_work() as uow:
            await handlers.resume(uow, "o-court", webhook_id, 1)
        await until(sender, lambda: 4 in receiver.numbers)
        assert receiver.numbers == [1, 2, 3, 4]


async def test_gone_ends_it_at_once_and_says_so(near: Runtime, sender: WebhookSender) -> None:
    """410 ends; another webhook of the connection brings the news."""
    async with Receiver(lambda _: 410) as receiver, Receiver() as other:
        webhook_id, _ = await registered(near, receiver.url)
        await registered(near, other.url)
        await some_case(near)
        await until(sender, lambda: 5 in other.numbers)
        await hurry(near)
        await rounds(sender)

        assert receiver.numbers == [1]
        row = await of(near, webhook_id)
        assert (row["state"], row["reason"]) == ("ended", "gone")
        news = next(r for r in other.requests if r.number == 5)
        assert news.entry["event"]["type"] == "liandiao.webhook.ended.v1"
        assert news.entry["event"]["data"]["reason"] == "gone"
        assert await near.pool.fetchval("SELECT count(*) FROM webhook_waiting") == 0


async def test_while_a_secret_changes_both_sign_and_afterwards_the_new_one_alone(
    near: Runtime, sender: WebhookSender
) -> None:
    """Two secrets during rotation, and not a moment longer."""
    async with Receiver() as receiver:
        webhook_id, old = await registered(near, receiver.url)
        async with near.unit_of_work() as uow:
            _, new = await handlers.rotate(uow, "o-court", webhook_id, previous_valid_seconds=None)
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 4)
        for request in receiver.requests:
            assert len(request.headers["webhook-signature"].split()) == 2
            assert verified(old, request.headers, request.body)
            assert verified(new, request.headers, request.body)

        await near.pool.execute("UPDATE webhook SET previous_secret_until = now()")
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 8)
        for request in receiver.requests[4:]:
            assert len(request.headers["webhook-signature"].split()) == 1
            assert not verified(old, request.headers, request.body)
            assert verified(new, request.headers, request.body)

        async with near.unit_of_work() as uow:
            _, last = await handlers.rotate(uow, "o-court", webhook_id, previous_valid_seconds=0)
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 12)
        assert not verified(new, receiver.requests[-1].headers, receiver.requests[-1].body)
        assert verified(last, receiver.requests[-1].headers, receiver.requests[-1].body)


async def test_a_replay_brings_a_range_again_under_its_numbers_and_ids(
    near: Runtime, sender: WebhookSender
) -> None:
    async with Receiver() as receiver:
        webhook_id, _ = await registered(near, receiver.url)
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 4)
        async with near.unit_of_work() as uow:
            await handlers.replay(uow, "o-court", webhook_id, first=2, last=9)
        await until(sender, lambda: len(receiver.requests) == 7)
        await rounds(sender)

    assert receiver.numbers == [1, 2, 3, 4, 2, 3, 4]
    first, again = receiver.requests[1:4], receiver.requests[4:]
    assert [r.headers["webhook-id"] for r in first] == [r.headers["webhook-id"] for r in again]
    assert [r.body for r in first] == [r.body for r in again]


async def test_a_filter_leaves_out_and_keeps_order_and_numbers(
    near: Runtime, sender: WebhookSender
) -> None:
    wanted = ["liandiao.case.registered.v1", "liandiao.case.snapshot.v1"]
    async with Receiver() as receiver:
        webhook_id, _ = await registered(near, receiver.url, types=wanted)
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 2)
        async with near.unit_of_work() as uow:
            await handlers.replay(uow, "o-court", webhook_id, first=1, last=4)
        await until(sender, lambda: len(receiver.requests) == 4)

    types = [r.entry["event"]["type"] for r in receiver.requests]
    assert types[:2] == types[2:]
    assert sorted(types[:2]) == wanted
    assert receiver.numbers == [2, 3, 2, 3]
    assert (await of(near, webhook_id))["position"] == 4


async def test_a_new_webhook_begins_with_what_is_new_or_behind_the_number_it_names(
    near: Runtime, sender: WebhookSender
) -> None:
    await some_case(near)
    async with Receiver() as fresh, Receiver() as full:
        await registered(near, fresh.url)
        await registered(near, full.url, after=1)
        await some_case(near)
        await until(sender, lambda: len(full.requests) == 7)

    assert sorted(fresh.numbers) == [5, 6, 7, 8]
    assert sorted(full.numbers) == [2, 3, 4, 5, 6, 7, 8]


async def test_a_ping_arrives_once_also_while_nothing_else_is_sent(
    near: Runtime, sender: WebhookSender
) -> None:
    async with Receiver(lambda _: 500) as receiver:
        webhook_id, secret = await registered(near, receiver.url)
        await some_case(near)
        async with near.unit_of_work() as uow:
            await handlers.pause(uow, "o-court", webhook_id)
            await handlers.ping(uow, "o-court", webhook_id)
        await until(sender, lambda: len(receiver.requests) == 1)
        await hurry(near)
        await rounds(sender)

    (ping,) = receiver.requests
    assert (ping.number, ping.entry["event"]["type"]) == (0, "liandiao.webhook.ping.v1")
    assert verified(secret, ping.headers, ping.body)
    (tried,) = await near.pool.fetch("SELECT outcome, status FROM webhook_attempt")
    assert tuple(tried) == ("failed", 500)


async def test_a_connection_that_is_closed_gets_nothing_until_it_is_open_again(
    near: Runtime, sender: WebhookSender
) -> None:
    def court(version: int, *, active: bool) -> None:
        value = {"name": "o-court", "active": active, "organisations": [COURT], "kafka": True}
        near.directory.put("connection:o-court", version, value)

    async with Receiver() as receiver:
        await registered(near, receiver.url)
        await some_case(near)
        court(2, active=False)
        await rounds(sender)
        assert receiver.requests == []

        court(3, active=True)
        await until(sender, lambda: receiver.numbers == [1, 2, 3, 4])


async def test_neither_log_nor_trail_names_address_or_secret(
    near: Runtime, sender: WebhookSender, capsys: pytest.CaptureFixture[str]
) -> None:
    """No secret, no URL and no query in logs, audit and metrics."""
    async with Receiver(lambda _: 500) as receiver:
        _, secret = await registered(near, receiver.url)
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 1)

    trail = await near.pool.fetch("SELECT action, detail FROM audit_entry")
    metrics = [sample.labels for metric in WEBHOOK_ATTEMPTS.collect() for sample in metric.samples]
    said = capsys.readouterr().out + str([dict(row) for row in trail]) + str(metrics)
    assert "webhook not taken" in said
    assert "webhook.registered" in said
    for hidden in (secret, secret[6:], "sample-token", "127.0.0.1", "/liandiao"):
        assert hidden not in said
    stored = orjson.dumps(
        [
            {k: str(v) for k, v in row.items()}
            for row in await near.pool.fetch("SELECT * FROM webhook")
        ]
    ).decode()
    assert secret[6:] not in stored


async def test_tries_are_forgotten_after_their_time(near: Runtime, sender: WebhookSender) -> None:
    async with Receiver() as receiver:
        await registered(near, receiver.url)
        await some_case(near)
        await until(sender, lambda: len(receiver.requests) == 4)
    await near.pool.execute(
        """UPDATE webhook_attempt SET recorded_at = now() - interval '31 days'
           WHERE feed_sequence = 1"""
    )

    assert await repository.purge(near.pool, 30) == 1
    assert await repository.purge(near.pool, 30) == 0


async def test_a_secret_whose_key_is_lost_fails_alone(near: Runtime, sender: WebhookSender) -> None:
    async with Receiver() as broken, Receiver() as whole:
        broken_id, _ = await registered(near, broken.url)
        await registered(near, whole.url)
        await near.pool.execute(
            "UPDATE webhook SET secret = '\\x01aa'::bytea WHERE webhook_id = $1", broken_id
        )
        await some_case(near)
        await until(sender, lambda: len(whole.requests) == 4)

    reasons = await near.pool.fetch(
        "SELECT DISTINCT reason FROM webhook_attempt WHERE webhook_id = $1", broken_id
    )
    assert [row["reason"] for row in reasons] == ["secret_unreadable"]
    assert broken.requests == []
