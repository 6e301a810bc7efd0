"""The SQL of searching: a page costs a bounded number of looks, however many cases there are.

Each search walks one index from the youngest case back (``road_of``) and holds what it meets
against all that was asked. Where little fits, a page ends after ``LOOKS`` cases with fewer rows
than wanted, or none, and says from where to go on: no filter makes a request read millions.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from intake.duplicates.model import Kind
from intake.search.model import Sought
from services.access import EVERY_ROLE, AgencyScope
from services.unit_of_work import UnitOfWork

KNOWS_PARTIES: Final = ("source", "handler")
# How many cases a page looks at when few of them fit; the first look is a short one.
LOOKS: Final = 5_000
_FIRST_LOOK: Final = 4
_LONGER: Final = 5
# So few cases of a place or a type are all looked at together.
FEW: Final = 2_000
# An id is made when its case is registered, give or take clocks that differ and a test clock.
_SLACK: Final = timedelta(days=1)
_LAST_PLACE: Final = "\u007f"
# Each file by its id: PostgreSQL never begins at the files themselves, whatever it expects of them.
_FILE: Final = (
    "CROSS JOIN LATERAL (SELECT * FROM case_file f WHERE f.case_id = {ids}.case_id OFFSET 0) AS c"
)
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True)
class Found:
    """Cases, youngest first; ``furthest``: older ones than this were not looked at yet."""

    rows: list[asyncpg.Record]
    furthest: UUID | None


@dataclass(frozen=True)
class Road:
    """Ids of cases by an index: those in order, so many at a time, or all of a few."""

    text: str
    values: tuple[Any, ...]
    whole: bool = False


async def search(
    uow: UnitOfWork, scope: AgencyScope, sought: Sought, *, before: UUID | None, limit: int
) -> Found:
    """Cases in which the organisation takes part now.

    By a party only where it is source or handler, who may open the parties' file anyway.
    """
    # A plan of its own for each search: what is given decides where it begins.
    await uow.db.execute("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
    youngest = before or _LAST
    oldest = _FIRST
    if sought.registered_until is not None:
        youngest = min(youngest, _first_id(sought.registered_until + _SLACK))
    if sought.registered_from is not None:
        oldest = _first_id(sought.registered_from - uow.runtime.clock.offset - _SLACK)
    road = await road_of(uow.db, scope, sought, oldest, youngest)
    rows: list[asyncpg.Record] = []
    left, look = LOOKS, _FIRST_LOOK * limit
    while True:
        look = FEW if road.whole else min(look, left)
        text, values = statement(
            scope, sought, road, oldest, youngest, look=look, limit=limit - len(rows)
        )
        found = await uow.db.fetch(text, *values)
        rows += [row for row in found if row["case_id"] is not None]
        looked, furthest = found[0]["looked"], found[0]["furthest"]
        left -= look
        if road.whole or looked < look:
            return Found(rows, None)
        if len(rows) >= limit or left <= 0:
            return Found(rows, furthest)
        youngest, look = furthest, look * _LONGER


async def road_of(
    db: Any, scope: AgencyScope, sought: Sought, oldest: UUID, youngest: UUID
) -> Road:
    """The index that leads to the fewest cases."""
    if sought.case_number is not None:
        return Road("SELECT case_id FROM case_file WHERE case_number = $4", (sought.case_number,))
    if sought.own_reference is not None:
        return Road(
            "SELECT case_id FROM referral WHERE organisation = $4 AND normal_reference = $5",
            (scope.organisation, sought.own_reference),
        )
    if sought.keys:
        rarest = min(sought.keys, key=lambda key: key & 15 == Kind.NAME)
        return Road("SELECT case_id FROM duplicate_key WHERE key = $4", (rarest,))
    for text, *values in (
        (
            "WHERE place ~>=~ $1 AND place ~<~ $2 ORDER BY place USING ~<~, case_id",
            sought.place,
            f"{sought.place}{_LAST_PLACE}",
        ),
        (
            "WHERE dispute_type = $1 AND case_id >= $2 AND case_id < $3 ORDER BY case_id",
            sought.dispute_type,
            oldest,
            youngest,
        ),
    ):
        if values[0] is None:
            continue
        few = await db.fetch(f"SELECT case_id FROM case_file {text} LIMIT {FEW + 1}", *values)
        if len(few) <= FEW:
            ids = [row["case_id"] for row in few]
            return Road("SELECT unnest($4::uuid[]) AS case_id", (ids,), whole=True)
    return Road("SELECT case_id FROM participation WHERE organisation = $4", (scope.organisation,))


def statement(
    scope: AgencyScope,
    sought: Sought,
    road: Road,
    oldest: UUID,
    youngest: UUID,
    *,
    look: int,
    limit: int,
) -> tuple[str, list[Any]]:
    """The statement and its values; it holds only the conditions that were given.

    Its rows tell how many cases were looked at and the oldest of them, also where none fits.
    """
    values: list[Any] = [scope.organisation, oldest, youngest, *road.values]

    def given(condition: str, *found: Any) -> str:
        if any(value is None for value in found):
            return ""
        places = []
        for value in found:
            values.append(value)
            places.append(f"${len(values)}")
        return f" AND {condition.format(*places)}"

    roles = ", ".join(f"'{r}'" for r in (KNOWS_PARTIES if sought.by_party else EVERY_ROLE))
    place = sought.place
    conditions = "".join(
        (
            *(
                given(
                    "EXISTS (SELECT 1 FROM duplicate_key k"
                    " WHERE k.key = {} AND k.case_id = c.case_id)",
                    key,
                )
                for key in sought.keys
            ),
            given("c.place ~>=~ {} AND c.place ~<~ {}", place, place and place + _LAST_PLACE),
            given("c.dispute_type = {}", sought.dispute_type),
            given("c.lane = {}", sought.lane),
            given("c.state = {}", sought.state),
            given("c.stage = {}", sought.stage),
            given("c.registered_at >= {}", sought.registered_from),
            given("c.registered_at < {}", sought.registered_until),
        )
    )
    return (
        f"""WITH road AS MATERIALIZED (
            SELECT case_id FROM ({road.text}) AS r WHERE case_id >= $2 AND case_id < $3
            ORDER BY case_id DESC LIMIT {int(look)}),
          fits AS MATERIALIZED (
            SELECT c.case_id FROM (SELECT DISTINCT case_id FROM road) AS d
              {_FILE.format(ids="d")}
              CROSS JOIN LATERAL (SELECT FROM participation p WHERE p.organisation = $1
                AND p.case_id = d.case_id AND p.left_at IS NULL AND p.role IN ({roles})
                LIMIT 1) AS part
            WHERE true {conditions}
            ORDER BY c.case_id DESC LIMIT {int(limit)}),
          way AS (SELECT count(*) AS looked, (array_agg(case_id ORDER BY case_id))[1] AS furthest
            FROM road)
          SELECT way.looked, way.furthest, c.*,
            (SELECT reference FROM referral r WHERE r.referral_id = c.referral_id
              AND r.organisation = $1) AS reference,
            (SELECT s.case_number FROM case_join j
             JOIN case_file s ON s.case_id = j.surviving_case_id
             WHERE j.joined_case_id = c.case_id AND j.undone_at IS NULL) AS joined_into
          FROM way LEFT JOIN (fits {_FILE.format(ids="fits")}) ON true
          ORDER BY c.case_id DESC""",
        values,
    )


def _first_id(at: datetime) -> UUID:
    """The first id of that millisecond (RFC 9562, version 7)."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)
