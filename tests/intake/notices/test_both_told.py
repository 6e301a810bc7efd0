"""Both are told (双告知) whenever a case is passed on: each party and the receiver, with proof."""

from typing import Any

import pytest

from intake.notices import model
from services.events.notification import Delivery, MessageDelivered
from services.ids import new_id
from tests.intake.test_cases import Story, a_case
from tests.intake.world import CENTRE, COURT, POLICE, Intake, bearer, sample, token

pytestmark = pytest.mark.postgres
DESK = ("matter:read", "matter:write", "case:read")
COMMITTEE = "330681-CM-0007"


async def turns(intake: Intake, done: Any, organisation: str = COURT) -> Any:
    answer = await intake.get(f"/v1/cases/{done['case_id']}/notices", organisation)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def delivered(intake: Intake, story: Story, **whom: Any) -> None:
    """Notification's channel took a message."""
    story.sequences.setdefault("notification", 0)
    message = Delivery(
        message_id=new_id(), channel="sms", delivered_at=intake.runtime.clock.now(), **whom
    )
    await story.say(MessageDelivered(case_id=story.case_id, about=new_id(), deliveries=(message,)))


async def own_head(intake: Intake, receipt: Any) -> dict[str, str]:
    answer = await intake.http.post(
        f"/v1/receipts/{receipt['number']}/tokens", json={"secret": receipt["secret"]}
    )
    return bearer(answer.json()["access_token"])


async def test_a_turn_owes_one_notice_to_each_party_and_one_to_the_receiver(
    intake: Intake,
) -> None:
    """Checklist 1.23: where, on which basis, until when; sent only with a task for both."""
    done, story = await a_case(intake)
    assert await turns(intake, done) == []

    await story.offered()

    (turn,) = await turns(intake, done)
    parties = {r["party_id"] for r in done["receipts"]}
    to_party = [n for n in turn["notices"] if n["recipient"] == "party"]
    (to_receiver,) = [n for n in turn["notices"] if n["recipient"] == "receiver"]
    assert (turn["organisation"], turn["sent"], turn["told"]) == (CENTRE, True, "none")
    assert {n["party_id"] for n in to_party} == parties
    assert {(n["to_organisation"], n["organisation"]) for n in to_party} == {(CENTRE, COURT)}
    assert {n["citation"] for n in to_party} == {"法释〔2021〕23号 24"}
    assert to_receiver["organisation"] == CENTRE
    assert {n["due_at"] for n in turn["notices"]} == {turn["accept_by"]}
    stranger = await intake.get(f"/v1/cases/{done['case_id']}/notices", POLICE)
    assert stranger.status_code == 404


async def test_an_answer_a_message_and_a_reading_are_proof(intake: Intake) -> None:
    """Checklist 1.23: proof of the receiver and of each party."""
    done, story = await a_case(intake)
    await story.offered()
    first, second = done["receipts"]

    await story.accepted()
    answered = (await turns(intake, done))[0]["told"]
    await intake.http.get("/v1/party/case", headers=await own_head(intake, first))
    half = (await turns(intake, done))[0]["told"]
    await delivered(
        intake, story, purpose="session-moved", recipient_kind="party", party_id=second["party_id"]
    )
    of_another_thing = (await turns(intake, done))[0]["told"]
    await delivered(
        intake, story, purpose="case-accepted", recipient_kind="party", party_id=second["party_id"]
    )

    (turn,) = await turns(intake, done, CENTRE)
    assert (answered, half, of_another_thing, turn["told"]) == (
        "receiver",
        "receiver",
        "receiver",
        "both",
    )
    assert {n["means"] for n in turn["notices"]} == {"note_taken", "electronic"}


async def test_a_party_reads_also_while_recovery_lets_nobody_write(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checklist 1.23: its notice stays open until it reads again."""
    done, story = await a_case(intake)
    await story.offered()
    await story.accepted()
    first, _ = done["receipts"]
    head = await own_head(intake, first)

    with monkeypatch.context() as recovery:
        recovery.setattr(intake.runtime, "writes_allowed", False)
        barred = await intake.http.get("/v1/party/case", headers=head)
    told = await turns(intake, done)
    await intake.http.get("/v1/party/case", headers=head)
    later = await turns(intake, done)

    assert barred.status_code == 200
    assert [n["state"] for n in told[0]["notices"] if n["recipient"] == "party"] == ["task"] * 2
    assert sorted(n["state"] for n in later[0]["notices"] if n["recipient"] == "party") == [
        "proved",
        "task",
    ]


async def test_the_desk_proves_by_hand_what_no_machine_has_told(intake: Intake) -> None:
    """Checklist 1.23: a task of the desk that sent the case, and of the receiver."""
    done, story = await a_case(intake)
    await story.offered()
    tasks = (await intake.get("/v1/notices", COURT, *DESK)).json()["items"]

    for task in tasks:
        head = bearer(token(COURT, *DESK))
        proved = await intake.http.post(
            f"/v1/notices/{task['notice_id']}/proofs", json={"means": "phone"}, headers=head
        )
        assert proved.status_code == 200, proved.text
    await delivered(
        intake, story, purpose="case-offered", recipient_kind="organisation", organisation=CENTRE
    )

    assert [task["about"] for task in tasks] == ["offered", "offered"]
    assert (await turns(intake, done))[0]["told"] == "both"
    assert (await intake.get("/v1/notices", COURT, *DESK)).json()["items"] == []


async def test_passed_on_again_owes_both_anew_and_a_repeat_of_the_event_nothing(
    intake: Intake,
) -> None:
    """Checklist 1.23: on every referral onward."""
    done, story = await a_case(intake)
    await story.offered()
    await story.recalled()
    story.assignment_id = new_id()
    await story.offered(COMMITTEE)

    found = await turns(intake, done)

    assert [(t["organisation"], t["sent"]) for t in found] == [(CENTRE, True), (COMMITTEE, True)]
    assert [len(t["notices"]) for t in found] == [3, 3]


async def test_who_left_is_told_nothing_more_and_nobody_named_is_owed_nothing(
    intake: Intake,
) -> None:
    """Checklist 1.23: 信访工作条例 23."""
    another = {
        "ref": "p3", "role": "respondent", "kind": "person", "name": "样丙",
        "consent": {"state": "unknown", "on": None},
    }  # fmt: skip
    unreached = {**another, "ref": "p4", "name": "样丁"}
    people = [*sample("court_pre-loan")["parties"], another, unreached]
    done, story = await a_case(intake, parties=people)
    ids = {r["ref"]: r["party_id"] for r in done["receipts"]}
    await intake.post(f"/v1/cases/{done['case_id']}/departures", {"party_id": ids["p3"]})

    await story.offered()

    (turn,) = await turns(intake, done)
    states = {n["party_id"]: n["state"] for n in turn["notices"] if n["recipient"] == "party"}
    assert states == {ids["p1"]: "task", ids["p2"]: "task", ids["p4"]: "not_owed"}


async def name_later(intake: Intake, done: Any, ref: str, version: int, **members: Any) -> str:
    """A party that became known only after the case was passed on."""
    later = {
        "ref": ref, "role": "third_party", "kind": "person", "name": "样丙",
        "consent": {"state": "unknown", "on": None}, **members,
    }  # fmt: skip
    change = {"pointer": "/parties/-", "value": later}
    answer = await intake.post(
        f"/v1/referrals/{done['referral_id']}/corrections",
        {"reason": "补列当事人", "changes": [change]},
        **intake.key(),
        **{"If-Match": f'"{version}"'},
    )
    assert answer.status_code == 201, answer.text
    added = [e for e in await intake.events(done["case_id"]) if e.get("added")]
    return str(added[-1]["party_id"])


async def test_who_is_named_after_the_offer_is_told_of_the_turn_that_runs(intake: Intake) -> None:
    """Checklist 1.23: of every referral onward, whoever the party is."""
    done, story = await a_case(intake)
    await story.offered()
    await story.recalled()
    await story.offered(COMMITTEE)
    for receipt in done["receipts"]:
        await intake.http.get("/v1/party/case", headers=await own_head(intake, receipt))
    reached = await name_later(intake, done, "p3", 1, phone="19900000123")
    nobody = await name_later(intake, done, "p4", 2)

    over, running = await turns(intake, done)
    by_party = {n["party_id"]: n for n in running["notices"] if n["recipient"] == "party"}
    newcomer = by_party[reached]
    assert {reached, nobody}.isdisjoint(n["party_id"] for n in over["notices"])
    assert (newcomer["state"], by_party[nobody]["state"]) == ("task", "not_owed")
    assert (newcomer["organisation"], newcomer["to_organisation"]) == (COURT, COMMITTEE)
    assert (newcomer["citation"], newcomer["due_at"]) == (
        "法释〔2021〕23号 24",
        running["accept_by"],
    )
    assert (running["sent"], running["told"]) == (True, "none")
    (task,) = (await intake.get("/v1/notices", COURT, *DESK)).json()["items"]
    assert task["notice_id"] == newcomer["notice_id"]
    await delivered(
        intake, story, purpose="case-accepted", recipient_kind="party", party_id=reached
    )
    assert (await turns(intake, done))[1]["told"] == "party"


async def test_who_is_named_before_an_offer_is_told_once_and_after_the_day_without_one(
    intake: Intake,
) -> None:
    """Checklist 1.23: the boundary: no turn runs, and a turn whose day to answer is over."""
    done, story = await a_case(intake)
    early = await name_later(intake, done, "p3", 1, phone="19900000123")
    assert await turns(intake, done) == []
    await story.offered()
    await story.accepted()
    await intake.runtime.pool.execute("UPDATE assignment SET accept_by = now() - interval '1 hour'")

    late = await name_later(intake, done, "p4", 2, phone="19900000124")

    (turn,) = await turns(intake, done)
    owed = [n["party_id"] for n in turn["notices"]]
    assert (owed.count(early), owed.count(late)) == (1, 1)
    (of_late,) = [n for n in turn["notices"] if n["party_id"] == late]
    assert (of_late["state"], of_late["due_at"]) == ("task", None)


@pytest.mark.parametrize(
    ("states", "is_sent", "told"),
    [
        ({"party": "task", "receiver": "task"}, True, "none"),
        ({"party": "proved", "receiver": "task"}, True, "party"),
        ({"party": "task", "receiver": "proved"}, True, "receiver"),
        ({"party": "not_owed", "receiver": "proved"}, True, "both"),
        ({"receiver": "proved"}, False, "both"),
        ({"party": "task"}, False, "receiver"),
    ],
)
async def test_half_a_pair_is_not_sent(states: dict[str, str], is_sent: bool, told: str) -> None:
    """Checklist 1.23: never called sent until both have proof or a task."""
    owed = [{"recipient": recipient, "state": state} for recipient, state in states.items()]

    assert model.sent(owed) is is_sent
    assert model.told(owed) == told
