"""Everything a work process does beside HTTP, started together and started again when it fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog

from services.idempotency import purge
from services.messaging.commands import consume_commands
from services.messaging.consumer import consume_cases
from services.messaging.directory_reader import read_directory
from services.messaging.handling import error_code, error_place
from services.messaging.jobs import run_jobs
from services.messaging.lease import Lease
from services.messaging.parking import mend_gaps
from services.messaging.recovery import follow_mark, guard
from services.messaging.relay import run_relay
from services.messaging.sequencer import run_sequencer
from services.messaging.waiting import pause
from services.messaging.watchdog import LoopGuard, watch
from services.service import Loop

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
Work = Callable[[], Awaitable[None]]
LONGEST_WAIT_SECONDS: Final = 5.0
MEND_SECONDS: Final = 30.0
PURGE_SECONDS: Final = 600.0


async def _supervise(name: str, work: Work, stop: asyncio.Event) -> None:
    """Run ``work``; after a failure run it again, a little later each time."""
    wait_seconds = 0.2
    while not stop.is_set():
        started = time.monotonic()
        try:
            await work()
        except Exception as error:  # the edge: one part must not end the others
            log.error("part failed", part=name, code=error_code(error), place=error_place(error))
            if time.monotonic() - started > 60:
                wait_seconds = 0.2
            await pause(stop, wait_seconds)
            wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)


async def _after(checked: asyncio.Event, stop: asyncio.Event, work: Work) -> None:
    """Wait until the topic has been compared with the outbox, then work."""
    while not checked.is_set() and not stop.is_set():
        await pause(stop, 0.05)
    if not stop.is_set():
        await work()


async def _loop(runtime: "Runtime", loop: Loop, stop: asyncio.Event) -> None:
    lease = Lease(runtime, f"loop.{loop.name}") if loop.lease else None
    try:
        while not stop.is_set():
            if lease is not None and not await lease.renew():
                await pause(stop, 1)
            else:
                busy = await loop.run(runtime)
                await pause(stop, loop.gather_seconds if busy else loop.idle_seconds)
    finally:
        if lease is not None:
            await lease.release()


async def _mend(runtime: "Runtime", stop: asyncio.Event) -> None:
    while not stop.is_set():
        await mend_gaps(runtime)
        await pause(stop, MEND_SECONDS)


async def _purge(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Idempotency keys are kept 72 h; what is older goes, a thousand at a time."""
    while not stop.is_set():
        await pause(stop, 1 if await purge(runtime) else PURGE_SECONDS)


def parts(runtime: "Runtime", stop: asyncio.Event) -> dict[str, Work]:
    """The parts of a work process by name. None of them needs Kafka to be there at the start."""
    checked = asyncio.Event()
    work: dict[str, Work] = {
        "guard": lambda: guard(runtime, stop, checked),
        "relay": lambda: _after(checked, stop, lambda: run_relay(runtime, stop)),
        "cases": lambda: _after(checked, stop, lambda: consume_cases(runtime, stop)),
        "commands": lambda: _after(checked, stop, lambda: consume_commands(runtime, stop)),
        "directory": lambda: read_directory(runtime, stop),
        "sequencer": lambda: run_sequencer(runtime, stop),
        "jobs": lambda: run_jobs(runtime, stop),
        "mend": lambda: _mend(runtime, stop),
        "purge": lambda: _purge(runtime, stop),
        "watchdog": lambda: watch(runtime, stop),
        "loop-guard": lambda: LoopGuard().run(stop),
    }
    for loop in runtime.service.loops:
        work[f"loop.{loop.name}"] = lambda loop=loop: _loop(runtime, loop, stop)  # type: ignore[misc]
    return work


async def run_work(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Run relay, consumers, sequencer, jobs, loops and watchdog until ``stop``."""
    runtime.worker_alive = True
    runtime.writes_allowed = False  # until the guard has compared topic and outbox
    tasks = [
        asyncio.create_task(_supervise(name, work, stop), name=f"{runtime.service.name}.{name}")
        for name, work in parts(runtime, stop).items()
    ]
    try:
        await stop.wait()
        runtime.wake()
        await asyncio.wait(tasks, timeout=4)
    finally:
        runtime.worker_alive = False
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run_watch(runtime: "Runtime", stop: asyncio.Event) -> None:
    """What a process that only serves HTTP needs: lag, and whether writes are allowed."""
    tasks = [
        asyncio.create_task(_supervise(name, work, stop))
        for name, work in {
            "watchdog": lambda: watch(runtime, stop, may_leave=False),
            "mark": lambda: follow_mark(runtime, stop),
        }.items()
    ]
    try:
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
