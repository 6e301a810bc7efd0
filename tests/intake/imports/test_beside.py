"""An import beside live traffic: what is posted meanwhile is answered and kept."""

import asyncio
from typing import Any

import pytest

from intake.imports import repository
from services.unit_of_work import Actor
from tests.intake.imports.test_importer_process import importing, known_to_processes, until
from tests.intake.imports.world import court_rows, imported, shown, upload
from tests.intake.world import COURT, SENDER, Intake, bearer, referral, token

pytestmark = pytest.mark.postgres
ROWS = 3000


async def posted_while(intake: Intake, import_id: str) -> dict[str, int]:
    """POST a referral every now and then until the import is at its end: reference to status."""
    head, found = bearer(token(COURT, *SENDER)), {}
    while (await shown(intake, import_id))["state"] in ("queued", "running"):
        for _ in range(4):
            reference = f"（2026）浙0681民诉前调{900_000 + len(found)}号"
            answer = await intake.http.post("/v1/referrals", json=referral(reference), headers=head)
            found[reference] = answer.status_code
            await asyncio.sleep(0.02)
    return found


async def test_live_posts_beside_an_import_are_answered_and_none_is_lost(intake: Intake) -> None:
    """Checklist 1.33: the import runs behind live traffic."""
    await known_to_processes(intake)
    import_id = (await upload(intake, court_rows(ROWS), mode="run")).json()["import_id"]

    async with importing(intake, INTAKE_IMPORT_BATCH="100"):
        await until(intake, import_id, 1)
        async with asyncio.timeout(200):
            posted = await posted_while(intake, import_id)

    done = await shown(intake, import_id)
    assert (done["state"], done["accepted"]) == ("done", ROWS)
    assert len(posted) > 4
    assert set(posted.values()) == {201}
    kept = await intake.runtime.pool.fetch(
        """SELECT reference FROM referral JOIN case_file USING (referral_id)
           WHERE reference = ANY($1)""",
        list(posted),
    )
    assert {row["reference"] for row in kept} == set(posted)
    counts = await intake.counts()
    assert counts["referral"] == counts["case_stream"] == ROWS + len(posted)
    numbers = await intake.runtime.pool.fetchval(
        "SELECT count(DISTINCT case_number) FROM case_file"
    )
    assert numbers == ROWS + len(posted)


async def test_an_import_gives_way_to_live_requests_and_to_nothing_of_its_own(
    intake: Intake,
) -> None:
    """Checklist 1.33: behind live traffic."""
    runtime, own = intake.runtime, Actor("o-330681-ct-0001", COURT)

    async def seen(**given: Any) -> int:
        async with runtime.unit_of_work(actor=own, **given):
            return await repository.requests_at_work(runtime.pool)

    assert await seen() == 0
    assert await seen(live=True) == 1
    assert await seen(live=True, readonly=True) == 1
    assert await repository.requests_at_work(runtime.pool) == 0


async def test_events_that_wait_for_the_relay_are_counted_where_they_may_be_too_many(
    intake: Intake,
) -> None:
    pool = intake.runtime.pool
    await imported(intake, court_rows(3))
    waiting = await pool.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL")
    assert waiting >= 6
    assert await repository.unpublished(pool, waiting) == waiting
    assert await repository.unpublished(pool, 4) == 4
    assert await repository.unpublished(pool, waiting + 1000) == 0

    await pool.execute(
        """UPDATE outbox SET published_at = now() WHERE id NOT IN
             (SELECT min(id) FROM outbox UNION SELECT max(id) FROM outbox)"""
    )

    assert await repository.unpublished(pool, 3) == 2
    await pool.execute("UPDATE outbox SET published_at = now()")
    assert await repository.unpublished(pool, 1) == 0
