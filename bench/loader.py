"""Cases by the hundred thousand, straight into the tables: what reads are measured on.

A real case, brought to its offer through the services, is the pattern: its rows are multiplied by
PostgreSQL itself, every id in them drawn anew and the same in all tables, so that each copy hangs
together. Only for measuring: triggers and foreign keys sleep meanwhile, and no event tells of it.
"""

import re
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

CHUNK: Final = 20_000
FEED_FROM: Final = 1_000_000_001
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Per database: what reads go over. The rest (outbox, audit, messages) no reader's page touches.
TABLES: Final = {
    "liandiao_intake": (
        "case_stream",
        "case_file",
        "referral",
        "party",
        "party_vault",
        "participation",
        "holding",
        "assignment",
        "deadline",
        "timeline_entry",
    ),
    "liandiao_mediation": ("case_stream", "case_copy", "assignment", "participation"),
    "liandiao_notification": ("case_stream", "case_copy", "feed_entry"),
}
# Texts that are unique, and numbers that count on.
_OWN_TEXT: Final = {"case_number", "reference", "normal_reference"}


@dataclass(frozen=True)
class Pattern:
    """The rows of one case in one table, as SELECTs over ``n``."""

    table: str
    columns: tuple[str, ...]
    selects: tuple[str, ...]


class Loader:
    """Multiplies one case in one database."""

    def __init__(self, db: asyncpg.Connection, database: str, case_id: UUID) -> None:
        self._db = db
        self._case_id = case_id
        self._tables = TABLES[database]
        self._patterns: list[Pattern] = []
        self.loaded = 0

    async def prepare(self) -> None:
        """Read the pattern. Raises ``LookupError`` when a table has no row of the case."""
        for table in self._tables:
            self._patterns.append(await self._pattern(table))

    async def load(self, until: int) -> None:
        """Go on up to ``until`` copies, then let PostgreSQL look at what it has."""
        while self.loaded < until:
            first, last = self.loaded + 1, min(until, self.loaded + CHUNK)
            async with self._db.transaction():
                await self._db.execute("SET LOCAL session_replication_role = replica")
                for pattern in self._patterns:
                    names = ", ".join(f'"{name}"' for name in pattern.columns)
                    for select in pattern.selects:
                        await self._db.execute(
                            f'INSERT INTO "{pattern.table}" ({names}) SELECT {select} '
                            f"FROM generate_series({first}, {last}) AS n"
                        )
            self.loaded = last
        for table in self._tables:
            await self._db.execute(f'VACUUM (ANALYZE) "{table}"')

    async def _pattern(self, table: str) -> Pattern:
        described = await self._db.fetch(
            """SELECT attname AS name, format_type(atttypid, atttypmod) AS kind
               FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0
                 AND NOT attisdropped AND attidentity = '' ORDER BY attnum""",
            table,
        )
        columns = tuple(row["name"] for row in described)
        kinds = {row["name"]: row["kind"] for row in described}
        rows = await self._db.fetch(
            f'SELECT {", ".join(f""""{c}"::text""" for c in columns)} FROM "{table}" '
            "WHERE case_id = $1",
            self._case_id,
        )
        if not rows:
            raise LookupError(f"the pattern case has no row in {table}")
        selects = []
        for row in rows:
            # A feed is a connection's: its copies' numbers follow one another without a gap.
            feed = [
                r for r in rows if table == "feed_entry" and r["connection"] == row["connection"]
            ]
            number = (
                f"{FEED_FROM} + (n - 1)::bigint * {len(feed)} + {feed.index(row)}" if feed else ""
            )
            selects.append(
                ", ".join(
                    number
                    if number and name == "feed_sequence"
                    else self._expression(table, name, kinds[name], value)
                    for name, value in zip(columns, tuple(row), strict=True)
                )
            )
        return Pattern(table, columns, tuple(selects))

    def _expression(self, table: str, name: str, kind: str, value: str | None) -> str:
        if value is None:
            return "NULL"
        if name in _OWN_TEXT and table in ("case_stream", "case_file", "referral", "case_copy"):
            return f"{_quoted(value)} || '-' || n"
        if kind.startswith("timestamp"):
            return f"{_quoted(value)}::{kind} - n * interval '1 second'"
        if kind == "uuid":
            return _drawn(value)
        if _UUID.search(value):
            # Ids inside JSON and texts: drawn in the same way.
            parts = _UUID.split(value)
            ids = _UUID.findall(value)
            pieces = [_quoted(parts[0])]
            for id_, after in zip(ids, parts[1:], strict=True):
                pieces += [f"{_drawn(id_)}::text", _quoted(after)]
            return f"({' || '.join(pieces)})::{kind}"
        return f"{_quoted(value)}::{kind}"


def _drawn(value: str) -> str:
    """A new id for each ``n``, young cases last as with UUIDv7, the same wherever it stands."""
    return (
        f"(lpad(to_hex(n), 8, '0') || '-0000-7000-8000-' || "
        f"substr(md5(n::text || '{value}'), 1, 12))::uuid"
    )


def _quoted(value: str) -> str:
    safe = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{safe}'"


async def bytes_per_case(db: asyncpg.Connection, tables: tuple[str, ...], cases: int) -> float:
    """Table, index and TOAST bytes of these tables, over the cases in them."""
    total: int = await db.fetchval(
        "SELECT sum(pg_total_relation_size(quote_ident(t)::regclass))::bigint "
        "FROM unnest($1::text[]) AS t",
        list(tables),
    )
    return total / max(1, cases)


async def open_loaders(urls: dict[str, str], case_id: UUID) -> list[tuple[Any, Loader]]:
    """A connection and a loader per database of ``TABLES``."""
    opened = []
    for database in TABLES:
        db = await asyncpg.connect(urls[database], command_timeout=3600)
        loader = Loader(db, database, case_id)
        await loader.prepare()
        opened.append((db, loader))
    return opened
