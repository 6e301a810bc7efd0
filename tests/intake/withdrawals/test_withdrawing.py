"""A source takes its referral back: who is told, who may ask to go on, what the silence means."""

from datetime import timedelta
from typing import Any

import pytest

from intake.withdrawals import handlers
from services.clock import read
from services.events.mediation import AgreementEffective
from services.ids import new_id
from tests.intake.duplicates.world import joined
from tests.intake.notices.test_both_told import name_later
from tests.intake.parties.test_representations import party_head
from tests.intake.test_cases import Story
from tests.intake.world import CENTRE, COURT, POLICE, Intake, bearer, token

pytestmark = pytest.mark.postgres
LATER = timedelta(days=9)


async def withdraw(intake: Intake, referral_id: str, by: str = COURT, **body: Any) -> Any:
    """The source takes its referral back."""
    path = f"/v1/referrals/{referral_id}/withdrawals"
    return await intake.post(path, {"reason": "decides_itself", **body}, by, **intake.key())


async def told(intake: Intake, case_id: str) -> list[tuple[str, Any]]:
    """What was said of the withdrawal and of the end."""
    return [
        (e["type"].split(".", 1)[1].removesuffix(".v1"), e.get("result") or e.get("outcome"))
        for e in await intake.events(case_id)
        if "withdraw" in e["type"] or "closed" in e["type"]
    ]


async def tasks(intake: Intake, organisation: str) -> list[dict[str, Any]]:
    """Whom the organisation still has to tell of the withdrawal."""
    answer = await intake.get("/v1/notices", organisation, "matter:read")
    return [n for n in answer.json()["items"] if n["about"] == "withdrawn"]


async def state(intake: Intake, case_id: str) -> tuple[str, str | None]:
    """Whether the case is open, and its outcome."""
    file = (await intake.get(f"/v1/cases/{case_id}")).json()
    return file["state"], file["outcome"]


async def test_a_referral_is_taken_back_once_and_only_by_who_sent_it(intake: Intake) -> None:
    """Checklist 1.32: with a reason of the closed list; a repeat under its key answers the same."""
    case = await intake.registered()
    path, key = f"/v1/referrals/{case['referral_id']}/withdrawals", intake.key()
    body = {"reason": "decides_itself"}

    stranger = await intake.post(path, body, POLICE, **intake.key())
    invented = await intake.post(path, {"reason": "no_wish"}, **intake.key())
    first = await intake.post(path, body, **key)
    again = await intake.post(path, body, **key)
    twice = await intake.post(path, body, **intake.key())

    assert (stranger.status_code, invented.status_code, twice.status_code) == (404, 422, 409)
    assert (first.status_code, first.json()["state"]) == (201, "waiting")
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await told(intake, case["case_id"]) == [("referral.withdrawn", None)]
    assert await state(intake, case["case_id"]) == ("open", None)


async def test_both_parties_and_the_other_organisations_are_told(intake: Intake) -> None:
    """Checklist 1.32, 1.23: a task per party for the source, one to take note for the others."""
    case = await intake.registered()
    await Story(intake, case["case_id"]).offered()

    await withdraw(intake, case["referral_id"])

    source, centre = await tasks(intake, COURT), await tasks(intake, CENTRE)
    assert {(n["about"], n["recipient"], n["party_id"]) for n in source} == {
        ("withdrawn", "party", r["party_id"]) for r in case["receipts"]
    }
    assert [(n["about"], n["recipient"]) for n in centre] == [("withdrawn", "receiver")]
    file = (await intake.get(f"/v1/cases/{case['case_id']}", CENTRE)).json()
    assert [w["state"] for w in file["withdrawals"]] == ["waiting"]


async def test_one_party_asks_by_its_receipt_and_the_case_goes_on(intake: Intake) -> None:
    """Checklist 1.32: the first word counts, whoever asks again; its notice is proved by it."""
    case = await intake.registered()
    await withdraw(intake, case["referral_id"])
    head = await party_head(intake, case, 1)
    seen = (await intake.http.get("/v1/party/case", headers=head)).json()
    assert seen["ask_by"] is not None

    done = await intake.http.post("/v1/party/continuations", headers=head)
    again = await intake.http.post(
        "/v1/party/continuations", headers=await party_head(intake, case)
    )

    assert (done.status_code, done.json()["state"]) == (201, "goes_on")
    assert done.json()["asked_by_party"] == case["receipts"][1]["party_id"]
    assert again.json() == done.json()
    open_ = await tasks(intake, COURT)
    assert {n["party_id"] for n in open_} == {
        r["party_id"] for r in case["receipts"] if r["party_id"] != done.json()["asked_by_party"]
    }
    intake.runtime.clock.offset += LATER
    assert await handlers.sweep(intake.runtime) == 0
    assert await state(intake, case["case_id"]) == ("open", None)
    assert (await told(intake, case["case_id"]))[1:] == [("withdrawal.settled", "goes_on")]


async def test_a_desk_records_that_a_party_asks(intake: Intake) -> None:
    """Checklist 1.32: at source or handler, for a party of the case; nobody else."""
    case = await intake.registered()
    await Story(intake, case["case_id"]).offered()
    path = f"/v1/cases/{case['case_id']}/continuations"

    early = await intake.post(path, {"party_ref": "p1"}, CENTRE)
    await withdraw(intake, case["referral_id"])
    stranger = await intake.post(path, {"party_ref": "p1"}, POLICE)
    nobody = await intake.post(path, {"party_ref": "p77"}, CENTRE)
    done = await intake.post(path, {"party_ref": "p1"}, CENTRE)

    assert (early.status_code, stranger.status_code, nobody.status_code) == (409, 404, 422)
    assert (done.status_code, done.json()["told_by"]) == (201, CENTRE)


async def test_when_nobody_asks_in_time_the_case_closes(intake: Intake) -> None:
    """Checklist 1.32: not a moment before ``ask_by``, and not a moment later is a word heard."""
    case = await intake.registered()
    ask_by = read((await withdraw(intake, case["referral_id"])).json()["ask_by"])
    clock = intake.runtime.clock
    head = bearer(token(COURT, "case:leave"))

    clock.offset += ask_by - clock.now() - timedelta(seconds=30)
    early = await handlers.sweep(intake.runtime)
    clock.offset += timedelta(seconds=31)
    late = await intake.http.post(
        f"/v1/cases/{case['case_id']}/continuations", json={"party_ref": "p1"}, headers=head
    )
    swept = await handlers.sweep(intake.runtime)

    assert (early, late.status_code, swept) == (0, 409, 1)
    assert await state(intake, case["case_id"]) == ("closed", "recalled_by_source")
    assert (await told(intake, case["case_id"]))[1:] == [
        ("case.closed", "recalled_by_source"),
        ("withdrawal.settled", "ends"),
    ]
    assert await handlers.sweep(intake.runtime) == 0


async def test_a_running_turn_is_taken_back_before_the_case_closes(intake: Intake) -> None:
    """Checklist 1.32: the end of the turn closes the case, so two holders never exist."""
    case = await intake.registered()
    story = Story(intake, case["case_id"])
    await story.offered()
    await story.accepted()
    await withdraw(intake, case["referral_id"])
    intake.runtime.clock.offset += LATER

    await handlers.sweep(intake.runtime)

    assert await state(intake, case["case_id"]) == ("open", None)
    assert (await told(intake, case["case_id"]))[1:] == [("withdrawal.settled", "ends")]
    await story.recalled()
    assert await state(intake, case["case_id"]) == ("closed", "recalled_by_source")


async def test_an_agreement_that_was_first_makes_the_case_go_on(intake: Intake) -> None:
    """Checklist 1.32: what was agreed binds, whether heard before the time elapsed or after."""
    for elapsed in (False, True):
        case = await intake.registered(f"AGREED-{elapsed}")
        story = Story(intake, case["case_id"])
        await story.offered()
        await story.accepted()
        await withdraw(intake, case["referral_id"])
        if elapsed:
            intake.runtime.clock.offset += LATER
            await handlers.sweep(intake.runtime)

        now = intake.runtime.clock.now()
        await story.say(
            AgreementEffective(
                case_id=story.case_id,
                agreement_id=new_id(),
                mediation_id=new_id(),
                assignment_id=story.assignment_id,
                organisation=CENTRE,
                effective_at=now,
                confirmable=False,
                form="written",
                effect_rule="signed",
                sha256="0" * 64,
            )
        )

        assert (await told(intake, case["case_id"]))[-1] == ("withdrawal.settled", "goes_on")
        assert (await withdraw(intake, case["referral_id"])).status_code == 409
        assert await state(intake, case["case_id"]) == ("open", None)


async def test_where_others_sent_the_dispute_too_they_go_on(intake: Intake) -> None:
    """Checklist 1.32: of joined files neither source takes the other's referral back."""
    case, other, _ = await joined(intake)

    kept = await withdraw(intake, case["referral_id"])
    rests = await withdraw(intake, other["referral_id"], POLICE)

    assert [a.json()["state"] for a in (kept, rests)] == ["others_go_on"] * 2
    assert kept.json()["ask_by"] is None
    assert await state(intake, case["case_id"]) == ("open", None)
    intake.runtime.clock.offset += LATER
    assert await handlers.sweep(intake.runtime) == 0


async def test_a_closed_case_has_nothing_to_be_taken_back(intake: Intake) -> None:
    """Checklist 1.32: and a case that ends by itself while a party could ask needs no word."""
    case = await intake.registered()
    await withdraw(intake, case["referral_id"])
    head = await party_head(intake, case)
    await intake.http.post("/v1/party/departures", headers=head)

    refused = await withdraw(intake, case["referral_id"])
    intake.runtime.clock.offset += LATER
    await handlers.sweep(intake.runtime)

    assert refused.json()["code"] == "case-closed"
    assert await state(intake, case["case_id"]) == ("closed", "withdrawn")
    assert [kind for kind, _ in await told(intake, case["case_id"])] == [
        "referral.withdrawn",
        "case.closed",
    ]
    assert (await intake.runtime.pool.fetchval("SELECT state FROM withdrawal")) == "over"


async def test_who_is_named_while_a_withdrawal_waits_is_told_of_it_and_may_ask(
    intake: Intake,
) -> None:
    """Checklist 1.32, 1.23: by the source, not after the last moment to ask, proved by its word."""
    case = await intake.registered()
    ask_by = read((await withdraw(intake, case["referral_id"])).json()["ask_by"])
    intake.runtime.clock.offset += timedelta(days=1)

    reached = await name_later(intake, case, "p3", 1, phone="19900000123")
    nobody = await name_later(intake, case, "p4", 2)

    owed = {n["party_id"]: n for n in await tasks(intake, COURT)}
    assert set(owed) == {r["party_id"] for r in case["receipts"]} | {reached}
    assert (owed[reached]["recipient"], owed[reached]["citation"]) == ("party", "人民调解法 23")
    assert intake.runtime.clock.now() < read(owed[reached]["due_at"]) <= ask_by
    states = await notice_states(intake, case["case_id"])
    assert states[nobody] == ["not_owed"]
    asked = await intake.post(f"/v1/cases/{case['case_id']}/continuations", {"party_ref": "p3"})
    assert (asked.status_code, asked.json()["asked_by_party"]) == (201, reached)
    assert (await notice_states(intake, case["case_id"]))[reached] == ["proved"]


async def test_its_day_to_be_told_is_never_after_the_last_moment_to_ask(intake: Intake) -> None:
    """Checklist 1.32: the boundary; from ``ask_by`` on there is nothing to be told of any more."""
    case = await intake.registered()
    ask_by = read((await withdraw(intake, case["referral_id"])).json()["ask_by"])
    clock = intake.runtime.clock
    clock.offset += ask_by - clock.now() - timedelta(minutes=1)

    early = await name_later(intake, case, "p3", 1, phone="19900000123")
    clock.offset += timedelta(minutes=1)
    late = await name_later(intake, case, "p4", 2, phone="19900000124")

    (notice,) = [n for n in await tasks(intake, COURT) if n["party_id"] == early]
    assert read(notice["due_at"]) == ask_by
    assert late not in await notice_states(intake, case["case_id"])


async def test_who_is_named_when_the_case_goes_on_or_nothing_was_taken_back_is_owed_nothing(
    intake: Intake,
) -> None:
    """Checklist 1.32: only while a word is waited for."""
    case = await intake.registered()
    before = await name_later(intake, case, "p3", 1, phone="19900000123")
    assert before not in await notice_states(intake, case["case_id"])
    await withdraw(intake, case["referral_id"])
    await intake.post(f"/v1/cases/{case['case_id']}/continuations", {"party_ref": "p1"})

    after = await name_later(intake, case, "p4", 2, phone="19900000124")

    states = await notice_states(intake, case["case_id"])
    assert (states[before], states.get(after)) == (["task"], None)


async def notice_states(intake: Intake, case_id: str) -> dict[str, list[str]]:
    """What became of the notices of a withdrawal to each party."""
    rows = await intake.runtime.pool.fetch(
        """SELECT party_id, array_agg(state ORDER BY notice_id) AS states FROM notice
           WHERE case_id = $1 AND subject_kind = 'withdrawal' AND party_id IS NOT NULL
           GROUP BY party_id""",
        case_id,
    )
    return {str(row["party_id"]): list(row["states"]) for row in rows}
