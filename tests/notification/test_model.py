from dataclasses import replace

from notification.model import CaseCopy, fold, snapshot
from services.events import intake, mediation, routing
from services.events.envelope import Party
from services.ids import new_id
from tests.notification.builders import (
    ANNA,
    AT,
    CENTRE,
    COURT,
    NUMBER,
    a_referral,
    a_registration,
    a_session,
    accepted,
    an_offer,
    obligations,
    returned,
)


def _copy_after(*events: object) -> CaseCopy:
    copy = CaseCopy(events[0].case_id)  # type: ignore[attr-defined]
    for event in events:
        copy = fold(copy, event, 1)  # type: ignore[arg-type]
    return copy


def test_the_first_receiver_holds_the_case_until_somebody_accepts() -> None:
    case_id = new_id()
    offer = an_offer(case_id)

    before = _copy_after(a_referral(case_id), a_registration(case_id), offer)
    after = fold(before, accepted(offer), 1)

    assert (before.holder, before.state) == (COURT, "offered")
    assert (after.holder, after.state) == (CENTRE, "accepted")


def test_a_return_gives_the_case_back_to_its_first_receiver() -> None:
    case_id = new_id()
    offer = an_offer(case_id)

    copy = _copy_after(a_registration(case_id), offer, returned(offer))

    assert (copy.holder, copy.state) == (COURT, "registered")


def test_the_return_of_an_earlier_turn_does_not_touch_the_present_one() -> None:
    case_id = new_id()
    first, second = an_offer(case_id), an_offer(case_id, ordinal=2)

    copy = _copy_after(a_registration(case_id), first, second, returned(first))

    assert copy.state == "offered"


def test_a_party_that_left_is_no_longer_present_but_still_told_of_the_ending() -> None:
    case_id = new_id()
    leaving = intake.PartyLeft(
        case_id=case_id, party_id=ANNA, role="applicant", left_at=AT, told_by="party"
    )

    copy = _copy_after(a_registration(case_id), leaving)

    assert str(ANNA) not in copy.present
    assert str(ANNA) in copy.party_ids


def test_an_event_of_an_older_round_changes_nothing() -> None:
    case_id = new_id()
    copy = replace(_copy_after(a_registration(case_id)), episode=2)

    assert fold(copy, an_offer(case_id), 1) == copy


def test_an_event_of_a_closed_case_changes_nothing_but_a_reopening_does() -> None:
    case_id = new_id()
    registration = a_registration(case_id)
    closed = _copy_after(
        registration,
        intake.CaseClosed(case_id=case_id, outcome="agreed_written", closed_at=AT),
    )
    reopening = intake.CaseReopened(
        case_id=case_id,
        referral_id=new_id(),
        organisation=COURT,
        lane="court_pre",
        dispute_type="contract",
        place="310105001001",
        parties=registration.parties,
        ground="set_aside",
        received_at=AT,
        reopened_at=AT,
    )

    assert fold(closed, an_offer(case_id), 1) == closed
    reopened = fold(closed, reopening, 2)
    assert (reopened.closed, reopened.episode, reopened.state) == (False, 2, "registered")


def test_sessions_and_obligations_are_kept_for_later_messages() -> None:
    case_id, obligation = new_id(), new_id()
    session = a_session(case_id)

    copy = _copy_after(a_registration(case_id), session, obligations(case_id, obligation))

    assert copy.facts["sessions"][str(session.session_id)]["parties"][0] == str(ANNA)
    assert copy.facts["obligations"][str(obligation)]["creditor"] == str(ANNA)


def test_the_snapshot_holds_public_facts_and_no_sessions() -> None:
    case_id = new_id()
    copy = _copy_after(a_registration(case_id), an_offer(case_id), a_session(case_id))

    shown = snapshot(copy, "handler")

    assert shown["case_number"] == NUMBER
    assert shown["holder"] == COURT
    assert shown["assignment"]["organisation"] == CENTRE
    assert {p["role"] for p in shown["parties"]} == {"applicant", "respondent"}
    assert "facts" not in shown
    assert "sessions" not in shown
    assert "assignment" not in snapshot(copy, "linked")


def test_a_failed_mediation_shows_as_failed() -> None:
    case_id = new_id()
    ended = mediation.MediationEnded(
        case_id=case_id,
        mediation_id=new_id(),
        assignment_id=new_id(),
        organisation=CENTRE,
        outcome="no_agreement",
        succeeded=False,
        ended_at=AT,
    )

    assert _copy_after(a_registration(case_id), ended).state == "failed"


def test_an_undecided_case_is_held_by_whom_routing_names() -> None:
    case_id = new_id()
    undecided = routing.RoutingUndecided(
        case_id=case_id,
        decision_id=new_id(),
        reason="nobody_competent",
        holder=COURT,
        undecided_at=AT,
    )

    copy = _copy_after(a_registration(case_id), undecided)

    assert (copy.state, copy.holder) == ("undecided", COURT)


def test_a_party_that_was_named_only_later_is_told_like_the_others_once() -> None:
    case_id, late = new_id(), new_id()
    added = Party(party_id=late, role="respondent", kind="person")
    naming = intake.PartyChanged(
        case_id=case_id, party_id=late, changed=("added",), added=added, changed_at=AT
    )

    copy = _copy_after(a_registration(case_id), naming, naming)

    assert copy.party_ids.count(str(late)) == 1
    assert str(late) in copy.present
