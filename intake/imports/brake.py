"""How an import gives way: to live transactions, to the relay, and to the site's own limit."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from intake.imports import repository

if TYPE_CHECKING:
    from services.runtime import Runtime

LONGEST_SECONDS: Final = 1.0
LOOK_AGAIN_SECONDS: Final = 0.5


class Brake:
    """After each batch: rests in proportion to the live requests that are at work right now."""

    def __init__(self, runtime: "Runtime") -> None:
        settings: Any = runtime.settings
        self._pool = runtime.pool
        self._per_second: int = settings.import_rows_per_second
        self._unpublished: int = settings.import_unpublished
        self._looked = 0.0

    async def after(self, rows: int, seconds: float) -> None:
        """Rest as long as the batch took for each live request's transaction, a second at most.

        While more events than the site's limit wait for the relay, wait for it.
        """
        requests = await repository.requests_at_work(self._pool)
        rest = min(LONGEST_SECONDS, seconds * requests)
        if self._per_second:
            rest = max(rest, rows / self._per_second - seconds)
        await asyncio.sleep(rest)
        if time.monotonic() - self._looked > LOOK_AGAIN_SECONDS:
            # Another process relays: no event of this one can tell that it has.
            while await repository.unpublished(self._pool, self._unpublished) >= self._unpublished:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_AGAIN_SECONDS)  # another process relays
            self._looked = time.monotonic()
