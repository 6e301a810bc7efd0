from collections.abc import Mapping
from dataclasses import replace

from notification import templates
from notification.letters import Draft, drafts, stands
from notification.model import CaseCopy, fold
from services.events import intake, mediation, routing
from services.events.envelope import Event
from services.ids import new_id
from tests.notification.builders import (
    ANNA,
    AT,
    BORIS,
    CENTRE,
    COURT,
    a_deadline,
    a_registration,
    a_session,
    accepted,
    an_offer,
    obligations,
    started,
)

PARTS: Mapping[str, list[str]] = {"source": [COURT], "handler": [CENTRE]}


def _drafts(event: Event, copy: CaseCopy) -> list[Draft]:
    return list(drafts(event, copy, PARTS, templates.load().values()))


def _told(found: list[Draft]) -> set[tuple[str, str]]:
    return {(d.template, str(d.recipient)) for d in found}


def _registered() -> CaseCopy:
    registration = a_registration(new_id())
    return fold(CaseCopy(registration.case_id), registration, 1)


def test_a_registration_is_told_to_every_party_by_number() -> None:
    registration = a_registration(new_id())
    copy = fold(CaseCopy(registration.case_id), registration, 1)

    found = _drafts(registration, copy)

    assert _told(found) == {
        ("case-registered", f"party:{ANNA}"),
        ("case-registered", f"party:{BORIS}"),
    }
    assert found[0].facts["case_number"] == registration.case_number


def test_an_offer_is_told_to_the_body_that_has_the_turn_until_it_lapses() -> None:
    copy = _registered()
    offer = an_offer(copy.case_id)

    found = _drafts(offer, fold(copy, offer, 1))

    assert _told(found) == {("case-offered", f"organisation:{CENTRE}")}
    assert found[0].valid_until == offer.accept_by


def _accepted_copy() -> CaseCopy:
    copy = _registered()
    offer = an_offer(copy.case_id)
    return fold(fold(copy, offer, 1), accepted(offer), 1)


def test_an_acceptance_is_told_with_its_term_and_only_once_for_two_terms() -> None:
    copy = _accepted_copy()
    first = started(copy.case_id, a_deadline("term"))

    found = _drafts(first, copy)
    told = replace(copy, facts={**copy.facts, "told": [d.once for d in found]})

    assert {d.template for d in found} == {"case-accepted"}
    assert found[0].facts["holder"] == CENTRE
    assert _drafts(started(copy.case_id, a_deadline("term")), told) == []


def test_a_confirmation_window_is_told_to_the_parties_and_an_acceptance_window_is_not() -> None:
    copy = _accepted_copy()

    window = started(copy.case_id, a_deadline("confirmation"))
    acceptance = started(copy.case_id, a_deadline("acceptance"))

    assert {t for t, _ in _told(_drafts(window, copy))} == {"confirmation-window"}
    assert _drafts(acceptance, copy) == []


def test_a_ruling_is_told_to_the_parties_and_a_refusal_with_its_ground_and_the_ways_left() -> None:
    copy = _registered()
    ruling = mediation.ConfirmationDecided(
        case_id=copy.case_id,
        confirmation_id=new_id(),
        agreement_id=new_id(),
        mediation_id=new_id(),
        court=COURT,
        confirmed=True,
        decided_at=AT,
    )
    refusal = ruling.model_copy(
        update={"confirmed": False, "ground": "unclear", "remedies": ("sue_on_performance",)}
    )
    everybody = (f"party:{ANNA}", f"party:{BORIS}", f"organisation:{CENTRE}")

    assert _told(_drafts(ruling, copy)) == {("confirmation-granted", who) for who in everybody}
    found = _drafts(refusal, copy)
    assert _told(found) == {("confirmation-refused", who) for who in everybody}
    assert (found[0].facts["ground"], found[0].facts["remedies"]) == (
        "unclear",
        ["sue_on_performance"],
    )


def test_a_moved_session_is_told_to_those_who_were_called() -> None:
    copy = _accepted_copy()
    session = a_session(copy.case_id, parties=(ANNA,))
    moved = mediation.SessionMoved(
        case_id=copy.case_id,
        session_id=session.session_id,
        mediation_id=session.mediation_id,
        starts_at=session.starts_at,
        ends_at=session.ends_at,
        moved_at=AT,
    )
    copy = fold(copy, session, 1)

    assert _told(_drafts(moved, fold(copy, moved, 1))) == {("session-moved", f"party:{ANNA}")}


def test_a_party_that_left_is_told_of_no_more_sessions() -> None:
    copy = _accepted_copy()
    leaving = intake.PartyLeft(
        case_id=copy.case_id, party_id=ANNA, role="applicant", left_at=AT, told_by="party"
    )
    session = a_session(copy.case_id)

    copy = fold(fold(copy, leaving, 1), session, 1)

    assert _told(_drafts(session, copy)) == {("session-scheduled", f"party:{BORIS}")}


def test_a_leaving_is_told_to_the_leaver_the_others_and_the_agencies() -> None:
    copy = _accepted_copy()
    leaving = intake.PartyLeft(
        case_id=copy.case_id, party_id=ANNA, role="applicant", left_at=AT, told_by="party"
    )

    found = _drafts(leaving, fold(copy, leaving, 1))

    assert {str(d.recipient) for d in found} == {
        f"party:{ANNA}",
        f"party:{BORIS}",
        f"organisation:{CENTRE}",
        f"organisation:{COURT}",
    }


def test_a_reminder_goes_to_the_debtor_and_a_breach_to_both_with_remedies() -> None:
    copy, obligation = _accepted_copy(), new_id()
    copy = fold(copy, obligations(copy.case_id, obligation), 1)
    warning = routing.DeadlineApproaching(
        case_id=copy.case_id,
        deadline=a_deadline("obligation", obligation),
        step="days-3",
        warned_at=AT,
    )
    breach = mediation.ObligationBreached(
        case_id=copy.case_id,
        agreement_id=new_id(),
        obligation_id=obligation,
        ordinal=1,
        remedies=("sue_on_performance",),
        breached_at=AT,
    )

    assert _told(_drafts(warning, copy)) == {("obligation-due", f"party:{BORIS}")}
    found = _drafts(breach, copy)
    assert {str(d.recipient) for d in found} == {f"party:{ANNA}", f"party:{BORIS}"}
    assert found[0].facts["remedies"] == ["sue_on_performance"]


def test_an_ending_is_told_with_its_remedies_to_all_parties_and_the_source() -> None:
    copy = _accepted_copy()
    ended = mediation.MediationEnded(
        case_id=copy.case_id,
        mediation_id=new_id(),
        assignment_id=new_id(),
        organisation=CENTRE,
        outcome="no_agreement",
        succeeded=False,
        remedies=("sue",),
        ended_at=AT,
    )

    found = _drafts(ended, fold(copy, ended, 1))

    assert {str(d.recipient) for d in found} == {
        f"party:{ANNA}",
        f"party:{BORIS}",
        f"organisation:{COURT}",
    }


def test_a_message_stands_until_a_later_event_has_the_last_word() -> None:
    event, later = new_id(), new_id()

    assert stands(event, {}, ("session:1",))
    assert stands(event, {"session:1": event}, ("session:1",))
    assert not stands(event, {"session:1": later}, ("session:1",))


def test_facts_of_a_message_hold_ids_and_codes_only() -> None:
    copy = _registered()
    found = _drafts(a_registration(copy.case_id), copy)

    assert all(
        set(d.facts) <= {"case_number", "registered_at", "organisation", "holder"} for d in found
    )
