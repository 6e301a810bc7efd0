"""The four databases, read only: one snapshot each, streamed row by row."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import asyncpg

from services.verify.report import CannotLook

PREFETCH: Final = 1_000
CONNECT_SECONDS: Final = 10


class Databases:
    """One repeatable-read, read-only transaction per service."""

    def __init__(self, connections: Mapping[str, asyncpg.Connection]) -> None:
        self._connections = connections

    async def rows(self, service: str, sql: str, *values: Any) -> AsyncIterator[asyncpg.Record]:
        """Rows one after the other; no more than a thousand are in memory."""
        async for row in self._connections[service].cursor(sql, *values, prefetch=PREFETCH):
            yield row

    async def all(self, service: str, sql: str, *values: Any) -> list[asyncpg.Record]:
        """A short answer, whole."""
        found: list[asyncpg.Record] = await self._connections[service].fetch(sql, *values)
        return found

    async def one(self, service: str, sql: str, *values: Any) -> Any:
        """A single value."""
        return await self._connections[service].fetchval(sql, *values)

    async def dump(self, service: str, table: str, output: Any) -> None:
        """A table as text, its bytes in hexadecimal, chunk by chunk into ``output``."""
        await self._connections[service].copy_from_query(
            f'SELECT * FROM "{table}"', output=output, format="text"
        )

    async def sees_everything(self, service: str) -> bool:
        """Whether row-level security hides nothing from this role."""
        return bool(
            await self.one(
                service,
                "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user",
            )
        )


@contextlib.asynccontextmanager
async def opened(urls: Mapping[str, str]) -> AsyncIterator[Databases]:
    """Snapshots of all four, taken one right after the other. Raises ``CannotLook``."""
    connections: dict[str, asyncpg.Connection] = {}
    try:
        for name, url in urls.items():
            connections[name] = await asyncpg.connect(
                url,
                timeout=CONNECT_SECONDS,
                command_timeout=600,
                server_settings={
                    "application_name": "liandiao-verify",
                    "default_transaction_read_only": "on",
                    "idle_in_transaction_session_timeout": "0",
                },
            )
        for connection in connections.values():
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # The first statement takes the snapshot, and opens the gate of row-level security.
            await connection.execute("SELECT set_config('liandiao.organisation', '*', true)")
        yield Databases(connections)
    except (
        OSError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    ) as error:
        raise CannotLook(f"a database cannot be read: {error}") from error
    finally:
        for connection in connections.values():
            with contextlib.suppress(Exception):
                await connection.close(timeout=5)


async def side_by_side(
    streams: Mapping[str, AsyncIterator[Any]], key: str
) -> AsyncIterator[tuple[str, dict[str, list[Any]]]]:
    """Streams that are sorted by the same member, joined: each value with the rows of each stream.

    Raises ``CannotLook`` when a stream is not in order: then nothing that follows would be true.
    """
    heads: dict[str, Any] = {}
    for name, stream in streams.items():
        heads[name] = await anext(stream, None)
    before = ""
    while any(row is not None for row in heads.values()):
        value = min(str(row[key]) for row in heads.values() if row is not None)
        if value < before:
            raise CannotLook(f"rows are not sorted by {key}: {value} after {before}")
        before = value
        group: dict[str, list[Any]] = {}
        for name, stream in streams.items():
            found = group[name] = []
            while heads[name] is not None and str(heads[name][key]) == value:
                found.append(heads[name])
                heads[name] = await anext(stream, None)
        yield value, group
