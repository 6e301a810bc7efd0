"""Case serials, taken in blocks per process, so that no case waits for another's number."""

import asyncio
from typing import TYPE_CHECKING

import asyncpg

from intake import repository
from intake.case_number import CASE, case_number

if TYPE_CHECKING:
    from services.runtime import Runtime

_STATE = "intake.serials"


class SerialBlocks:
    """The serials this process still has, per county and year.

    A block comes over a connection of its own: waiting for one of the pool while holding another
    could lock all of them up.
    """

    def __init__(self, url: str, block: int) -> None:
        self._url = url
        self._block = block
        self._left: dict[tuple[str, int], list[int]] = {}
        self._lock = asyncio.Lock()
        self._db: asyncpg.Connection | None = None

    async def number(self, county: str, year: int, prefix: str = CASE) -> str:
        """The next number of the county and year; all kinds of numbers share one row of serials."""
        left = self._left.setdefault((county, year), [])
        if not left:
            async with self._lock:
                if not left:
                    first = await self._take(county, year)
                    left.extend(range(first + self._block - 1, first - 1, -1))
        return case_number(year, county, left.pop(), prefix)

    async def close(self) -> None:
        """Give the connection back; what is left of the blocks is a gap."""
        if self._db is not None:
            await self._db.close()

    async def _take(self, county: str, year: int) -> int:
        if self._db is None or self._db.is_closed():
            self._db = await asyncpg.connect(self._url, command_timeout=10)
        return await repository.take_serials(self._db, county, year, self._block)


def serials_of(runtime: "Runtime") -> SerialBlocks:
    """The process's blocks."""
    if _STATE not in runtime.state:
        runtime.state[_STATE] = SerialBlocks(
            runtime.settings.database_url.get_secret_value(),
            getattr(runtime.settings, "serial_block", 20),
        )
    found: SerialBlocks = runtime.state[_STATE]
    return found
