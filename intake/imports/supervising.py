"""The importer's process: started when a run waits, gone when none has waited for a while.

It is a process of its own (and starts those that judge), at a lower priority, so that the loop that
serves live requests does not share an interpreter with it. It ends when the process that started it
does: its standard input ends then.
"""

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from intake.imports import repository
from intake.imports.judging import settle
from intake.imports.pool import Beside
from intake.imports.working import Importer
from services.messaging.handling import error_code, error_place
from services.messaging.recovery import follow_mark

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
COMMAND: Final = ("-m", "services", "import-waiting")
NICE: Final = 10
QUIET_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.5
_STATE: Final = "intake.importer"


async def look_after(runtime: "Runtime") -> int:
    """Start the importer when a run waits and none is there; 1 when it did."""
    running: asyncio.subprocess.Process | None = runtime.state.get(_STATE)
    if running is not None and running.returncode is None:
        return 0
    if not await repository.due(runtime.pool):
        return 0
    runtime.state[_STATE] = await asyncio.create_subprocess_exec(
        sys.executable, *COMMAND, stdin=asyncio.subprocess.PIPE
    )
    return 1


async def import_waiting(runtime: "Runtime") -> None:
    """Work off what waits until nothing has waited for a while, or nobody needs this process."""
    os.nice(NICE)
    stop = asyncio.Event()
    judges = Beside(runtime)
    importer = Importer(runtime, judges)
    settle()
    beside = [
        asyncio.create_task(_until_alone(stop)),
        asyncio.create_task(follow_mark(runtime, stop)),
    ]
    work = asyncio.create_task(_work(runtime, importer, stop))
    ended = asyncio.create_task(stop.wait())
    await asyncio.wait((work, ended), return_when=asyncio.FIRST_COMPLETED)
    for task in (work, ended, *beside):
        task.cancel()
    await asyncio.gather(work, ended, *beside, return_exceptions=True)
    judges.close()
    await repository.let_go(runtime.pool, runtime.instance)
    await importer.close()


async def _work(runtime: "Runtime", importer: Importer, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    quiet_since = loop.time()
    while not stop.is_set() and loop.time() - quiet_since < QUIET_SECONDS:
        try:
            await runtime.refresh_directory()
            if await importer.work_off():
                quiet_since = loop.time()
        except Exception as error:  # the edge: the run is taken up again where it stands
            log.error("import failed", code=error_code(error), place=error_place(error))
        await asyncio.sleep(LOOK_SECONDS)


async def _until_alone(stop: asyncio.Event) -> None:
    """Set ``stop`` when standard input ends: whoever started this process is gone."""
    reader = asyncio.StreamReader()
    with suppress(OSError):
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        await reader.read()
    stop.set()
