"""What never became a case has an end too: terms, holds, erasure by two people, certificates."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from intake.keys import keys_of
from intake.records import handlers, keeping
from intake.vault import Erased
from services.messaging.jobs import run_due_jobs
from tests.intake.gates.test_refusals import DESK, PETITION, SUPERIOR, barred
from tests.intake.matters.test_matters import CENTRE, CONVENOR, DISCIPLINE, HOTLINE, Desk
from tests.intake.safety.test_screening import _dump
from tests.intake.world import COURT, POLICE, Intake, bearer, token

pytestmark = pytest.mark.postgres
CANARY = "龘样原告"


async def act(
    intake: Intake, path: str, body: Any = None, organisation: str = COURT, staff: str = "s-1"
) -> Any:
    head = {**bearer(token(organisation, *DESK)), **intake.key(), "Acted-By": staff}
    return await intake.http.post(path, json={} if body is None else body, headers=head)


async def get(intake: Intake, path: str, organisation: str = COURT) -> Any:
    return await intake.get(path, organisation, *DESK)


async def refused(intake: Intake, reference: str = "R-N02") -> dict[str, Any]:
    """A refusal in which somebody is named; what the refused person has of it."""
    document = barred(reference)
    document["parties"][0] |= {"name": CANARY, "address": "龘样路1号"}
    told: dict[str, Any] = (await intake.post("/v1/referrals", document)).json()["refusal"]
    return told


async def proposed(intake: Intake, record_id: str, ground: str, organisation: str = COURT) -> str:
    answer = await act(
        intake, f"/v1/records/{record_id}/erasures", {"ground": ground}, organisation
    )
    assert answer.status_code == 201, answer.text
    id_: str = answer.json()["record_erasure_id"]
    return id_


async def decided(
    intake: Intake, erasure_id: str, organisation: str = COURT, staff: str = "s-2", **body: Any
) -> Any:
    path = f"/v1/record-erasures/{erasure_id}/decisions"
    return await act(intake, path, {"approved": True, **body}, organisation, staff)


async def by_receipt(intake: Intake, told: dict[str, Any], what: str, **body: Any) -> Any:
    path = f"/v1/receipts/{told['number']}/{what}"
    return await intake.http.post(path, json={"secret": told["secret"], **body})


async def rows(intake: Intake, table: str) -> list[Any]:
    async with intake.runtime.unit_of_work() as uow:
        found: list[Any] = await uow.db.fetch(f"SELECT * FROM {table}")
        return found


async def test_a_refusal_is_erased_by_two_people_and_that_it_was_refused_stays(
    intake: Intake,
) -> None:
    """checklist 1.30: ground, citation, number and days stay, so figures survive."""
    told = await refused(intake)
    await act(
        intake,
        f"/v1/refusals/{told['refusal_id']}/reviews",
        {"outcome": "upheld", "reason": "龘样复核"},
        SUPERIOR,
    )
    before = (await get(intake, "/v1/refusals/counts")).json()
    key = bytes((await rows(intake, "refusal"))[0]["wrapped_key"])
    erasure = await proposed(intake, told["refusal_id"], "unlawful")
    alone = await decided(intake, erasure, staff="s-1")

    done = await decided(intake, erasure)

    assert alone.json()["errors"][0]["code"] == "second_person_required"
    assert done.status_code == 201, done.text
    certificate = (await get(intake, f"/v1/record-erasures/{erasure}")).json()
    assert certificate == done.json()
    assert (certificate["state"], certificate["decided_by"]) == ("erased", COURT)
    assert certificate["number"] == told["number"]
    assert certificate["left"]["code"] == told["ground"]
    assert certificate["left"]["citation"] == told["citation"]
    assert certificate["left"]["received_at"]
    assert [each["code"] for each in certificate["stays"]] == ["refused", "read_by", "limitation"]
    assert all(each["zh"] and each["en"] and each["citation"] for each in certificate["stays"])
    assert len(certificate["sha256"]) == 64
    (row,) = await rows(intake, "refusal")
    assert (row["document"], row["wrapped_key"]) == (b"", b"")
    assert (await rows(intake, "refusal_review"))[0]["reason"] == b""
    assert CANARY not in await _dump(intake)
    after = (await get(intake, "/v1/refusals/counts")).json()
    assert {**after, "since": 0, "until": 0} == {**before, "since": 0, "until": 0}
    await run_due_jobs(intake.runtime)
    with pytest.raises(Erased):
        keys_of(intake.runtime).vault.open("refusal", row["refusal_id"], row["kek_id"], key, {})


async def test_that_it_was_asked_stays_provable_until_the_law_counts_no_more(
    intake: Intake,
) -> None:
    """checklist 1.30: the limitation receipt of a refusal (LIM-1); never of a wrong person."""
    told, other = await refused(intake), await refused(intake, "R-other")
    await decided(intake, await proposed(intake, told["refusal_id"], "unlawful"))

    await decided(intake, await proposed(intake, other["refusal_id"], "wrong_person"))

    (kept,) = await rows(intake, "record_limitation")
    assert str(kept["record_id"]) == told["refusal_id"]
    opened = keys_of(intake.runtime).vault.open(
        "record_limitation",
        kept["record_id"],
        kept["kek_id"],
        kept["wrapped_key"],
        {"people": kept["people"]},
    )
    assert [person["name"] for person in opened["people"]] == [CANARY]
    assert set(opened["people"][0]) == {"name", "id"}
    assert await handlers.sweep_limitation(intake.runtime) == 0
    intake.runtime.clock.offset = kept["keep_until"] - intake.runtime.clock.now()
    assert await handlers.sweep_limitation(intake.runtime) == 1
    assert await rows(intake, "record_limitation") == []


async def test_the_refused_person_asks_by_its_receipt_and_reads_what_became_of_it(
    intake: Intake,
) -> None:
    """checklist 1.30: no account and no case is needed; asking twice is asking once."""
    told = await refused(intake)
    wrong = await by_receipt(
        intake, {**told, "secret": "AAAAAAAAAA"}, "erasures", ground="unlawful"
    )
    foreign = await by_receipt(intake, told, "erasures", ground="term_ended")
    asked = await by_receipt(intake, told, "erasures", ground="unlawful")
    again = await by_receipt(intake, told, "erasures", ground="unlawful")

    assert (wrong.status_code, foreign.status_code, asked.status_code) == (401, 422, 201)
    assert again.json() == asked.json()
    waiting = (await get(intake, "/v1/record-erasures?state=requested")).json()["items"]
    assert [(item["requested_by"], item["number"]) for item in waiting] == [
        ("person", told["number"])
    ]
    erasure = waiting[0]["record_erasure_id"]
    done = await decided(
        intake, erasure, staff="s-1"
    )  # a person of the staff, other than who asked
    assert done.status_code == 201, done.text
    reading = (await by_receipt(intake, told, "readings")).json()
    assert [(each["ground"], each["state"]) for each in reading["erasures"]] == [
        ("unlawful", "erased")
    ]
    assert reading["citation"] == told["citation"]
    gone = await by_receipt(intake, told, "erasures", ground="unlawful")
    assert gone.status_code == 409


async def test_a_refused_request_says_why_and_can_be_made_again(intake: Intake) -> None:
    """checklist 1.30."""
    told = await refused(intake)
    asked = await by_receipt(intake, told, "erasures", ground="wrong_person")
    erasure = asked.json()["record_erasure_id"]

    answer = await decided(intake, erasure, approved=False, refusal="not_their_data")
    twice = await decided(intake, erasure)
    again = await by_receipt(intake, told, "erasures", ground="wrong_person")

    assert (answer.json()["state"], answer.json()["refusal"]) == ("refused", "not_their_data")
    assert twice.status_code == 409
    assert again.json()["record_erasure_id"] != erasure
    assert (await rows(intake, "refusal"))[0]["document"] != b""


@pytest.mark.parametrize("ground", ["purpose_achieved", "consent_withdrawn"])
async def test_what_the_law_still_keeps_is_kept_until_the_term_has_ended(
    intake: Intake, ground: str
) -> None:
    """checklist 1.30: at the boundary and a moment before it."""
    told = await refused(intake)
    asked = await by_receipt(intake, told, "erasures", ground=ground)
    erasure = asked.json()["record_erasure_id"]
    kept = (await get(intake, f"/v1/records/{told['refusal_id']}/retention")).json()
    (row,) = await rows(intake, "record_retention")

    early = await decided(intake, erasure)
    intake.runtime.clock.offset = (
        row["keep_until"] - intake.runtime.clock.now() - timedelta(seconds=30)
    )
    before = await decided(intake, erasure)
    intake.runtime.clock.offset += timedelta(seconds=31)
    done = await decided(intake, erasure)

    assert kept["retention_class"] == "refusal"
    assert kept["keep_until"] > "2029"
    assert kept["sources"]
    for barred_ in (early, before):
        assert barred_.json()["errors"][0]["code"] == "must_be_kept"
    assert done.json()["state"] == "erased", done.text
    # The limitation has ended with the term: nobody needs the proof any more.
    assert [each["code"] for each in done.json()["stays"]] == ["refused", "read_by"]


async def test_a_consent_is_withdrawn_by_the_person_and_never_by_the_body(intake: Intake) -> None:
    """checklist 1.30."""
    told = await refused(intake)
    path = f"/v1/records/{told['refusal_id']}/erasures"

    answer = await act(intake, path, {"ground": "consent_withdrawn"})

    assert answer.json()["errors"][0]["code"] == "erasure_ground_unknown"


async def test_a_hold_bars_every_ground_until_its_body_lifts_it(intake: Intake) -> None:
    """checklist 1.30: legal hold (D-17)."""
    told = await refused(intake)
    record = f"/v1/records/{told['refusal_id']}"
    hold = (await act(intake, f"{record}/holds", {"ground": "litigation"})).json()
    erasure = await proposed(intake, told["refusal_id"], "wrong_person")

    held = (await get(intake, f"{record}/retention")).json()["held"]
    barred_ = await decided(intake, erasure)
    path = f"/v1/record-holds/{hold['record_hold_id']}/liftings"
    stranger = await act(intake, path, organisation=PETITION)
    lifted = await act(intake, path)
    done = await decided(intake, erasure)

    assert held is True
    assert barred_.json()["errors"][0]["code"] == "record_held"
    assert stranger.status_code == 404
    assert lifted.json()["lifted_at"]
    assert done.status_code == 201


async def test_a_record_whose_time_has_come_is_proposed_once_and_a_person_approves(
    intake: Intake,
) -> None:
    """checklist 1.30: no destruction by the machine alone (D-17)."""
    told, held = await refused(intake), await refused(intake, "R-held")
    await act(intake, f"/v1/records/{held['refusal_id']}/holds", {"ground": "inspection"})
    intake.runtime.clock.offset = timedelta(days=2 * 365)
    assert await keeping.sweep(intake.runtime) == 0
    intake.runtime.clock.offset = timedelta(days=3 * 366 + 10)

    assert await keeping.sweep(intake.runtime) == 1
    assert await keeping.sweep(intake.runtime) == 0

    (found,) = (await get(intake, "/v1/record-erasures")).json()["items"]
    assert (found["record_id"], found["requested_by"], found["ground"]) == (
        told["refusal_id"],
        "machine",
        "term_ended",
    )
    done = await decided(intake, found["record_erasure_id"])
    assert done.json()["state"] == "erased", done.text


async def test_a_refused_referral_that_became_a_case_goes_with_its_case(intake: Intake) -> None:
    """checklist 1.30: the case's own eraser empties it; the sweeper leaves it alone."""
    told = await refused(intake)
    again = await intake.post("/v1/referrals", barred(entrusted_by="330681-PS-0001"))
    assert again.status_code == 201, again.text

    answer = await act(intake, f"/v1/records/{told['refusal_id']}/erasures", {"ground": "unlawful"})
    person = await by_receipt(intake, told, "erasures", ground="unlawful")

    assert (answer.status_code, person.status_code) == (409, 409)
    intake.runtime.clock.offset = timedelta(days=3 * 366 + 10)
    assert await keeping.sweep(intake.runtime) == 0


async def test_the_same_content_sent_after_an_erasure_is_another_refusal(intake: Intake) -> None:
    """checklist 1.30: no hash of what was erased is left to recognise it by."""
    told = await refused(intake)
    await decided(intake, await proposed(intake, told["refusal_id"], "unlawful"))

    again = await refused(intake)

    assert again["number"] != told["number"]
    review = await act(
        intake,
        f"/v1/refusals/{told['refusal_id']}/reviews",
        {"outcome": "upheld", "reason": "a"},
        SUPERIOR,
    )
    assert review.status_code == 410


async def test_two_decisions_at_once_erase_once(intake: Intake) -> None:
    """checklist 1.30: the record is locked while it is decided."""
    told = await refused(intake)
    erasure = await proposed(intake, told["refusal_id"], "unlawful")

    answers = await asyncio.gather(
        decided(intake, erasure, staff="s-2"), decided(intake, erasure, staff="s-3")
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert len(await rows(intake, "record_limitation")) == 1


async def test_an_erasure_that_is_rolled_back_destroys_no_key(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """checklist 1.30: rows and keys go together or not at all."""
    told = await refused(intake)
    erasure = await proposed(intake, told["refusal_id"], "unlawful")

    async def broken(*args: Any) -> None:
        raise RuntimeError("the connection broke")

    with monkeypatch.context() as crash:
        crash.setattr(handlers.repository, "decide", broken)
        with pytest.raises(RuntimeError):
            await decided(intake, erasure)
    await run_due_jobs(intake.runtime)

    (row,) = await rows(intake, "refusal")
    opened = keys_of(intake.runtime).vault.open(
        "refusal",
        row["refusal_id"],
        row["kek_id"],
        row["wrapped_key"],
        {"document": row["document"]},
    )
    assert opened["document"]["parties"][0]["name"] == CANARY
    assert (await decided(intake, erasure)).status_code == 201


# -- matters --------------------------------------------------------------------------------------


PERSON = {"name": CANARY, "phone": "19900000001"}
ANSWER = {"text": "龘样答复"}


async def test_an_answered_matter_is_erased_and_its_kind_days_and_steps_stay(
    intake: Intake,
) -> None:
    """checklist 1.30: advice too, which never became a dispute."""
    desk = Desk(intake)
    done = await desk.taken("advice", person=PERSON, text="龘样内容")
    path = f"/v1/matters/{done['matter_id']}"
    await desk.post(f"{path}/answers", ANSWER, HOTLINE, **{"If-Match": '"1"'})
    erasure = await proposed(intake, done["matter_id"], "unlawful", HOTLINE)

    certificate = (await decided(intake, erasure, HOTLINE)).json()

    assert certificate["state"] == "erased"
    assert [each["code"] for each in certificate["stays"]] == ["taken", "read_by", "limitation"]
    assert certificate["left"]["code"] == "advice"
    assert CANARY not in await _dump(intake)
    view = (await desk.get(f"{path}?purpose=handling", HOTLINE)).json()
    assert (view["state"], view["content"]) == ("answered", None)
    assert [step["step"] for step in view["steps"]] == ["received", "answered"]
    assert all(step["text"] is None for step in view["steps"])
    later = await desk.post(f"{path}/answers", ANSWER, HOTLINE, **{"If-Match": '"3"'})
    assert later.status_code == 410
    reading = (await by_receipt(intake, done, "readings")).json()
    assert reading["erasures"][0]["state"] == "erased"


async def test_a_matter_that_waits_for_its_answer_has_no_term_and_once_erased_waits_no_more(
    intake: Intake,
) -> None:
    """checklist 1.30."""
    desk = Desk(intake)
    done = await desk.taken("suggestion", person=PERSON)
    path = f"/v1/matters/{done['matter_id']}"
    asked = await by_receipt(intake, done, "erasures", ground="consent_withdrawn")
    early = await decided(intake, asked.json()["record_erasure_id"], HOTLINE)
    retention = (await get(intake, f"/v1/records/{done['matter_id']}/retention", HOTLINE)).json()

    erased = await decided(
        intake, await proposed(intake, done["matter_id"], "wrong_person", HOTLINE), HOTLINE
    )

    assert early.json()["errors"][0]["code"] == "record_open"
    assert (retention["retention_class"], retention["keep_until"]) == ("told", None)
    assert erased.status_code == 201, erased.text
    assert [each["code"] for each in erased.json()["stays"]] == ["taken", "read_by"]
    view = (await desk.get(path, HOTLINE)).json()
    assert (view["state"], view["overdue"]) == ("erased", False)
    assert {notice["state"] for notice in view["notices"]} == {"not_owed"}
    moved = {"to": CENTRE, "ground": "place"}
    answer = {**ANSWER, "adoption": "adopted"}
    for what, body in (("answers", answer), ("transfers", moved)):
        late = await desk.post(f"{path}/{what}", body, HOTLINE, **{"If-Match": '"2"'})
        assert late.status_code == 410, late.text


async def test_a_sealed_matter_is_not_there_for_the_line_it_is_about(intake: Intake) -> None:
    """checklist 1.29, 1.30: who must answer it erases it, as long as a short file is kept."""
    desk = Desk(intake)
    done = await desk.taken("accusation", POLICE, person=PERSON, about={"organisation": POLICE})
    path = f"/v1/records/{done['matter_id']}"

    hidden = await get(intake, f"{path}/retention", POLICE)
    refused_ = await act(intake, f"{path}/erasures", {"ground": "unlawful"}, POLICE)
    erasure = await proposed(intake, done["matter_id"], "wrong_person", DISCIPLINE)
    there = await get(intake, f"/v1/record-erasures/{erasure}", POLICE)
    listed = (await get(intake, "/v1/record-erasures", POLICE)).json()["items"]
    stranger = await decided(intake, erasure, CONVENOR)
    erased = await decided(intake, erasure, DISCIPLINE)

    assert (hidden.status_code, refused_.status_code, there.status_code) == (404, 404, 404)
    assert listed == []
    assert stranger.status_code == 404
    assert erased.status_code == 201, erased.text
    kept = (await get(intake, f"{path}/retention", DISCIPLINE)).json()
    assert kept["retention_class"] == "sealed"


async def test_the_term_of_a_matter_counts_from_its_first_answer(intake: Intake) -> None:
    """checklist 1.30: a suggestion may be answered again; the first counts."""
    desk = Desk(intake)
    done = await desk.taken("suggestion", person=PERSON)
    path, answer = f"/v1/matters/{done['matter_id']}", {**ANSWER, "adoption": "under_study"}
    await desk.post(f"{path}/answers", answer, HOTLINE, **{"If-Match": '"1"'})
    (first,) = await rows(intake, "record_retention")
    intake.runtime.clock.offset = timedelta(days=40)
    again = {**ANSWER, "adoption": "adopted"}
    await desk.post(f"{path}/answers", again, HOTLINE, **{"If-Match": '"2"'})

    (second,) = await rows(intake, "record_retention")

    assert first["keep_until"] == second["keep_until"]
    assert str(first["record_id"]) == done["matter_id"]
    intake.runtime.clock.offset = timedelta(days=3 * 366 + 10)
    assert await keeping.sweep(intake.runtime) == 1


def test_every_kind_has_a_class_and_every_class_its_law() -> None:
    """checklist 1.30: terms are data with their source."""
    from intake.matters.model import kinds
    from intake.rights.rules import data

    found = data()["records"]

    assert set(found["by_kind"]) == {"refusal", *kinds()}
    assert set(found["by_kind"].values()) == set(found["classes"])
    for each in (*found["classes"].values(), *found["stays"].values()):
        assert each["source"]
        assert each["zh"]
        assert each["en"]
