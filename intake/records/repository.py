"""All SQL of records that never became a case: terms, holds, erasure."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.unit_of_work import UnitOfWork

Row = dict[str, Any]


async def insert(uow: UnitOfWork, table: str, row: Row) -> None:
    """A row of one of this room's tables."""
    names = ", ".join(f'"{name}"' for name in row)
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await uow.db.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *row.values())


async def one(uow: UnitOfWork, table: str, id_: UUID) -> Row | None:
    """A row by its id."""
    row = await uow.db.fetchrow(f"SELECT * FROM {table} WHERE {_KEYS[table]} = $1", id_)
    return None if row is None else dict(row)


_KEYS: Final = {
    "record_erasure": "record_erasure_id",
    "record_hold": "record_hold_id",
    "record_retention": "record_id",
}


# -- the records themselves ----------------------------------------------------------------------


async def refusal(uow: UnitOfWork, record_id: UUID, *, lock: bool) -> Any:
    """A refusal; whether its number was taken as a case later."""
    return await uow.db.fetchrow(
        f"""SELECT f.*, EXISTS (SELECT 1 FROM referral r WHERE r.organisation = f.organisation
              AND r.normal_reference = f.normal_reference) AS of_a_case
            FROM refusal f WHERE refusal_id = $1 {"FOR UPDATE OF f" if lock else ""}""",
        record_id,
    )


async def matter(uow: UnitOfWork, record_id: UUID, *, lock: bool) -> Any:
    """A matter; whether it has become a dispute."""
    return await uow.db.fetchrow(
        f"""SELECT m.*, case_id IS NOT NULL AS of_a_case FROM matter m WHERE matter_id = $1
            {"FOR UPDATE OF m" if lock else ""}""",
        record_id,
    )


async def empty_refusal(uow: UnitOfWork, record_id: UUID, print_: bytes) -> None:
    """What was sent and why it was reviewed go; ground, citation, number and days stay.

    ``print_`` stands where the hash of the content stood: unlike that of anything sent.
    """
    await uow.db.execute(
        """WITH reasons AS (UPDATE refusal_review SET reason = '' WHERE refusal_id = $1)
           UPDATE refusal SET document = '', wrapped_key = '', fingerprint = $2
           WHERE refusal_id = $1""",
        record_id,
        print_,
    )


async def empty_matter(uow: UnitOfWork, record_id: UUID, print_: bytes) -> None:
    """Who, about whom, what, and the answers go; kind, number, days and steps stay. One that waits
    for its answer waits no more."""
    await uow.db.execute(
        """WITH texts AS (UPDATE matter_step SET text = NULL WHERE matter_id = $1)
           UPDATE matter SET content = '', wrapped_key = '', fingerprint = $2,
             state = CASE WHEN state = 'open' THEN 'erased' ELSE state END, version = version + 1
           WHERE matter_id = $1""",
        record_id,
        print_,
    )


# -- terms and holds -----------------------------------------------------------------------------


async def begin(
    uow: UnitOfWork, record_id: UUID, subject: str, class_: str, keep_until: datetime | None
) -> None:
    """The record is kept until then; a repeat changes nothing: the first answer counts."""
    await uow.db.execute(
        """INSERT INTO record_retention (record_id, subject, class, keep_until, recorded_at)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT (record_id) DO NOTHING""",
        record_id,
        subject,
        class_,
        keep_until,
        uow.now,
    )


async def due(uow: UnitOfWork, limit: int) -> list[Row]:
    """Records whose time has come, that are no case's and nobody has proposed to erase: marked as
    proposed."""
    rows = await uow.db.fetch(
        """UPDATE record_retention SET proposed = true WHERE record_id IN (
             SELECT r.record_id FROM record_retention r
               LEFT JOIN refusal f ON f.refusal_id = r.record_id
               LEFT JOIN matter m ON m.matter_id = r.record_id
             WHERE NOT r.proposed AND r.keep_until <= $1
               AND coalesce(f.wrapped_key, m.wrapped_key) <> '' AND m.case_id IS NULL
               AND NOT EXISTS (SELECT 1 FROM record_hold h
                               WHERE h.record_id = r.record_id AND h.lifted_at IS NULL)
               AND NOT EXISTS (SELECT 1 FROM referral c WHERE c.organisation = f.organisation
                               AND c.normal_reference = f.normal_reference)
             ORDER BY r.keep_until LIMIT $2 FOR UPDATE OF r SKIP LOCKED)
           RETURNING record_id, subject""",
        uow.now,
        limit,
    )
    return [dict(row) for row in rows]


async def held(uow: UnitOfWork, record_id: UUID) -> bool:
    """Whether a legal hold stands."""
    return bool(
        await uow.db.fetchval(
            "SELECT EXISTS (SELECT 1 FROM record_hold WHERE record_id = $1 AND lifted_at IS NULL)",
            record_id,
        )
    )


async def lift_hold(uow: UnitOfWork, hold_id: UUID) -> None:
    """The hold is over; the first lifting stands."""
    await uow.db.execute(
        """UPDATE record_hold SET lifted_at = $2, lifted_by = $3
           WHERE record_hold_id = $1 AND lifted_at IS NULL""",
        hold_id,
        uow.now,
        uow.actor.acted_by,
    )


# -- erasure -------------------------------------------------------------------------------------


async def decide(
    uow: UnitOfWork, erasure_id: UUID, state: str, refusal: str | None, stays: list[str]
) -> None:
    """A second person has decided; ``stays``: what the certificate says is kept."""
    await uow.db.execute(
        """UPDATE record_erasure SET state = $2, refusal = $3, stays = $4, decided_by = $5,
             decided_acted_by = $6, decided_at = $7 WHERE record_erasure_id = $1""",
        erasure_id,
        state,
        refusal,
        stays,
        uow.caller.organisation if uow.caller else None,
        uow.actor.acted_by,
        uow.now,
    )


async def of_record(uow: UnitOfWork, record_id: UUID) -> list[Row]:
    """The erasures of a record, in order."""
    rows = await uow.db.fetch(
        """SELECT * FROM record_erasure WHERE record_id = $1
           ORDER BY recorded_at, record_erasure_id""",
        record_id,
    )
    return [dict(row) for row in rows]


# Whose a record is: the sender of a refused referral; of a matter the desk that took it and who
# must answer it, never the line it is about.
_OWN: Final = """
(f.organisation = $1 OR ((m.about_agency IS NULL OR m.about_agency <> $2)
                         AND (m.organisation = $1 OR m.holder = $1)))
"""


async def listed(
    uow: UnitOfWork,
    organisation: str,
    agency: str,
    *,
    state: str | None,
    record_id: UUID | None,
    before: UUID | None,
    limit: int,
) -> list[Row]:
    """The erasures of an organisation's records, youngest first."""
    rows = await uow.db.fetch(
        f"""SELECT e.* FROM record_erasure e
              LEFT JOIN refusal f ON f.refusal_id = e.record_id
              LEFT JOIN matter m ON m.matter_id = e.record_id
            WHERE {_OWN} AND e.state = coalesce($3, e.state)
              AND e.record_id = coalesce($4, e.record_id)
              AND e.record_erasure_id < coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            ORDER BY e.record_erasure_id DESC LIMIT {int(limit)}""",
        organisation,
        agency,
        state,
        record_id,
        before,
    )
    return [dict(row) for row in rows]


async def is_own(uow: UnitOfWork, organisation: str, agency: str, record_id: UUID) -> bool:
    """Whether the record is this organisation's to keep and to erase."""
    return bool(
        await uow.db.fetchval(
            f"""SELECT true FROM (SELECT $3::uuid AS record_id) x
                  LEFT JOIN refusal f ON f.refusal_id = x.record_id
                  LEFT JOIN matter m ON m.matter_id = x.record_id
                WHERE {_OWN}""",
            organisation,
            agency,
            record_id,
        )
    )


async def forget_limitation(uow: UnitOfWork, limit: int) -> list[bytes]:
    """Remove limitation records whose time has ended; answers their wrapped data keys."""
    rows = await uow.db.fetch(
        """DELETE FROM record_limitation WHERE record_id IN (
             SELECT record_id FROM record_limitation WHERE keep_until <= $1
             ORDER BY keep_until LIMIT $2)
           RETURNING wrapped_key""",
        uow.now,
        limit,
    )
    return [bytes(row["wrapped_key"]) for row in rows]
