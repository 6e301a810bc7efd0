"""What the databases of the installation say: cases, how far each service has come, sizes."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from bench.installation import Installation
from services.service import NAMES


async def newest_case(url: str) -> UUID:
    """The case of the newest referral."""
    db = await asyncpg.connect(url)
    try:
        found: UUID = await db.fetchval(
            "SELECT case_id FROM referral ORDER BY recorded_at DESC LIMIT 1"
        )
        return found
    finally:
        await db.close()


async def offered_case(url: str) -> UUID:
    """A case that waits in the queue: the pattern of those that are loaded."""
    db = await asyncpg.connect(url)
    try:
        found: UUID | None = await db.fetchval(
            "SELECT case_id FROM assignment WHERE state = 'offered' ORDER BY offered_at LIMIT 1"
        )
    finally:
        await db.close()
    if found is None:
        raise LookupError("no case was offered yet: run another part first")
    return found


async def ends(installation: Installation) -> dict[int, int]:
    """Partition of ``cases`` -> the offset after the last record that any outbox knows there."""
    found: dict[int, int] = {}
    for name in NAMES:
        db = await asyncpg.connect(installation.database(f"liandiao_{name}"))
        try:
            for row in await db.fetch(
                """SELECT partition, max("offset") + 1 AS until FROM outbox
                   WHERE topic = 'cases' AND partition IS NOT NULL GROUP BY partition"""
            ):
                found[row["partition"]] = max(found.get(row["partition"], 0), row["until"])
        finally:
            await db.close()
    return found


async def level(installation: Installation, names: Sequence[str]) -> bool:
    """Whether these services have sent all they had to say and heard all that was sent."""
    for name in names:
        if await count(
            installation.database(f"liandiao_{name}"),
            "SELECT count(*) FROM outbox WHERE published_at IS NULL",
        ):
            return False
    until = await ends(installation)
    return not any([await behind(installation, until, name) for name in names])


async def behind(
    installation: Installation, until: dict[int, int], service: str = "notification"
) -> int:
    """Records before ``until`` that a service has not handled."""
    db = await asyncpg.connect(installation.database(f"liandiao_{service}"))
    try:
        rows = await db.fetch("SELECT partition, next_offset FROM position WHERE topic = 'cases'")
    finally:
        await db.close()
    positions = {row["partition"]: row["next_offset"] for row in rows}
    return sum(max(0, end - positions.get(partition, 0)) for partition, end in until.items())


async def count(url: str, sql: str, *values: object) -> int:
    """One number."""
    db = await asyncpg.connect(url)
    try:
        return int(await db.fetchval(sql, *values))
    finally:
        await db.close()


async def sizes(installation: Installation) -> dict[str, int]:
    """Bytes of all tables of each service, with indexes and TOAST."""
    sql = """SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
             WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""
    return {name: await count(installation.database(f"liandiao_{name}"), sql) for name in NAMES}


async def connections(installation: Installation) -> int:
    """Connections of clients to PostgreSQL."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    return await count(installation.database("postgres"), sql)
