"""A consumer dies at each of its places, for every handler of the four services, and comes back."""

import itertools
import json
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition
from pydantic import SecretStr

from services.ids import new_id
from services.messaging import failpoints
from services.messaging.consumer import CaseConsumer
from services.messaging.inbox import Moved
from services.messaging.kafka import Incoming
from services.runtime import Runtime
from services.service import NAMES, Subscription, load
from tests.crash.checks import LONG, ROOT
from tests.fixtures.messaging import Crash, crash
from tests.fixtures.servers import PostgresServer

pytestmark = pytest.mark.postgres
BEFORE_COMMIT = (
    "consumer.after_lock",
    "consumer.after_effect",
    "consumer.after_emit",
    "consumer.after_inbox",
    "consumer.before_commit",
)
PLACES = (*BEFORE_COMMIT, "consumer.after_commit")
SAMPLES = ROOT / "docs" / "contracts" / "events"
A_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HANDLERS = [(name, subscription) for name in NAMES for subscription in load(name).consumes]


class Served:
    """A service's consumer without Kafka: records are put into one partition by hand."""

    def __init__(self, runtime: Runtime, superuser_url: str) -> None:
        self.runtime = runtime
        self.superuser_url = superuser_url
        self.consumer = CaseConsumer(runtime)
        self.place = TopicPartition("cases", 0)
        self.offset = 0

    def story(self, subscription: Subscription) -> list[Incoming]:
        """A case of its own: its registration and the event in question, as recorded samples."""
        case_id, sequences = new_id(), itertools.count(1)
        records = []
        for type_ in ("liandiao.case.registered.v1", subscription.event.spec.type):
            text = (SAMPLES / f"{type_}.sample.json").read_text("utf-8")
            sample = json.loads(text)
            key = sample["key"]
            text = A_UUID.sub(
                lambda found, key=key: str(
                    case_id if found[0] == key else uuid.uuid5(case_id, found[0])
                ),
                text,
            )
            sample = json.loads(text)
            headers = dict(sample["headers"])
            source = headers["ce_source"]
            number = next(sequences) if source == "/intake" else 1
            headers |= {"ce_id": str(new_id()), "ce_sequence": f"{number:010d}", "ce_episode": "1"}
            if type_ == "liandiao.case.registered.v1" and records:
                break
            pairs = [[name, value] for name, value in headers.items()]
            data = json.dumps(sample["data"], ensure_ascii=False).encode()
            records.append(Incoming("cases", 0, self.offset, str(case_id), pairs, data))
            self.offset += 1
        return records

    async def counts(self) -> dict[str, int]:
        """Rows per table, as the superuser sees them."""
        names = sorted(self.runtime.service.schema().metadata.tables)
        db = await asyncpg.connect(self.superuser_url)
        try:
            parts = " UNION ALL ".join(f"SELECT '{n}' AS n, count(*) AS c FROM {n}" for n in names)
            return {row["n"]: row["c"] for row in await db.fetch(parts)}
        finally:
            await db.close()

    async def grown(self, before: dict[str, int]) -> dict[str, int]:
        """What was added to which table since."""
        now = await self.counts()
        return {name: now[name] - before[name] for name in now if now[name] != before[name]}


@asynccontextmanager
async def a_served(postgres: PostgresServer, name: str, folder: Path) -> AsyncIterator[Served]:
    """One of the four services on a database of its own."""
    service = load(name)
    database = await postgres.fresh_database(name)
    settings: Any = service.settings(
        database_url=SecretStr(database.url),
        LIANDIAO_KEYS_DIR=folder / "keys",
        LIANDIAO_SPOOL_DIR=folder / "spool",
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9",
    )
    runtime = await Runtime.open(service, settings)
    made = Served(runtime, database.superuser_url)
    await made.consumer.positions.start(runtime.pool, "cases", 0, 0)
    try:
        yield made
    finally:
        failpoints.disarm()
        await runtime.close()
        await postgres.drop(database)


async def positions(served: Served) -> int:
    found: int = await served.runtime.pool.fetchval("SELECT next_offset FROM position")
    return found


@pytest.mark.parametrize("name", NAMES)
async def test_every_handler_has_one_effect_wherever_the_consumer_dies(
    postgres_server: PostgresServer, tmp_path: Path, name: str
) -> None:
    async with a_served(postgres_server, name, tmp_path) as served:
        for number, subscription in enumerate(load(name).consumes):
            before = await served.counts()
            quiet = served.story(subscription)
            await served.consumer.transaction(served.place, quiet)
            wanted = await served.grown(before)
            assert wanted.get("inbox"), subscription
            hits = (1, 2, 3) if LONG else (1 + number % 3,)
            for place, hit in itertools.product(PLACES, hits):
                await _dies(served, subscription, place, hit, wanted)


async def _dies(
    served: Served, subscription: Subscription, place: str, hit: int, wanted: dict[str, int]
) -> None:
    """Three cases one after the other; the consumer dies at the hit and handles the rest again."""
    what = (served.runtime.service.name, subscription.event.spec.type, place, hit)
    failpoints.arm(place, hit, crash)
    died = False
    for _ in range(3):
        records = served.story(subscription)
        before = await served.counts()
        while records:
            begin = await positions(served)
            assert begin == records[0].offset, what
            try:
                done = await served.consumer.transaction(served.place, records)
            except Crash:
                died = True
                if place in BEFORE_COMMIT:
                    assert await served.grown(before) == {}, what
                    assert await positions(served) == begin, what
                    continue
                with pytest.raises(Moved):
                    await served.consumer.transaction(served.place, records)
                done = await positions(served) - begin
            records = records[done:]
        assert await served.grown(before) == wanted, what
    assert died or place == "consumer.after_effect", what
    failpoints.disarm()
