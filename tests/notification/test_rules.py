from notification.rules import Part, binary, connections_of, hearers, standing_keys, structured
from services.events import intake, load_catalogue, mediation, routing
from services.ids import new_id
from tests.notification.builders import (
    AT,
    CENTRE,
    COMMITTEE,
    COURT,
    POLICE,
    a_deadline,
    a_registration,
    a_session,
    accepted,
    an_offer,
    joined,
)

PARTS = [Part(COURT, "source"), Part(CENTRE, "handler"), Part(POLICE, "linked")]


def test_a_session_is_heard_by_the_handler_alone() -> None:
    assert hearers(a_session(new_id()), PARTS) == {CENTRE: "handler"}


def test_an_acceptance_is_heard_by_source_and_handler_not_by_the_linked() -> None:
    heard = hearers(accepted(an_offer(new_id())), PARTS)

    assert heard == {COURT: "source", CENTRE: "handler"}


def _a_linkage(asked: str) -> routing.LinkageRequested:
    return routing.LinkageRequested(
        case_id=new_id(),
        linkage_id=new_id(),
        kind="evidence",
        asked_by=COURT,
        asked=asked,
        items=("scene_record",),
        legal_basis="民事诉讼法 67",
        answer_by=AT,
        requested_at=AT,
    )


def test_a_linked_body_hears_its_own_linkage() -> None:
    assert POLICE in hearers(_a_linkage(POLICE), PARTS)


def test_a_linked_body_does_not_hear_the_linkage_of_another() -> None:
    assert POLICE not in hearers(_a_linkage(COMMITTEE), PARTS)


def test_a_linked_body_hears_its_own_joining_only() -> None:
    case_id = new_id()

    assert POLICE in hearers(joined(case_id, POLICE, "linked"), PARTS)
    assert POLICE not in hearers(joined(case_id, COMMITTEE, "handler"), PARTS)


def test_a_linked_court_hears_of_an_application_to_itself_only() -> None:
    def applied(court: str) -> mediation.ConfirmationApplied:
        return mediation.ConfirmationApplied(
            case_id=new_id(),
            confirmation_id=new_id(),
            agreement_id=new_id(),
            mediation_id=new_id(),
            court=court,
            applied_by=(new_id(), new_id()),
            applied_at=AT,
        )

    parts = [Part(CENTRE, "handler"), Part(COURT, "linked"), Part(POLICE, "linked")]

    assert hearers(applied(COURT), parts) == {CENTRE: "handler", COURT: "linked"}


def test_a_closing_is_heard_by_everybody() -> None:
    closed = intake.CaseClosed(case_id=new_id(), outcome="agreed_written", closed_at=AT)

    assert set(hearers(closed, PARTS)) == {COURT, CENTRE, POLICE}


def test_nobody_outside_the_case_hears_anything() -> None:
    assert hearers(a_registration(new_id()), []) == {}


def test_an_answer_to_a_command_has_no_organisation_as_its_hearer() -> None:
    answer = intake.CommandAnswered(
        case_id=new_id(), connection="o-x", command_id="c", outcome="accepted", answered_at=AT
    )

    assert hearers(answer, PARTS) == {}


def test_a_connection_that_speaks_for_two_hearers_hears_once() -> None:
    speaks_for = {COURT: ["sh-court", "mirror"], CENTRE: ["sh-court"]}

    heard = connections_of([COURT, CENTRE], speaks_for)

    assert heard == {"sh-court": [COURT, CENTRE], "mirror": [COURT]}


def test_an_acceptance_replaces_the_offer_it_answers() -> None:
    offer = an_offer(new_id())

    assert set(standing_keys(offer)) & set(standing_keys(accepted(offer)))


def test_a_reminder_of_an_obligation_rests_on_the_clock_and_on_the_obligation() -> None:
    obligation = new_id()
    deadline = a_deadline("obligation", obligation)
    warning = routing.DeadlineApproaching(
        case_id=new_id(), deadline=deadline, step="days-3", warned_at=AT
    )

    assert standing_keys(warning) == (f"clock:{deadline.clock_id}", f"obligation:{obligation}")


def test_binary_headers_come_back_from_the_structured_form() -> None:
    attributes = {"content-type": "application/json", "ce_id": "1", "ce_sequence": "0000000007"}

    event = structured(attributes, {"a": 1})

    assert event["data"] == {"a": 1}
    assert ("ce_sequence", b"0000000007") in binary(event)
    assert ("content-type", b"application/json; charset=utf-8") in binary(event)


def test_every_event_class_names_an_audience_this_service_can_resolve() -> None:
    known = {"source", "handler", "linked", "supervisor", "connection", "organisation"}
    specs = load_catalogue()

    assert all(spec.audience and set(spec.audience) <= known for spec in specs.values())
    named = {name for name, spec in specs.items() if "organisation" in spec.audience}
    assert named == {intake.MatterAnswerMissed.spec.type}
    assert "organisation" in intake.MatterAnswerMissed.model_fields
