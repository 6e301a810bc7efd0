"""All SQL about who acts for whom."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from services.unit_of_work import UnitOfWork

Row = asyncpg.Record

_COLUMNS: Final = (
    "representation_id", "case_id", "party_id", "representative_party_id", "authority", "relation",
    "scopes", "paper_sha256", "told_by", "organisation", "acted_by", "valid_from", "valid_until",
    "kek_id", "wrapped_key", "person", "occurred_at", "recorded_at",
)  # fmt: skip
_ADD: Final = (
    f"INSERT INTO representation ({', '.join(_COLUMNS)}) VALUES "
    f"({', '.join(f'${n}' for n in range(1, len(_COLUMNS) + 1))})"
)


async def add(uow: UnitOfWork, rows: list[dict[str, Any]]) -> None:
    """Representations, entered now by who acts."""
    entered = {"acted_by": uow.actor.acted_by, "recorded_at": uow.now}
    await uow.db.executemany(
        _ADD, [[{**row, **entered}[name] for name in _COLUMNS] for row in rows]
    )


async def one(uow: UnitOfWork, representation_id: UUID) -> Row | None:
    """A representation by its id, as row-level security lets it be seen."""
    return await uow.db.fetchrow(
        """SELECT r.*, p.kind, p.ref FROM representation r JOIN party p USING (party_id)
           WHERE representation_id = $1""",
        representation_id,
    )


async def of_case(uow: UnitOfWork, case_id: UUID, party_id: UUID | None = None) -> list[Row]:
    """Everybody who acts or acted in the case, in the order in which they were named."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT r.*, p.kind, p.ref FROM representation r JOIN party p USING (party_id)
           WHERE r.case_id = $1 AND ($2::uuid IS NULL OR r.party_id = $2)
           ORDER BY r.recorded_at, r.representation_id""",
        case_id,
        party_id,
    )
    return rows


async def acting(uow: UnitOfWork, party_ids: list[UUID]) -> list[Row]:
    """Who acts for these parties now, the last that was named first."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT r.*, p.kind, p.ref FROM representation r JOIN party p USING (party_id)
           WHERE r.party_id = ANY($1::uuid[]) AND r.valid_from <= $2
             AND (r.valid_until IS NULL OR r.valid_until > $2)
             AND (r.revoked_at IS NULL OR r.revoked_at > $2)
           ORDER BY r.recorded_at DESC, r.representation_id DESC""",
        party_ids,
        uow.now,
    )
    return rows


async def behind_receipt(uow: UnitOfWork, receipt_id: UUID) -> Row | None:
    """The authority in force that a representative's receipt rests on."""
    return await uow.db.fetchrow(
        """SELECT r.* FROM representative_receipt s JOIN representation r USING (representation_id)
           WHERE s.receipt_id = $1 AND r.valid_from <= $2
             AND (r.valid_until IS NULL OR r.valid_until > $2) AND r.revoked_at IS NULL""",
        receipt_id,
        uow.now,
    )


async def revoke(
    uow: UnitOfWork,
    representation_ids: list[UUID],
    revoked_at: datetime,
    revoked_by: str,
    mandate_id: UUID | None = None,
) -> None:
    """They act no more, and their receipts open nothing; what was revoked before stays as it is."""
    await uow.db.execute(
        """WITH secrets AS (
             UPDATE representative_receipt SET revoked_at = $4, revoked_by = $3
             WHERE representation_id = ANY($1::uuid[]) AND revoked_at IS NULL)
           UPDATE representation SET revoked_at = $2, revoked_by = $3, revoked_recorded_at = $4,
             revoked_mandate_id = $5
           WHERE representation_id = ANY($1::uuid[]) AND revoked_at IS NULL""",
        representation_ids,
        revoked_at,
        revoked_by,
        uow.now,
        mandate_id,
    )


async def split(
    uow: UnitOfWork, party_id: UUID, case_id: UUID, own_case_id: UUID, mandate_id: UUID | None
) -> None:
    """The party goes on in a case of its own."""
    await uow.db.execute(
        """INSERT INTO split_case (party_id, case_id, own_case_id, recorded_at, mandate_id)
           VALUES ($1, $2, $3, $4, $5)""",
        party_id,
        case_id,
        own_case_id,
        uow.now,
        mandate_id,
    )


async def objected_under(uow: UnitOfWork, party_id: UUID) -> UUID | None:
    """The mandate under which the party said last that it will not be spoken for."""
    found: UUID | None = await uow.db.fetchval(
        """SELECT coalesce(
             (SELECT mandate_id FROM split_case WHERE party_id = $1),
             (SELECT revoked_mandate_id FROM representation
              WHERE party_id = $1 AND representative_party_id IS NOT NULL AND revoked_by = 'party'
              ORDER BY revoked_recorded_at DESC, representation_id DESC LIMIT 1))""",
        party_id,
    )
    return found


async def own_case_of(uow: UnitOfWork, party_id: UUID) -> UUID | None:
    """The case in which the party went on alone."""
    found: UUID | None = await uow.db.fetchval(
        "SELECT own_case_id FROM split_case WHERE party_id = $1", party_id
    )
    return found
