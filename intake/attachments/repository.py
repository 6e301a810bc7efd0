"""All SQL of papers. What comes out is judged by ``model.may_see`` before anybody sees it."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.unit_of_work import UnitOfWork

Row = asyncpg.Record

_ATTACHMENT = """
SELECT a.*, c.holder, c.case_number, c.closed_at,
  coalesce((SELECT array_agg(s.organisation) FROM attachment_share s
            WHERE s.attachment_id = a.attachment_id AND s.ended_at IS NULL), '{}') AS shared_with,
  EXISTS (SELECT 1 FROM mandate m
    WHERE m.mandate_id = a.mandate_id AND m.revoked_at IS NOT NULL) AS mandate_revoked,
  a.sha256 IS NOT NULL AND EXISTS (SELECT 1 FROM document d
    WHERE d.case_id = a.case_id AND d.sha256 = a.sha256) AS of_referral
FROM attachment a JOIN case_file c USING (case_id)
"""


async def lock_case(uow: UnitOfWork, case_id: UUID) -> Row | None:
    """The case with counts of its papers; locked, so that a limit holds for many at once."""
    return await uow.db.fetchrow(
        """SELECT c.case_id, c.holder,
             (SELECT count(*) FROM attachment a WHERE a.case_id = c.case_id
                AND a.state NOT IN ('expired', 'refused', 'deleted')) AS papers
           FROM case_file c WHERE c.case_id = $1 FOR NO KEY UPDATE""",
        case_id,
    )


async def count_of_party(uow: UnitOfWork, party_id: UUID) -> int:
    """How many papers a party has handed in that are still kept."""
    return int(
        await uow.db.fetchval(
            """SELECT count(*) FROM attachment WHERE party_id = $1
               AND state NOT IN ('expired', 'refused', 'deleted')""",
            party_id,
        )
    )


async def add(uow: UnitOfWork, row: dict[str, Any]) -> None:
    """A paper whose bytes are still to come."""
    names = ", ".join(row)
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await uow.db.execute(f"INSERT INTO attachment ({names}) VALUES ({places})", *row.values())


async def one(uow: UnitOfWork, attachment_id: UUID, *, lock: bool = False) -> Row | None:
    """A paper by its id, with whom it is shared and who holds the case."""
    return await uow.db.fetchrow(
        f"{_ATTACHMENT} WHERE a.attachment_id = $1" + (" FOR UPDATE OF a" if lock else ""),
        attachment_id,
    )


async def of_case(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """All papers of a case, oldest first; at most as many as the site allows."""
    rows: list[Row] = await uow.db.fetch(
        f"{_ATTACHMENT} WHERE a.case_id = $1 ORDER BY a.attachment_id LIMIT 1000", case_id
    )
    return rows


async def of_party(uow: UnitOfWork, case_id: UUID, party_id: UUID) -> list[Row]:
    """What a party handed in itself."""
    rows: list[Row] = await uow.db.fetch(
        f"""{_ATTACHMENT} WHERE a.case_id = $1 AND a.party_id = $2
        ORDER BY a.attachment_id LIMIT 1000""",
        case_id,
        party_id,
    )
    return rows


async def parts(uow: UnitOfWork, attachment_id: UUID) -> list[tuple[str, int]]:
    """The segments that count: file name and size, in order."""
    rows = await uow.db.fetch(
        """SELECT file_name, size_bytes FROM attachment_part WHERE attachment_id = $1
           ORDER BY starts_at_byte""",
        attachment_id,
    )
    return [(row["file_name"], row["size_bytes"]) for row in rows]


async def count_part(
    uow: UnitOfWork, attachment_id: UUID, *, offset: int, size: int, file_name: str, most: int
) -> Row | None:
    """Let a part count, if it is the next one; None when another was first or there are too many.

    The last one makes the paper ``received``.
    """
    return await uow.db.fetchrow(
        """WITH taken AS (
             UPDATE attachment SET received_bytes = received_bytes + $3,
               state = CASE WHEN received_bytes + $3 = size_bytes THEN 'received' ELSE state END
             WHERE attachment_id = $1 AND received_bytes = $2 AND state = 'uploading'
               AND received_bytes + $3 <= size_bytes
               AND (SELECT count(*) FROM attachment_part WHERE attachment_id = $1) < $5
             RETURNING attachment_id, received_bytes, state
           ), part AS (
             INSERT INTO attachment_part (attachment_id, starts_at_byte, size_bytes, file_name)
             SELECT attachment_id, $2, $3, $4 FROM taken)
           SELECT * FROM taken""",
        attachment_id,
        offset,
        size,
        file_name,
        most,
    )


async def set_checked(
    uow: UnitOfWork,
    attachment_id: UUID,
    *,
    state: str,
    reason: str | None,
    sha256: str,
    media_type: str | None,
    preview: tuple[str, int] | None,
    copy: tuple[str, int] | None,
) -> bool:
    """What the check found; False when it was found before."""
    status = await uow.db.execute(
        """UPDATE attachment SET state = $2, reason = $3, sha256 = $4, media_type = $5,
             preview_name = $6, preview_bytes = $7, copy_name = $8, copy_bytes = $9,
             checked_at = $10
           WHERE attachment_id = $1 AND state = 'received'""",
        attachment_id,
        state,
        reason,
        sha256,
        media_type,
        *(preview or (None, None)),
        *(copy or (None, None)),
        uow.now,
    )
    return bool(status.endswith(" 1"))


async def share(
    uow: UnitOfWork,
    attachment_id: UUID,
    *,
    organisation: str,
    basis: str,
    party_id: UUID | None,
    told_by: str,
    consented_on: date | None,
) -> None:
    """Let one more organisation see a paper; a share that had ended begins anew."""
    await uow.db.execute(
        """INSERT INTO attachment_share AS s (attachment_id, organisation, basis, party_id, told_by,
             consented_on, recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
           ON CONFLICT (attachment_id, organisation) DO UPDATE SET basis = excluded.basis,
             party_id = excluded.party_id, told_by = excluded.told_by,
             consented_on = excluded.consented_on, recorded_at = excluded.recorded_at,
             ended_at = NULL, ended_mandate_id = NULL WHERE s.ended_at IS NOT NULL""",
        attachment_id,
        organisation,
        basis,
        party_id,
        told_by,
        consented_on,
        uow.now,
    )


async def end_share(
    uow: UnitOfWork,
    attachment_id: UUID,
    organisation: str,
    *,
    party_id: UUID | None,
    mandate_id: UUID | None = None,
) -> Row | None:
    """End a share (a party only one that rests on its own consent); the first end stands."""
    return await uow.db.fetchrow(
        """UPDATE attachment_share SET ended_at = coalesce(ended_at, $4),
             ended_mandate_id = CASE WHEN ended_at IS NULL THEN $5 ELSE ended_mandate_id END
           WHERE attachment_id = $1 AND organisation = $2 AND ($3::uuid IS NULL OR party_id = $3)
           RETURNING *""",
        attachment_id,
        organisation,
        party_id,
        uow.now,
        mandate_id,
    )


async def share_of(uow: UnitOfWork, attachment_id: UUID, organisation: str) -> Row | None:
    """One share."""
    return await uow.db.fetchrow(
        "SELECT * FROM attachment_share WHERE attachment_id = $1 AND organisation = $2",
        attachment_id,
        organisation,
    )


async def party_ids(uow: UnitOfWork, case_id: UUID) -> list[str]:
    """The parties who see an opening in their access log."""
    rows = await uow.db.fetch("SELECT party_id FROM party WHERE case_id = $1", case_id)
    return [str(row["party_id"]) for row in rows]


async def is_party(uow: UnitOfWork, case_id: UUID, party_id: UUID) -> bool:
    """Whether the case has this party."""
    return bool(
        await uow.db.fetchval(
            "SELECT EXISTS (SELECT 1 FROM party WHERE case_id = $1 AND party_id = $2)",
            case_id,
            party_id,
        )
    )


# -- what is over ------------------------------------------------------------------------------


async def over(
    uow: UnitOfWork, *, quarantine_from: datetime, terms: dict[str, datetime], limit: int
) -> list[Row]:
    """Papers whose time is over: uploads not finished, harmful ones, those of closed cases.

    A paper of a file under a legal hold stays.

    ``terms``: retention class to the instant (UTC) before which a case must have been closed.
    """
    rows: list[Row] = await uow.db.fetch(
        """SELECT a.attachment_id, a.case_id, a.state FROM attachment a
           JOIN case_file c USING (case_id)
           WHERE (a.state = 'uploading' AND a.expires_at <= $1)
              OR (a.state = 'infected' AND a.checked_at <= $2)
              OR (a.state IN ('clean', 'unscanned') AND c.state = 'closed' AND EXISTS (
                    SELECT 1 FROM unnest($3::text[], $4::timestamptz[]) AS t(class, before)
                    WHERE t.class = a.retention AND c.closed_at <= t.before)
                  AND NOT EXISTS (SELECT 1 FROM legal_hold h
                                  WHERE h.case_id = a.case_id AND h.lifted_at IS NULL))
           ORDER BY a.attachment_id LIMIT $5 FOR UPDATE OF a SKIP LOCKED""",
        uow.now,
        quarantine_from,
        list(terms),
        list(terms.values()),
        limit,
    )
    return rows


async def forget(uow: UnitOfWork, attachment_id: UUID, state: str) -> None:
    """A paper is no more: its key and its name are gone, its hash and its times stay."""
    await uow.db.execute(
        """WITH parts AS (DELETE FROM attachment_part WHERE attachment_id = $1)
           UPDATE attachment SET state = $2, wrapped_key = NULL, name = NULL, preview_name = NULL,
             copy_name = NULL, gone_at = $3 WHERE attachment_id = $1""",
        attachment_id,
        state,
        uow.now,
    )


async def shred(uow: UnitOfWork, case_id: UUID, party_ids: list[UUID] | None) -> list[bytes]:
    """What these parties handed in, or with None every paper, is no more; nor any export.

    Answers the wrapped data keys that stood there; the sealed bytes are swept from disk later.
    """
    rows = await uow.db.fetch(
        """WITH old AS (
             SELECT attachment_id, wrapped_key FROM attachment
             WHERE case_id = $1 AND wrapped_key IS NOT NULL
               AND ($2::uuid[] IS NULL OR party_id = ANY($2)) FOR UPDATE
           ), parts AS (
             DELETE FROM attachment_part p USING old WHERE p.attachment_id = old.attachment_id
           ), gone AS (
             UPDATE attachment a SET state = 'deleted', wrapped_key = NULL, name = NULL,
               preview_name = NULL, copy_name = NULL, gone_at = $3
             FROM old WHERE a.attachment_id = old.attachment_id
           ), copies AS (
             SELECT export_id, wrapped_key FROM case_export
             WHERE case_id = $1 AND wrapped_key IS NOT NULL FOR UPDATE
           ), ended AS (
             UPDATE case_export e SET state = 'over', wrapped_key = NULL
             FROM copies WHERE e.export_id = copies.export_id
           )
           SELECT wrapped_key FROM old UNION ALL SELECT wrapped_key FROM copies""",
        case_id,
        party_ids,
        uow.now,
    )
    return [bytes(row["wrapped_key"]) for row in rows]


async def without_bytes(uow: UnitOfWork, ids: list[UUID]) -> list[UUID]:
    """Of these folders' names, those that no paper and no export stands behind any more."""
    rows = await uow.db.fetch(
        """SELECT f.id FROM unnest($1::uuid[]) AS f(id)
           WHERE NOT EXISTS (SELECT 1 FROM attachment a WHERE a.attachment_id = f.id
                             AND a.wrapped_key IS NOT NULL)
             AND NOT EXISTS (SELECT 1 FROM case_export e WHERE e.export_id = f.id
                             AND e.wrapped_key IS NOT NULL)""",
        ids,
    )
    return [row["id"] for row in rows]
