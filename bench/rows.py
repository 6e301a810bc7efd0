"""pgbench with the very rows that one POST of a referral writes.

The rows of one real transaction are read back and turned into INSERTs, one statement per table;
every id in them is drawn anew for each transaction, the same in all tables, so foreign keys hold.
"""

import asyncio
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from bench.installation import wheel_binaries

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# The three rows that every change of a case writes: its stream's head, the event, the audit.
THREE = ("case_stream", "outbox", "audit_entry")
LATER = {"published_at", "partition", "offset", "chain_number", "chain_hash", "held_reason"}


@dataclass(frozen=True)
class Script:
    """A pgbench script and what it writes."""

    text: str
    rows: int
    tables: tuple[str, ...]


async def script(url: str, case_id: UUID, only: tuple[str, ...] = ()) -> Script:
    """The INSERTs of the transaction that registered a case; ``only`` one row of some tables."""
    db = await asyncpg.connect(url)
    try:
        recorded_at = await db.fetchval(
            "SELECT recorded_at FROM referral WHERE case_id = $1", case_id
        )
        tables = await _in_order(db)
        found = {t: await _rows(db, t, case_id, recorded_at) for t in tables}
        fresh = await _fresh_texts(db, case_id)
    finally:
        await db.close()
    statements, rows, used = [], 0, []
    for table, (columns, lines) in found.items():
        if not lines or (only and table not in only):
            continue
        lines = lines[:1] if only else lines
        values = ", ".join(
            "(" + ", ".join(_literal(v, kind, fresh) for v, kind in line) + ")" for line in lines
        )
        names = ", ".join(f'"{c}"' for c in columns)
        statements.append(f'INSERT INTO "{table}" ({names}) VALUES {values};')
        rows += len(lines)
        used.append(table)
    text = "\n".join(
        ("\\set r random(1, 9000000000000000000)", "BEGIN;", *statements, "COMMIT;", "")
    )
    return Script(text, rows, tuple(used))


async def _in_order(db: asyncpg.Connection) -> list[str]:
    """Tables, each after those its foreign keys point to."""
    names = [
        row[0]
        for row in await db.fetch(
            """SELECT relname FROM pg_class
               WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""
        )
    ]
    needs: dict[str, set[str]] = {name: set() for name in names}
    for row in await db.fetch(
        """SELECT c.relname AS child, p.relname AS parent FROM pg_constraint k
           JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid
           WHERE k.contype = 'f' AND c.oid <> p.oid"""
    ):
        needs[row["child"]].add(row["parent"])
    order: list[str] = []
    while len(order) < len(names):
        order += sorted(n for n in names if n not in order and needs[n] <= set(order))
    return order


async def _rows(
    db: asyncpg.Connection, table: str, case_id: UUID, recorded_at: datetime
) -> tuple[list[str], list[list[tuple[str | None, str]]]]:
    described = await db.fetch(
        """SELECT attname AS name, format_type(atttypid, atttypmod) AS kind,
             attidentity <> '' AS identity
           FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
           ORDER BY attnum""",
        table,
    )
    kinds = {r["name"]: r["kind"] for r in described}
    stamp = next((n for n in ("recorded_at", "created_at") if n in kinds), None)
    if stamp is None:
        return [], []
    columns = [r["name"] for r in described if not r["identity"] and r["name"] not in LATER]
    selected = ", ".join(f'"{c}"::text' for c in columns)
    where, values = f'"{stamp}" = $1', [recorded_at]
    if "case_id" in kinds:
        where, values = f"{where} AND case_id = $2", [recorded_at, case_id]
    lines: list[Any] = await db.fetch(f'SELECT {selected} FROM "{table}" WHERE {where}', *values)
    return columns, [
        [(value, kinds[name]) for name, value in zip(columns, tuple(line), strict=True)]
        for line in lines
    ]


async def _fresh_texts(db: asyncpg.Connection, case_id: UUID) -> set[str]:
    """Texts that are unique and must be drawn anew."""
    row = await db.fetchrow(
        """SELECT c.case_number, r.normal_reference, r.reference FROM case_file c
           JOIN referral r ON r.case_id = c.case_id WHERE c.case_id = $1 LIMIT 1""",
        case_id,
    )
    keys = await db.fetch("SELECT key FROM idempotency")
    return {*(v for v in row if v), *(k[0] for k in keys)}


def _literal(value: str | None, kind: str, fresh: set[str]) -> str:
    if value is None:
        return "NULL"
    if _UUID.fullmatch(value):
        drawn = f"md5(:r::text || '{value[:36]}')::uuid"
        return drawn if kind == "uuid" else f"{drawn}::text"
    if value in fresh:
        return f"md5(:r::text || '{abs(hash(value))}')"
    # No colon may stand in a literal: pgbench would take it for a variable.
    safe = value.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3a")
    return f"E'{safe}'::{kind}"


def pgbench(url: str, file: Path, *, seconds: int, clients: int = 16) -> float:
    """Transactions per second of a script."""
    folder = wheel_binaries()
    done = subprocess.run(
        [
            str(folder / "bin" / "pgbench"),
            *("-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds)),
            *("-f", str(file), url),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(folder / "lib")},
    )
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise SystemExit(f"pgbench failed: {done.stderr.strip()[-400:]}")
    return float(found[1])


async def _empty(url: str) -> None:
    db = await asyncpg.connect(url)
    try:
        names = await db.fetch(
            """SELECT relname FROM pg_class WHERE relkind = 'r'
               AND relnamespace = 'public'::regnamespace
               AND relname NOT IN ('directory_entry', 'case_serial')
               AND relname NOT LIKE 'alembic%'"""
        )
        await db.execute("TRUNCATE " + ", ".join(f'"{n[0]}"' for n in names) + " CASCADE")
        await db.execute("VACUUM ANALYZE")
    finally:
        await db.close()


def empty(url: str) -> None:
    """Empty every table but the directory's copy, so that each round starts alike."""
    asyncio.run(_empty(url))
