"""Events and envelopes for tests of notification."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from services.clock import wire
from services.events import intake, mediation, routing
from services.events.envelope import Event, Party, payload
from services.ids import new_id
from services.messaging.kafka import Incoming
from services.service import Received

COURT = "310105-CT-0001"
CENTRE = "310105-CE-0001"
COMMITTEE = "310105-CM-0001"
POLICE = "310105-PS-0001"
NUMBER = "LD2026-310105-0000123-G"
AT = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)
ANNA = UUID("019aaaaa-0000-7000-8000-000000000001")
BORIS = UUID("019aaaaa-0000-7000-8000-000000000002")


def a_registration(case_id: UUID, **changes: Any) -> intake.CaseRegistered:
    values: dict[str, Any] = {
        "case_id": case_id,
        "case_number": NUMBER,
        "referral_id": new_id(),
        "organisation": COURT,
        "lane": "court_pre",
        "dispute_type": "contract",
        "place": "310105001001",
        "parties": (
            Party(party_id=ANNA, role="applicant", kind="person"),
            Party(party_id=BORIS, role="respondent", kind="person"),
        ),
        "channel": "api",
        "received_at": AT,
        "registered_at": AT,
    }
    return intake.CaseRegistered(**{**values, **changes})


def a_referral(case_id: UUID, **changes: Any) -> intake.ReferralReceived:
    values: dict[str, Any] = {
        "case_id": case_id,
        "referral_id": new_id(),
        "organisation": COURT,
        "reference": "(2026)沪0105民诉前调1号",
        "channel": "api",
        "received_at": AT,
    }
    return intake.ReferralReceived(**{**values, **changes})


def joined(
    case_id: UUID, organisation: str, role: Any, **changes: Any
) -> routing.ParticipantJoined:
    values: dict[str, Any] = {
        "case_id": case_id,
        "participation_id": new_id(),
        "organisation": organisation,
        "role": role,
        "joined_at": AT,
    }
    return routing.ParticipantJoined(**{**values, **changes})


def left(joined_: routing.ParticipantJoined, reason: str = "returned") -> routing.ParticipantLeft:
    return routing.ParticipantLeft(
        case_id=joined_.case_id,
        participation_id=joined_.participation_id,
        organisation=joined_.organisation,
        role=joined_.role,
        reason=reason,
        left_at=AT,
    )


def an_offer(
    case_id: UUID, organisation: str = CENTRE, **changes: Any
) -> routing.AssignmentOffered:
    values: dict[str, Any] = {
        "case_id": case_id,
        "assignment_id": new_id(),
        "decision_id": new_id(),
        "organisation": organisation,
        "source_organisation": COURT,
        "ordinal": 1,
        "on_silence": "reoffer",
        "accept_by": datetime(2099, 11, 27, 16, 0, tzinfo=UTC),
        "window": {"n": 3, "unit": "workday"},
        "offered_at": AT,
        "lane": "court_pre",
        "dispute_type": "contract",
        "place": "310105001001",
        "parties": (),
        "received_at": AT,
        "registered_at": AT,
    }
    return routing.AssignmentOffered(**{**values, **changes})


def accepted(offer: routing.AssignmentOffered) -> mediation.AssignmentAccepted:
    return mediation.AssignmentAccepted(
        case_id=offer.case_id,
        assignment_id=offer.assignment_id,
        mediation_id=new_id(),
        organisation=offer.organisation,
        ordinal=offer.ordinal,
        accepted_at=AT,
    )


def returned(offer: routing.AssignmentOffered) -> mediation.AssignmentReturned:
    return mediation.AssignmentReturned(
        case_id=offer.case_id,
        assignment_id=offer.assignment_id,
        organisation=offer.organisation,
        ordinal=offer.ordinal,
        ground="capacity",
        returned_at=AT,
    )


def a_deadline(kind: str, subject_id: UUID | None = None, **changes: Any) -> routing.Deadline:
    values: dict[str, Any] = {
        "clock_id": new_id(),
        "kind": kind,
        "rule": "DL-CT-05",
        "citation": "法释〔2021〕23号 24",
        "subject_id": subject_id,
        "due_at": datetime(2099, 12, 24, 16, 0, tzinfo=UTC),
        "due_on": "2099-12-24",
        "original_due_at": datetime(2099, 12, 24, 16, 0, tzinfo=UTC),
    }
    return routing.Deadline(**{**values, **changes})


def started(case_id: UUID, deadline: routing.Deadline) -> routing.DeadlineStarted:
    return routing.DeadlineStarted(case_id=case_id, deadline=deadline, started_at=AT)


def a_session(case_id: UUID, **changes: Any) -> mediation.SessionScheduled:
    values: dict[str, Any] = {
        "case_id": case_id,
        "session_id": new_id(),
        "mediation_id": new_id(),
        "mode": "in_person",
        "parties": (ANNA, BORIS),
        "starts_at": datetime(2099, 12, 1, 1, 0, tzinfo=UTC),
        "ends_at": datetime(2099, 12, 1, 3, 0, tzinfo=UTC),
    }
    return mediation.SessionScheduled(**{**values, **changes})


def obligations(case_id: UUID, obligation_id: UUID) -> mediation.ObligationsChanged:
    return mediation.ObligationsChanged(
        case_id=case_id,
        agreement_id=new_id(),
        obligations=(
            mediation.Obligation(
                obligation_id=obligation_id,
                ordinal=1,
                kind="payment",
                debtor=BORIS,
                creditor=ANNA,
                amount_fen=1_200_000,
                due_on="2099-12-31",
                state="open",
            ),
        ),
        changed_at=AT,
    )


class Stream:
    """Numbers events of a case as its four sources would, and wraps them as they are heard."""

    def __init__(self, case_id: UUID | None = None) -> None:
        self.case_id = case_id or new_id()
        self._sequences: dict[str, int] = {}

    def heard(self, event: Event, *, episode: int = 1, source: str | None = None) -> Received[Any]:
        owner = source or (event.spec.owner if event.spec.owner != "*" else "intake")
        sequence = self._sequences[owner] = self._sequences.get(owner, 0) + 1
        headers = [
            ["content-type", "application/json; charset=utf-8"],
            ["ce_specversion", "1.0"],
            ["ce_id", str(new_id())],
            ["ce_source", f"/{owner}"],
            ["ce_type", event.spec.type],
            ["ce_subject", str(self.case_id)],
            ["ce_time", wire(AT)],
            ["ce_recordedtime", wire(AT)],
            ["ce_sequence", f"{sequence:010d}"],
            ["ce_episode", str(episode)],
            ["ce_correlationid", "018f0000-0000-7000-8000-000000000000"],
        ]
        data = orjson.dumps(payload(event))
        record = Incoming("cases", 0, 0, str(self.case_id), headers, data)
        return Received(event, record.envelope(), record)
