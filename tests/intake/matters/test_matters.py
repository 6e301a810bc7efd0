"""What is no dispute: each kind has its exit, its receipt and its answer (checklist 1.5, 1.29)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intake.matters.model import kinds
from tests.intake.world import CENTRE, COURT, POLICE, Intake, bearer, referral, token

pytestmark = pytest.mark.postgres
HOTLINE = "330681-HL-0001"
DISCIPLINE = "330681-DP-0009"
CONVENOR = "330681-DP-0008"
TOWN = "330681-GO-0004"
PLACE = "330681109000"  # Fengqiao
SCOPES = ("matter:read", "matter:write", "referral:write", "case:read")


class Desk:
    """Calls intake as desks do."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake

    async def post(self, path: str, body: Any, organisation: str, **headers: str) -> Any:
        head = {**bearer(token(organisation, *SCOPES)), **self.intake.key(), **headers}
        return await self.intake.http.post(path, json=body, headers=head)

    async def get(self, path: str, organisation: str) -> Any:
        return await self.intake.get(path, organisation, *SCOPES)

    async def take(self, kind: str, organisation: str = HOTLINE, **members: Any) -> Any:
        body = {
            "kind": kind,
            "place": PLACE,
            "title": "样例事项",
            "text": "样例内容",
            "person": {"name": "样甲", "phone": "19900000001"},
            **members,
        }
        return await self.post("/v1/matters", body, organisation)

    async def taken(self, kind: str, organisation: str = HOTLINE, **members: Any) -> Any:
        answer = await self.take(kind, organisation, **members)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def items(self, organisation: str, query: str = "") -> list[str]:
        answer = await self.get(f"/v1/matters{query}", organisation)
        return [item["number"] for item in answer.json()["items"]]


@pytest.fixture
def desk(intake: Intake) -> Desk:
    return Desk(intake)


@pytest.mark.parametrize(
    ("kind", "about", "holder"),
    [
        ("advice", None, HOTLINE),
        ("suggestion", None, HOTLINE),
        ("accusation", POLICE, DISCIPLINE),
        ("hazard", None, TOWN),
        ("handler_complaint", CENTRE, CONVENOR),
    ],
)
async def test_each_kind_goes_where_it_belongs_with_receipt_and_last_day(
    desk: Desk, kind: str, about: str | None, holder: str
) -> None:
    """checklist 1.5"""
    members = {"about": {"organisation": about}} if about else {}

    done = await desk.taken(kind, **members)

    assert done["go_to"]["organisation"] == holder
    assert done["number"].startswith("LM2026-330681-")
    assert len(done["secret"]) == 10
    assert done["until"]["on"]
    assert done["citation"]
    assert done["number"] in await desk.items(holder, "?mine=true")
    assert (await desk.intake.counts())["case_file"] == 0


async def test_advice_is_answered_and_the_person_reads_it_by_the_receipt(desk: Desk) -> None:
    """checklist 1.5: advice closes with an answer"""
    done = await desk.taken("advice")
    path = f"/v1/matters/{done['matter_id']}"

    answer = await desk.post(
        f"{path}/answers", {"text": "请携带身份证到窗口"}, HOTLINE, **{"If-Match": '"1"'}
    )
    reading = await desk.intake.http.post(
        f"/v1/receipts/{done['number']}/readings", json={"secret": done["secret"]}
    )

    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "answered"
    assert reading.json()["state"] == "answered"
    assert reading.json()["steps"][-1]["answer"] == "请携带身份证到窗口"
    assert (await desk.get("/v1/notices", HOTLINE)).json()["items"] == []


async def test_advice_that_becomes_a_dispute_keeps_the_day_of_asking(desk: Desk) -> None:
    """checklist 1.3, 1.5"""
    done = await desk.taken(
        "advice", CENTRE, request_made_at="2026-10-01T09:00:00+08:00",
        received_at="2026-10-01T09:00:00+08:00",
    )  # fmt: skip
    document = {**referral("转-1"), "lane": "pm", "request_made_at": "2026-11-20T09:00:00+08:00"}
    document["source"] = {**document["source"], "organisation": CENTRE}
    path = f"/v1/matters/{done['matter_id']}/conversions"

    answer = await desk.post(path, {"referral": document}, CENTRE, **{"If-Match": '"1"'})

    submitted = answer.json()["submitted"]
    assert answer.status_code == 201, answer.text
    assert submitted["request_made_at"] == "2026-10-01T01:00:00.000Z"
    events = await desk.intake.events(submitted["case_id"])
    assert events[1]["request_made_at"] == "2026-10-01T01:00:00.000Z"
    reading = await desk.intake.http.post(
        f"/v1/receipts/{done['number']}/readings", json={"secret": done["secret"]}
    )
    assert reading.json()["case_number"] == submitted["case_number"]
    again = await desk.post(path, {"referral": document}, CENTRE, **{"If-Match": '"2"'})
    assert again.status_code == 409


async def test_a_suggestion_is_answered_with_its_state_of_adoption_and_may_be_again(
    desk: Desk,
) -> None:
    """checklist 1.5"""
    done = await desk.taken("suggestion")
    path = f"/v1/matters/{done['matter_id']}/answers"

    bare = await desk.post(path, {"text": "谢谢"}, HOTLINE, **{"If-Match": '"1"'})
    first = await desk.post(
        path, {"text": "研究中", "adoption": "under_study"}, HOTLINE, **{"If-Match": '"1"'}
    )
    second = await desk.post(
        path, {"text": "已采纳", "adoption": "adopted"}, HOTLINE, **{"If-Match": '"2"'}
    )

    assert bare.json()["errors"][0]["code"] == "adoption_needed"
    assert first.json()["adoption"] == "under_study"
    assert second.json()["adoption"] == "adopted"


async def test_an_accusation_is_sealed_and_the_accused_body_and_its_line_see_nothing(
    desk: Desk,
) -> None:
    """checklist 1.5: F-21"""
    words = "样金丝雀控告内容"
    # Even where the accused body's own superior took it at its desk.
    done = await desk.taken(
        "accusation", "330681-PS-0001", text=words, about={"organisation": POLICE}
    )
    path = f"/v1/matters/{done['matter_id']}"

    for organisation in (POLICE, "330681-PS-0001", "330681-PS-0003", COURT):
        read = await desk.get(f"{path}?purpose=handling", organisation)
        assert read.status_code == 404
        assert await desk.items(organisation) == []
        assert (await desk.get("/v1/notices", organisation)).json()["items"] == []
    held = await desk.get(f"{path}?purpose=handling", DISCIPLINE)
    assert held.json()["content"]["text"] == words
    back = await desk.post(
        f"{path}/transfers",
        {"to": POLICE, "ground": "competent_there"},
        DISCIPLINE,
        **{"If-Match": held.headers["ETag"]},
    )
    assert back.json()["errors"][0]["code"] == "to_the_line"
    rows = await desk.intake.runtime.pool.fetch("SELECT * FROM matter")
    assert words not in repr([dict(row) for row in rows])


async def test_a_desk_that_took_an_accusation_sees_where_it_went_but_not_what_it_says(
    desk: Desk,
) -> None:
    done = await desk.taken("accusation", about={"organisation": POLICE})

    seen = (await desk.get(f"/v1/matters/{done['matter_id']}?purpose=handling", HOTLINE)).json()

    assert seen["holder"] == DISCIPLINE
    assert seen["content"] is None


async def test_a_complaint_about_a_handler_goes_outside_its_line_which_answers_404(
    desk: Desk,
) -> None:
    """checklist 1.29"""
    done = await desk.taken("handler_complaint", about={"organisation": CENTRE})
    path = f"/v1/matters/{done['matter_id']}"

    line = [
        await desk.get(path, organisation)
        for organisation in (CENTRE, "330600-CE-0001", "330681-CE-0002")
    ]

    assert [answer.status_code for answer in line] == [404, 404, 404]
    assert (await desk.get(path, CONVENOR)).status_code == 200
    about_convenor = await desk.taken("handler_complaint", about={"organisation": CONVENOR})
    assert about_convenor["go_to"]["organisation"] == DISCIPLINE


async def test_an_accusation_that_no_organ_may_take_waits_until_the_directory_names_one(
    desk: Desk,
) -> None:
    from intake.matters.handlers import deliver

    runtime = desk.intake.runtime
    discipline = runtime.directory.entries.pop(f"organisation:{DISCIPLINE}")
    done = await desk.taken("accusation", about={"organisation": POLICE})
    waited = await deliver(runtime)
    runtime.directory.entries[f"organisation:{DISCIPLINE}"] = discipline

    delivered = await deliver(runtime)

    assert done["go_to"]["organisation"] is None
    assert (waited, delivered) == (0, 1)
    assert await desk.items(DISCIPLINE, "?mine=true") == [done["number"]]


async def test_what_goes_onward_is_sent_only_when_party_and_receiver_have_a_notice_or_task(
    desk: Desk,
) -> None:
    """checklist 1.23: both are told"""
    done = await desk.taken("hazard")
    path = f"/v1/matters/{done['matter_id']}"
    mine = (await desk.get("/v1/notices", HOTLINE)).json()["items"]
    theirs = (await desk.get("/v1/notices", TOWN)).json()["items"]

    before = (await desk.get(path, HOTLINE)).json()
    await desk.get(path, TOWN)  # the receiver takes note
    after = (await desk.get(path, HOTLINE)).json()

    assert [n["recipient"] for n in mine] == ["party"]
    assert [n["recipient"] for n in theirs] == ["receiver"]
    assert before["sent"] is True
    assert {n["recipient"]: n["state"] for n in before["notices"]} == {
        "party": "task",
        "receiver": "task",
    }
    assert {n["recipient"]: n["state"] for n in after["notices"]} == {
        "party": "task",
        "receiver": "proved",
    }


async def test_an_anonymous_letter_is_registered_and_nobody_is_owed_a_notice(desk: Desk) -> None:
    """checklist 1.20: anonymous or addressless"""
    done = await desk.taken("hazard", person=None, channel="letter")

    seen = (await desk.get(f"/v1/matters/{done['matter_id']}", HOTLINE)).json()

    assert {n["recipient"]: n["state"] for n in seen["notices"]} == {
        "party": "not_owed",
        "receiver": "task",
    }
    assert (await desk.get("/v1/notices", HOTLINE)).json()["items"] == []


async def test_a_transfer_moves_the_task_and_the_version_guards_it(desk: Desk) -> None:
    done = await desk.taken("advice")
    path = f"/v1/matters/{done['matter_id']}/transfers"
    body = {"to": TOWN, "ground": "competent_there"}

    stale = await desk.post(path, body, HOTLINE, **{"If-Match": '"9"'})
    moved = await desk.post(path, body, HOTLINE, **{"If-Match": '"1"'})
    gone = await desk.post(path, body, HOTLINE, **{"If-Match": '"2"'})

    assert stale.status_code == 412
    assert moved.json()["holder"] == TOWN
    assert moved.json()["sent"] is True
    assert gone.status_code == 404


async def test_a_referral_of_another_kind_becomes_a_matter_and_is_answered_as_refused(
    intake: Intake, desk: Desk
) -> None:
    """checklist 1.4, 1.5: kind first"""
    document = referral("K-1", kind="accusation")
    document["legal_context"]["about_organisation"] = POLICE

    answer = await intake.post("/v1/referrals", document)
    again = await intake.post("/v1/referrals", document)

    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "refused")
    assert body["errors"][0]["code"] == "kind_not_a_dispute"
    assert body["refusal"]["go_to"]["organisation"] == DISCIPLINE
    assert again.json()["refusal"] == body["refusal"]
    assert (await intake.counts())["case_file"] == 0
    assert await desk.items(POLICE) == []


async def test_the_same_post_again_answers_the_same_and_another_content_is_a_conflict(
    desk: Desk,
) -> None:
    key = desk.intake.key()
    body = {"kind": "advice", "place": PLACE, "title": "样", "text": "样", "reference": "窗口-1"}

    first = await desk.post("/v1/matters", body, HOTLINE, **key)
    same = await desk.post("/v1/matters", body, HOTLINE, **key)
    by_reference = await desk.post("/v1/matters", body, HOTLINE)
    other = await desk.post("/v1/matters", {**body, "text": "另"}, HOTLINE)

    assert first.json() == same.json() == by_reference.json()
    assert other.json()["code"] == "reference-in-use"


async def test_what_is_wrong_with_a_matter_is_told(desk: Desk) -> None:
    nobody = await desk.take("accusation")
    nowhere = await desk.take("advice", place=None)
    unknown = await desk.take("hazard", place="999999000000")
    early = await desk.take("advice", received_at="2031-01-01T00:00:00+08:00")

    assert nobody.json()["errors"][0]["code"] == "about_needed"
    assert nowhere.json()["errors"][0]["code"] == "where_needed"
    assert unknown.json()["errors"][0]["code"] == "place_unknown"
    assert "in_future" in [e["code"] for e in early.json()["errors"]]


def ago(**length: int) -> str:
    return (datetime.now(UTC) - timedelta(**length)).isoformat()


def test_every_kind_has_a_time_limit_with_its_source_and_how_sure_it_is() -> None:
    """Checklist 1.5: data, cited; `site` where no law gives a number."""
    for kind in kinds().values():
        length = kind.answer_within
        assert length["n"] > 0
        assert length["unit"] in ("day", "workday")
        assert (length["certainty"] == "site") == (length["source"] == "site")
        assert (length["rule"] is None) == (length["source"] == "site")


async def test_an_overdue_matter_is_shown_so_found_so_and_figured_so(desk: Desk) -> None:
    """Checklist 1.5: the fifteen days of an accusation, the five workdays of advice."""
    accused = {"about": {"organisation": POLICE}}
    over = await desk.taken("accusation", received_at=ago(days=17), **accused)
    in_time = await desk.taken("accusation", received_at=ago(days=2), **accused)
    advice = await desk.taken("advice", received_at=ago(days=20))

    assert set(await desk.items(HOTLINE, "?overdue=true")) == {over["number"], advice["number"]}
    assert await desk.items(HOTLINE, "?overdue=false") == [in_time["number"]]
    assert await desk.items(DISCIPLINE, "?overdue=true&kind=accusation") == [over["number"]]
    shown = (await desk.get(f"/v1/matters/{over['matter_id']}", DISCIPLINE)).json()
    assert (shown["overdue"], shown["late"]) == (True, False)
    assert shown["due_source"] == "信访工作条例 22"
    counts = (await desk.get("/v1/matters/counts", HOTLINE)).json()
    assert (counts["taken"], counts["overdue"], counts["late"]) == (3, 2, 0)
    by_kind = {row["kind"]: (row["taken"], row["overdue"]) for row in counts["by_kind"]}
    assert by_kind == {"accusation": (2, 1), "advice": (1, 1)}
    assert (await desk.get("/v1/matters/counts", POLICE)).json()["taken"] == 0


async def test_an_answer_after_the_last_day_is_late_and_overdue_no_more(desk: Desk) -> None:
    """Checklist 1.5: once late, late for ever; a later word on a suggestion changes nothing."""
    taken = await desk.taken("suggestion", received_at=ago(days=70))
    path = f"/v1/matters/{taken['matter_id']}/answers"
    first, again = ({"text": "样", "adoption": a} for a in ("under_study", "adopted"))

    answered = await desk.post(path, first, HOTLINE, **{"If-Match": '"1"'})
    later = await desk.post(path, again, HOTLINE, **{"If-Match": '"2"'})

    assert (answered.json()["overdue"], answered.json()["late"]) == (False, True)
    assert later.json()["answered_at"] == answered.json()["answered_at"]
    counts = (await desk.get("/v1/matters/counts", HOTLINE)).json()
    assert (counts["overdue"], counts["late"]) == (0, 1)
    bad = await desk.get(
        "/v1/matters/counts?since=2026-11-24T00:00:00Z&until=2026-11-01T00:00:00Z", HOTLINE
    )
    assert bad.status_code == 400
