"""The last hop: provider and ``out`` topic have it, and the process dies before it knows."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from notification.channels import Answer, Letter, Receipt, channels
from notification.feed import Feeder
from notification.handlers import hear
from notification.sender import Sender
from services.messaging import failpoints
from services.runtime import Runtime
from tests.crash.checks import size
from tests.fixtures.messaging import Crash, crash, until
from tests.fixtures.servers import KafkaServer
from tests.notification.builders import a_referral, a_registration
from tests.notification.conftest import Case, runtime  # noqa: F401 - a fixture
from tests.notification.test_feeder import _hear, _numbers, _read, fed  # noqa: F401 - a fixture
from tests.notification.test_sending import Intake, _delivered, _files, _said, _states

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


@pytest.fixture
def told(runtime: Runtime) -> Runtime:  # noqa: F811
    """A notification whose question for contacts is answered."""
    runtime.http = httpx.AsyncClient(transport=httpx.MockTransport(Intake()))
    runtime._service_token = (2**40, "token")
    return runtime


async def forget_claims(of: Runtime) -> None:
    await of.pool.execute("UPDATE message SET claimed_at = now() - interval '1 hour'")


@pytest.mark.parametrize("place", ["sender.before_send", "sender.after_send"])
async def test_a_sender_that_dies_around_the_provider_sends_each_message_once(
    told: Runtime, place: str
) -> None:
    rounds = size(3, 30)
    for _ in range(rounds):
        case = Case(told)
        await case.hear(a_registration(case.case_id))
        failpoints.arm(place, 1, crash)
        with pytest.raises(Crash):
            await Sender(told).step()
        await asyncio.sleep(0)
        failpoints.disarm()
        await forget_claims(told)
        await settled(told)

    files = _files(told.settings.spool_dir)  # type: ignore[attr-defined]
    assert len(files) == len({f["message_id"] for f in files}) == 2 * rounds
    said = _delivered(await _said(told))
    assert len(said) == len(set(said)) == 2 * rounds


async def settled(of: Runtime) -> None:
    for _ in range(10):
        await of.pool.execute("UPDATE message SET next_attempt_at = now() WHERE state = 'waiting'")
        await Sender(of).step()
        if set((await _states(of)).values()) == {"delivered"}:
            return
    pytest.fail(str(await _states(of)))


class Provider:
    """Takes whatever it is given, also twice, and counts; some can be asked, some cannot."""

    name = "provider"

    def __init__(self, *, knows: bool) -> None:
        self.knows = knows
        self.handed: Counter[UUID] = Counter()

    def takes(self, address: Any) -> bool:
        return True

    async def send(self, letter: Letter) -> Receipt:
        self.handed[letter.message_id] += 1
        return Receipt(self.name, "taken", datetime.now(UTC))

    async def ask(self, message_id: UUID) -> Receipt | Answer:
        if not self.knows:
            return Answer.CANNOT_SAY
        if message_id in self.handed:
            return Receipt(self.name, "taken", datetime.now(UTC))
        return Answer.NOT_TAKEN


@pytest.mark.parametrize("knows", [True, False], ids=["can be asked", "cannot be asked"])
@pytest.mark.parametrize("place", ["sender.before_send", "sender.after_send"])
async def test_no_machine_hands_a_message_over_twice(
    told: Runtime, place: str, knows: bool
) -> None:
    provider = Provider(knows=knows)
    for _ in range(size(3, 30)):
        case = Case(told)
        await case.hear(a_registration(case.case_id))
        failpoints.arm(place, 1, crash)
        with pytest.raises(Crash):
            await Sender(told, (provider,)).step()
        await asyncio.sleep(0)
        failpoints.disarm()
        for _ in range(3):
            await forget_claims(told)
            await told.pool.execute("UPDATE message SET next_attempt_at = now()")
            await Sender(told, (provider,)).step()

    rows = await told.pool.fetch("SELECT id, state FROM message")
    states = {row["id"]: row["state"] for row in rows}
    assert len(states) == 2 * size(3, 30)
    assert set(provider.handed.values()) == {1}
    if knows:
        assert set(states.values()) == {"delivered"}
        assert set(provider.handed) == set(states)
    else:
        # Both of the round: the sender died before it recorded either.
        assert set(states.values()) == {"unknown"}


class Slow:
    """The real channel, for a sender that is blocked in front of it until it is released."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.name = inner, inner.name
        self.inside, self.released = asyncio.Event(), asyncio.Event()

    def takes(self, address: Any) -> bool:
        return bool(self.inner.takes(address))

    async def send(self, letter: Letter) -> Receipt:
        self.inside.set()
        await self.released.wait()
        receipt: Receipt = await self.inner.send(letter)
        return receipt

    async def ask(self, message_id: Any) -> Any:
        return await self.inner.ask(message_id)


async def test_a_sender_that_wakes_up_late_settles_nothing(told: Runtime) -> None:
    case = Case(told)
    await case.hear(a_registration(case.case_id))
    slow = [Slow(channel) for channel in channels(told.settings)]  # type: ignore[arg-type]
    zombie = asyncio.create_task(Sender(told, tuple(slow)).step())  # type: ignore[arg-type]
    await asyncio.wait_for(
        asyncio.wait(
            [asyncio.ensure_future(each.inside.wait()) for each in slow],
            return_when=asyncio.FIRST_COMPLETED,
        ),
        10,
    )
    await forget_claims(told)
    await settled(told)
    for each in slow:
        each.released.set()
    await asyncio.wait_for(zombie, 10)

    said = _delivered(await _said(told))
    assert len(said) == len(set(said)) == 2
    attempts = await told.pool.fetch("SELECT outcome FROM attempt WHERE ordinal = 1")
    assert {row["outcome"] for row in attempts} == {"failed"}


@pytest.mark.parametrize("place", ["feeder.before_send", "feeder.after_ack"])
async def test_a_feeder_that_dies_repeats_entries_and_leaves_none_out(
    fed: Runtime,  # noqa: F811
    kafka_server: KafkaServer,
    place: str,
) -> None:
    rounds = size(2, 20)
    for _ in range(rounds):
        await _hear(fed)
        failpoints.arm(place, 1, crash)
        feeder = Feeder(fed)
        with pytest.raises(Crash):
            await feeder.step()
        await feeder.close()
    last = Feeder(fed)
    while await last.step():
        pass
    await last.close()

    numbers = _numbers(await _read(kafka_server, fed.state["name"]))
    assert list(dict.fromkeys(numbers)) == [f"{n:010d}" for n in range(1, 4 * rounds + 1)]
    assert (len(numbers) > 4 * rounds) == (place == "feeder.after_ack")


async def test_numbers_of_a_batch_that_dies_before_its_commit_are_given_again(
    told: Runtime,
) -> None:
    case = Case(told)
    first = await case.hear(a_registration(case.case_id))
    failpoints.arm("unit_of_work.before_commit", 1, crash)
    with pytest.raises(Crash):
        await _hear(told)
    await _hear(told)

    rows = await told.pool.fetch(
        """SELECT connection, array_agg(feed_sequence ORDER BY feed_sequence) AS numbers
           FROM feed_entry GROUP BY connection"""
    )
    assert first
    assert rows
    for row in rows:
        assert row["numbers"] == list(range(1, len(row["numbers"]) + 1))


async def feeds(of: Runtime) -> dict[str, list[int]]:
    """The numbers of each feed, as a reader finds them now."""
    rows = await of.pool.fetch("SELECT connection, feed_sequence FROM feed_entry ORDER BY 1, 2")
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row["connection"], []).append(row["feed_sequence"])
    return found


async def test_a_second_writer_of_a_feed_waits_for_the_end_of_the_first(told: Runtime) -> None:
    first, second = Case(told), Case(told)
    async with told.unit_of_work() as uow:
        await hear(first.stream.heard(a_referral(first.case_id)), uow)
        late = asyncio.create_task(second.hear(a_referral(second.case_id)))
        await until(lambda: _waits(told))
        assert await feeds(told) == {}
    await late

    rows = await told.pool.fetch("SELECT case_id, feed_sequence AS number FROM feed_entry")
    assert {row["case_id"]: row["number"] for row in rows} == {first.case_id: 1, second.case_id: 2}


async def test_many_writers_at_once_leave_no_number_out_and_bring_none_late(told: Runtime) -> None:
    cases = [Case(told) for _ in range(size(20, 300))]
    writing = asyncio.gather(*(case.hear(a_referral(case.case_id)) for case in cases))
    while not writing.done():
        for numbers in (await feeds(told)).values():
            assert numbers == list(range(1, len(numbers) + 1))
    await writing

    found = await feeds(told)
    assert len(found) == 1
    assert set(map(tuple, found.values())) == {tuple(range(1, len(cases) + 1))}


async def _waits(of: Runtime) -> bool:
    """Whether a transaction waits for the row of another."""
    return bool(
        await of.pool.fetchval(
            """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
               AND datname = current_database()"""
        )
    )
