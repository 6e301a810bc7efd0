"""All SQL of duplicates: traits and keys, candidates by bounded look-ups, pairs, joins."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from intake.duplicates.model import Judgement, Person, Traits
from intake.duplicates.rules import RULES, most_per_key
from services.access import AgencyScope
from services.unit_of_work import UnitOfWork

Row = asyncpg.Record
SEES: Final = ("source", "handler")


# -- comparing ---------------------------------------------------------------------------------


async def take(uow: UnitOfWork, limit: int) -> list[Row]:
    """Take referrals off the queue, oldest first, each by one worker; gone when this commits."""
    rows: list[Row] = await uow.db.fetch(
        """WITH due AS (
             DELETE FROM duplicate_queue WHERE referral_id IN (
               SELECT referral_id FROM duplicate_queue ORDER BY recorded_at LIMIT $1
               FOR UPDATE SKIP LOCKED) RETURNING referral_id)
           SELECT r.referral_id, r.case_id, r.kek_id, r.wrapped_key, r.document
           FROM due JOIN referral r USING (referral_id) ORDER BY r.recorded_at""",
        limit,
    )
    return rows


async def put_traits(uow: UnitOfWork, case_id: UUID, traits: Traits) -> None:
    """The case's traits as they are now; keys that it had before and has no more are gone."""
    keys = sorted(traits.keys)
    await uow.db.execute(
        """WITH old AS (
             DELETE FROM duplicate_key k USING duplicate_trait t
             WHERE t.case_id = $1 AND k.case_id = $1 AND k.key = ANY(t.keys)
               AND k.key <> ALL($11::bigint[])
           ), now AS (
             INSERT INTO duplicate_key (key, case_id) SELECT key, $1 FROM unnest($11::bigint[]) key
             ON CONFLICT DO NOTHING
           )
           INSERT INTO duplicate_trait (case_id, organisation, dispute_type, place, claim_fen,
             occurred_on, received_at, people, words, figures, keys, guarded,
             recorded_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
           ON CONFLICT (case_id) DO UPDATE SET dispute_type = $3, place = $4, claim_fen = $5,
             occurred_on = $6, people = $8, words = $9, figures = $10, keys = $11,
             guarded = $12, recorded_at = $13""",
        case_id,
        traits.organisation,
        traits.dispute_type,
        traits.place,
        traits.claim_fen,
        traits.occurred_on,
        traits.received_at,
        [person.stored() for person in traits.people],
        sorted(traits.words),
        sorted(traits.figures),
        keys,
        traits.guarded,
        uow.now,
    )


async def forget(uow: UnitOfWork, case_id: UUID, *, compare_again: bool) -> None:
    """Nothing of the case is compared or found by a party any more, nor are its pairs known.

    ``compare_again``: what is left of the case takes its place in the queue.
    """
    await uow.db.execute(
        """WITH keys AS (
             DELETE FROM duplicate_key k USING duplicate_trait t
             WHERE t.case_id = $1 AND k.case_id = $1 AND k.key = ANY(t.keys)
           ), pairs AS (
             DELETE FROM duplicate_pair WHERE case_id = $1 OR other_case_id = $1
           ), again AS (
             INSERT INTO duplicate_queue (referral_id, recorded_at)
             SELECT referral_id, $3 FROM referral WHERE case_id = $1 AND $2
             ON CONFLICT DO NOTHING
           )
           DELETE FROM duplicate_trait WHERE case_id = $1""",
        case_id,
        compare_again,
        uow.now,
    )


# Of every key the newest cases alone: the work is bounded whatever there is (index only, by key).
CANDIDATES: Final = """
WITH found AS MATERIALIZED (
  SELECT DISTINCT m.case_id FROM unnest($2::bigint[], $3::int[]) AS k(key, most)
  CROSS JOIN LATERAL (
    SELECT d.case_id FROM duplicate_key d WHERE d.key = k.key AND d.case_id <> $1
    ORDER BY d.case_id DESC LIMIT k.most) m
)
SELECT t.case_id, t.xmin AS version FROM found JOIN duplicate_trait t USING (case_id)
"""
_READ: Final = """
SELECT t.case_id, t.xmin AS version, t.organisation, t.dispute_type, t.place, t.claim_fen,
  t.occurred_on, t.received_at, t.people::text AS people, t.words, t.figures, t.keys, t.guarded
FROM duplicate_trait t WHERE t.case_id = ANY($1::uuid[])
"""


class Lately:
    """Traits that were read a moment ago: the newest of a town are compared again and again.

    Each belongs to the transaction that wrote it, so a corrected file is read anew; some ten
    kilobytes a case.
    """

    MOST: Final = 1000

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, tuple[int, Traits]] = OrderedDict()

    def get(self, row: Mapping[str, Any]) -> Traits | None:
        """The traits of this version, if they are still here."""
        version, found = self._kept.get(row["case_id"], (None, None))
        if found is None or version != row["version"]:
            return None
        self._kept.move_to_end(row["case_id"])
        return found

    def put(self, row: Mapping[str, Any], read: Traits) -> None:
        """Keep what was read; the one that nobody asked for longest makes room."""
        self._kept[row["case_id"]] = row["version"], read
        self._kept.move_to_end(row["case_id"])
        if len(self._kept) > self.MOST:
            self._kept.popitem(last=False)


async def candidates(
    db: Any, case_id: UUID, keys: Sequence[int], lately: Lately
) -> dict[UUID, Traits]:
    """Cases that share a key, the newest of each key."""
    rows = await db.fetch(CANDIDATES, case_id, list(keys), most_per_key(keys))
    found = {row["case_id"]: lately.get(row) for row in rows}
    new = [each for each, read in found.items() if read is None]
    if new:
        # In a thread: hundreds of files are read, and requests are answered meanwhile.
        found |= await asyncio.to_thread(_by_case, await db.fetch(_READ, new), lately)
    return {each: read for each, read in found.items() if read is not None}


def _by_case(rows: Sequence[Mapping[str, Any]], lately: Lately) -> dict[UUID, Traits]:
    found = {}
    for row in rows:
        found[row["case_id"]] = _traits(row, orjson.loads(row["people"]))
        lately.put(row, found[row["case_id"]])
    return found


async def traits(db: Any, case_id: UUID) -> Traits | None:
    """A case's own traits."""
    row = await db.fetchrow("SELECT * FROM duplicate_trait WHERE case_id = $1", case_id)
    return _traits(row, row["people"]) if row else None


def _traits(row: Mapping[str, Any], people: Sequence[list[Any]]) -> Traits:
    return Traits(
        row["organisation"],
        row["dispute_type"],
        row["place"],
        row["claim_fen"],
        row["occurred_on"],
        row["received_at"],
        tuple(Person.read(person) for person in people),
        frozenset(row["words"]),
        frozenset(row["figures"]),
        frozenset(row["keys"]),
        row["guarded"],
    )


async def put_pairs(
    uow: UnitOfWork, case_id: UUID, found: Sequence[tuple[UUID, Judgement]]
) -> None:
    """The case's pairs as they are judged now; what a person dismissed stays dismissed."""
    await uow.db.execute(
        """WITH old AS (
             DELETE FROM duplicate_pair WHERE (case_id = $1 OR other_case_id = $1)
               AND dismissed_at IS NULL AND CASE case_id WHEN $1 THEN other_case_id ELSE case_id END
                 <> ALL($2::uuid[]))
           INSERT INTO duplicate_pair (case_id, other_case_id, score, reasons, same_applicant,
             recorded_at)
           SELECT least($1, o.id), greatest($1, o.id), o.score, string_to_array(o.reasons, ' '),
             o.same_applicant, $6
           FROM unnest($2::uuid[], $3::smallint[], $4::text[], $5::bool[])
             AS o(id, score, reasons, same_applicant)
           ON CONFLICT (case_id, other_case_id) DO UPDATE SET score = excluded.score,
             reasons = excluded.reasons, same_applicant = excluded.same_applicant""",
        case_id,
        [other for other, _ in found],
        [judged.score for _, judged in found],
        [" ".join(judged.reasons) for _, judged in found],
        [judged.same_applicant for _, judged in found],
        uow.now,
    )


# -- what staff see ----------------------------------------------------------------------------

_PAIRS: Final = """
WITH pair AS (
  SELECT other_case_id AS case_id, score, reasons, same_applicant FROM duplicate_pair
  WHERE case_id = $1 AND dismissed_at IS NULL AND score >= $2
  UNION ALL
  SELECT case_id, score, reasons, same_applicant FROM duplicate_pair
  WHERE other_case_id = $1 AND dismissed_at IS NULL AND score >= $2
)
"""


async def visible_pairs(
    uow: UnitOfWork, scope: AgencyScope, case_id: UUID, least: int
) -> list[Row]:
    """Cases that may be the same and that the caller may see as source or handler."""
    rows: list[Row] = await uow.db.fetch(
        f"""{_PAIRS}
        SELECT c.case_id, c.case_number, c.organisation, c.lane, c.dispute_type, c.place, c.state,
          c.received_at, pair.score, pair.reasons,
          (SELECT j.surviving_case_id FROM case_join j
           WHERE j.joined_case_id = c.case_id AND j.undone_at IS NULL) AS joined_into
        FROM pair JOIN case_file c USING (case_id)
        WHERE {scope.sql("c.case_id", 3, SEES)}
        ORDER BY pair.score DESC, c.case_id DESC LIMIT 50""",
        case_id,
        least,
        scope.organisation,
    )
    return rows


async def handled_elsewhere(uow: UnitOfWork, scope: AgencyScope, case_id: UUID) -> list[Row]:
    """Holders of open files that the caller may not see, where the notice is allowed.

    The same applicant by a verified document, no safety screen that answered yes, no protected
    party, no lane that is excluded.
    """
    rows: list[Row] = await uow.db.fetch(
        f"""{_PAIRS}
        SELECT c.case_id, c.holder,
          (SELECT array_agg(p.party_id) FROM party p
           WHERE p.case_id = c.case_id AND p.role = 'applicant') AS parties
        FROM pair JOIN case_file c USING (case_id) JOIN duplicate_trait t USING (case_id)
        WHERE pair.same_applicant AND NOT t.guarded AND c.state = 'open' AND c.joint_sessions
          AND c.lane <> ALL($4::text[]) AND c.holder <> $3
          AND NOT {scope.sql("c.case_id", 3, SEES)}
        ORDER BY pair.score DESC LIMIT 5""",
        case_id,
        RULES.notice_from,
        scope.organisation,
        sorted(RULES.notice_not_in_lanes),
    )
    return rows


async def dismiss(uow: UnitOfWork, one: UUID, other: UUID, organisation: str, reason: str) -> bool:
    """The pair is not one dispute, says a person; False when there is no such pair."""
    status = await uow.db.execute(
        """UPDATE duplicate_pair SET dismissed_at = coalesce(dismissed_at, $3),
             dismissed_by = coalesce(dismissed_by, $4),
             dismissed_by_staff = coalesce(dismissed_by_staff, $5),
             dismissed_because = coalesce(dismissed_because, $6)
           WHERE case_id = least($1::uuid, $2::uuid)
             AND other_case_id = greatest($1::uuid, $2::uuid)""",
        one,
        other,
        uow.now,
        organisation,
        uow.actor.acted_by,
        reason,
    )
    return bool(status.endswith(" 1"))


# -- joining -----------------------------------------------------------------------------------


async def join(uow: UnitOfWork, values: Mapping[str, Any]) -> None:
    """Write a join."""
    names = ", ".join(values)
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    await uow.db.execute(f"INSERT INTO case_join ({names}) VALUES ({places})", *values.values())


async def join_by_id(uow: UnitOfWork, join_id: UUID) -> Row | None:
    """A join, undone or not."""
    return await uow.db.fetchrow("SELECT * FROM case_join WHERE join_id = $1", join_id)


async def joins_of(db: Any, case_id: UUID) -> list[Row]:
    """Joins that stand and that the case is part of, with both numbers."""
    rows: list[Row] = await db.fetch(
        """SELECT j.join_id, j.ground, j.joined_at, j.surviving_case_id, j.joined_case_id,
             s.case_number AS surviving_case_number, o.case_number AS joined_case_number
           FROM case_join j
           JOIN case_file s ON s.case_id = j.surviving_case_id
           JOIN case_file o ON o.case_id = j.joined_case_id
           WHERE j.undone_at IS NULL AND $1 IN (j.surviving_case_id, j.joined_case_id)
           ORDER BY j.joined_at""",
        case_id,
    )
    return rows


async def undo(uow: UnitOfWork, join_id: UUID, organisation: str, reason: str) -> bool:
    """The join stands no more; False when it did not."""
    status = await uow.db.execute(
        """UPDATE case_join SET undone_at = $2, undone_by = $3, undone_by_staff = $4,
             undone_because = $5 WHERE join_id = $1 AND undone_at IS NULL""",
        join_id,
        uow.now,
        organisation,
        uow.actor.acted_by,
        reason,
    )
    return bool(status.endswith(" 1"))


async def tell_outcome(uow: UnitOfWork, join_id: UUID, at: datetime) -> bool:
    """Mark that the joined case's agencies were told how it ended; False: told, or undone."""
    status = await uow.db.execute(
        """UPDATE case_join SET outcome_told_at = $2
           WHERE join_id = $1 AND undone_at IS NULL AND outcome_told_at IS NULL""",
        join_id,
        at,
    )
    return bool(status.endswith(" 1"))
