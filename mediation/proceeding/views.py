"""A mediation put together from its parts, for its desk."""

from typing import Any
from uuid import UUID

from mediation.gate import own
from mediation.next_act import consents_missing, of_assignment, term
from mediation.proceeding import repository
from mediation.repository import Row
from mediation.schemas import next_act_view, term_views
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
        "next_act": await next_act_of(row["mediation_id"], uow),
    }


async def next_acts(mediation_ids: list[UUID], uow: UnitOfWork) -> dict[UUID, Row]:
    """The facts behind the next act of each mediation, by id."""
    rows = await repository.next_facts(uow.db, mediation_ids)
    return {row["mediation_id"]: row for row in rows}


async def next_act_of(mediation_id: UUID, uow: UnitOfWork) -> dict[str, Any] | None:
    """What has to happen next on the mediation that a part belongs to."""
    return _next_act((await next_acts([mediation_id], uow))[mediation_id])


def _next_act(facts: Row) -> dict[str, Any] | None:
    words = [{"party_id": p, "step": "mediate"} for p in facts["answered"]]
    planned, owed = facts["next_session_at"], []
    if facts["open"]:
        owed.append({"state": "open", "due_at": facts["first_due_at"]})
    if facts["breached"]:
        owed.append({"state": "breached", "due_at": None})
    mediation = {
        "state": facts["mediation_state"],
        "mediator_id": facts["mediator_id"],
        "drafts": facts["drafts"],
        "court": facts["court"],
        "to_be_confirmed": facts["to_be_confirmed"],
        "confirm_by": facts["confirm_by"],
        "sessions": [{"state": "scheduled", "starts_at": planned}] if planned else [],
        "consents_missing": consents_missing(facts["parties"], words, facts["departed"]),
        "obligations": owed,
    }
    return next_act_view(of_assignment(dict(facts), mediation))


async def listed(rows: list[Row], uow: UnitOfWork) -> list[dict[str, Any]]:
    """Mediations as a list shows them."""
    facts = await next_acts([row["mediation_id"] for row in rows], uow)
    return [
        {
            **_head(row, facts[row["mediation_id"]]),
            "next_act": _next_act(facts[row["mediation_id"]]),
        }
        for row in rows
    ]


def _head(row: Row, turn: Row) -> dict[str, Any]:
    due = term(turn["terms"])
    return {
        **dict(row),
        "term_due_at": due.due_at,
        "term_due_on": due.due_on,
        "term_missed": due.missed,
    }


async def whole(row: Row, uow: UnitOfWork) -> dict[str, Any]:
    """A mediation with everything its desk works on."""
    facts = (await next_acts([row["mediation_id"]], uow))[row["mediation_id"]]
    parts = await repository.parts(uow.db, row["mediation_id"], row["case_id"])
    return {
        **_head(row, facts),
        **dict(parts),
        "next_act": _next_act(facts),
        "terms": term_views(parts["terms"]),
        "parties": [
            {**p, "left_at": parts["departures"].get(p["party_id"])} for p in parts["parties"]
        ],
        "consents_missing": consents_missing(
            parts["parties"], parts["consents"], parts["departures"]
        ),
        "possible_end_codes": list(lanes.lane(row["lane"]).end_codes)
        if row["state"] == "open"
        else [],
    }
