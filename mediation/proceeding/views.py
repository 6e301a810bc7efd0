"""A mediation put together from its parts, for its desk."""

from typing import Any
from uuid import UUID

from mediation.agreement import repository as agreements
from mediation.gate import own
from mediation.next_act import consents_missing, of_assignment, term
from mediation.obligation import repository as obligations
from mediation.proceeding import repository
from mediation.repository import Row
from mediation.schemas import next_act_view, term_views
from mediation.session import repository as sessions
from services.events import lanes
from services.unit_of_work import UnitOfWork


def consent_view(row: Row) -> dict[str, Any]:
    """A consent as a line of the ledger."""
    return {**dict(row), "consent_id": row["id"]}


async def consent_with_effect(row: Row, uow: UnitOfWork) -> dict[str, Any]:
    """A consent, and what it brought about."""
    mediation = await own(uow, "mediation", row["mediation_id"], row["organisation"])
    return {
        **consent_view(row),
        "mediation_state": mediation["state"],
        "remedies": mediation["remedies"],
        "next_act": (await whole(mediation, uow))["next_act"],
    }


async def next_act_of(mediation_id: UUID, organisation: str, uow: UnitOfWork) -> Any:
    """What has to happen next on the mediation that a part belongs to."""
    return (await whole(await own(uow, "mediation", mediation_id, organisation), uow))["next_act"]


async def listed(row: Row, uow: UnitOfWork) -> dict[str, Any]:
    """A mediation as a list shows it."""
    return _head(row, await repository.assignment_of(uow.db, row), {})


def _head(row: Row, assignment: Row, parts: dict[str, Any]) -> dict[str, Any]:
    due = term(assignment["terms"])
    return {
        **dict(row),
        "term_due_at": due.due_at,
        "term_due_on": due.due_on,
        "term_missed": due.missed,
        "next_act": next_act_view(of_assignment(dict(assignment), {**dict(row), **parts})),
    }


async def whole(row: Row, uow: UnitOfWork) -> dict[str, Any]:
    """A mediation with everything its desk works on."""
    db, id_ = uow.db, row["mediation_id"]
    assignment = await repository.assignment_of(db, row)
    case = await repository.case_copy(db, row["case_id"])
    consents = await repository.current_consents(db, id_)
    agreement = await agreements.current(db, id_)
    parts: dict[str, Any] = {
        "consents": [consent_view(consent) for consent in consents],
        "sessions": [dict(s) for s in await sessions.of_mediation(db, id_)],
        "obligations": [dict(o) for o in await obligations.of_mediation(db, id_)],
        "consents_missing": consents_missing(case["parties"], [dict(c) for c in consents]),
        "drafts": agreement is not None and agreement["state"] == "draft",
    }
    return {
        **_head(row, assignment, parts),
        **parts,
        "joint_sessions": case["joint_sessions"],
        "parties": case["parties"],
        "terms": term_views(assignment["terms"]),
        "appointments": [dict(a) for a in await repository.appointments(db, id_)],
        "agreement": dict(agreement) if agreement else None,
        "possible_end_codes": list(lanes.lane(row["lane"]).end_codes)
        if row["state"] == "open"
        else [],
    }
