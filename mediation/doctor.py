"""Invariants that must hold in mediation's tables, and what to do when one does not."""

from typing import Final

from services.runtime import Runtime

CHECKS: Final = (
    (
        """SELECT case_id::text FROM assignment WHERE state = 'offered'
           AND accept_by < now() + $1::interval - interval '10 minutes' LIMIT 20""",
        "case {}: its acceptance window ended and nothing was made of it; see that routing's"
        " clocks run and that this service hears them (liandiao lag)",
    ),
    (
        """SELECT case_id::text FROM assignment WHERE state = 'accepted' AND terms = '{}'
           AND recorded_at < now() + $1::interval - interval '10 minutes' LIMIT 20""",
        "case {}: accepted, but no term clock is known; see routing's clocks of the case",
    ),
    (
        """SELECT a.case_id::text FROM assignment a JOIN mediation m USING (mediation_id)
           WHERE $1::interval IS NOT NULL AND a.state = 'accepted' AND m.state = 'ended'
           LIMIT 20""",
        "case {}: its mediation has ended but its turn has not; report this as a bug",
    ),
    (
        """SELECT s.case_id::text FROM session s JOIN mediation m USING (mediation_id)
           WHERE $1::interval IS NOT NULL AND s.state = 'scheduled' AND m.state <> 'open'
           LIMIT 20""",
        "case {}: a session is planned though its mediation is over; cancel it",
    ),
)


async def doctor(runtime: Runtime) -> list[str]:
    """Everything that is wrong, one sentence each."""
    found: list[str] = []
    async with runtime.unit_of_work(readonly=True) as uow:
        for query, sentence in CHECKS:
            rows = await uow.db.fetch(query, runtime.clock.offset)
            found += [sentence.format(row[0]) for row in rows]
    return found


async def open_items(runtime: Runtime) -> float:
    """Turns that are offered, objected to or held."""
    return float(
        await runtime.pool.fetchval(
            "SELECT count(*) FROM assignment WHERE state IN ('offered', 'objected', 'accepted')"
        )
    )


async def due_without_clock(runtime: Runtime) -> float:
    """Held turns whose term clock is not known yet."""
    return float(
        await runtime.pool.fetchval(
            "SELECT count(*) FROM assignment WHERE state = 'accepted' AND terms = '{}'"
        )
    )
