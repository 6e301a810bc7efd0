"""The jobs runner: due jobs, each claimed by one process, tried again until it is done."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog

from services.messaging.failpoints import failpoint
from services.messaging.handling import error_code
from services.messaging.waiting import woken

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
AT_ONCE: Final = 4
IDLE_SECONDS: Final = 0.5
CLAIM_SECONDS: Final = 120
JOB_SECONDS: Final = 100
LONGEST_WAIT_SECONDS: Final = 900


async def _claim(runtime: "Runtime") -> list[asyncpg.Record]:
    """Take due jobs; a claim is only a later ``run_after``, so a dead process loses nothing."""
    rows: list[asyncpg.Record] = await runtime.pool.fetch(
        """UPDATE job SET attempts = attempts + 1,
             run_after = clock_timestamp() + $1::interval + $4 * interval '1 second'
           WHERE id IN (
             SELECT id FROM job WHERE done_at IS NULL
               AND run_after <= clock_timestamp() + $1::interval AND kind = ANY($3::text[])
             ORDER BY run_after LIMIT $2 FOR UPDATE SKIP LOCKED)
           RETURNING id, kind, payload, attempts""",
        runtime.clock.offset,
        AT_ONCE,
        list(runtime.service.jobs),
        CLAIM_SECONDS,
    )
    return rows


async def _do(runtime: "Runtime", job: asyncpg.Record) -> None:
    handler = runtime.service.jobs[job["kind"]]
    try:
        async with asyncio.timeout(JOB_SECONDS):
            await handler(job["id"], job["payload"], runtime)
        failpoint("job.after_effect")
    except Exception as error:  # the edge: whatever went wrong, the job comes again
        wait_seconds = min(2.0 ** min(job["attempts"], 12) / 4, LONGEST_WAIT_SECONDS)
        code = error_code(error)
        log.warning(
            "job failed", kind=job["kind"], job_id=str(job["id"]), code=code, exc_info=error
        )
        await runtime.pool.execute(
            """UPDATE job SET last_error_code = $2,
                 run_after = clock_timestamp() + $3::interval + $4 * interval '1 second'
               WHERE id = $1 AND done_at IS NULL""",
            job["id"],
            code,
            runtime.clock.offset,
            wait_seconds,
        )
        return
    await runtime.pool.execute(
        "UPDATE job SET done_at = clock_timestamp(), last_error_code = NULL WHERE id = $1",
        job["id"],
    )


async def run_due_jobs(runtime: "Runtime") -> int:
    """Do what is due now, a few at a time. Answers how many."""
    jobs = await _claim(runtime)
    await asyncio.gather(*(_do(runtime, job) for job in jobs))
    return len(jobs)


async def run_jobs(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Do jobs until told to stop; a job is done at least once, so its handler must bear that."""
    if not runtime.service.jobs:
        await stop.wait()
    while not stop.is_set():
        if await run_due_jobs(runtime) == 0:
            await woken(runtime.jobs_wakeup, IDLE_SECONDS)


async def waiting_jobs(db: asyncpg.Connection | asyncpg.Pool) -> dict[str, Any]:
    """Count of jobs to do and of those that failed before."""
    row = await db.fetchrow(
        """SELECT count(*) AS waiting, count(last_error_code) AS failing FROM job
           WHERE done_at IS NULL"""
    )
    return dict(row) if row else {}
