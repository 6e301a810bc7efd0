"""The relay against a plain model of an outbox and a log.

Transactions commit in any order of ids or not at all, two relays lead at once or die anywhere, the
lease goes from one to the other, and of what is sent some is lost, some lands late, some lands and
is never acknowledged. Relay, lease and SQL are the real ones on PostgreSQL; Kafka is a list per
partition that does as it is told (a real one cannot be told; see ``tests/crash`` for that).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.ids import new_id
from services.messaging import failpoints, kafka, lease, relay
from services.messaging.relay import Relay, release_held
from services.runtime import Runtime
from services.unit_of_work import UnitOfWork
from tests.fixtures.messaging import Crash, a_change, a_runtime, another_process, crash
from tests.fixtures.servers import PostgresServer
from tests.properties import lengths

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(lengths.MOST_SECONDS)]

CASES, PARTITIONS = 3, 2
DEATHS = ("after_select", "in_sends", "after_send", "after_ack", "after_stamp")
fates = st.lists(st.sampled_from(["acked", "acked", "acked", "unanswered", "late", "lost"]))


def a_case(partition: int) -> UUID:
    """A case whose events go to that partition."""
    ids = iter(new_id, None)
    return next(
        id_ for id_ in ids if kafka.partition_of(str(id_).encode(), PARTITIONS) == partition
    )


class Broker:
    """A log per partition, what of it was acknowledged, and what is still on the wire."""

    def __init__(self) -> None:
        self.log: list[list[str]] = [[] for _ in range(PARTITIONS)]
        self.acknowledged: set[tuple[int, int]] = set()
        self.wire: deque[tuple[int, list[str]]] = deque()
        self.too_large: set[str] = set()
        self.fates: deque[str] = deque()

    def append(self, partition: int, event_ids: list[str]) -> int:
        """They stand together in the log; answers where the first does."""
        self.log[partition] += event_ids
        return len(self.log[partition]) - len(event_ids)


class Builder:
    """A record batch with room for two."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.event_ids: list[str] = []

    def append(self, *, timestamp: None, key: bytes, value: bytes, headers: Any) -> bool | None:
        event_id = dict(headers)["ce_id"].decode()
        if event_id in self.broker.too_large:
            raise MessageSizeTooLargeError
        if len(self.event_ids) == 2:
            return None
        self.event_ids.append(event_id)
        return True


class Producer:
    """An idempotent producer: once a send of a partition has failed, no later one gets through."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.client = SimpleNamespace(
            cluster=SimpleNamespace(
                partitions_for_topic=lambda topic: set(range(PARTITIONS)), brokers=lambda: {1}
            )
        )
        self.worst: dict[int, int] = {}

    async def start(self) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    def create_batch(self) -> Builder:
        return Builder(self.broker)

    async def send(
        self, topic: str, *, key: bytes, value: bytes, partition: int, headers: Any
    ) -> "asyncio.Future[Any]":
        alone = self.create_batch()
        alone.append(timestamp=None, key=key, value=value, headers=headers)
        return await self.send_batch(alone, topic, partition=partition)

    async def send_batch(
        self, batch: Builder, topic: str, *, partition: int
    ) -> "asyncio.Future[Any]":
        broker, event_ids = self.broker, batch.event_ids
        order = ("acked", "unanswered", "late", "lost")
        wanted = order.index(broker.fates.popleft() if broker.fates else "acked")
        self.worst[partition] = max(self.worst.get(partition, 0), wanted)
        fate = order[self.worst[partition]]
        future = asyncio.get_running_loop().create_future()
        if fate == "acked":
            first = broker.append(partition, event_ids)
            broker.acknowledged |= {(partition, first + n) for n in range(len(event_ids))}
            future.set_result(SimpleNamespace(partition=partition, offset=first))
            return future
        if fate == "unanswered":
            broker.append(partition, event_ids)
        elif fate == "late":
            broker.wire.append((partition, event_ids))
        future.set_exception(KafkaConnectionError())
        return future


class Outbox(RuleBasedStateMachine):
    """Three cases, their transactions, two relays and a broker."""

    def __init__(self, runner: asyncio.Runner, runtimes: tuple[Runtime, Runtime]) -> None:
        super().__init__()
        self.run, self.runtimes, self.pool = runner.run, runtimes, runtimes[0].pool
        self.broker: Broker | None = None

    @initialize(
        data=st.data(),
        refused=st.booleans(),
        written=st.lists(
            st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), max_size=CASES
        ),
    )
    def begin(
        self, data: st.DataObject, refused: bool, written: list[tuple[int, bool, bool]]
    ) -> None:
        """Some transactions are under way; or a record is held and others of its case follow."""
        self.run(self.pool.execute("DELETE FROM lease"))
        self.run(
            self.pool.execute(
                """UPDATE outbox SET published_at = now(), partition = 0, "offset" = 0
                   WHERE published_at IS NULL"""
            )
        )
        self.broker = Broker()
        self.runtimes[0].state["broker"] = self.broker
        self.relays = [Relay(runtime) for runtime in self.runtimes]
        self.cases = [a_case(case % PARTITIONS) for case in range(CASES)]
        self.open: dict[int, tuple[AbstractAsyncContextManager[UnitOfWork], list[str]]] = {}
        self.committed: dict[int, list[str]] = {case: [] for case in range(CASES)}
        self.holder: int | None = None
        if refused:
            self.write(data, 3, True, True)
            self.relay_works(0, [])
        for count, large, at_once in written:
            if len(self.open) < CASES:
                self.write(data, count, large, at_once)

    # -- transactions ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.open) < CASES)
    @rule(
        data=st.data(),
        count=st.integers(1, 4),
        large=st.sampled_from([False, False, True]),
        at_once=st.booleans(),
    )
    def write(self, data: st.DataObject, count: int, large: bool, at_once: bool) -> None:
        """Events are written and have their ids; some are not committed yet."""
        assert self.broker is not None
        case = data.draw(st.sampled_from([c for c in range(CASES) if c not in self.open]))
        unit = self.runtimes[0].unit_of_work()
        ids = self.run(self._write(unit, self.cases[case], count))
        self.open[case] = unit, ids
        if large:
            self.broker.too_large.add(ids[0])
        if at_once:
            self._end(case, keep=True)

    @staticmethod
    async def _write(
        unit: AbstractAsyncContextManager[UnitOfWork], case_id: UUID, count: int
    ) -> list[str]:
        uow = await unit.__aenter__()
        await uow.lock_case(case_id, create=True)
        for _ in range(count):
            uow.emit(a_change(case_id))
        await uow.flush()
        rows = await uow.db.fetch(
            "SELECT event_id FROM outbox WHERE key = $1 ORDER BY id DESC LIMIT $2",
            str(case_id),
            count,
        )
        return [str(row["event_id"]) for row in reversed(rows)]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), keep=st.sampled_from([True, True, True, False]))
    def transaction_ends(self, data: st.DataObject, keep: bool) -> None:
        self._end(data.draw(st.sampled_from(sorted(self.open))), keep)

    def _end(self, case: int, keep: bool) -> None:
        unit, ids = self.open.pop(case)
        if keep:
            self.run(unit.__aexit__(None, None, None))
            self.committed[case] += ids
        else:
            with contextlib.suppress(Crash):
                self.run(unit.__aexit__(Crash, Crash(), None))

    # -- relays ----------------------------------------------------------------------------------

    @rule(number=st.integers(0, 1), told=fates)
    def relay_works(self, number: int, told: list[str]) -> None:
        assert self.broker is not None
        self.broker.fates = deque(told)
        self.run(self._round(number))
        self._follow_lease(number)

    @rule(told=fates)
    def both_lead_at_once(self, told: list[str]) -> None:
        """A frozen leader wakes up and does not know yet that another leads."""
        assert self.broker is not None
        for each in self.relays:
            each.lease.held, each.lease._renew_at = True, float("inf")
        self.broker.fates = deque(told)
        self.run(self._both())
        for each in self.relays:
            each.lease._renew_at = 0.0

    async def _both(self) -> None:
        await asyncio.gather(self._round(0), self._round(1))

    async def _round(self, number: int) -> None:
        """One turn of the relay's loop."""
        each = self.relays[number]
        try:
            await each.step()
        except kafka.AWAY:
            each._careful = True
            await each._drop_producer()

    @rule(
        number=st.integers(0, 1), place=st.sampled_from(DEATHS), hit=st.integers(1, 3), told=fates
    )
    def relay_dies(self, number: int, place: str, hit: int, told: list[str]) -> None:
        assert self.broker is not None
        self.broker.fates = deque(told)
        failpoints.arm(f"relay.{place}", hit, crash)
        try:
            self.run(self._round(number))
        except Crash:
            self.run(self.relays[number]._drop_producer())
            self.relays[number] = Relay(self.runtimes[number])
            # It may have taken the lease before; the next one of its name holds it.
        finally:
            failpoints.disarm()
        self._follow_lease(number)

    def _follow_lease(self, number: int) -> None:
        """Whoever worked holds the lease when it was free, over or its own; nobody else does."""
        if self.holder is None:
            self.holder = number
        row = self.run(self.pool.fetchrow("SELECT holder FROM lease WHERE name = 'relay'"))
        assert row["holder"] == self.runtimes[self.holder].instance

    @rule()
    def lease_is_over(self) -> None:
        self.run(
            self.pool.execute("UPDATE lease SET expires_at = clock_timestamp() - interval '1 s'")
        )
        self.holder = None
        for each in self.relays:
            each.lease._renew_at = 0.0

    # -- Kafka -----------------------------------------------------------------------------------

    # What is on the wire hangs on which of two relays was quicker: no precondition may ask for it.
    @rule()
    def late_record_lands(self) -> None:
        assert self.broker is not None
        if self.broker.wire:
            self.broker.append(*self.broker.wire.popleft())

    @rule()
    def operator_lets_large_records_pass(self) -> None:
        assert self.broker is not None
        self.broker.too_large.clear()
        for case_id in self.cases:
            self.run(release_held(self.pool, "cases", str(case_id)))

    # -- both ------------------------------------------------------------------------------------

    @invariant()
    def the_log_is_the_beginning_of_what_was_committed(self) -> None:
        if self.broker is None:
            return
        for case, committed in self.committed.items():
            place = kafka.partition_of(str(self.cases[case]).encode(), PARTITIONS)
            mine = set(committed)
            seen = [e for e in dict.fromkeys(self.broker.log[place]) if e in mine]
            assert seen == committed[: len(seen)]
        known = {event_id for ids in self.committed.values() for event_id in ids}
        assert known.issuperset(event_id for log in self.broker.log for event_id in log)

    @invariant()
    def what_is_stamped_was_acknowledged_at_that_place(self) -> None:
        if self.broker is None:
            return
        for row in self.run(self._rows("published_at IS NOT NULL")):
            place = row["partition"], row["offset"]
            assert place in self.broker.acknowledged
            assert self.broker.log[place[0]][place[1]] == str(row["event_id"])

    async def _rows(self, where: str) -> list[Any]:
        return await self.pool.fetch(
            f'SELECT event_id, partition, "offset" FROM outbox WHERE key = ANY($1) AND {where}',
            [str(case_id) for case_id in self.cases],
        )

    def teardown(self) -> None:
        """Everything commits, everything works: then nothing is left behind."""
        if self.broker is None:
            return
        for case in sorted(self.open):
            self._end(case, keep=True)
        self.broker.fates.clear()
        self.operator_lets_large_records_pass()
        self.lease_is_over()
        for _ in range(40):
            self.run(self._round(0))
            if not self.run(self._rows("published_at IS NULL")):
                break
        while self.broker.wire:
            self.late_record_lands()
        self.the_log_is_the_beginning_of_what_was_committed()
        self.what_is_stamped_was_acknowledged_at_that_place()
        stamped = {str(row["event_id"]) for row in self.run(self._rows("published_at IS NOT NULL"))}
        assert stamped == {event_id for ids in self.committed.values() for event_id in ids}
        for each in self.relays:
            self.run(each._drop_producer())


@contextlib.asynccontextmanager
async def two_processes(server: PostgresServer) -> AsyncIterator[tuple[Runtime, Runtime]]:
    async with a_runtime(server) as one:
        other = await another_process(one)
        try:
            yield one, other
        finally:
            await other.close()


def test_the_relay_sends_as_the_model_says(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 4)  # Or no batch is read while another is stamped.
    monkeypatch.setattr(relay, "IDLE_SECONDS", 0)
    monkeypatch.setattr(lease, "SECONDS", 600)
    with asyncio.Runner() as runner:
        context = two_processes(postgres_server)
        runtimes = runner.run(context.__aenter__())
        monkeypatch.setattr(
            kafka, "new_producer", lambda settings, name: Producer(runtimes[0].state["broker"])
        )
        try:
            run_state_machine_as_test(lambda: Outbox(runner, runtimes), settings=lengths.of(30, 20))
        finally:
            runner.run(context.__aexit__(None, None, None))
