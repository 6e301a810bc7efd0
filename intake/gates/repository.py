"""All SQL of refusals. A read goes by the sender or by a desk that may review."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.unit_of_work import UnitOfWork

Row = Any
_COLUMNS: Final = (
    "refusal_id", "number", "organisation", "connection", "reference", "normal_reference",
    "fingerprint", "lane", "place", "ground", "citation", "go_to", "until", "reviewers", "kek_id",
    "wrapped_key", "document", "receipt_hash", "request_made_at", "received_at", "due_at",
    "recorded_at",
)  # fmt: skip


async def add(uow: UnitOfWork, row: dict[str, Any]) -> None:
    """Put a refusal on record."""
    places = ", ".join(f"${n}" for n in range(1, len(_COLUMNS) + 1))
    await uow.db.execute(
        f"INSERT INTO refusal ({', '.join(_COLUMNS)}) VALUES ({places})",
        *(row[name] for name in _COLUMNS),
    )


async def same(
    uow: UnitOfWork, organisation: str, normal_reference: str, fingerprint: bytes
) -> Row | None:
    """The refusal of this very content, if it was sent before."""
    return await uow.db.fetchrow(
        """SELECT * FROM refusal
           WHERE organisation = $1 AND normal_reference = $2 AND fingerprint = $3""",
        organisation,
        normal_reference,
        fingerprint,
    )


_SEEN: Final = "(organisation = $1 OR $1 = ANY(reviewers))"
# The party must be told in writing by then, and nobody has shown that it was.
_UNTOLD: Final = """EXISTS (SELECT 1 FROM notice n WHERE n.subject_id = refusal.refusal_id
  AND n.about = 'refused' AND n.recipient = 'party' AND n.state = 'task')"""


async def seen(
    uow: UnitOfWork, organisation: str, refusal_id: UUID, *, lock: bool = False
) -> Row | None:
    """A refusal for its sender or a desk that may review it."""
    return await uow.db.fetchrow(
        f"""SELECT *, due_at <= $3 AND {_UNTOLD} AS overdue FROM refusal
            WHERE refusal_id = $2 AND {_SEEN}{" FOR UPDATE" if lock else ""}""",
        organisation,
        refusal_id,
        uow.now,
    )


async def listed(
    uow: UnitOfWork,
    organisation: str,
    *,
    to_review: bool,
    overdue: bool | None,
    before: UUID | None,
    limit: int,
) -> list[Row]:
    """Own refusals, or those that wait for this desk's review; youngest first."""
    where = "$1 = ANY(reviewers) AND state = 'standing'" if to_review else "organisation = $1"
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT *, due_at <= $3 AND {_UNTOLD} AS overdue FROM refusal WHERE {where}
             AND ($4::boolean IS NULL OR (due_at <= $3 AND {_UNTOLD}) = $4)
             AND refusal_id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
           ORDER BY refusal_id DESC LIMIT {int(limit)}""",
        organisation,
        before,
        uow.now,
        overdue,
    )
    return rows


async def counts(
    uow: UnitOfWork, organisation: str, since: datetime, until: datetime
) -> tuple[list[Row], int]:
    """Refusals per ground and state, and the referrals registered in the same time beside them."""
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT ground, state, count(*) AS refusals,
             count(*) FILTER (WHERE due_at <= $4 AND {_UNTOLD}) AS overdue FROM refusal
           WHERE organisation = $1 AND recorded_at >= $2 AND recorded_at < $3
           GROUP BY ground, state ORDER BY ground, state""",
        organisation,
        since,
        until,
        uow.now,
    )
    registered = await uow.db.fetchval(
        """SELECT count(*) FROM referral
           WHERE organisation = $1 AND recorded_at >= $2 AND recorded_at < $3""",
        organisation,
        since,
        until,
    )
    return rows, int(registered)


async def review(
    uow: UnitOfWork,
    refusal_id: UUID,
    *,
    review_id: UUID,
    organisation: str,
    outcome: str,
    reason: bytes,
    occurred_at: datetime,
) -> None:
    """Record the other desk's decision and let the refusal follow it."""
    await uow.db.execute(
        """WITH r AS (INSERT INTO refusal_review (review_id, refusal_id, organisation, outcome,
             reason, acted_by, occurred_at, recorded_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8))
           UPDATE refusal SET state = $4 WHERE refusal_id = $2""",
        review_id,
        refusal_id,
        organisation,
        outcome,
        reason,
        uow.actor.acted_by,
        occurred_at,
        uow.now,
    )


async def shred(uow: UnitOfWork, case_id: UUID) -> list[bytes]:
    """Empty what was refused under the numbers of a case; ground and receipt number stay.

    Answers the wrapped keys that are to be destroyed.
    """
    rows = await uow.db.fetch(
        """WITH old AS (
             SELECT f.refusal_id, f.wrapped_key FROM refusal f JOIN referral r
               USING (organisation, normal_reference)
             WHERE r.case_id = $1 AND f.wrapped_key <> '' FOR UPDATE OF f
           ), reasons AS (
             UPDATE refusal_review v SET reason = '' FROM old WHERE v.refusal_id = old.refusal_id
           ), gone AS (
             UPDATE refusal f SET document = '', wrapped_key = '' FROM old
             WHERE f.refusal_id = old.refusal_id
           )
           SELECT wrapped_key FROM old""",
        case_id,
    )
    return [bytes(row["wrapped_key"]) for row in rows]


async def by_number(db: Any, number: str) -> Row | None:
    """A refusal by the number on its receipt; the secret is checked by the caller."""
    return await db.fetchrow("SELECT * FROM refusal WHERE number = $1", number)
