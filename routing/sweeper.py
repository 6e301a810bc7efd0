"""The sweeper: warns, and fires clocks whose time is up - never before everything was heard."""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Final

from routing import repository
from routing.clocks import GRACE
from routing.handlers import clocks
from routing.repository import Writes
from services.ids import new_id

if TYPE_CHECKING:
    from services.runtime import Runtime

BATCH: Final = 20
SEEN_SECONDS: Final = 5.0
# After the test clock has jumped, what was under way before the jump must still arrive.
AFTER_JUMP_SECONDS: Final = 3.0


async def product_now(runtime: "Runtime") -> datetime:
    """The database's time, the installation's offset added."""
    now: datetime = await runtime.pool.fetchval("SELECT clock_timestamp()")
    return now + runtime.clock.offset


def has_heard_everything(runtime: "Runtime", monotonic: float | None = None) -> bool:
    """Whether this service had consumed the whole topic a moment ago, and after any time jump."""
    at = time.monotonic() if monotonic is None else monotonic
    jumped_to, jumped_at = runtime.state.get("routing.offset", (None, at))
    if jumped_to != runtime.clock.offset:
        # The first sight of an offset counts as a jump too, unless there is none.
        jumped_at = at if jumped_to is not None or runtime.clock.offset else at - 60
        runtime.state["routing.offset"] = (runtime.clock.offset, jumped_at)
    seen = runtime.progress.get("lag_seen_monotonic")
    return (
        runtime.progress.get("lag_records") == 0
        and seen is not None
        and at - seen < SEEN_SECONDS
        and seen - jumped_at >= AFTER_JUMP_SECONDS
    )


async def sweep(runtime: "Runtime") -> int:
    """One small round: warnings, then clocks that are due. Answers how much was done."""
    now = await product_now(runtime)
    done = 0
    for row in await repository.clocks_to_warn(runtime.pool, now, BATCH):
        async with _unit(runtime) as uow:
            done += await clocks.warn(uow, row["id"])
    if not has_heard_everything(runtime):
        return done
    before = now - GRACE
    for row in await repository.due_clocks(runtime.pool, before, BATCH):
        async with _unit(runtime) as uow:
            done += await clocks.fire(uow, row["id"], before)
    return done


def _unit(runtime: "Runtime"):  # type: ignore[no-untyped-def]  # the chassis' context manager
    return runtime.unit_of_work(correlation_id=str(new_id()))


async def recompute_projected(runtime: "Runtime") -> int:
    """Count every clock of a projected year again; emits ``DeadlineChanged`` where it moved."""
    after, moved = None, 0
    while rows := await repository.projected_clocks(runtime.pool, after, 100):
        for row in rows:
            after = row["id"]
            async with _unit(runtime) as uow:
                clock = await clocks.load(uow, row["id"])
                if clock is None or clock["state"] not in ("running", "paused"):
                    continue
                writes = Writes()
                moved += await clocks.recompute(uow, writes, clock, "calendar_published")
                await writes.write(uow.db)
    return moved


async def oldest_unfired(runtime: "Runtime") -> float:
    """Seconds by which the latest unfired clock is late: a published figure."""
    return await repository.oldest_unfired_seconds(runtime.pool, await product_now(runtime))
