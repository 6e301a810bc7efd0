"""What the crash tests share: how large they are, a world of two services, SQL that must hold."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from services.messaging.consumer import consume_cases
from services.messaging.kafka import Incoming
from services.messaging.relay import run_relay
from services.messaging.worker import _supervise
from services.runtime import Runtime
from services.stack.process import dies_with_parent
from tests.fixtures.messaging import (
    a_runtime,
    a_service,
    consuming,
    effects,
    read_topic,
    running,
    until,
)
from tests.fixtures.servers import KafkaServer, PostgresServer

ROOT = Path(__file__).resolve().parents[2]
LONG = os.environ.get("LIANDIAO_CRASH", "short") == "long"


def size(short: int, long: int) -> int:
    """How many: the short form runs with the suite, ``LIANDIAO_CRASH=long`` in full."""
    return long if LONG else short


# -- one sender, one hearer -----------------------------------------------------------------------


@dataclass
class Pair:
    """Intake emits, mediation writes each effect down, and a topic is between them."""

    sender: Runtime
    hearer: Runtime
    kafka: KafkaServer
    topic: str

    def relay(self) -> contextlib.AbstractAsyncContextManager[Any]:
        """The sender's relay for the length of the block, begun again as a work process does."""
        return running(lambda stop: _supervise("relay", lambda: run_relay(self.sender, stop), stop))

    def consumer(self) -> contextlib.AbstractAsyncContextManager[Any]:
        """The hearer's consumer for the length of the block, begun again in the same way."""
        return consuming(
            self.hearer,
            lambda stop: _supervise("cases", lambda: consume_cases(self.hearer, stop), stop),
        )

    async def publish(self) -> None:
        """Send everything that is in the outbox."""
        async with self.relay():
            await until(lambda: nothing_unpublished(self.sender), 60)

    async def level(self, seconds: float = 60) -> None:
        """Wait until the hearer's positions are at the end of the topic."""
        wanted = len(await read_topic(self.kafka, self.topic))

        async def there() -> bool:
            total = await self.hearer.pool.fetchval(
                "SELECT coalesce(sum(next_offset), 0) FROM position WHERE topic = $1", self.topic
            )
            return bool(total == wanted)

        await until(there, seconds)

    async def records(self) -> list[Incoming]:
        """The topic as a consumer would have it."""
        return [Incoming.of(record) for record in await read_topic(self.kafka, self.topic)]


@contextlib.asynccontextmanager
async def a_pair(
    postgres: PostgresServer, kafka: KafkaServer, *, partitions: int = 4
) -> AsyncIterator[Pair]:
    """Both services on databases of their own and a topic of their own."""
    topic = kafka.fresh_topic(partitions)
    async with (
        a_runtime(postgres, kafka, service=a_service("intake"), topic=topic) as one,
        a_runtime(postgres, kafka, topic=topic, instance=topic) as two,
    ):
        yield Pair(one, two, kafka, topic)


async def nothing_unpublished(runtime: Runtime) -> bool:
    """Whether every outbox row is stamped."""
    return bool(
        await runtime.pool.fetchval("SELECT count(*) = 0 FROM outbox WHERE published_at IS NULL")
    )


# -- what must hold -------------------------------------------------------------------------------


async def each_once_in_order(runtime: Runtime, wanted: Mapping[UUID, int]) -> None:
    """Every case's effects are 1..n, each once, in order, and there is no other."""
    for case_id, count in wanted.items():
        found = await effects(runtime, case_id)
        assert found == list(range(1, count + 1)), (case_id, found)
    assert len(await effects(runtime)) == sum(wanted.values())


def first_appearances_in_order(records: list[Any]) -> dict[tuple[str, str], int]:
    """First appearances of each case of each source are 1..n; answers how many copies of each."""
    seen: dict[tuple[str, str], list[int]] = {}
    copies: dict[tuple[str, str], int] = {}
    ids: dict[tuple[str, str, int], bytes] = {}
    for record in records:
        headers = dict(record.headers)
        of = (headers["ce_source"].decode(), record.key.decode())
        sequence = int(headers["ce_sequence"])
        numbers = seen.setdefault(of, [])
        known = ids.setdefault((*of, sequence), headers["ce_id"])
        assert known == headers["ce_id"], f"two events under {of} {sequence}"
        if sequence in numbers:
            copies[of] = copies.get(of, 0) + 1
        else:
            assert sequence == len(numbers) + 1, f"{of}: {sequence} after {numbers[-3:]}"
            numbers.append(sequence)
    return copies


async def outbox_is_in_the_topic(runtime: Runtime, records: list[Any]) -> None:
    """Every committed event is in the topic, every event of the topic is committed."""
    rows = await runtime.pool.fetch("SELECT event_id FROM outbox WHERE sequence IS NOT NULL")
    source = runtime.service.source.encode()
    there = {
        dict(r.headers)["ce_id"].decode() for r in records if dict(r.headers)["ce_source"] == source
    }
    assert {str(row["event_id"]) for row in rows} == there


# -- whole processes ------------------------------------------------------------------------------


@dataclass
class Process:
    """``python -m services …`` that may be killed, frozen and started again."""

    arguments: tuple[str, ...]
    environ: dict[str, str]
    log: Path
    popen: "subprocess.Popen[bytes] | None" = None
    deaths: list[int] = field(default_factory=list)

    def start(self, **more: str) -> None:
        """Start it, with more variables (``LIANDIAO_FAILPOINTS``)."""
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=ROOT,
                env={**self.environ, **more},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen is not None and self.popen.poll() is None

    def wait(self, seconds: float = 30) -> int:
        """Its status when it is dead."""
        assert self.popen is not None
        status = self.popen.wait(seconds)
        self.deaths.append(status)
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.popen is not None
        self.popen.send_signal(number)

    def end(self) -> None:
        """``kill -9``, if it still runs."""
        if self.popen is not None and self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait(20)


@contextlib.contextmanager
def a_process(environ: dict[str, str], log: Path, *arguments: str) -> Iterator[Process]:
    """A process, not started yet; it is dead after the block."""
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_DATABASE_URL")}
    made = Process(arguments, {**clean, "LIANDIAO_TEST_INSTALLATION": "yes", **environ}, log)
    try:
        yield made
    finally:
        made.end()


async def terminate_backends(url: str, name: str) -> int:
    """End every connection to a database, as an administrator would; answers how many."""
    db = await asyncpg.connect(url)
    try:
        return int(
            await db.fetchval(
                """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = $1 AND pid <> pg_backend_pid()""",
                name,
            )
        )
    finally:
        await db.close()
