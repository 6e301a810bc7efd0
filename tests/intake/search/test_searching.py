"""What staff find, what they do not, and that no search reads a whole table."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from intake.search import repository
from intake.search.model import Sought
from intake.search.repository import road_of, statement
from services.access import AgencyScope
from services.auth import Caller
from services.clock import wire
from tests.intake.duplicates.world import compared, joined
from tests.intake.world import (
    CENTRE,
    COURT,
    POLICE,
    SENDER,
    Intake,
    bearer,
    referral,
    sample,
    token,
)

pytestmark = pytest.mark.postgres
PERSON = referral()["parties"][0]


async def search(
    intake: Intake, body: Any, organisation: str = COURT, query: str = "", scopes: Any = SENDER
) -> Any:
    """POST a search."""
    head = bearer(token(organisation, *scopes))
    return await intake.http.post(f"/v1/cases/searches{query}", json=body, headers=head)


async def found(intake: Intake, body: Any, organisation: str = COURT) -> list[str]:
    """The case ids of the first page."""
    answer = await search(intake, body, organisation)
    assert answer.status_code == 200, answer.text
    return [item["case_id"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    "body",
    [
        {"reference": "(2026) 浙0681民诉前调第09999"},
        {"place": "330681"},
        {"dispute_type": "contract", "state": "open", "lane": "court_pre", "stage": "registered"},
        {"party": {"name": f" {PERSON['name']} "}, "purpose": "handling"},
        {"party": {"phone": f"+86 {PERSON['phone']}"}, "purpose": "handling"},
        {
            "party": {
                "identity": {"type": "resident_id", "number": PERSON["id"]["number"].lower()},
                "name": PERSON["name"],
            },
            "purpose": "verification",
        },
    ],
    ids=["reference", "place", "kind", "name", "phone", "identity and name"],
)
async def test_a_case_is_found_by_what_is_known_of_it(intake: Intake, body: Any) -> None:
    """Checklist 1.31: by our number, agency number, place, state; by name with a purpose."""
    mine = (await intake.post("/v1/referrals", referral())).json()
    await intake.post("/v1/referrals", sample("police-boundary"), POLICE)
    await compared(intake)

    assert await found(intake, body) == [mine["case_id"]]
    assert mine["case_id"] not in await found(intake, body, POLICE)
    assert await found(intake, {**body, "lane": "medical"}) == []


async def test_the_old_number_of_a_joined_case_is_found_for_ever(intake: Intake) -> None:
    """Checklist 1.27."""
    one, other, _ = await joined(intake)
    typed = other["case_number"].replace("-", "").lower()

    (item,) = (await search(intake, {"number": typed}, CENTRE)).json()["items"]

    assert (item["case_id"], item["joined_into"]) == (other["case_id"], one["case_number"])
    assert await found(intake, {"number": other["case_number"]}, COURT) == []


async def test_a_search_by_a_party_needs_a_purpose_and_leaves_a_trace(intake: Intake) -> None:
    """Checklist 1.31: by name only with purpose, logged, in own scope."""
    await intake.post("/v1/referrals", referral())
    await compared(intake)
    body = {"party": {"name": PERSON["name"]}}

    without = await search(intake, body)
    unscoped = await search(intake, {**body, "purpose": "handling"}, scopes=("case:read",))
    half = await search(intake, {"party": {"name": "陈某"}, "purpose": "handling"})
    await search(intake, {**body, "purpose": "handling"})

    assert [e["pointer"] for e in without.json()["errors"]] == ["/purpose"]
    assert unscoped.status_code == 403
    assert [e["code"] for e in half.json()["errors"]] == ["not_whole"]
    rows = await intake.runtime.pool.fetch(
        "SELECT purpose, detail, organisation FROM audit_entry WHERE action = 'cases.searched'"
    )
    assert [dict(row) for row in rows] == [
        {"purpose": "handling", "detail": {"by": ["name"]}, "organisation": COURT}
    ]


async def test_pages_follow_one_another_and_tell_no_total(intake: Intake) -> None:
    """Checklist 1.31: the count leaks nothing."""
    cases = [(await intake.registered(f"R{n}"))["case_id"] for n in range(5)]
    await compared(intake)
    body = {"party": {"name": PERSON["name"]}, "purpose": "handling"}
    seen, query = [], "?limit=2"
    while query:
        page = (await search(intake, body, query=query)).json()
        assert set(page) == {"items", "next"}
        assert PERSON["name"] not in json.dumps(page, ensure_ascii=False)
        seen += [item["case_id"] for item in page["items"]]
        query = page["next"] and f"?limit=2&cursor={page['next']}"

    assert seen == cases[::-1]


async def test_a_cursor_belongs_to_its_search(intake: Intake) -> None:
    for n in range(2):
        await intake.registered(f"R{n}")
    page = (await search(intake, {"place": "33"}, query="?limit=1")).json()

    same = await search(intake, {"place": "33"}, query=f"?limit=1&cursor={page['next']}")
    other = await search(intake, {"place": "3306"}, query=f"?limit=1&cursor={page['next']}")

    assert (same.status_code, other.status_code) == (200, 400)


async def test_a_span_of_time_is_half_open(intake: Intake) -> None:
    done = await intake.registered("R1")
    at = datetime.fromisoformat(done["registered_at"])

    inside = await found(
        intake, {"registered_from": wire(at), "registered_until": "2100-01-01T00:00:00Z"}
    )
    before = await found(intake, {"registered_until": wire(at)})
    after = await found(intake, {"registered_from": wire(at + timedelta(seconds=1))})

    assert (inside, before, after) == ([done["case_id"]], [], [])


@pytest.mark.parametrize("door", ["searches", "list"])
@pytest.mark.parametrize("few", [0, 100])
async def test_a_page_looks_at_so_many_cases_and_tells_from_where_to_go_on(
    intake: Intake, monkeypatch: pytest.MonkeyPatch, door: str, few: int
) -> None:
    """Checklist 1.31: what hardly fits costs no more a page, and nothing is passed over."""
    monkeypatch.setattr(repository, "LOOKS", 3)
    monkeypatch.setattr(repository, "FEW", few)
    cases = [(await intake.registered(f"R{n}"))["case_id"] for n in range(10)]
    closed = {cases[0], cases[5]}
    await intake.runtime.pool.execute(
        "UPDATE case_file SET state = 'closed', closed_at = now() WHERE case_id = ANY($1)", closed
    )
    asked = {"state": "closed", "place": "33"}
    seen: list[list[str]] = []
    query = "?limit=2"
    while query:
        if door == "list":
            page = (await intake.get(f"/v1/cases{query}&state=closed&place=33")).json()
        else:
            page = (await search(intake, asked, query=query)).json()
        seen.append([item["case_id"] for item in page["items"]])
        query = page["next"] and f"?limit=2&cursor={page['next']}"

    expected = [[cases[5], cases[0]]] if few else [[], [cases[5]], [], [cases[0]]]
    assert seen == expected


SPAN = {"registered_from": datetime(2026, 1, 1, tzinfo=UTC)}
ROADS = [
    Sought(),
    Sought(case_number="LD2026-330681-0000123-G"),
    Sought(keys=(17,)),
    Sought(keys=(17, 33), by_party=True, state="open"),
    Sought(place="330681102"),
    Sought(place="33", dispute_type="tourism", lane="pm"),
    Sought(place="33", dispute_type="contract", state="closed"),
    Sought(own_reference="2026-330681-1"),
    Sought(**SPAN),
]


@pytest.mark.parametrize("asked", ROADS, ids=lambda each: ",".join(each.filters()) or "all")
async def test_no_search_reads_a_whole_table(intake: Intake, asked: Sought) -> None:
    """Paging stays quick at 10 million cases: every road begins at an index."""
    db = await asyncpg.connect(intake.superuser_url)
    caller = Caller("c", "c", COURT, (COURT,), frozenset())
    scope, ends = AgencyScope(caller), (UUID(int=0), UUID(int=2**128 - 1))
    try:
        async with db.transaction():
            await _many(db)
            road = await road_of(db, scope, asked, *ends)
            text, values = statement(scope, asked, road, *ends, look=204, limit=51)
            plan = json.loads(await db.fetchval(f"EXPLAIN (FORMAT JSON) {text}", *values))
            raise _Undone
    except _Undone:
        pass
    finally:
        await db.close()

    whole = [n["Relation Name"] for n in _nodes(plan[0]["Plan"]) if n["Node Type"] == "Seq Scan"]
    assert whole == []


class _Undone(Exception):
    pass


async def _many(db: asyncpg.Connection) -> None:
    """Enough cases that reading all of them would be the dearer plan."""
    await db.execute("SET LOCAL session_replication_role = replica")
    await db.execute(
        """INSERT INTO case_file (case_id, case_number, referral_id, organisation, lane,
             dispute_type, place, channel, legal_context, joint_sessions, holder, held_since,
             received_at, registered_at, recorded_at)
           SELECT (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid, 'N' || n,
             gen_random_uuid(), $1, CASE WHEN n % 9 = 0 THEN 'pm' ELSE 'court_pre' END,
             CASE WHEN n % 200 = 0 THEN 'tourism' ELSE 'contract' END,
             (330681100000 + n % 900 * 1000)::text, 'api', '{}', true, $1, now(), now(), now(),
             now() FROM generate_series(1, 20000) n""",
        COURT,
    )
    await db.execute(
        """INSERT INTO participation (participation_id, case_id, organisation, role, joined_at)
           SELECT gen_random_uuid(), case_id, $1, 'source', now() FROM case_file""",
        COURT,
    )
    await db.execute(
        """INSERT INTO duplicate_key (key, case_id)
           SELECT n % 5000 * 16 + 1, case_id
           FROM (SELECT case_id, row_number() OVER () AS n FROM case_file) t"""
    )
    for table in ("case_file", "participation", "duplicate_key"):
        await db.execute(f"ANALYZE {table}")


def _nodes(plan: Any) -> list[Any]:
    return [plan, *(inner for each in plan.get("Plans", []) for inner in _nodes(each))]
