"""A real run, frozen: every way of a case lived once, the services stopped, its stores kept."""

import asyncio
import itertools
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from services import topics as kafka_topics
from services.client import Stack
from services.stack import identity, jars, layout, warm
from services.stack.home import Home, cache_folder, unprivileged
from services.stack.kafka import Kafka
from services.stack.postgres import Postgres
from services.verify import Report, Run, examine, topics
from tests.chaos.driver import WAYS, Lives
from tests.e2e.running import RunningStack, free_base
from tests.fixtures.servers import running

SERVICES = ("intake", "routing", "mediation", "notification")
Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]


@dataclass
class Frozen:
    """What a finished run has left, and servers to read it with."""

    run: Run
    cluster: kafka_topics.Cluster
    numbers: Any = field(default_factory=itertools.count)

    def server_url(self) -> str:
        """The superuser's address of the server itself."""
        return self.run.databases["intake"].rsplit("/", 1)[0] + "/postgres"


@pytest.fixture(scope="session")
def frozen() -> Iterator[Frozen]:
    """One run of all ways, at rest; its servers run on without the services."""
    home = Path(tempfile.mkdtemp(prefix="liandiao-verify-"))
    home.chmod(0o755)
    stack = RunningStack(home, free_base())
    try:
        stack.start()
        client = Stack(home / "stack.json", http_log=home / "logs" / "http-lives.jsonl")
        lives = Lives(client, random.Random(5), patience_seconds=60)
        lives.people.write_canaries(home / "canaries.txt")
        for way in (*WAYS, "agree"):
            lives.live(way)
        client.close()
        run = Run.of_home(home, {}, canaries=tuple((home / "canaries.txt").read_text().split()))
        report = asyncio.run(examine(run))
        stack.stop()
        assert report.violations == []
        with ExitStack() as servers:
            cluster = _servers(home, stack.environ, servers)
            yield Frozen(replace(run, wait_seconds=0.5), cluster)
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


def _servers(folder: Path, environ: dict[str, str], servers: ExitStack) -> kafka_topics.Cluster:
    """PostgreSQL and Kafka over the folders of the stopped stack."""
    home, ports = Home(folder), layout.ports(environ)
    secrets = identity.stack_secrets(home)
    postgres = Postgres(
        home.server_folder("postgres"), ports["postgres"], secrets["postgres"], unprivileged()
    )
    files = jars.ensure(cache_folder())
    kafka = Kafka(
        home.folder("kafka"),
        ports["kafka"],
        ports["kafka_controller"],
        files,
        secrets["kafka_admin"],
        secrets["kafka_controller"],
        warm.cache_file(files),
    )
    postgres.make()
    kafka.make()
    person = postgres.person.popen() if postgres.person else {}
    argv = [*postgres.argv(), "-c", "fsync=off"]
    started = servers.enter_context(
        running(argv, folder / "postgres.out", signal.SIGINT, cwd="/", **person)
    )
    broker = servers.enter_context(running(kafka.argv(), folder / "kafka.out", signal.SIGTERM))
    postgres.wait(started)
    kafka.wait(broker)
    return kafka_topics.Cluster.from_environment(
        {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "KAFKA_ADMIN_PASSWORD": secrets["kafka_admin"],
        }
    )


@dataclass
class World:
    """A copy of the run's databases to break, and the topics beside them."""

    frozen: Frozen
    run: Run
    topics: list[str] = field(default_factory=list)

    async def sql(self, service: str, *statements: str) -> None:
        """Do to a database what nobody may: constraints and triggers do not hold us back."""
        db = await asyncpg.connect(self.run.databases[service])
        try:
            await db.execute("SET session_replication_role = replica")
            for statement in statements:
                await db.execute(statement)
        finally:
            await db.close()

    async def one(self, service: str, sql: str) -> Any:
        """A single value."""
        db = await asyncpg.connect(self.run.databases[service])
        try:
            return await db.fetchval(sql)
        finally:
            await db.close()

    async def look(self, *only: str, **more: Any) -> Report:
        """What the checker finds now; with names, of these invariants alone."""
        return await examine(replace(self.run, only=frozenset(only), **more))

    async def copy_cases(self, change: Any = None) -> str:
        """``cases`` under another name, changed by ``change(partition, records)``."""
        name = f"cases.verify.{next(self.frozen.numbers)}"
        self.topics.append(name)
        self.frozen.cluster.apply_topics([kafka_topics.Topic(name, 24, {})])
        producer = AIOKafkaProducer(**self.run.kafka, acks="all")
        async with topics.opened(self.run.kafka) as stream:
            places = await stream.places("cases")
            await producer.start()
            try:
                for place, (begin, end) in places.items():
                    if place.topic != "cases":
                        continue
                    records: list[Record] = [
                        (r.key, r.value, list(r.headers))
                        async for r in stream.records(place, begin, end)
                    ]
                    for key, value, headers in (
                        change(place.partition, records) if change else records
                    ):
                        await producer.send(name, value, key, place.partition, headers=headers)
                await producer.flush()
            finally:
                await producer.stop()
        for service in SERVICES:
            await self.sql(
                service,
                f"UPDATE outbox SET topic = '{name}' WHERE topic = 'cases'",
                f"UPDATE position SET topic = '{name}' WHERE topic = 'cases'",
            )
        self.run = replace(self.run, cases_topic=name)
        return name


async def _delete(run: Run, names: list[str]) -> None:
    """Topics that were spoiled are not found by the next test."""
    if names:
        admin = AIOKafkaAdminClient(**run.kafka)
        await admin.start()
        try:
            await admin.delete_topics(names)
        finally:
            await admin.close()


@pytest.fixture
async def world(frozen: Frozen) -> AsyncIterator[World]:
    """A copy of the four databases, thrown away afterwards."""
    number = next(frozen.numbers)
    admin = await asyncpg.connect(frozen.server_url())
    urls, made = {}, []
    try:
        for service, url in frozen.run.databases.items():
            source = urlsplit(url).path.lstrip("/")
            name = f"{source}_{number}"
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
            made.append(name)
            urls[service] = url.rsplit("/", 1)[0] + f"/{name}"
        made_world = World(frozen, replace(frozen.run, databases=urls))
        yield made_world
        await _delete(frozen.run, made_world.topics)
    finally:
        for name in made:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
