"""Who judges rows: processes of their own beside the importer, or the importer's process."""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from intake.adapters.rows import Row
from intake.imports.judging import Judge, Judged, Task, judge, start

if TYPE_CHECKING:
    from services.runtime import Runtime


class Here:
    """Judges in a thread of this process."""

    ahead = 1

    def __init__(self, runtime: "Runtime") -> None:
        self.judges = Judge(runtime.directory.entries, runtime.settings.keys_dir)

    async def judge(self, task: Task, rows: list[Row]) -> list[Judged]:
        """Every row of the batch, in order."""
        return await asyncio.to_thread(self.judges.judge, task, rows)


class Beside:
    """Judges in processes that know the directory as it was when they were started."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        settings: Any = runtime.settings
        self._processes: int = settings.import_processes
        self.ahead = self._processes + 1
        self._pool: ProcessPoolExecutor | None = None
        self._revision = -1

    async def judge(self, task: Task, rows: list[Row]) -> list[Judged]:
        """Every row of the batch, in order."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._current(), judge, task, rows)
        except BrokenProcessPool:
            self.close()  # one of them was killed: the next batch is given to new ones
            raise

    def _current(self) -> ProcessPoolExecutor:
        directory = self._runtime.directory
        if self._pool is None or self._revision != directory.revision:
            self.close()
            self._revision = directory.revision
            self._pool = ProcessPoolExecutor(
                self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=start,
                initargs=(directory.entries, self._runtime.settings.keys_dir),
            )
        return self._pool

    def close(self) -> None:
        """End the processes once they have nothing more to do."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None
