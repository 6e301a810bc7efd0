"""The broker is gone: killed in the middle of the work; then with everything it had.

Afterwards the topic is filled again from the outbox and every consumer begins anew with the next
generation: nothing is lost and nothing takes effect twice.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services import topics
from services.ids import new_id
from services.messaging.recovery import fill_topic
from services.messaging.relay import run_relay
from services.runtime import Runtime
from services.stack import jars, warm
from services.stack.home import cache_folder
from services.stack.kafka import Kafka
from services.stack.postgres import SERVICES
from tests.fixtures.messaging import a_runtime, consuming, emit, running, until
from tests.fixtures.servers import (
    CONNECTIONS,
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
    passwords = {u: f"password-of-{u}" for u in (*(f"svc-{s}" for s in SERVICES), *CONNECTIONS)}
    topics.apply(cluster, list(CONNECTIONS), passwords)
    return KafkaServer(server, log, {**passwords, "admin": "admin-secret"}, cluster, process)


async def _emit_all(runtime: Runtime, cases: list[UUID], count: int) -> None:
    for number in range(count):
        await emit(runtime, cases[number % len(cases)])


async def _heard(runtime: Runtime, count: int) -> bool:
    done: int = await runtime.pool.fetchval("SELECT count(*) FROM effect")
    return done > count


async def _level(runtime: Runtime) -> bool:
    return bool(
        await runtime.pool.fetchval(
            """SELECT (SELECT count(*) FROM effect) = (SELECT count(*) FROM outbox)
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE published_at IS NULL)"""
        )
    )


async def _each_once_in_order(runtime: Runtime) -> None:
    rows = await runtime.pool.fetch("SELECT case_id, sequence FROM effect ORDER BY id")
    by_case: dict[UUID, list[int]] = {}
    for row in rows:
        by_case.setdefault(row["case_id"], []).append(row["sequence"])
    emitted = await runtime.pool.fetch("SELECT key, count(*) AS n FROM outbox GROUP BY key")
    assert Counter({str(k): len(v) for k, v in by_case.items()}) == {
        row["key"]: row["n"] for row in emitted
    }
    assert all(found == list(range(1, len(found) + 1)) for found in by_case.values())


async def test_a_broker_that_is_killed_and_then_loses_everything_loses_nothing_of_ours(
    postgres_server: PostgresServer,
) -> None:
    cases = [new_id() for _ in range(CASES)]
    with passable_folder("gone") as folder, contextlib.ExitStack() as servers:
        server, log = _server(folder), folder / "kafka.log"
        server.make()
        process = servers.enter_context(server_running(server.argv(), log, signal.SIGKILL))
        kafka = _furnish(server, log, process)
        async with a_runtime(postgres_server, kafka) as runtime:
            # -- killed in the middle of the work, and back with what it had
            async with (
                running(lambda stop: run_relay(runtime, stop)),
                consuming(runtime),
            ):
                work = asyncio.create_task(_emit_all(runtime, cases, EVENTS))
                await until(lambda: _heard(runtime, EVENTS // 4), 60)
                process.kill()
                process.wait()
                again = servers.enter_context(server_running(server.argv(), log, signal.SIGKILL))
                server.wait(again)
                await work
                await until(lambda: _level(runtime), 120)
            await _each_once_in_order(runtime)

            # -- nobody hears these before everything it had is gone
            await _emit_all(runtime, cases, CASES)
            servers.close()
            shutil.rmtree(server.logs)
            server.make()
            empty = servers.enter_context(server_running(server.argv(), log, signal.SIGKILL))
            _furnish(server, log, empty)
            filled = await fill_topic(runtime.settings, {"mediation": runtime.pool})
            runtime.settings = runtime.settings.model_copy(update={"generation": 2})
            async with (
                running(lambda stop: run_relay(runtime, stop)),
                consuming(runtime),
            ):
                await emit(runtime, cases[0])
                await until(lambda: _level(runtime), 120)
            await _each_once_in_order(runtime)

    assert filled >= EVENTS
