"""The sweeper: warns, and fires clocks whose time is up - never before everything was heard."""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

from routing import repository
from routing.clocks import GRACE
from routing.handlers import clocks
from routing.repository import Writes
from services.ids import new_id
from services.messaging.handling import is_transient
from services.telemetry import log

if TYPE_CHECKING:
    from services.runtime import Runtime
    from services.unit_of_work import UnitOfWork

BATCH: Final = 20
ASIDE_SECONDS: Final = 60.0
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
    """One small round: warnings, then clocks that are due. Answers how much was done.

    A clock that cannot be handled is left alone for a minute, so that it never holds up others.
    """
    now = await product_now(runtime)
    aside = _aside(runtime)
    done = 0
    for row in await repository.clocks_to_warn(runtime.pool, now, BATCH, aside):
        done += await _one(runtime, row["id"], partial(clocks.warn, clock_id=row["id"]))
    if not has_heard_everything(runtime):
        return done
    before = now - GRACE
    for row in await repository.due_clocks(runtime.pool, before, BATCH, aside):
        fire = partial(clocks.fire, clock_id=row["id"], before=before)
        done += await _one(runtime, row["id"], fire)
    return done


def _aside(runtime: "Runtime") -> list[UUID]:
    failed: dict[UUID, float] = runtime.state.setdefault("routing.failed_clocks", {})
    at = time.monotonic()
    for clock_id in [key for key, until in failed.items() if until < at]:
        del failed[clock_id]
    return list(failed)


async def _one(
    runtime: "Runtime", clock_id: UUID, act: Callable[["UnitOfWork"], Awaitable[bool]]
) -> int:
    try:
        async with _unit(runtime) as uow:
            return int(await act(uow))
    except Exception as error:  # the edge: one clock must not stop the others
        if is_transient(error):
            raise
        log().error("clock_failed", clock_id=str(clock_id), error=type(error).__name__)
        runtime.state["routing.failed_clocks"][clock_id] = time.monotonic() + ASIDE_SECONDS
        return 0


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
