"""A lease row: one process at a time does a service's single-handed work."""

import time
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    from services.runtime import Runtime

SECONDS: Final = 5.0


class Lease:
    """Held by whoever renewed it last; renewed only by the loop that does the work.

    A separate timer would keep a stuck loop in office for ever; this way the lease ends when the
    work does. A former holder that wakes up late must do no harm: see the relay and the sequencer.
    """

    def __init__(self, runtime: "Runtime", name: str) -> None:
        self._pool = runtime.pool
        self._holder = runtime.instance
        self._renew_at = 0.0
        self.name = name
        self.held = False
        self.taken_over = False

    async def renew(self) -> bool:
        """Take or keep the lease; ``taken_over`` is true right after a change of holder."""
        self.taken_over = False
        if self.held and time.monotonic() < self._renew_at:
            return True
        started = time.monotonic()
        row = await self._pool.fetchrow(
            """INSERT INTO lease AS l (name, holder, expires_at, progress)
               VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second', 1)
               ON CONFLICT (name) DO UPDATE SET holder = excluded.holder,
                 expires_at = excluded.expires_at, progress = l.progress + 1
               WHERE l.holder = excluded.holder OR l.expires_at < clock_timestamp()
               RETURNING progress""",
            self.name,
            self._holder,
            SECONDS,
        )
        self.taken_over = row is not None and not self.held
        self.held = row is not None
        self._renew_at = started + SECONDS / 4
        return self.held

    async def fence(self, db: asyncpg.Connection) -> bool:
        """In an open transaction: lock the row and tell whether it is still ours."""
        holder = await db.fetchval("SELECT holder FROM lease WHERE name = $1 FOR UPDATE", self.name)
        self.held = holder == self._holder
        return self.held

    async def release(self) -> None:
        """Give the lease back so that the next process need not wait for its end."""
        if self.held:
            self.held = False
            await self._pool.execute(
                "DELETE FROM lease WHERE name = $1 AND holder = $2", self.name, self._holder
            )
