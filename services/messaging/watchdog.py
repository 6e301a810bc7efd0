"""The watchdog: watches progress from outside the client, ends a process that stands still.

A consumer can be alive and never fetch again (aiokafka 847, 983, 1037); only the distance between
the position rows and the end of the topic tells.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.messaging import kafka
from services.messaging.group import GroupConsumer, Positions
from services.messaging.parking import count_parked
from services.messaging.relay import oldest_unpublished
from services.messaging.waiting import pause
from services.telemetry import CONSUMER_LAG, OLDEST_UNPUBLISHED, PARKED_CASES

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
STATUS: Final = 70
LOOK_SECONDS: Final = 1.0
STALL_SECONDS: Final = 20.0
ORPHAN_SECONDS: Final = 60.0
LOOP_SECONDS: Final = 60.0


class Watchdog:
    """Looks every second; publishes lag, parked cases and the age of what is unpublished."""

    def __init__(
        self,
        runtime: "Runtime",
        *,
        leave: Callable[[int], None] = os._exit,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self.runtime = runtime
        self._leave = leave
        self._stall_seconds = stall_seconds
        self._topic = runtime.settings.cases_topic
        self._positions = Positions(f"{runtime.service.name}.cases", runtime.settings.generation)
        self._partitions: list[int] = []
        self._moved: dict[int, tuple[int, float]] = {}

    async def run(self, stop: asyncio.Event, *, may_leave: bool = True) -> None:
        """Look until told to stop; a process that only serves HTTP looks without leaving."""
        name = f"{self.runtime.service.name}.watchdog"
        client = kafka.new_consumer(self.runtime.settings, name)
        try:
            await asyncio.wait_for(client.start(), 30)
            while not stop.is_set():
                await self.look(await self._ends(client), may_leave=may_leave)
                await pause(stop, LOOK_SECONDS)
        finally:
            await kafka.close(client)

    async def _ends(self, client: AIOKafkaConsumer) -> dict[int, int]:
        if not self._partitions:
            self._partitions = (await kafka.partitions_there(client)).get(self._topic, [])
        places = [TopicPartition(self._topic, p) for p in self._partitions]
        if not places:
            return {}
        ends = await asyncio.wait_for(client.end_offsets(places), kafka.CALL_SECONDS)
        return {place.partition: end for place, end in ends.items()}

    async def look(self, ends: dict[int, int], *, may_leave: bool = True) -> None:
        """Compare ends with positions; leave when a partition of ours has stood still too long."""
        runtime, now = self.runtime, time.monotonic()
        service = runtime.service.name
        positions = await self._positions.read(runtime.pool, self._topic)
        lags = {p: max(0, end - positions.get(p, 0)) for p, end in ends.items()}
        for partition, lag in lags.items():
            CONSUMER_LAG.labels(service, self._positions.consumer, partition).set(lag)
            position = positions.get(partition, 0)
            before = self._moved.get(partition)
            if before is None or before[0] != position or lag == 0:
                self._moved[partition] = (position, now)
                if before is not None and before[0] != position:
                    runtime.last_consumed_monotonic = now
        parked = await count_parked(runtime.pool)
        unpublished = await oldest_unpublished(runtime.pool)
        PARKED_CASES.labels(service, self._positions.consumer).set(parked)
        OLDEST_UNPUBLISHED.labels(service).set(unpublished["seconds"])
        runtime.progress |= {
            "lag_records": sum(lags.values()),
            "lag_seen_monotonic": now,
            "parked_cases": parked,
            "outbox_waiting": unpublished["rows"],
            "outbox_held": unpublished["held"],
        }
        beyond = sorted(p for p, end in ends.items() if positions.get(p, 0) > end)
        if beyond:
            log.error("the topic ends before the position: it was lost or made anew", at=beyond)
            runtime.progress["stalled"] = True
        elif may_leave:
            self._judge({p: now - self._moved[p][1] for p, lag in lags.items() if lag}, now)

    def _judge(self, standing: dict[int, float], now: float) -> None:
        """``standing``: seconds without movement of each partition that is behind."""
        runtime = self.runtime
        if runtime.progress.get("stopped"):
            runtime.progress["stalled"] = True
            return
        if now - runtime.progress.get("retrying_monotonic", -1e9) < self._stall_seconds:
            return
        if not runtime.writes_allowed:  # nothing is consumed before recover has run
            return
        consumer: GroupConsumer | None = runtime.state.get("case_consumer")
        mine = {place.partition for place in consumer.expected} if consumer else set()
        # While others move, a partition may only have to wait its turn in a long backlog.
        moving = now - runtime.last_consumed_monotonic < self._stall_seconds
        patience = ORPHAN_SECONDS if moving else self._stall_seconds
        stalled = sorted(
            partition
            for partition, seconds in standing.items()
            if seconds > (patience if partition in mine else ORPHAN_SECONDS)
            and (partition in mine or not mine)
        )
        runtime.progress["stalled"] = bool(stalled)
        if stalled:
            log.critical("no progress, leaving", consumer=self._positions.consumer, at=stalled)
            self._leave(STATUS)


async def watch(runtime: "Runtime", stop: asyncio.Event, *, may_leave: bool = True) -> None:
    """Run the watchdog; an absent broker is not a stall."""
    while not stop.is_set():
        try:
            await Watchdog(runtime).run(stop, may_leave=may_leave)
        except kafka.AWAY as error:
            runtime.progress["kafka"] = type(error).__name__
            await pause(stop, 2)
        else:
            return


class LoopGuard:
    """A thread that ends the process when its event loop is blocked for a minute."""

    def __init__(self, leave: Callable[[int], None] = os._exit) -> None:
        self._leave = leave
        self._beat = time.monotonic()
        self._over = threading.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Beat once a second; the thread listens."""
        threading.Thread(target=self._listen, name="loop-guard", daemon=True).start()
        try:
            while not stop.is_set():
                self._beat = time.monotonic()
                await pause(stop, 1)
        finally:
            self._over.set()

    def _listen(self) -> None:
        late = 0
        while not self._over.wait(5):
            # Twice in a row: a process that was frozen and woke up is late only once.
            late = late + 1 if time.monotonic() - self._beat > LOOP_SECONDS else 0
            if late >= 2:
                log.critical("event loop blocked, leaving")
                self._leave(STATUS)
