"""All SQL of the doors."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from intake.vault import Sealed
from services.unit_of_work import UnitOfWork

Row = Any


async def add_entry(uow: UnitOfWork, **columns: Any) -> None:
    """How a referral came through the door."""
    names = [*columns, "acted_by", "recorded_at"]
    places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    await uow.db.execute(
        f"INSERT INTO counter_entry ({', '.join(names)}) VALUES ({places})",
        *columns.values(),
        uow.actor.acted_by,
        uow.now,
    )


async def own_entry(uow: UnitOfWork, organisation: str, referral_id: UUID) -> Row | None:
    """The entry of a referral, for the desk that made it."""
    return await uow.db.fetchrow(
        "SELECT * FROM counter_entry WHERE referral_id = $1 AND organisation = $2",
        referral_id,
        organisation,
    )


async def counts(
    uow: UnitOfWork, organisation: str, since: datetime, until: datetime
) -> dict[str, int]:
    """Entries of a time, how many were late, how many were overdue already."""
    row = await uow.db.fetchrow(
        """SELECT count(*) AS entries, count(*) FILTER (WHERE late) AS late,
             count(*) FILTER (WHERE overdue) AS overdue
           FROM counter_entry WHERE organisation = $1 AND recorded_at >= $2 AND recorded_at < $3""",
        organisation,
        since,
        until,
    )
    return dict(row or {})


async def add_supplement(uow: UnitOfWork, **columns: Any) -> None:
    """Attach something to a case."""
    names = [*columns, "acted_by", "recorded_at"]
    places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    await uow.db.execute(
        f"INSERT INTO supplement ({', '.join(names)}) VALUES ({places})",
        *columns.values(),
        uow.actor.acted_by,
        uow.now,
    )


async def supplements(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """What was added to a case, oldest first; the caller has passed the gate."""
    rows: list[Row] = await uow.db.fetch(
        "SELECT * FROM supplement WHERE case_id = $1 ORDER BY supplement_id", case_id
    )
    return rows


async def add_mandate(uow: UnitOfWork, **columns: Any) -> None:
    """Somebody files for a party from now on."""
    names = [*columns, "recorded_at"]
    places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    await uow.db.execute(
        f"INSERT INTO mandate ({', '.join(names)}) VALUES ({places})",
        *columns.values(),
        uow.now,
    )


async def mandate(uow: UnitOfWork, mandate_id: UUID, *, held: bool = False) -> Row | None:
    """A mandate; the gate is its case's. ``held``: nobody revokes it until the transaction ends."""
    return await uow.db.fetchrow(
        "SELECT * FROM mandate WHERE mandate_id = $1" + (" FOR SHARE" if held else ""), mandate_id
    )


async def mandates_of(uow: UnitOfWork, case_id: UUID, party_id: UUID) -> list[Row]:
    """Who may file for this party, oldest first."""
    rows: list[Row] = await uow.db.fetch(
        "SELECT * FROM mandate WHERE case_id = $1 AND party_id = $2 ORDER BY mandate_id",
        case_id,
        party_id,
    )
    return rows


async def mark_entry(uow: UnitOfWork, referral_id: UUID, mandate_id: UUID) -> None:
    """A quick form was filled in under this mandate."""
    await uow.db.execute(
        "UPDATE counter_entry SET mandate_id = $2 WHERE referral_id = $1", referral_id, mandate_id
    )


async def revoke(uow: UnitOfWork, mandate_id: UUID, *, at: datetime, told_by: str) -> Row:
    """End a mandate; the first time stands."""
    return await uow.db.fetchrow(
        """UPDATE mandate SET revoked_at = coalesce(revoked_at, $2),
             revoked_told_by = coalesce(revoked_told_by, $3)
           WHERE mandate_id = $1 RETURNING *""",
        mandate_id,
        at,
        told_by,
    )


_TEXTS: Final = {
    "supplement": ("supplement_id", "text"),
    "counter_entry": ("referral_id", "reason"),
}


async def texts(uow: UnitOfWork, table: str, case_id: UUID) -> list[Row]:
    """The sealed texts of a case that stand: supplements, or why entries came late."""
    id_, member = _TEXTS[table]
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT {id_} AS id, kek_id, wrapped_key, {member} AS sealed FROM {table}
            WHERE case_id = $1 AND {member} IS NOT NULL AND wrapped_key <> '' FOR UPDATE""",
        case_id,
    )
    return rows


async def replace_text(uow: UnitOfWork, table: str, row_id: UUID, key: Sealed, text: bytes) -> None:
    """The same text without some names, under another key."""
    id_, member = _TEXTS[table]
    await uow.db.execute(
        f"UPDATE {table} SET {member} = $2, kek_id = $3, wrapped_key = $4 WHERE {id_} = $1",
        row_id,
        text,
        key.kek_id,
        key.wrapped_key,
    )


async def shred(uow: UnitOfWork, case_id: UUID, party_ids: list[UUID] | None) -> list[bytes]:
    """Empty mandates and what was added under them; all of the case without ``party_ids``.

    Answers the wrapped keys that are to be destroyed.
    """
    rows = await uow.db.fetch(
        """WITH m AS (SELECT mandate_id, wrapped_key FROM mandate WHERE case_id = $1
             AND agent <> '' AND ($2::uuid[] IS NULL OR party_id = ANY($2))),
           s AS (SELECT supplement_id, wrapped_key FROM supplement WHERE case_id = $1
             AND text IS NOT NULL
             AND ($2::uuid[] IS NULL OR mandate_id IN (SELECT mandate_id FROM m))),
           e AS (SELECT referral_id, wrapped_key FROM counter_entry WHERE case_id = $1
             AND reason <> '' AND $2::uuid[] IS NULL),
           _m AS (UPDATE mandate SET agent = '', wrapped_key = ''
             WHERE mandate_id IN (SELECT mandate_id FROM m)),
           _s AS (UPDATE supplement SET text = NULL, wrapped_key = ''
             WHERE supplement_id IN (SELECT supplement_id FROM s)),
           _e AS (UPDATE counter_entry SET reason = '', wrapped_key = ''
             WHERE referral_id IN (SELECT referral_id FROM e))
           SELECT wrapped_key FROM m UNION ALL SELECT wrapped_key FROM s
           UNION ALL SELECT wrapped_key FROM e""",
        case_id,
        party_ids,
    )
    return [bytes(row["wrapped_key"]) for row in rows]
