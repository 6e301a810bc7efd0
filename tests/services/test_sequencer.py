"""The sequencer and the jobs runner on a real PostgreSQL."""

import asyncio

import pytest

from services.ids import new_id
from services.messaging import failpoints
from services.messaging.jobs import run_due_jobs
from services.messaging.sequencer import Sequencer, verify_chain
from tests.fixtures.messaging import Crash, a_runtime, a_service, another_process, crash

pytestmark = pytest.mark.postgres


@pytest.fixture
async def runtime(postgres_server):
    async with a_runtime(postgres_server) as made:
        yield made


async def audit(runtime, count):
    for number in range(count):
        async with runtime.unit_of_work() as uow:
            uow.audit("case.read", case_id=new_id(), detail={"n": number})


async def numbers(runtime):
    rows = await runtime.pool.fetch("SELECT chain_number FROM audit_entry ORDER BY id")
    return [row["chain_number"] for row in rows]


async def number_all(sequencer):
    assert await sequencer.lease.renew()
    while await sequencer.step():
        pass


async def test_an_entry_that_commits_later_gets_a_later_number_and_none_is_lost(runtime):
    sequencer = Sequencer(runtime)
    async with runtime.unit_of_work() as uow:
        uow.audit("case.read", case_id=new_id())
        await uow.flush()
        await audit(runtime, 1)
        await number_all(sequencer)
    await number_all(sequencer)

    assert await numbers(runtime) == [2, 1]


@pytest.mark.parametrize("place", ["sequencer.before_commit", "sequencer.after_commit"])
async def test_a_sequencer_that_dies_around_the_commit_gives_no_number_twice(runtime, place):
    await audit(runtime, 3)
    failpoints.arm(place, 1, crash)
    with pytest.raises(Crash):
        await number_all(Sequencer(runtime))
    await audit(runtime, 2)

    await number_all(Sequencer(runtime))

    assert await numbers(runtime) == [1, 2, 3, 4, 5]
    assert await verify_chain(runtime.pool) is None


async def test_a_sequencer_that_lost_its_lease_numbers_nothing(runtime):
    other = await another_process(runtime)
    zombie, leader = Sequencer(runtime), Sequencer(other)
    assert await zombie.lease.renew()
    await runtime.pool.execute("UPDATE lease SET expires_at = now() - interval '1 second'")
    assert await leader.lease.renew()
    await audit(runtime, 1)

    assert await zombie.step() == 0
    assert await leader.step() == 1
    await other.close()


async def test_the_audit_chain_verifies_and_shows_where_it_was_changed(runtime, postgres_server):
    await audit(runtime, 5)
    await number_all(Sequencer(runtime))
    await audit(runtime, 3)
    await number_all(Sequencer(runtime))
    assert await verify_chain(runtime.pool) is None
    chained = await runtime.pool.fetchval("SELECT max(chain_number) FROM audit_entry")
    assert chained == 8

    import asyncpg

    with pytest.raises(asyncpg.RaiseError):
        await runtime.pool.execute("UPDATE audit_entry SET action = 'x' WHERE chain_number = 4")
    name = await runtime.pool.fetchval("SELECT current_database()")
    administrator = await asyncpg.connect(postgres_server.server.url(name))
    await administrator.execute("ALTER TABLE audit_entry DISABLE TRIGGER ALL")
    await administrator.execute("UPDATE audit_entry SET action = 'x' WHERE chain_number = 4")
    assert await verify_chain(runtime.pool) == 4
    await administrator.execute("DELETE FROM audit_entry WHERE chain_number = 3")
    assert await verify_chain(runtime.pool) == 3
    await administrator.close()


# -- jobs -----------------------------------------------------------------------------------------


def with_job(handler):
    return a_service(jobs={"work": handler})


async def enqueue(runtime, key=None):
    async with runtime.unit_of_work() as uow:
        uow.enqueue("work", {"n": 1}, key=key)


async def test_a_job_is_done_once_and_a_key_makes_it_one(postgres_server):
    done = []

    async def handler(job_id, payload, runtime):
        done.append(payload["n"])

    async with a_runtime(postgres_server, service=with_job(handler)) as runtime:
        await enqueue(runtime, "only")
        await enqueue(runtime, "only")
        await asyncio.gather(*(run_due_jobs(runtime) for _ in range(4)))

        assert done == [1]
        assert await run_due_jobs(runtime) == 0


async def test_a_job_that_fails_comes_again_and_a_killed_one_too(postgres_server):
    calls = []

    async def handler(job_id, payload, runtime):
        calls.append(1)
        if len(calls) == 1:
            raise ValueError

    async with a_runtime(postgres_server, service=with_job(handler)) as runtime:
        await enqueue(runtime)
        await run_due_jobs(runtime)
        assert await runtime.pool.fetchval("SELECT last_error_code FROM job") == "ValueError"
        assert await run_due_jobs(runtime) == 0  # not yet: it waits a little

        failpoints.arm("job.after_effect", 1, crash)
        await runtime.pool.execute("UPDATE job SET run_after = now()")
        with pytest.raises(Crash):
            await run_due_jobs(runtime)
        await runtime.pool.execute("UPDATE job SET run_after = now()")
        assert await run_due_jobs(runtime) == 1
        assert await runtime.pool.fetchval("SELECT done_at IS NOT NULL FROM job")
        assert len(calls) == 3
