"""The SQL of searching: every road begins at an index, and a page costs what a page holds."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from intake.search.model import Sought
from services.access import EVERY_ROLE, AgencyScope
from services.unit_of_work import UnitOfWork

KNOWS_PARTIES: Final = ("source", "handler")
# An id is made when its case is registered, give or take clocks that differ and a test clock.
_SLACK: Final = timedelta(days=1)
_LAST_PLACE: Final = "\u007f"


async def search(
    uow: UnitOfWork, scope: AgencyScope, sought: Sought, *, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """Cases in which the organisation takes part now, youngest first.

    By a party only where it is source or handler, who may open the parties' file anyway.
    """
    # A plan of its own for each search: what is given decides where it begins.
    await uow.db.execute("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
    text, values = statement(
        scope, sought, before=before, limit=limit, offset=uow.runtime.clock.offset
    )
    rows: list[asyncpg.Record] = await uow.db.fetch(text, *values)
    return rows


def statement(
    scope: AgencyScope, sought: Sought, *, before: UUID | None, limit: int, offset: timedelta
) -> tuple[str, list[Any]]:
    """The statement and its values; it holds only the conditions that were given."""
    values: list[Any] = [scope.organisation]

    def given(condition: str, *found: Any) -> str:
        if any(value is None for value in found):
            return ""
        places = []
        for value in found:
            values.append(value)
            places.append(f"${len(values)}")
        return f" AND {condition.format(*places)}"

    roles = ", ".join(f"'{r}'" for r in (KNOWS_PARTIES if sought.by_party else EVERY_ROLE))
    after, until = sought.registered_from, sought.registered_until
    conditions = "".join(
        (
            given("p.case_id < {}", before),
            given("c.case_number = {}", sought.case_number),
            *(
                given(
                    "EXISTS (SELECT 1 FROM duplicate_key k"
                    " WHERE k.key = {} AND k.case_id = c.case_id)",
                    key,
                )
                for key in sought.keys
            ),
            given(
                "c.place ~>=~ {} AND c.place ~<~ {}",
                sought.place,
                sought.place and sought.place + _LAST_PLACE,
            ),
            given("c.dispute_type = {}", sought.dispute_type),
            given("c.lane = {}", sought.lane),
            given("c.state = {}", sought.state),
            given("c.stage = {}", sought.stage),
            given(
                "c.registered_at >= {} AND p.case_id >= {}",
                after,
                after and _first_id(after - offset - _SLACK),
            ),
            given(
                "c.registered_at < {} AND p.case_id < {}",
                until,
                until and _first_id(until + _SLACK),
            ),
        )
    )
    return (
        f"""SELECT c.*, (SELECT reference FROM referral r WHERE r.referral_id = c.referral_id
              AND r.organisation = $1) AS reference,
            (SELECT s.case_number FROM case_join j
             JOIN case_file s ON s.case_id = j.surviving_case_id
             WHERE j.joined_case_id = c.case_id AND j.undone_at IS NULL) AS joined_into
          FROM participation p JOIN case_file c USING (case_id)
          WHERE p.organisation = $1 AND p.left_at IS NULL AND p.role IN ({roles})
            AND NOT EXISTS (SELECT 1 FROM participation q WHERE q.organisation = $1
              AND q.case_id = p.case_id AND q.left_at IS NULL AND q.role IN ({roles})
              AND q.participation_id < p.participation_id){conditions}
          ORDER BY p.case_id DESC LIMIT {int(limit)}""",
        values,
    )


def _first_id(at: datetime) -> UUID:
    """The first id of that millisecond (RFC 9562, version 7)."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)
