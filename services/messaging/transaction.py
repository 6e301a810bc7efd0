"""One transaction as the service itself, for everything that is not a request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, cast

import asyncpg

from services.unit_of_work import begin

if TYPE_CHECKING:
    from services.runtime import Runtime


@asynccontextmanager
async def transaction(runtime: "Runtime") -> AsyncIterator[tuple[asyncpg.Connection, datetime]]:
    """A connection in an open transaction, row-level security opened for the service, and now.

    Commits when the body ends, rolls back when it raises.
    """
    async with runtime.pool.acquire() as proxy:
        db = cast(asyncpg.Connection, proxy)
        async with db.transaction():
            yield db, await begin(db, "*", runtime.clock.offset)
