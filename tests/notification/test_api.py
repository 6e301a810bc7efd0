import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from services.ids import new_id
from services.runtime import Runtime
from tests.fixtures.languages import told_in_both
from tests.notification.builders import (
    CENTRE,
    COURT,
    POLICE,
    a_referral,
    a_registration,
    a_session,
    joined,
)
from tests.notification.conftest import Case, Client

pytestmark = pytest.mark.postgres


async def _a_case(case: Case) -> None:
    await case.hear(a_referral(case.case_id))
    await case.hear(a_registration(case.case_id))
    await case.hear(joined(case.case_id, COURT, "source"))
    await case.hear(joined(case.case_id, CENTRE, "handler"))
    await case.hear(a_session(case.case_id))


async def test_a_feed_is_read_in_pages_that_meet(
    case: Case, runtime: Runtime, client_of: Client
) -> None:
    await _a_case(case)
    court = client_of("o-court", COURT)

    first = (await court.get("/v1/feeds/o-court?limit=2")).json()
    rest = await court.get(f"/v1/feeds/o-court?after={first['next']}")

    entries = first["items"] + rest.json()["items"]
    assert [e["feed_sequence"] for e in entries] == [f"{n:010d}" for n in range(1, 6)]
    assert entries[0]["event"]["type"] == "liandiao.referral.received.v1"
    assert entries[0]["event"]["specversion"] == "1.0"
    assert entries[0]["reference"] == "(2026)沪0105民诉前调1号"
    assert rest.headers["Case-Sequence"] == entries[-1]["read_after"] == "routing=0000000002"


async def test_the_feed_of_another_connection_is_not_there(client_of: Client) -> None:
    answer = await client_of("o-court", COURT).get("/v1/feeds/o-centre")

    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_a_connection_of_several_organisations_reads_its_feed_naming_none(
    client_of: Client,
) -> None:
    client = client_of("o-court", COURT, organisations=[COURT, POLICE])

    assert (await client.get("/v1/feeds/o-court")).status_code == 200
    assert (await client.get("/v1/messages")).status_code == 400


async def test_a_token_without_the_scope_is_refused(client_of: Client) -> None:
    answer = await client_of("o-court", COURT, "case:read").get("/v1/feeds/o-court")

    assert answer.status_code == 403


@pytest.mark.parametrize("query", ["after=5", "after=abcdefghij", "wait_seconds=31", "limit=0"])
async def test_what_is_no_cursor_is_refused(client_of: Client, query: str) -> None:
    answer = await client_of("o-court", COURT).get(f"/v1/feeds/o-court?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    told_in_both(answer.json())


async def test_a_long_poll_ends_with_the_first_entry(
    case: Case, runtime: Runtime, client_of: Client
) -> None:
    court = client_of("o-court", COURT)
    poll = asyncio.create_task(court.get("/v1/feeds/o-court?wait_seconds=20", timeout=25))
    await asyncio.sleep(0.2)
    await case.hear(a_referral(case.case_id))

    answer = await asyncio.wait_for(poll, 5)

    assert len(answer.json()["items"]) == 1


async def test_a_long_poll_without_news_ends_empty(case: Case, client_of: Client) -> None:
    await _a_case(case)
    court = client_of("o-court", COURT)
    end = (await court.get("/v1/feeds/o-court")).json()["next"]

    answer = await court.get(f"/v1/feeds/o-court?after={end}&wait_seconds=1")

    assert answer.json() == {"items": [], "next": end}


async def test_a_number_that_was_never_given_is_gone_as_after_a_restore(client_of: Client) -> None:
    answer = await client_of("o-court", COURT).get("/v1/feeds/o-court?after=0000000007")

    assert answer.status_code == 410
    assert "restored" in answer.json()["detail"]


async def test_a_cursor_below_the_oldest_entry_kept_is_gone(
    case: Case, runtime: Runtime, client_of: Client
) -> None:
    await _a_case(case)
    court = client_of("o-court", COURT)
    await _without_first_entry(runtime)

    answer = await court.get("/v1/feeds/o-court")

    assert answer.status_code == 410
    assert "0000000002" in answer.json()["detail"]
    assert (await court.get("/v1/feeds/o-court?after=0000000001")).status_code == 200


async def _without_first_entry(runtime: Runtime) -> None:
    """What a site does that moves old entries to an archive; the application itself cannot."""
    db = await asyncpg.connect(runtime.state["migrator_url"])
    try:
        await db.execute("ALTER TABLE feed_entry DISABLE TRIGGER feed_entry_final")
        await db.execute("DELETE FROM feed_entry WHERE feed_sequence = 1")
        await db.execute("ALTER TABLE feed_entry ENABLE TRIGGER feed_entry_final")
    finally:
        await db.close()


async def _purposes(client: httpx.AsyncClient) -> set[str]:
    items: list[dict[str, Any]] = (await client.get("/v1/messages")).json()["items"]
    return {item["purpose"] for item in items}


async def test_messages_are_seen_by_who_may_see_their_events(case: Case, client_of: Client) -> None:
    await _a_case(case)

    assert await _purposes(client_of("o-centre", CENTRE)) == {
        "case-registered",
        "session-scheduled",
    }
    assert await _purposes(client_of("o-court", COURT)) == {"case-registered"}
    assert await _purposes(client_of("o-police", POLICE)) == set()


async def test_a_message_is_read_with_its_tries_and_without_its_text(
    case: Case, runtime: Runtime, client_of: Client
) -> None:
    await _a_case(case)
    message_id = await runtime.pool.fetchval(
        "SELECT id FROM message WHERE purpose = 'session-scheduled' LIMIT 1"
    )
    path = f"/v1/messages/{message_id}"

    seen = await client_of("o-centre", CENTRE).get(path)

    assert seen.json()["tries"] == []
    assert "body" not in seen.json()
    assert (await client_of("o-court", COURT).get(path)).status_code == 404
    assert (await client_of("o-court", COURT).get(f"/v1/messages/{new_id()}")).status_code == 404


async def test_lists_of_messages_meet_page_by_page(case: Case, client_of: Client) -> None:
    await _a_case(case)
    centre = client_of("o-centre", CENTRE)

    first = (await centre.get("/v1/messages?limit=3")).json()
    rest = (await centre.get(f"/v1/messages?limit=3&cursor={first['next']}")).json()

    ids = [m["id"] for m in first["items"] + rest["items"]]
    assert (len(ids), len(set(ids)), rest["next"]) == (4, 4, None)
    wrong = await centre.get(f"/v1/messages?state=failed&cursor={first['next']}")
    assert wrong.json()["code"] == "cursor-invalid"


async def test_templates_are_shown_with_their_law(client_of: Client) -> None:
    court = client_of("o-court", COURT)

    items = (await court.get("/v1/templates")).json()["items"]
    one = (await court.get("/v1/templates/mediation-ended")).json()

    assert all(item["legal_basis"] for item in items)
    assert one["legal_basis"][0]["zh"] == "人民调解法 26"
    assert (await court.get("/v1/templates/nothing")).status_code == 404
