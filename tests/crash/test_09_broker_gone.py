"""The broker is gone: killed in the middle of the work; then with everything it had.

Afterwards the topic is filled again from the outboxes of all four services, in its old order, and
every consumer begins anew with the next generation: nothing is lost, nothing takes effect twice.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services import topics
from services.ids import new_id
from services.messaging import failpoints
from services.messaging.recovery import fill_topic
from services.messaging.relay import run_relay
from services.runtime import Runtime
from services.stack import jars, warm
from services.stack.home import cache_folder
from services.stack.kafka import Kafka
from services.stack.postgres import SERVICES
from tests.fixtures.messaging import (
    a_runtime,
    a_service,
    consuming,
    emit,
    read_topic,
    running,
    until,
)
from tests.fixtures.servers import (
    KafkaServer,
    PostgresServer,
    free_ports,
    passable_folder,
)
from tests.fixtures.servers import running as server_running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

LONG = os.environ.get("LIANDIAO_CRASH") == "long"
EVENTS = 1_500 if LONG else 240
CASES = 12


def _server(folder: Path) -> Kafka:
    port, controller = free_ports(2)
    files = jars.ensure(cache_folder())
    passwords = ("admin-secret", "inner-secret")
    return Kafka(folder / "kafka", port, controller, files, *passwords, warm.cache_file(files))


def _furnish(server: Kafka, log: Path, process: Any) -> KafkaServer:
    """Topics, users and rights; the first time and after everything was lost."""
    server.wait(process)
    cluster = topics.Cluster.from_environment(
        {"KAFKA_BOOTSTRAP_SERVERS": server.bootstrap, "KAFKA_ADMIN_PASSWORD": "admin-secret"}
    )
    passwords = {u: f"password-of-{u}" for u in (f"svc-{s}" for s in SERVICES)}
    topics.apply(cluster, [], passwords)
    return KafkaServer(server, log, {**passwords, "admin": "admin-secret"}, cluster, process)


@dataclass
class Four:
    """The four services: each emits about every case and hears all of them."""

    runtimes: dict[str, Runtime]
    cases: list[UUID]

    @property
    def pools(self) -> dict[str, asyncpg.Pool]:
        return {name: runtime.pool for name, runtime in self.runtimes.items()}

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """All relays and all consumers."""
        async with contextlib.AsyncExitStack() as parts:
            for runtime in self.runtimes.values():
                await parts.enter_async_context(running(functools.partial(run_relay, runtime)))
                await parts.enter_async_context(consuming(runtime))
            yield

    async def emit(self, count: int) -> None:
        """Events of the services by turns, of the cases by turns."""
        for number in range(count):
            runtime = self.runtimes[SERVICES[number % len(SERVICES)]]
            await emit(runtime, self.cases[number // len(SERVICES) % len(self.cases)])

    async def said(self) -> Counter[tuple[str, str]]:
        """How many events each source has said of each case."""
        found: Counter[tuple[str, str]] = Counter()
        for name, pool in self.pools.items():
            for row in await pool.fetch("SELECT key, count(*) AS n FROM outbox GROUP BY key"):
                found[f"/{name}", row["key"]] = row["n"]
        return found

    async def level(self) -> bool:
        """Whether everything is published and had its effect everywhere."""
        total = (await self.said()).total()
        for pool in self.pools.values():
            if not await pool.fetchval(
                """SELECT (SELECT count(*) FROM effect) = $1
                     AND NOT EXISTS (SELECT 1 FROM outbox WHERE published_at IS NULL)""",
                total,
            ):
                return False
        return True

    async def assert_each_once_in_order(self) -> None:
        """Each service did what each source said of each case: 1..n, each once, in order."""
        said = await self.said()
        for name, pool in self.pools.items():
            found: dict[tuple[str, str], list[int]] = defaultdict(list)
            for row in await pool.fetch("SELECT * FROM effect ORDER BY id"):
                found[row["source"], str(row["case_id"])].append(row["sequence"])
            assert found == {of: list(range(1, n + 1)) for of, n in said.items()}, name

    async def stamped(self, records: list[Any]) -> list[tuple[Any, ...]]:
        """What stands where the stamps say, partition by partition, in order."""
        there = {(r.partition, r.offset): r for r in records}
        found = []
        for pool in self.pools.values():
            for row in await pool.fetch("SELECT * FROM outbox WHERE published_at IS NOT NULL"):
                place = row["partition"], row["offset"]
                assert dict(there[place].headers)["ce_id"].decode() == str(row["event_id"])
                found.append(place)
        return [
            (partition, r.key, r.headers, r.value)
            for partition, offset in sorted(found)
            for r in (there[partition, offset],)
        ]


@contextlib.asynccontextmanager
async def four_services(postgres: PostgresServer, kafka: KafkaServer) -> AsyncIterator[Four]:
    """On databases of their own, not at work yet."""
    async with contextlib.AsyncExitStack() as opened:
        runtimes = {
            name: await opened.enter_async_context(
                a_runtime(postgres, kafka, service=a_service(name))
            )
            for name in SERVICES
        }
        yield Four(runtimes, [new_id() for _ in range(CASES)])


async def test_a_broker_that_is_killed_and_then_loses_everything_loses_nothing_of_ours(
    postgres_server: PostgresServer,
) -> None:
    with passable_folder("gone") as folder, contextlib.ExitStack() as servers:
        server, log = _server(folder), folder / "kafka.log"
        server.make()
        process = servers.enter_context(server_running(server.argv(), log, signal.SIGKILL))
        kafka = _furnish(server, log, process)
        async with four_services(postgres_server, kafka) as four:
            # -- killed in the middle of a batch, and back with what it had
            failpoints.arm("relay.in_sends", EVENTS // 10, process.kill)
            async with four.at_work():
                work = asyncio.create_task(four.emit(EVENTS))
                await until(lambda: process.poll() is not None, 60)
                again = servers.enter_context(server_running(server.argv(), log, signal.SIGKILL))
                await asyncio.to_thread(server.wait, again)
                await work
                await until(four.level, 120)
            await four.assert_each_once_in_order()
            before = await four.stamped(await read_topic(kafka, "cases"))

            # -- nobody hears these before everything it had is gone
            await four.emit(2 * CASES)
            servers.close()
            shutil.rmtree(server.logs)
            server.make()
            empty = servers.enter_context(server_running(server.argv(), log, signal.SIGKILL))
            _furnish(server, log, empty)
            some = four.runtimes["intake"].settings
            assert await fill_topic(some, four.pools) == EVENTS
            rebuilt = await read_topic(kafka, "cases")
            assert len(rebuilt) == EVENTS
            assert await four.stamped(rebuilt) == before
            for runtime in four.runtimes.values():
                runtime.settings = runtime.settings.model_copy(update={"generation": 2})
            async with four.at_work():
                await four.emit(len(SERVICES))
                await until(four.level, 120)
            await four.assert_each_once_in_order()
