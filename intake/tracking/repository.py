"""All SQL of receipts in use: representatives, locks, whose secret fits."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from services.unit_of_work import UnitOfWork

Row = asyncpg.Record
Database = Any  # asyncpg's connection or the pool's proxy of one

# As many hashes are made for a number with one party, or with none, as for one with many.
LEAST_HASHES: Final = 64


async def secrets_of(db: Database, case_number: str, now: datetime) -> list[Row]:
    """Everything that opens a case by its number: parties' and representatives' hashes."""
    rows: list[Row] = await db.fetch(
        """SELECT p.party_id, p.case_id, p.receipt_hash AS mark, NULL::uuid AS receipt_id
           FROM party p JOIN case_file c USING (case_id) WHERE c.case_number = $1
           UNION ALL
           SELECT r.party_id, r.case_id, r.secret_hash, r.receipt_id
           FROM representative_receipt r JOIN case_file c USING (case_id)
           WHERE c.case_number = $1 AND r.revoked_at IS NULL
             AND (r.ends_at IS NULL OR r.ends_at > $2)""",
        case_number,
        now,
    )
    return rows


async def unlock(uow: UnitOfWork, number_mark: str) -> int:
    """Forget every wrong try on a number, from whichever address; answers how many locks."""
    status = await uow.db.execute("DELETE FROM receipt_try WHERE number = $1", number_mark)
    return int(status.split()[-1])


async def party_of(uow: UnitOfWork, case_id: UUID, party_id: UUID) -> Row | None:
    """A party of the case with its receipt's version and the case's number."""
    return await uow.db.fetchrow(
        """SELECT p.party_id, p.ref, p.role, p.receipt_version, p.referral_id, c.case_number,
             c.case_id, c.lane, c.request_made_at, c.received_at, c.registered_at, c.organisation
           FROM party p JOIN case_file c USING (case_id)
           WHERE p.case_id = $1 AND p.party_id = $2""",
        case_id,
        party_id,
    )


async def party_by_ref(uow: UnitOfWork, referral_id: UUID, ref: str) -> Row | None:
    """A referral's party by its ref, as ``party_of`` answers."""
    return await uow.db.fetchrow(
        """SELECT p.party_id, p.ref, p.role, p.receipt_version, p.referral_id, c.case_number,
             c.case_id, c.lane, c.request_made_at, c.received_at, c.registered_at, c.organisation
           FROM party p JOIN case_file c USING (case_id)
           WHERE p.referral_id = $1 AND p.ref = $2""",
        referral_id,
        ref,
    )


async def add_representative(
    uow: UnitOfWork,
    receipt_id: UUID,
    *,
    case_id: UUID,
    party_id: UUID,
    representation: Any,
    secret_hash: bytes,
    issued_by: str,
) -> None:
    """A representative may follow the case from now on."""
    await uow.db.execute(
        """INSERT INTO representative_receipt (receipt_id, case_id, party_id, secret_hash,
             issued_by, issued_at, representation_id, ends_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        receipt_id,
        case_id,
        party_id,
        secret_hash,
        issued_by,
        uow.now,
        representation["representation_id"],
        representation["valid_until"],
    )


async def revoke_representative(
    uow: UnitOfWork,
    receipt_id: UUID,
    *,
    case_id: UUID,
    party_id: UUID | None,
    revoked_by: str,
    mandate_id: UUID | None = None,
) -> Row | None:
    """End a representative's receipt; the first end stands. None: there is no such receipt."""
    return await uow.db.fetchrow(
        """UPDATE representative_receipt SET revoked_at = coalesce(revoked_at, $4),
             revoked_by = coalesce(revoked_by, $5),
             revoked_mandate_id = CASE WHEN revoked_at IS NULL THEN $6 ELSE revoked_mandate_id END
           WHERE receipt_id = $1 AND case_id = $2 AND ($3::uuid IS NULL OR party_id = $3)
           RETURNING *""",
        receipt_id,
        case_id,
        party_id,
        uow.now,
        revoked_by,
        mandate_id,
    )


async def representative(uow: UnitOfWork, receipt_id: UUID) -> Row | None:
    """One representative's receipt."""
    return await uow.db.fetchrow(
        """SELECT r.*, c.case_number, p.ref, p.role FROM representative_receipt r
           JOIN case_file c USING (case_id) JOIN party p USING (party_id)
           WHERE r.receipt_id = $1""",
        receipt_id,
    )


async def representatives(uow: UnitOfWork, party_id: UUID) -> list[Row]:
    """All receipts that were given to a party's representatives, youngest first."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT * FROM representative_receipt WHERE party_id = $1
           ORDER BY issued_at DESC, receipt_id DESC""",
        party_id,
    )
    return rows


async def is_revoked(db: Database, receipt_id: UUID, now: datetime) -> bool:
    """Whether a representative's receipt opens nothing any more: ended, or its authority has."""
    return not await db.fetchval(
        """SELECT EXISTS (SELECT 1 FROM representative_receipt
                          WHERE receipt_id = $1 AND revoked_at IS NULL
                            AND (ends_at IS NULL OR ends_at > $2))""",
        receipt_id,
        now,
    )
