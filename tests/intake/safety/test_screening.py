"""The safety screen by REST: sealed answers, what travels, the alert, two people to dismiss it."""

import json
from typing import Any
from uuid import UUID

import pytest

from services.events.routing import LinkageAnswered, LinkageRequested, ParticipantJoined
from services.ids import new_id
from tests.intake.parties.test_representations import party_head, post
from tests.intake.safety.test_rules import CALM
from tests.intake.test_cases import SHEET, Story
from tests.intake.world import CENTRE, COURT, POLICE, Intake, bearer, sample, token

pytestmark = pytest.mark.postgres
SAFE = {"phone": "19955550000", "note": "只在白天，说是学校"}


async def screened(
    intake: Intake, case_id: str, by: str = COURT, *, ref: str = "p1", **answers: str
) -> Any:
    """A screening of a party with these answers beside harmless ones."""
    more = {k: answers.pop(k) for k in ("confirmed_by", "acted_by") if k in answers}
    body: dict[str, Any] = {
        "party_ref": ref,
        "form_version": 1,
        "answers": {**CALM, **answers},
        "confirmed_by": more.get("confirmed_by"),
    }
    if "phone_seen_by_others" in answers:
        body["safe_contact"] = SAFE
    head = {"Acted-By": more.get("acted_by", "s-1")}
    return await post(intake, f"/v1/cases/{case_id}/screenings", body, by, **head)


async def events(intake: Intake, case_id: str, kind: str) -> list[dict[str, Any]]:
    return [e for e in await intake.events(case_id) if e["type"] == f"liandiao.{kind}.v1"]


async def test_answers_are_sealed_and_only_what_they_change_travels(intake: Intake) -> None:
    """checklist 1.12: no joint session, hidden address; the answers never leave the vault."""
    case = await intake.registered()
    id_ = case["case_id"]

    answer = await screened(intake, id_, afraid_in_one_room="yes", address_to_be_hidden="yes")

    assert answer.status_code == 201, answer.text
    assert answer.json()["consequences"] == ["no_joint_session", "hidden_address"]
    assert answer.json()["answers"] is None
    (told,) = await events(intake, id_, "case.handling-constraints-changed")
    assert (told["joint_sessions"], told["shielded"], told["neutral_messages"]) == (
        False, True, False,
    )  # fmt: skip
    assert not (await intake.get(f"/v1/cases/{id_}")).json().get("joint_sessions", False)
    party = (await intake.get(f"/v1/cases/{id_}/parties?purpose=handling")).json()["parties"][0]
    assert party["protected"]["address"] is True
    whole = json.dumps(await intake.events(id_), ensure_ascii=False)
    assert "afraid_in_one_room" not in whole


async def test_the_answers_are_told_to_who_asked_for_a_purpose_and_it_is_logged(
    intake: Intake,
) -> None:
    """checklist 1.11, 1.12."""
    case = await intake.registered()
    story = Story(intake, case["case_id"])
    await story.offered()
    await screened(intake, case["case_id"], hurt_before="yes")
    path = f"/v1/cases/{case['case_id']}/screenings"

    async def answers(query: str, by: str) -> Any:
        found = (await intake.get(path + query, by, "party:read")).json()["items"]
        return [item["answers"] and item["answers"]["hurt_before"] for item in found]

    assert await answers("", COURT) == [None]
    assert await answers("?purpose=handling", CENTRE) == [None]
    assert await answers("?purpose=handling", COURT) == ["yes"]
    log = await intake.http.get("/v1/party/access-log", headers=await party_head(intake, case))
    assert [e["what"] for e in log.json()["items"]] == ["screening.read"]


async def test_notices_go_the_safe_way_alone_and_say_nothing(intake: Intake) -> None:
    """checklist 1.12: safe channel, neutral messages, at the contact endpoint."""
    case = await intake.registered()
    await post(
        intake,
        f"/v1/cases/{case['case_id']}/representations",
        {
            "party_ref": "p1",
            "representative": {"name": "丈夫样", "phone": "19900000321"},
            "relation": "spouse",
            "authority": "special",
        },
    )
    await screened(intake, case["case_id"], phone_seen_by_others="yes")
    head = bearer(token(None, "contact:read", connection="svc-notification"))
    ids = "&".join(f"party_id={r['party_id']}" for r in case["receipts"])

    items = (await intake.http.get(f"/v1/contacts?purpose=notice&{ids}", headers=head)).json()

    found = {item["party_id"]: item for item in items["items"]}
    safe, other = (found[r["party_id"]] for r in case["receipts"])
    assert (safe["phone"], safe["address"], safe["representative"]) == (SAFE["phone"], None, None)
    assert safe["neutral"]
    assert safe["safe_only"]
    assert safe["safe_note"] == SAFE["note"]
    assert not other["safe_only"]


async def test_without_a_safe_number_only_the_desk_is_left(intake: Intake) -> None:
    case = await intake.registered()
    await screened(intake, case["case_id"], free_to_speak="no")
    head = bearer(token(None, "contact:read", connection="svc-notification"))
    party = case["receipts"][0]["party_id"]

    items = (
        await intake.http.get(f"/v1/contacts?purpose=notice&party_id={party}", headers=head)
    ).json()["items"]

    assert (items[0]["phone"], items[0]["address"]) == (None, None)


async def test_protection_falls_away_by_two_people_and_never_by_the_party(intake: Intake) -> None:
    """checklist 1.12: what a party says later may be forced."""
    case = await intake.registered()
    id_ = case["case_id"]
    await screened(intake, id_, afraid_in_one_room="yes")
    own = {"form_version": 1, "answers": CALM}
    head = await party_head(intake, case)

    by_party = await intake.http.post("/v1/party/screenings", json=own, headers=head)
    alone = await screened(intake, id_)
    same = await screened(intake, id_, confirmed_by="s-1")
    two = await screened(intake, id_, confirmed_by="s-2")

    assert by_party.status_code == 201, by_party.text
    assert by_party.json()["consequences"] == ["no_joint_session"]
    for refused in (alone, same):
        assert refused.json()["errors"][0]["code"] == "second_person_required"
    assert (two.status_code, two.json()["consequences"]) == (201, [])
    told = await events(intake, id_, "case.handling-constraints-changed")
    assert [e["joint_sessions"] for e in told] == [False, True]


async def test_the_senders_concerns_bar_joint_sessions_whatever_a_screen_says(
    intake: Intake,
) -> None:
    document = sample("police_civil-divorce")
    case = (await intake.post("/v1/referrals", document, POLICE)).json()
    await screened(intake, case["case_id"], POLICE, afraid_in_one_room="yes")

    await screened(intake, case["case_id"], POLICE, confirmed_by="s-2")

    told = await events(intake, case["case_id"], "case.handling-constraints-changed")
    assert [e["joint_sessions"] for e in told] == [False, False]


async def test_a_correction_does_not_put_a_frightened_party_into_one_room(intake: Intake) -> None:
    case = await intake.registered()
    await screened(intake, case["case_id"], afraid_in_one_room="yes")

    done = await intake.post(
        f"/v1/referrals/{case['referral_id']}/corrections",
        {"reason": "错字", "changes": [{"pointer": "/title", "value": "借款"}]},
        **intake.key(),
        **{"If-Match": '"1"'},
    )

    assert done.status_code == 201, done.text
    told = await events(intake, case["case_id"], "case.handling-constraints-changed")
    assert [e["joint_sessions"] for e in told] == [False]


@pytest.mark.parametrize(
    ("body", "pointer", "rule"),
    [
        ({"form_version": 9}, "/form_version", "form_version_unknown"),
        ({"answers": {}}, "/answers/afraid_in_one_room", "answer_missing"),
        ({"occurred_at": "2999-01-01T00:00:00Z"}, "/occurred_at", "in_future"),
        ({"party_ref": "p9"}, "/party_ref", "party_unknown"),
    ],
)
async def test_a_screening_that_is_not_whole_is_refused(
    intake: Intake, body: dict[str, Any], pointer: str, rule: str
) -> None:
    case = await intake.registered()
    whole = {"party_ref": "p1", "form_version": 1, "answers": CALM}

    answer = await post(intake, f"/v1/cases/{case['case_id']}/screenings", {**whole, **body})

    assert answer.status_code == 422, answer.text
    assert (pointer, rule) in [(e["pointer"], e["code"]) for e in answer.json()["errors"]]


# -- alerts


async def linked(intake: Intake, case_id: str, alert_id: str) -> LinkageRequested:
    """What routing says when it has asked the police."""
    now = intake.runtime.clock.now()
    await intake.hear(
        ParticipantJoined(
            case_id=UUID(case_id),
            participation_id=new_id(),
            organisation=POLICE,
            role="linked",
            joined_at=now,
        ),
        1,
    )
    asked = LinkageRequested(
        case_id=UUID(case_id),
        linkage_id=new_id(),
        kind="alert",
        asked_by=COURT,
        asked=POLICE,
        items=("protect-a-person",),
        legal_basis="人民调解法 25",
        alert_id=UUID(alert_id),
        answer_by=now,
        requested_at=now,
    )
    await intake.hear(asked, 2)
    return asked


async def alerts(intake: Intake, case_id: str, by: str = COURT) -> list[dict[str, Any]]:
    found = (await intake.get(f"/v1/cases/{case_id}/alerts", by, "party:read")).json()
    items: list[dict[str, Any]] = found["items"]
    return items


async def test_a_threat_alerts_at_once_and_the_police_read_whom_to_protect(
    intake: Intake,
) -> None:
    """checklist 1.12 (N-06): the alert says nothing; the police ask intake, and it is logged."""
    case = await intake.registered()
    await screened(intake, case["case_id"], threatened_now="yes")
    (raised,) = await events(intake, case["case_id"], "alert.raised")
    assert set(raised) - {"type", "headers"} == {
        "case_id", "case_number", "alert_id", "raised_by", "legal_basis", "raised_at",
    }  # fmt: skip
    path = f"/v1/alerts/{raised['alert_id']}?purpose=handling"
    assert (await intake.get(path, POLICE, "party:read")).status_code == 404

    asked = await linked(intake, case["case_id"], raised["alert_id"])
    opened = await intake.get(path, POLICE, "party:read")

    assert opened.status_code == 200, opened.text
    found = opened.json()
    assert (found["kind"], found["ground"], found["state"]) == ("threat", "threatened_now", "asked")
    assert "反家庭暴力法" in found["law"]
    assert found["party"]["phone"].startswith("199")
    log = await intake.http.get("/v1/party/access-log", headers=await party_head(intake, case))
    assert [(e["what"], e["organisation"]) for e in log.json()["items"]] == [("alert.read", POLICE)]
    await intake.hear(
        LinkageAnswered(
            case_id=UUID(case["case_id"]),
            linkage_id=asked.linkage_id,
            kind="alert",
            asked=POLICE,
            result="done",
            answered_at=asked.requested_at,
        ),
        3,
    )
    assert [a["state"] for a in await alerts(intake, case["case_id"])] == ["answered"]


async def test_the_same_danger_told_again_alerts_once(intake: Intake) -> None:
    case = await intake.registered()

    for _ in range(2):
        assert (await screened(intake, case["case_id"], threatened_now="yes")).status_code == 201

    assert len(await events(intake, case["case_id"], "alert.raised")) == 1


async def test_a_child_in_danger_is_reported_and_one_person_cannot_dismiss_it(
    intake: Intake,
) -> None:
    """checklist 1.12: report duty at once, not dismissible by one user (N-07, N-08)."""
    case = await intake.registered()
    await screened(intake, case["case_id"], dependant_in_danger="yes")
    (raised,) = await events(intake, case["case_id"], "alert.raised")
    await linked(intake, case["case_id"], raised["alert_id"])
    path = f"/v1/alerts/{raised['alert_id']}/dismissals"
    body = {"ground": "mistaken_answer"}

    async def dismiss(staff: str | None, by: str = COURT) -> Any:
        return await post(intake, path, body, by, **({"Acted-By": staff} if staff else {}))

    nobody, first, same = await dismiss(None), await dismiss("s-1"), await dismiss("s-1")
    assert nobody.json()["errors"][0]["code"] == "staff_required"
    assert first.json() | {"alert_id": ""} == {
        "alert_id": "", "state": "asked", "dismissal_proposed": True,
    }  # fmt: skip
    assert same.json()["errors"][0]["code"] == "second_person_required"
    assert (await dismiss("s-9", POLICE)).status_code == 404
    assert await events(intake, case["case_id"], "alert.withdrawn") == []

    second = await dismiss("s-2")

    assert second.json()["state"] == "dismissed"
    assert len(await events(intake, case["case_id"], "alert.withdrawn")) == 1
    assert (await dismiss("s-3")).status_code == 409


async def test_civil_affairs_and_education_are_told_by_hand_where_no_machine_reaches_them(
    intake: Intake,
) -> None:
    """Checklist 1.12: a task with proof for whoever raised it (N-07, N-08)."""
    case = await intake.registered()
    await screened(intake, case["case_id"], dependant_in_danger="yes")
    await screened(intake, case["case_id"], dependant_in_danger="yes")  # again: nothing new
    (raised,) = await events(intake, case["case_id"], "alert.raised")
    desk = ("matter:read", "matter:write")

    tasks = (await intake.get("/v1/notices", COURT, *desk)).json()["items"]

    assert {(t["about"], t["subject_id"]) for t in tasks} == {
        ("report_civil_affairs", raised["alert_id"]),
        ("report_education", raised["alert_id"]),
    }
    assert all("未成年人保护法 11" in t["citation"] and t["due_at"] for t in tasks)
    assert (await intake.get("/v1/notices", POLICE, *desk)).json()["items"] == []
    proved = await intake.http.post(
        f"/v1/notices/{tasks[0]['notice_id']}/proofs",
        json={"means": "phone"},
        headers=bearer(token(COURT, *desk)),
    )
    assert (proved.json()["state"], proved.json()["means"]) == ("proved", "phone")
    for staff in ("s-1", "s-2"):
        path = f"/v1/alerts/{raised['alert_id']}/dismissals"
        body = {"ground": "mistaken_answer"}
        await post(intake, path, body, COURT, **{"Acted-By": staff})
    assert (await intake.get("/v1/notices", COURT, *desk)).json()["items"] == []


@pytest.fixture
def civil_affairs(intake: Intake) -> str:
    """The directory has an organ of civil affairs for the county."""
    code = "330681-DP-0021"
    organ = {"code": code, "kind": "department", "roles": ["civil_affairs"]}
    where = {"place": "330681000000", "parent": None, "active": True}
    intake.runtime.directory.put(f"organisation:{code}", 1, {**organ, **where})
    return code


async def test_civil_affairs_are_asked_by_machine_where_the_directory_has_them(
    intake: Intake, civil_affairs: str
) -> None:
    """Checklist 1.12: an alert of its own, beside that of the police; education stays by hand."""
    case = await intake.registered()

    await screened(intake, case["case_id"], dependant_in_danger="yes")

    raised = await events(intake, case["case_id"], "alert.raised")
    assert [alert.get("asks") for alert in raised] == [None, civil_affairs]
    assert "civil_affairs" not in json.dumps(raised)
    desk = ("matter:read", "matter:write")
    tasks = (await intake.get("/v1/notices", COURT, *desk)).json()["items"]
    assert [t["about"] for t in tasks] == ["report_education"]
    path = f"/v1/alerts/{raised[1]['alert_id']}?purpose=handling"
    opened = (await intake.get(path, COURT, "party:read")).json()
    assert (opened["kind"], opened["what_to_do_zh"][:4]) == ("report_civil_affairs", "强制报告")
    assert (await intake.get(path, civil_affairs, "party:read")).status_code == 404  # not asked yet


async def test_who_must_be_told_and_raises_it_itself_is_not_asked(
    intake: Intake, civil_affairs: str
) -> None:
    """Checklist 1.12: as for the police themselves."""
    organ = intake.runtime.directory.organisation(civil_affairs) or {}
    court = intake.runtime.directory.organisation(COURT) or {}
    intake.runtime.directory.put(f"organisation:{civil_affairs}", 2, {**organ, "active": False})
    intake.runtime.directory.put(f"organisation:{COURT}", 2, {**court, "roles": ["civil_affairs"]})
    case = await intake.registered()

    await screened(intake, case["case_id"], dependant_in_danger="yes")

    assert len(await events(intake, case["case_id"], "alert.raised")) == 1
    states = {a["asked"]: a["state"] for a in await alerts(intake, case["case_id"])}
    assert states == {None: "raised", COURT: "answered"}


async def test_a_threat_that_the_sender_names_alerts_with_the_registration(intake: Intake) -> None:
    """checklist 1.12: without waiting for acceptance (R-13)."""
    concern = {"kind": "threat_of_violence", "reported_by": "party"}

    case = await intake.registered("R-threat", safety={"concerns": [concern]})

    assert [e["type"] for e in await intake.events(case["case_id"])] == [
        "liandiao.referral.received.v1",
        "liandiao.case.registered.v1",
        "liandiao.alert.raised.v1",
    ]


async def test_what_the_police_themselves_tell_is_not_asked_of_them_again(intake: Intake) -> None:
    document = sample("police-boundary")
    document["safety"] = {"concerns": [{"kind": "threat_of_violence", "reported_by": "source"}]}
    organisation = document["source"]["organisation"]

    case = (await intake.post("/v1/referrals", document, organisation)).json()

    assert await events(intake, case["case_id"], "alert.raised") == []
    found = await alerts(intake, case["case_id"], organisation)
    assert {a["state"] for a in found} == {"answered"}


async def test_an_alert_that_nobody_was_asked_about_is_told_by_the_doctor(intake: Intake) -> None:
    from intake.wiring import INTAKE

    case = await intake.registered()
    await screened(intake, case["case_id"], threatened_now="yes")
    assert INTAKE.doctor is not None
    before = await INTAKE.doctor(intake.runtime)
    async with intake.runtime.unit_of_work() as uow:
        await uow.db.execute("UPDATE alert SET recorded_at = now() - interval '2 minutes'")

    after = await INTAKE.doctor(intake.runtime)

    assert [line for line in before if "alert" in line] == []
    assert [line for line in after if "110" in line]


async def test_protected_fields_leave_by_no_door(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    """checklist 1.11, 1.12: canaries in answers, contacts and names, searched in events, logs,
    errors, tables and in what others are shown."""
    case = await intake.registered()
    story = Story(intake, case["case_id"])
    await story.offered()
    await story.accepted()
    file = (await intake.get(f"/v1/cases/{case['case_id']}/parties?purpose=contact")).json()
    known = file["parties"][0]["phone"]
    await screened(intake, case["case_id"], phone_seen_by_others="yes", threatened_now="yes")
    await post(
        intake,
        f"/v1/cases/{case['case_id']}/screenings",
        {"party_ref": "p1", "form_version": 1, "answers": {**CALM, "龘哨兵": "yes"}},
    )
    refused = await post(
        intake,
        f"/v1/cases/{case['case_id']}/screenings",
        {
            "party_ref": "p1",
            "form_version": 1,
            "answers": CALM,
            "safe_contact": {"phone": "\x00龘"},
        },
    )
    head = bearer(token(None, *SHEET, connection="svc-mediation"))
    path = f"/v1/cases/{case['case_id']}/party-sheet?assignment_id={story.assignment_id}"
    sheet = (await intake.http.get(path, headers=head)).text
    canaries = (SAFE["phone"], SAFE["note"], "threatened_now", "phone_seen_by_others", "龘")

    searched = {
        "events": json.dumps(await intake.events(case["case_id"]), ensure_ascii=False),
        "logs": caplog.text,
        "errors": refused.text,
        "file": (await intake.get(f"/v1/cases/{case['case_id']}", CENTRE)).text,
        "timeline": (await intake.get(f"/v1/cases/{case['case_id']}/timeline", CENTRE)).text,
        "alerts": json.dumps(await alerts(intake, case["case_id"])),
        "tables": await _dump(intake),
    }

    assert refused.status_code == 422
    found = [(name, c) for name, text in searched.items() for c in canaries if c in text]
    assert found == []
    # The body that holds the case must reach the party: by the safe number, and it alone.
    assert SAFE["phone"] in sheet
    assert [c for c in ("threatened_now", "phone_seen_by_others", known) if c in sheet] == []


async def _dump(intake: Intake) -> str:
    """Every row of every table as text, as the superuser sees it; sealed bytes in hexadecimal."""
    import asyncpg

    db = await asyncpg.connect(intake.superuser_url)
    try:
        rows = []
        for name in sorted(await intake.counts()):
            rows += await db.fetch(f"SELECT t::text AS row FROM {name} t")
        return "\n".join(row["row"] for row in rows)
    finally:
        await db.close()
