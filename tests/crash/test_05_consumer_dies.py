"""A consumer dies at each place, for every subscription of the four services: one effect."""

import contextlib
from itertools import cycle, product

import orjson
import pytest
from pydantic import SecretStr

from services.ids import new_id
from services.messaging import failpoints
from services.messaging.consumer import CaseConsumer
from services.messaging.inbox import Moved
from services.messaging.relay import run_relay
from services.runtime import Runtime
from services.service import NAMES, load
from tests.crash.checks import size
from tests.crash.contents import assert_same, contents
from tests.crash.lives import PLACE, again, heard_by, life
from tests.crash.part import ended, start
from tests.fixtures.messaging import (
    Crash,
    a_runtime,
    a_service,
    crash,
    effects,
    emit,
    running,
    until,
)
from tests.intake.world import directory
from tests.routing.world import seeded_database

PLACES = (
    "consumer.before_lock",
    "consumer.after_lock",
    "consumer.after_effect",
    "consumer.after_emit",
    "consumer.after_inbox",
    "consumer.before_commit",
    "consumer.after_commit",
)
BATCH = 12
REGISTERED = "liandiao.case.registered.v1"


class Mortal:
    """A service's consumer that dies when told to, on a database of its own, without Kafka."""

    def __init__(self, consumer):
        self.consumer = consumer
        self.died = {place: 0 for place in PLACES}

    async def take(self, records):
        """The records, in as many transactions as it takes; a dead one does nothing more."""
        while records:
            try:
                done = await self.consumer.transaction(PLACE, records)
            except Moved as moved:  # it died after its commit
                records = [record for record in records if record.offset >= moved.next_offset]
            else:
                records = records[done:]

    async def die(self, records, place, hit=1):
        """Die at the hit; whether it did."""
        failpoints.arm(place, hit, crash)
        try:
            await self.take(records)
        except Crash:
            self.died[place] += 1
            return True
        finally:
            failpoints.disarm()
        return False


@contextlib.asynccontextmanager
async def a_mortal(postgres, name, folder):
    service = load(name)
    if name == "routing":
        database = await seeded_database(postgres, folder)
    else:
        database = await postgres.fresh_database(name)
    settings = service.settings(
        database_url=SecretStr(database.url),
        keys_dir=folder / "keys",
        spool_dir=folder / "spool",
        kafka_bootstrap_servers="127.0.0.1:9",
    )
    runtime = await Runtime.open(service, settings)
    for key, value in directory().entries.items():
        runtime.directory.put(key, 1, value)
    if name == "intake":
        await open_files(runtime)
    consumer = CaseConsumer(runtime)
    await consumer.positions.start(runtime.pool, PLACE.topic, PLACE.partition, 0)
    try:
        yield Mortal(consumer), database
    finally:
        await runtime.close()
        await postgres.drop(database)


async def open_files(runtime):
    """Intake owns the cases: each has its file before anybody else says something about it."""
    for records, _ in lives("intake"):
        registered = next(r for r in records if r.envelope().type == REGISTERED)
        async with runtime.unit_of_work() as uow:
            data = orjson.loads(registered.data)
            case_id = registered.envelope().case_id
            await uow.lock_case(case_id, create=True, case_number=data["case_number"])
            await uow.db.execute(
                """INSERT INTO case_file (case_id, case_number, referral_id, organisation, lane,
                     dispute_type, place, channel, legal_context, joint_sessions, holder,
                     held_since, received_at, registered_at)
                   SELECT $1, $2, $3, v->>'organisation', v->>'lane', v->>'dispute_type',
                     v->>'place', v->>'channel', '{}', true, v->>'organisation', $5, $5, $5
                   FROM (SELECT $4::jsonb AS v) x""",
                case_id,
                data["case_number"],
                data["referral_id"],
                data,
                uow.now,
            )


def lives(name):
    """Of every type the service hears a case, and the last record of each once more."""
    offset, found = 0, []
    for number, type_ in enumerate(heard_by(load(name)), 1):
        records = life(number, type_, offset)
        copy = again(records[-1], offset + len(records))
        found.append((records, copy))
        offset = copy.offset + 1
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where every run finds the same keys."""
    return tmp_path_factory.mktemp("mortals")


@pytest.fixture(scope="module")
def known():
    """What undisturbed runs of a service left behind, for both tests that compare with it."""
    return {}


async def two_undisturbed(known, postgres, name, folder):
    if name not in known:
        known[name] = [await undisturbed(postgres, name, folder) for _ in range(2)]
    return known[name]


async def undisturbed(postgres, name, folder):
    async with a_mortal(postgres, name, folder) as (mortal, database):
        for records, copy in lives(name):
            await mortal.take(records)
            await mortal.take([copy])
        return await contents(database.superuser_url)


@pytest.mark.postgres
@pytest.mark.parametrize("name", NAMES)
async def test_every_subscription_has_one_effect_wherever_its_consumer_dies(
    postgres_server, folder, known, name
):
    cases = lives(name)
    once, twin = await two_undisturbed(known, postgres_server, name, folder)

    async with a_mortal(postgres_server, name, folder) as (mortal, database):
        for records, copy in cases:
            await mortal.take(records[:-1])
            for place in PLACES:
                for _ in range(size(1, 3)):
                    await mortal.die(records[-1:], place)
            await mortal.take(records[-1:])
            await mortal.take([copy])
        await assert_parked_nothing(mortal)
        assert_same(await contents(database.superuser_url), once, twin)

    for place in ("before_lock", "after_lock", "after_inbox", "before_commit", "after_commit"):
        assert mortal.died[f"consumer.{place}"] >= len(cases)
    assert mortal.died["consumer.after_effect"] >= len(cases) / 2


@pytest.mark.postgres
@pytest.mark.parametrize("name", NAMES)
async def test_a_batch_has_one_effect_whether_its_first_second_or_third_record_is_fatal(
    postgres_server, folder, known, name
):
    cases = lives(name)
    once, twin = await two_undisturbed(known, postgres_server, name, folder)
    stream = [record for records, copy in cases for record in (*records, copy)]

    async with a_mortal(postgres_server, name, folder) as (mortal, database):
        deaths = cycle(product(PLACES, (1, 2, 3)))
        for first in range(0, len(stream), BATCH):
            batch = stream[first : first + BATCH]
            for _ in range(size(3, 21)):
                await mortal.die(batch, *next(deaths))
            await mortal.take(batch)
        await assert_parked_nothing(mortal)
        assert_same(await contents(database.superuser_url), once, twin)

    assert mortal.died["consumer.after_effect"] > 0


async def assert_parked_nothing(mortal):
    db = mortal.consumer.runtime.pool
    assert await db.fetchval("SELECT count(*) FROM parked_case") == 0


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_real_process_that_ends_at_each_place_has_one_effect(postgres_server, kafka_server):
    topic = kafka_server.fresh_topic(3)
    cases = [new_id() for _ in range(5)]
    hits = range(1, size(1, 3) + 1)
    async with (
        a_runtime(
            postgres_server, kafka_server, service=a_service("intake"), topic=topic
        ) as sender,
        a_runtime(postgres_server, kafka_server, topic=topic, instance=topic) as hearer,
        running(lambda stop: run_relay(sender, stop)),
    ):
        for place, hit in product(PLACES, hits):
            for case_id in cases * hit:
                await emit(sender, case_id)
            assert await ended(start("cases", hearer, fail=f"{place}:{hit}")) == 137
        await sender.pool.execute("UPDATE outbox SET published_at = NULL")  # all of it once more
        survivor = start("cases", hearer)
        each = sum(hits) * len(PLACES)
        await until(lambda: consumed(hearer, 2 * each * len(cases)), 120)
        survivor.kill()
        await ended(survivor)

        for case_id in cases:
            assert await effects(hearer, case_id) == list(range(1, each + 1))


async def consumed(runtime, records):
    """Whether the positions stand behind that many records."""
    total = await runtime.pool.fetchval("SELECT sum(next_offset) FROM position")
    return (total or 0) >= records
