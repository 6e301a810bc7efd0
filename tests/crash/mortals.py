"""A service's real consumer on a database of its own, without Kafka, and what it leaves behind."""

import contextlib
from collections import Counter

import orjson
from pydantic import SecretStr

from services.messaging import failpoints
from services.messaging.consumer import CaseConsumer
from services.messaging.inbox import Moved
from services.runtime import Runtime
from services.service import load
from tests.crash.contents import contents
from tests.crash.lives import PLACE, again, heard_by, life
from tests.fixtures.messaging import Crash, crash
from tests.intake.world import directory
from tests.routing.world import seeded_database

REGISTERED = "liandiao.case.registered.v1"


class Mortal:
    """A service's consumer that dies when told to, on a database of its own, without Kafka."""

    def __init__(self, consumer):
        self.consumer = consumer
        self.died = Counter()

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


async def assert_parked_nothing(mortal):
    db = mortal.consumer.runtime.pool
    assert await db.fetchval("SELECT count(*) FROM parked_case") == 0
