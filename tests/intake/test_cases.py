"""The case file from events, leaving, closing, reopening, receipts, access, planted canaries."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from intake import repository
from services.events.mediation import (
    AssignmentAccepted,
    AssignmentEnded,
    AssignmentReturned,
    ConsentGiven,
    MediationEnded,
    MediatorAppointed,
)
from services.events.routing import (
    AssignmentOffered,
    Deadline,
    DeadlineChanged,
    DeadlineStarted,
    DeadlineStopped,
    ParticipantJoined,
    ParticipantLeft,
)
from services.ids import new_id
from tests.intake.world import (
    CENTRE,
    COURT,
    POLICE,
    Intake,
    bearer,
    referral,
    sample,
    token,
)

pytestmark = pytest.mark.postgres
SHEET = ("party-sheet:read",)


class Story:
    """Tells intake what routing and mediation said about one case."""

    def __init__(self, intake: Intake, case_id: str) -> None:
        self.intake, self.case_id = intake, UUID(case_id)
        self.sequences = {"routing": 0, "mediation": 0}
        self.episode = 1
        self.assignment_id = new_id()
        self.ordinal = 0

    async def say(self, event: Any) -> None:
        owner = event.spec.owner
        self.sequences[owner] += 1
        await self.intake.hear(event, self.sequences[owner], episode=self.episode)

    async def offered(self, organisation: str = CENTRE) -> None:
        """The organisation joins and gets a turn with its clock."""
        now = self.intake.runtime.clock.now()
        self.assignment_id, self.ordinal = new_id(), self.ordinal + 1
        self.participation_id = new_id()
        await self.say(
            ParticipantJoined(
                case_id=self.case_id,
                participation_id=self.participation_id,
                organisation=organisation,
                role="handler",
                joined_at=now,
            )
        )
        await self.say(
            AssignmentOffered(
                case_id=self.case_id,
                assignment_id=self.assignment_id,
                decision_id=new_id(),
                organisation=organisation,
                source_organisation=COURT,
                ordinal=self.ordinal,
                on_silence="reoffer",
                accept_by=now + timedelta(days=3),
                window={"n": 3, "unit": "workday"},
                offered_at=now,
                lane="court_pre",
                dispute_type="contract",
                place="330681001000",
                parties=(),
                received_at=now,
                registered_at=now,
            )
        )
        self.deadline = Deadline(
            clock_id=new_id(),
            kind="acceptance",
            rule="DL-CT-03",
            citation="法释〔2021〕23号 12",
            due_at=now + timedelta(days=3),
            due_on="2026-11-27",
            original_due_at=now + timedelta(days=3),
        )
        await self.say(
            DeadlineStarted(case_id=self.case_id, deadline=self.deadline, started_at=now)
        )

    def turn(self, organisation: str = CENTRE) -> dict[str, Any]:
        return {
            "case_id": self.case_id,
            "assignment_id": self.assignment_id,
            "organisation": organisation,
            "ordinal": self.ordinal,
        }

    async def accepted(self) -> None:
        now = self.intake.runtime.clock.now()
        await self.say(AssignmentAccepted(**self.turn(), mediation_id=new_id(), accepted_at=now))
        await self.say(
            DeadlineStopped(
                case_id=self.case_id, deadline=self.deadline, reason="accepted", stopped_at=now
            )
        )

    async def recalled(self) -> None:
        """The turn was taken back: no mediation comes to an outcome."""
        now = self.intake.runtime.clock.now()
        await self.say(AssignmentEnded(**self.turn(), end="recalled", ended_at=now))

    async def ended(self, end: str, outcome: str, *, handover: str | None = None) -> None:
        now = self.intake.runtime.clock.now()
        await self.say(
            MediationEnded(
                case_id=self.case_id,
                mediation_id=new_id(),
                assignment_id=self.assignment_id,
                organisation=CENTRE,
                outcome=outcome,
                succeeded=end == "completed",
                handover_sha256=handover,
                ended_at=now,
            )
        )
        await self.say(AssignmentEnded(**self.turn(), end=end, outcome=outcome, ended_at=now))


async def a_case(intake: Intake, reference: str = "R1", **members: Any) -> tuple[Any, Story]:
    done = await intake.registered(reference, **members)
    return done, Story(intake, done["case_id"])


async def read(intake: Intake, done: Any, organisation: str = COURT) -> Any:
    return (await intake.get(f"/v1/cases/{done['case_id']}", organisation)).json()


async def test_the_file_says_where_the_case_is_until_when_and_on_what_rule(intake: Intake) -> None:
    done, story = await a_case(intake)
    first = await read(intake, done)
    assert (first["holder"], first["stage"], first["due"]) == (COURT, "registered", None)

    await story.offered()
    offered = await read(intake, done)
    assert (offered["holder"], offered["stage"]) == (COURT, "offered")
    assert offered["due"]["rule"] == "DL-CT-03"
    assert offered["due"]["citation"] == "法释〔2021〕23号 12"
    assert offered["next_act"] == {"act": "accept_or_return", "by": CENTRE}

    await story.accepted()
    accepted = await read(intake, done, CENTRE)
    assert (accepted["holder"], accepted["stage"], accepted["due"]) == (CENTRE, "accepted", None)
    assert accepted["your_roles"] == ["handler"]
    assert [h["ground"] for h in accepted["holders"]] == ["first_receiver", "accepted"]
    assert accepted["as_of"]["intake"] == 2


async def test_a_batch_writes_what_was_heard_once_and_the_clock_as_it_stands_last(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    now = intake.runtime.clock.now()
    clock = Deadline(
        clock_id=new_id(),
        kind="term",
        rule="DL-CT-05",
        citation="L-09",
        due_at=now,
        due_on="2026-12-24",
        original_due_at=now,
    )
    moved = clock.model_copy(update={"due_at": now + timedelta(days=15)})

    await intake.hear_together(
        [
            DeadlineStarted(case_id=story.case_id, deadline=clock, started_at=now),
            DeadlineChanged(
                case_id=story.case_id,
                deadline=moved,
                reason="extended",
                previous_due_at=now,
                changed_at=now,
            ),
        ]
    )

    shown = await read(intake, done)
    assert [d["state"] for d in shown["deadlines"]] == ["running"]
    assert shown["due"]["due_at"] > shown["due"]["original_due_at"]
    path = f"/v1/cases/{done['case_id']}/timeline"
    types = [item["type"] for item in (await intake.get(path)).json()["items"]]
    assert [t for t in types if ".deadline." in t] == [
        "liandiao.deadline.changed.v1",
        "liandiao.deadline.started.v1",
    ]


async def test_a_return_gives_the_case_back_and_never_closes_it(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.say(
        AssignmentReturned(
            **story.turn(), ground="out_of_area", returned_at=intake.runtime.clock.now()
        )
    )
    back = await read(intake, done)
    assert (back["holder"], back["stage"], back["state"]) == (COURT, "registered", "open")

    await story.offered("330681-CE-0002")
    again = await read(intake, done)

    assert [a["state"] for a in again["assignments"]] == ["returned", "offered"]
    assert again["assignments"][0]["ground"] == "out_of_area"


async def test_a_completed_turn_closes_and_a_failed_one_waits_for_the_package(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    now = intake.runtime.clock.now()
    await story.say(
        MediatorAppointed(
            case_id=story.case_id,
            mediation_id=new_id(),
            assignment_id=story.assignment_id,
            mediator_id=new_id(),
            mode="appointed",
            appointed_at=now,
        )
    )
    assert (await read(intake, done))["stage"] == "mediating"
    await story.ended("completed", "agreed_written")
    closed = await read(intake, done)
    assert (closed["state"], closed["outcome"]) == ("closed", "agreed_written")
    assert (await intake.events(done["case_id"]))[-1]["type"] == "liandiao.case.closed.v1"

    other, failing = await a_case(intake, "R2")
    await failing.offered()
    await failing.accepted()
    await failing.ended("failed", "no_agreement")
    waiting = await read(intake, other)
    assert (waiting["state"], waiting["stage"], waiting["holder"]) == ("open", "failed", COURT)
    await failing.say(
        MediationEnded(
            case_id=failing.case_id,
            mediation_id=new_id(),
            assignment_id=failing.assignment_id,
            organisation=CENTRE,
            outcome="no_agreement",
            succeeded=False,
            handover_sha256="0" * 64,
            ended_at=now,
        )
    )
    assert (await read(intake, other))["outcome"] == "no_agreement"


async def test_nobody_ceases_to_hold_a_case_before_he_began(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    earlier = intake.runtime.clock.now() - timedelta(hours=1)  # a party had left by then

    await story.say(
        AssignmentEnded(**story.turn(), end="failed", outcome="withdrawn", ended_at=earlier)
    )

    held = (await read(intake, done))["holders"]
    assert [h["organisation"] for h in held] == [COURT, CENTRE, COURT]
    assert held[2]["since"] == held[1]["since"] == (await read(intake, done))["held_since"]


async def test_events_of_an_older_round_are_recorded_and_change_nothing(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    await story.ended("completed", "agreed_written")
    head = {**intake.key(), "If-Match": f'"{(await read(intake, done))["version"]}"'}
    path = f"/v1/cases/{done['case_id']}/reopenings"
    answer = await intake.post(path, {"ground": "agreement_breached"}, **head)
    again = await intake.post(path, {"ground": "agreement_breached"}, **head)
    assert (answer.status_code, answer.json()["episode"]) == (201, 2)
    assert again.json() == answer.json()

    await story.say(
        AssignmentEnded(**story.turn(), end="completed", ended_at=story.deadline.due_at)
    )

    shown = await read(intake, done)
    assert (shown["state"], shown["episode"], shown["holder"]) == ("open", 2, COURT)
    reopened = (await intake.events(done["case_id"]))[-1]
    assert (reopened["type"], reopened["headers"]["ce_episode"]) == (
        "liandiao.case.reopened.v1",
        "2",
    )
    assert {p["party_consent"] for p in reopened["parties"]} == {"unknown"}


async def test_a_case_is_not_reopened_too_late(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.ended("completed", "agreed_written")
    intake.runtime.clock.offset = timedelta(days=30)
    path = f"/v1/cases/{done['case_id']}/reopenings"
    version = {"If-Match": f'"{(await read(intake, done))["version"]}"'}

    late = await intake.post(path, {"ground": "new_facts"}, **intake.key(), **version)
    court = await intake.post(path, {"ground": "set_aside_by_court"}, **intake.key(), **version)

    assert (late.status_code, court.status_code) == (409, 201)


async def test_a_lane_changes_by_the_sender_with_the_version_it_read(intake: Intake) -> None:
    done, _ = await a_case(intake)
    path = f"/v1/cases/{done['case_id']}/lane-changes"
    body = {"to_lane": "court_post", "ground": "filed"}

    unversioned = await intake.post(path, body, **intake.key())
    stale = await intake.post(path, body, **intake.key(), **{"If-Match": '"9"'})
    wrong = await intake.post(
        path, {**body, "to_lane": "police"}, **intake.key(), **{"If-Match": '"1"'}
    )
    moved = await intake.post(path, body, **intake.key(), **{"If-Match": '"1"'})

    assert [a.status_code for a in (unversioned, stale, wrong, moved)] == [428, 412, 422, 201]
    assert (moved.json()["lane"], moved.headers["ETag"]) == ("court_post", '"2"')
    event = (await intake.events(done["case_id"]))[-1]
    assert (event["from_lane"], event["to_lane"]) == ("court_pre", "court_post")


# -- leaving


async def test_leaving_is_never_refused_and_a_repeat_answers_the_first(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    path = f"/v1/cases/{done['case_id']}/departures"

    first = await intake.post(path, {"party_ref": "p2"})
    again = await intake.post(path, {"party_id": done["receipts"][1]["party_id"]})

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (await read(intake, done))["state"] == "open"  # mediation ends what it began
    await story.ended("failed", "refused", handover="0" * 64)
    assert (await read(intake, done))["outcome"] == "refused"
    late = await intake.post(path, {"party_ref": "p1"})
    assert late.status_code == 201


async def test_nobody_leaves_in_the_future_or_as_somebody_else(intake: Intake) -> None:
    done, _ = await a_case(intake)
    path = f"/v1/cases/{done['case_id']}/departures"

    future = await intake.post(path, {"party_ref": "p1", "left_at": "2999-01-01T00:00:00Z"})
    stranger = await intake.post(path, {"party_ref": "p7"})
    nobody = await intake.post(path, {})
    other = await intake.post(path, {"party_ref": "p1"}, POLICE)

    assert [a.status_code for a in (future, stranger, nobody, other)] == [422, 422, 422, 404]


@pytest.mark.parametrize(("ref", "outcome"), [("p1", "withdrawn"), ("p2", "refused")])
@pytest.mark.parametrize("way", ["receipt", "desk", "phone", "letter", "agency"])
async def test_one_call_to_leave_by_any_way_closes_the_case_and_states_who_left(
    intake: Intake, way: str, ref: str, outcome: str
) -> None:
    """Checklist 1.17: one call, no reason; nobody has a turn, and a side is empty."""
    done, _ = await a_case(intake)
    receipt = done["receipts"][int(ref[1]) - 1]
    path = f"/v1/cases/{done['case_id']}/departures"

    if way == "receipt":
        answer = await intake.http.post(
            f"/v1/receipts/{receipt['number']}/tokens", json={"secret": receipt["secret"]}
        )
        head = bearer(answer.json()["access_token"])
        left = await intake.http.post("/v1/party/departures", headers=head)
    elif way == "agency":
        left = await intake.post(path, {"party_id": receipt["party_id"]})
    else:
        left = await intake.post(path, {"party_ref": ref, "way": way})

    assert left.status_code == 201
    shown = await read(intake, done)
    assert (shown["state"], shown["outcome"]) == ("closed", outcome)
    said = [e for e in await intake.events(done["case_id"]) if "party.left" in e["type"]]
    assert [e["role"] for e in said] == ["applicant" if ref == "p1" else "respondent"]
    note = await intake.runtime.pool.fetchval(
        "SELECT detail->>'way' FROM audit_entry WHERE action = 'party.left'"
    )
    assert note == ("desk" if way == "agency" else way)


async def test_a_side_that_left_during_a_recall_closes_the_case_when_the_turn_has_ended(
    intake: Intake,
) -> None:
    """Mediation heard the recall first, then the departure, and had nothing left to end."""
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    await intake.post(f"/v1/cases/{done['case_id']}/departures", {"party_ref": "p2"})
    assert (await read(intake, done))["state"] == "open"

    await story.recalled()

    shown = await read(intake, done)
    assert (shown["state"], shown["outcome"]) == ("closed", "refused")


async def test_a_turn_taken_back_closes_nothing_while_each_side_has_somebody(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()

    await story.recalled()

    shown = await read(intake, done)
    assert (shown["state"], shown["stage"]) == ("open", "registered")


# -- the parties' own


async def party_token(intake: Intake, receipt: Any) -> dict[str, str]:
    answer = await intake.http.post(
        f"/v1/receipts/{receipt['number']}/tokens", json={"secret": receipt["secret"]}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires_in"] == 900
    return bearer(answer.json()["access_token"])


async def test_a_party_follows_its_case_with_the_receipt(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    await intake.get(f"/v1/cases/{done['case_id']}/parties?purpose=handling", CENTRE)
    head = await party_token(intake, done["receipts"][1])

    shown = (await intake.http.get("/v1/party/case", headers=head)).json()
    log = (await intake.http.get("/v1/party/access-log", headers=head)).json()["items"]
    left = await intake.http.post("/v1/party/departures", headers=head)

    assert shown["holder"]["organisation"]["name_zh"] == "诸暨市社会治理中心"
    assert shown["your_role"] == "respondent"
    assert [s["what"] for s in shown["steps"]] == [
        "case.registered",
        "assignment.offered",
        "assignment.accepted",
    ]
    assert [(e["organisation"], e["purpose"], e["client"]) for e in log] == [
        (CENTRE, "handling", None)
    ]
    assert (left.status_code, left.json()["told_by"]) == (201, "party")
    for path in (f"/v1/cases/{done['case_id']}", "/v1/referrals"):
        assert (await intake.http.get(path, headers=head)).status_code == 401


async def test_a_lost_receipt_is_replaced_and_the_old_one_opens_nothing(intake: Intake) -> None:
    done, _ = await a_case(intake)
    old, other = done["receipts"][0], done["receipts"][1]
    path = f"/v1/referrals/{done['referral_id']}/receipts"
    key, other_key = ({"Idempotency-Key": f"key-{uuid4()}"} for _ in range(2))

    seen = {"document_seen": "resident_id_card"}
    first = await intake.post(path, {"party_ref": "p1", **seen}, **key)
    again = await intake.post(path, {"party_ref": "p1", **seen}, **key)

    new = first.json()
    assert (first.status_code, again.json()) == (201, new)
    assert (new["party_id"], new["number"]) == (old["party_id"], old["number"])
    assert new["secret"] != old["secret"]
    dead = await intake.http.post(
        f"/v1/receipts/{old['number']}/tokens", json={"secret": old["secret"]}
    )
    assert dead.status_code == 401
    head = await party_token(intake, new)
    await party_token(intake, other)
    log = (await intake.http.get("/v1/party/access-log", headers=head)).json()["items"]
    assert [e["what"] for e in log] == ["receipt.replaced"]
    stranger = await intake.post(path, {"party_ref": "p1", **seen}, POLICE, **other_key)
    nobody = await intake.post(path, {"party_ref": "p9", **seen}, **other_key)
    assert (stranger.status_code, nobody.status_code) == (404, 422)


async def test_ten_wrong_tries_lock_one_address_and_unknown_numbers_alike(intake: Intake) -> None:
    done, _ = await a_case(intake)
    receipt = done["receipts"][0]
    unknown = "LD2026-330681-9999999-0"

    for number in (receipt["number"], unknown, "nonsense"):
        path = f"/v1/receipts/{number}/tokens"
        tries = [
            (await intake.http.post(path, json={"secret": "AAAAAAAAAA"})).status_code
            for _ in range(12)
        ]
        assert tries == [401] * 10 + [429, 429]

    path = f"/v1/receipts/{receipt['number']}/tokens"
    right = await intake.http.post(path, json={"secret": receipt["secret"]})
    assert right.status_code == 429
    assert 0 < int(right.headers["Retry-After"]) <= 900
    async with intake.runtime.pool.acquire() as db:
        await db.execute("UPDATE receipt_try SET since = now() - interval '901 seconds'")
    await party_token(intake, receipt)
    assert (await intake.counts())["receipt_try"] == 2


# -- who may see what


async def test_not_yours_and_not_there_look_the_same(intake: Intake) -> None:
    done, _ = await a_case(intake)
    ours, nowhere = done["case_id"], str(new_id())

    for path in ("", "/timeline", "/parties?purpose=handling", "/access-log"):
        found = [
            (await intake.get(f"/v1/cases/{case_id}{path}", POLICE)).json()
            for case_id in (ours, nowhere)
        ]
        for answer in found:
            answer.pop("instance"), answer.pop("trace_id")
        assert found[0] == found[1]
        assert found[0]["status"] == 404
    assert (await intake.get("/v1/cases", POLICE)).json()["items"] == []


async def test_a_handler_loses_sight_when_its_part_ends(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    assert (await intake.get(f"/v1/cases/{done['case_id']}", CENTRE)).status_code == 200
    assert len((await intake.get("/v1/cases?stage=offered", CENTRE)).json()["items"]) == 1

    await story.say(
        ParticipantLeft(
            case_id=story.case_id,
            participation_id=story.participation_id,
            organisation=CENTRE,
            role="handler",
            reason="returned",
            left_at=intake.runtime.clock.now(),
        )
    )

    assert (await intake.get(f"/v1/cases/{done['case_id']}", CENTRE)).status_code == 404
    assert (await intake.get("/v1/cases", CENTRE)).json()["items"] == []


async def test_the_source_sees_no_consent_and_no_session_on_the_timeline(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.say(
        ConsentGiven(
            case_id=story.case_id,
            consent_id=new_id(),
            mediation_id=new_id(),
            party_id=new_id(),
            step="mediation",
            given_at=intake.runtime.clock.now(),
        )
    )

    shares = {}
    for organisation in (COURT, CENTRE):
        path = f"/v1/cases/{done['case_id']}/timeline"
        items = (await intake.get(path, organisation)).json()["items"]
        shares[organisation] = [item["type"] for item in items]

    assert "liandiao.consent.given.v1" not in shares[COURT]
    assert "liandiao.consent.given.v1" in shares[CENTRE]
    assert "liandiao.referral.received.v1" in shares[COURT]
    first = (await intake.get(f"/v1/cases/{done['case_id']}/timeline?limit=2")).json()
    path = f"/v1/cases/{done['case_id']}/timeline?limit=200&cursor={first['next']}"
    rest = (await intake.get(path)).json()
    assert [i["type"] for i in first["items"] + rest["items"]] == shares[COURT]


async def test_the_database_itself_keeps_the_vault_shut(intake: Intake) -> None:
    done, _ = await a_case(intake)
    case_id = UUID(done["case_id"])

    seen = {}
    for organisation in (COURT, POLICE, "", "*"):
        async with intake.runtime.unit_of_work(organisation=organisation, readonly=True) as uow:
            seen[organisation] = len(await repository.sealed_parties(uow, case_id))

    assert seen == {COURT: 2, POLICE: 0, "": 0, "*": 2}


async def test_the_party_sheet_is_for_mediation_and_its_accepted_turn(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    service = bearer(token(None, *SHEET, connection="svc-mediation"))
    path = f"/v1/cases/{done['case_id']}/party-sheet?assignment_id="

    sheet = await intake.http.get(f"{path}{story.assignment_id}", headers=service)
    early = await intake.http.get(f"{path}{new_id()}", headers=service)
    client = await intake.get(f"{path}{story.assignment_id}", CENTRE, *SHEET)

    assert sheet.status_code == 200, sheet.text
    assert sheet.json()["parties"][0]["name"] == referral()["parties"][0]["name"]
    assert sheet.json()["claims"] == referral()["claims"]
    assert (early.status_code, client.status_code) == (503, 403)
    log = (await intake.get(f"/v1/cases/{done['case_id']}/access-log")).json()["items"]
    assert [(e["what"], e["organisation"]) for e in log] == [("party_sheet.read", CENTRE)]


async def test_of_three_one_leaves_and_sees_what_was_until_then_while_the_others_go_on(
    intake: Intake,
) -> None:
    people = referral()["parties"]
    second = {**people[0], "ref": "p3", "name": "样例共同申请人"}
    done, story = await a_case(intake, parties=[*people, second])
    await story.offered()
    receipt = next(r for r in done["receipts"] if r["ref"] == "p3")
    head = await party_token(intake, receipt)
    await intake.http.post("/v1/party/departures", headers=head)
    await story.accepted()
    path = f"/v1/cases/{done['case_id']}/party-sheet?assignment_id={story.assignment_id}"
    service = bearer(token(None, *SHEET, connection="svc-mediation"))

    sheet = (await intake.http.get(path, headers=service)).json()
    seen = (await intake.http.get("/v1/party/case", headers=head)).json()

    assert [p["ref"] for p in sheet["parties"]] == ["p1", "p2"]
    assert seen["you_left_at"] is not None
    assert "assignment.accepted" not in [step["what"] for step in seen["steps"]]
    assert (seen["due"], seen["next_act"]) == (None, None)
    assert (await read(intake, done))["state"] == "open"


async def test_a_contact_is_told_to_notification_alone(intake: Intake) -> None:
    done, _ = await a_case(intake)
    party_id, nobody = done["receipts"][0]["party_id"], uuid4()
    path = f"/v1/contacts?purpose=notice&party_id={party_id}&party_id={nobody}"
    service = bearer(token(None, "contact:read", connection="svc-notification"))

    found = await intake.http.get(path, headers=service)
    client = await intake.get(path, COURT, "contact:read")

    (item,) = found.json()["items"]
    assert (item["party_id"], item["phone"]) == (party_id, referral()["parties"][0]["phone"])
    assert item["neutral"] is False
    assert client.status_code == 403


async def test_the_access_log_cannot_be_changed(intake: Intake) -> None:
    await a_case(intake)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await intake.runtime.pool.execute("DELETE FROM audit_entry")
    with pytest.raises(asyncpg.RaiseError):
        await intake.runtime.pool.execute("UPDATE audit_entry SET actor = 'nobody'")


# -- planted canaries


async def test_no_personal_data_is_outside_the_vault(
    intake: Intake, capfd: pytest.CaptureFixture[str]
) -> None:
    """Names, numbers, phones and texts of a referral appear in no clear column, answer or log."""
    document = sample("police_civil")
    canaries = [document["title"], document["summary"], document["source"]["contact"]["phone"]]
    for party in document["parties"]:
        canaries += [party["name"], party["id"]["number"], party["phone"], party["address"]]
        canaries.append(party["birth_date"])
    canaries += [claim for claim in document["claims"]]
    organisation = document["source"]["organisation"]
    done = (await intake.post("/v1/referrals", document, organisation)).json()
    wrong = {**document, "claim_fen": document["title"], document["parties"][0]["phone"]: 1}
    wrong["source"] = {**document["source"], "reference": "R9"}
    refused = await intake.post("/v1/referrals", wrong, organisation)
    changes = [{"pointer": "/parties/0/phone", "value": "19900009999"}]
    await intake.post(
        f"/v1/referrals/{done['referral_id']}/corrections",
        {"reason": canaries[0], "changes": changes},
        organisation,
        **intake.key(),
        **{"If-Match": '"1"'},
    )
    for receipt in done["receipts"]:
        canaries.append(receipt["secret"])
    await intake.get(f"/v1/cases/{done['case_id']}/parties?purpose=handling", organisation)

    db = await asyncpg.connect(intake.superuser_url)
    try:
        tables = sorted(intake.runtime.service.schema().metadata.tables)
        clear = {t: await db.fetchval(f"SELECT json_agg(x)::text FROM {t} x") for t in tables}
        blobs = await db.fetch("SELECT data FROM outbox")
    finally:
        await db.close()
    clear["outbox data"] = "".join(bytes(row["data"]).decode() for row in blobs)
    clear["answer"] = refused.text
    clear["log"] = "".join(capfd.readouterr())
    clear.pop("directory_entry")
    hexed = {text.encode().hex() for text in canaries}
    found = [
        (place, text)
        for place, content in clear.items()
        for text in {*canaries, *hexed, *(json.dumps(c)[1:-1] for c in canaries)}
        if text in (content or "")
    ]

    assert found == []
    assert "concern" not in clear["outbox data"]
    assert '"joint_sessions":false' in clear["outbox data"]
