"""All SQL of reconciliations; everything is of one organisation."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from intake.reconciliation.model import Listed
from services.access import AgencyScope
from services.unit_of_work import UnitOfWork

Row = asyncpg.Record

# Their list against ours, then ours against theirs; each difference is one row.
_COMPARE: Final = """
WITH theirs AS MATERIALIZED (
  SELECT * FROM unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS t(line, reference, normal_reference, state, place)
), met AS MATERIALIZED (
  SELECT t.*, r.referral_id, c.state AS our_state, c.place AS our_place FROM theirs t
  LEFT JOIN referral r ON r.organisation = $2 AND r.normal_reference = t.normal_reference
  LEFT JOIN case_file c ON c.case_id = r.case_id
), found AS (
  SELECT 'unknown_here' AS kind, line, reference, NULL::uuid AS referral_id, NULL::text AS theirs,
    NULL::text AS ours FROM met WHERE referral_id IS NULL
  UNION ALL
  SELECT 'other_state', line, reference, referral_id, state, our_state FROM met
  WHERE state <> our_state
  UNION ALL
  SELECT 'other_place', line, reference, referral_id, place, our_place FROM met
  WHERE left(place, 12) <> left(our_place, 12)
  UNION ALL
  SELECT 'unknown_there', NULL, r.reference, r.referral_id, NULL, c.state
  FROM referral r JOIN case_file c USING (case_id)
  WHERE r.organisation = $2
    AND ($8::timestamptz IS NULL OR r.occurred_at >= $8)
    AND ($9::timestamptz IS NULL OR r.occurred_at < $9)
    AND NOT EXISTS (SELECT 1 FROM theirs t WHERE t.normal_reference = r.normal_reference)
), added AS (
  INSERT INTO reconciliation_difference (reconciliation_id, number, kind, line, reference,
    referral_id, theirs, ours)
  SELECT $1, row_number() OVER (ORDER BY kind, line, reference), kind, line, reference,
    referral_id, theirs, ours FROM found
  RETURNING kind
)
SELECT kind, count(*) AS n FROM added GROUP BY kind
"""


async def add(
    uow: UnitOfWork,
    reconciliation_id: UUID,
    *,
    organisation: str,
    connection: str,
    received_from: datetime | None,
    received_until: datetime | None,
    lines: int,
    drop_name: str | None,
) -> bool:
    """A reconciliation that begins; False when this dropped list was held against ours before."""
    added = await uow.db.fetchval(
        """INSERT INTO reconciliation (reconciliation_id, organisation, connection, received_from,
             received_until, lines, counts, drop_name, recorded_at)
           VALUES ($1, $2, $3, $4, $5, $6, '{}', $7, $8)
           ON CONFLICT (drop_name) DO NOTHING RETURNING true""",
        reconciliation_id,
        organisation,
        connection,
        received_from,
        received_until,
        lines,
        drop_name,
        uow.now,
    )
    return bool(added)


async def compare(
    uow: UnitOfWork,
    reconciliation_id: UUID,
    organisation: str,
    theirs: Sequence[Listed],
    received_from: datetime | None,
    received_until: datetime | None,
) -> dict[str, int]:
    """Write the differences of reference, state and place; how many of each kind."""
    rows = await uow.db.fetch(
        _COMPARE,
        reconciliation_id,
        organisation,
        [each.line for each in theirs],
        [each.reference for each in theirs],
        [each.normal for each in theirs],
        [each.state for each in theirs],
        [each.place for each in theirs],
        received_from,
        received_until,
        timeout=120,
    )
    return {row["kind"]: row["n"] for row in rows}


async def documents(uow: UnitOfWork, organisation: str, normal: Sequence[str]) -> list[Row]:
    """The sealed referrals under these references."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT referral_id, normal_reference, kek_id, wrapped_key, document FROM referral
           WHERE organisation = $1 AND normal_reference = ANY($2::text[])""",
        organisation,
        list(normal),
    )
    return rows


async def add_differences(
    uow: UnitOfWork,
    reconciliation_id: UUID,
    found: Sequence[tuple[str, Listed, UUID | None]],
) -> None:
    """Further differences, numbered after those there are."""
    await uow.db.execute(
        """INSERT INTO reconciliation_difference (reconciliation_id, number, kind, line, reference,
             referral_id)
           SELECT $1, n + (SELECT coalesce(max(number), 0) FROM reconciliation_difference
             WHERE reconciliation_id = $1), kind, line, reference, referral_id
           FROM unnest($2::text[], $3::int[], $4::text[], $5::uuid[]) WITH ORDINALITY
             AS t(kind, line, reference, referral_id, n)""",
        reconciliation_id,
        [kind for kind, _, _ in found],
        [each.line for _, each, _ in found],
        [each.reference for _, each, _ in found],
        [referral_id for _, _, referral_id in found],
    )


async def finish(uow: UnitOfWork, reconciliation_id: UUID, counts: dict[str, int]) -> None:
    """What was found, by kind."""
    await uow.db.execute(
        "UPDATE reconciliation SET counts = $2 WHERE reconciliation_id = $1",
        reconciliation_id,
        counts,
    )


async def own(uow: UnitOfWork, scope: AgencyScope, reconciliation_id: UUID) -> Row | None:
    """A reconciliation of the caller's own organisation."""
    return await uow.db.fetchrow(
        "SELECT * FROM reconciliation WHERE reconciliation_id = $1 AND organisation = $2",
        reconciliation_id,
        scope.organisation,
    )


async def of_the_organisation(
    uow: UnitOfWork, scope: AgencyScope, *, before: UUID | None, limit: int
) -> list[Row]:
    """The caller's reconciliations, youngest first."""
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT * FROM reconciliation WHERE organisation = $1
              AND reconciliation_id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            ORDER BY reconciliation_id DESC LIMIT {int(limit)}""",
        scope.organisation,
        before,
    )
    return rows


async def differences(
    db: Any, reconciliation_id: UUID, *, kind: str | None, after: int, limit: int
) -> list[Row]:
    """Where the lists differ."""
    rows: list[Row] = await db.fetch(
        f"""SELECT d.number, d.kind, d.line, d.reference, d.referral_id, d.theirs, d.ours,
              c.case_number
            FROM reconciliation_difference d LEFT JOIN case_file c
              ON c.case_id = (SELECT case_id FROM referral r WHERE r.referral_id = d.referral_id)
            WHERE d.reconciliation_id = $1 AND d.number > $2 {"AND d.kind = $4" if kind else ""}
            ORDER BY d.number LIMIT $3""",
        reconciliation_id,
        after,
        limit,
        *([kind] if kind else []),
    )
    return rows


async def by_drop_name(db: Any, drop_name: str) -> Row | None:
    """The reconciliation of a dropped list."""
    found: Row | None = await db.fetchrow(
        "SELECT * FROM reconciliation WHERE drop_name = $1", drop_name
    )
    return found
