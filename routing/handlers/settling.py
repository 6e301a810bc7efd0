"""What people decide: recall, objection, override, and the settlement of a contested case."""

from typing import Any
from uuid import UUID

from routing import repository
from routing.candidates import candidate_of, common_superior
from routing.directory import chain_of, kind_of
from routing.handlers import offering, turns
from routing.repository import Row, Writes
from routing.rules import BY_CODE, UNLIFTABLE, judge
from services.access import AgencyScope
from services.auth import Caller
from services.calendar import day_of
from services.errors import (
    CaseClosedProblem,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
)
from services.events.routing import (
    AssignmentRecalled,
    ConferenceConvened,
    ConferenceResolved,
    ObjectionDecided,
)
from services.ids import new_id
from services.unit_of_work import UnitOfWork

# Whom a settlement binds: agencies, centres and committees; never a court, a party, a paid body.
UNBOUND = frozenset({"court", "commercial_mediator", "partner"})


async def _turn_of_source(uow: UnitOfWork, caller: Caller, assignment_id: UUID) -> tuple[Row, Row]:
    """The case and turn, for its source only. Raises ``NotFound``, ``CaseClosedProblem``."""
    found = await turns.load(uow, assignment_id)
    if found is None:
        raise NotFound()
    case, turn = found
    held = await AgencyScope(caller).require(uow, case["case_id"])
    if "source" not in held:
        raise Forbidden("only the body that sent the case decides this")
    if case["state"] == "closed":
        raise CaseClosedProblem()
    return case, turn


async def recall(uow: UnitOfWork, caller: Caller, assignment_id: UUID, ground: str) -> Row:
    """The source takes its referral back; emits ``AssignmentRecalled``, mediation ends the turn."""
    case, turn = await _turn_of_source(uow, caller, assignment_id)
    if turn["state"] not in ("offered", "accepted", "objected"):
        raise Conflict("the turn is over or is being taken back")
    _must_not_be_agreed(turn)
    writes = Writes()
    _take_back(uow, writes, turn, ground)
    await writes.write(uow.db)
    uow.audit("assignment.recalled", case_id=case["case_id"], subject=str(assignment_id))
    return turn


def _must_not_be_agreed(turn: Row) -> None:
    """An agreement binds, and who mediated it sees to its performance (人民调解法 31: R-24)."""
    if turn["agreed_at"] is not None:
        raise Conflict("the case is agreed: who mediated it sees to the performance")


def _take_back(uow: UnitOfWork, writes: Writes, turn: Row, ground: str) -> None:
    turn |= {"state": "recalling", "ground": ground, "version": turn["version"] + 1}
    writes.add("assignment", turn)
    uow.emit(
        AssignmentRecalled(
            case_id=turn["case_id"],
            assignment_id=turn["id"],
            organisation=turn["organisation"],
            ground=ground,
            recalled_at=uow.now,
        )
    )


async def decide_objection(
    uow: UnitOfWork, caller: Caller, assignment_id: UUID, *, upheld: bool
) -> Row:
    """The sender checked an objection (信访工作条例 23); emits ``ObjectionDecided``."""
    case, turn = await _turn_of_source(uow, caller, assignment_id)
    if turn["state"] != "objected":
        raise Conflict("there is no objection to decide")
    if turn["ended_as"] == "objection_upheld" or turn["ground"] == "objection-refused":
        raise Conflict("the objection is decided; the case follows it")
    writes = Writes()
    turn["version"] += 1
    turn["ended_as"] = "objection_upheld" if upheld else None
    if not upheld:
        turn["ground"] = "objection-refused"
    writes.add("assignment", turn)
    await writes.write(uow.db)
    uow.emit(
        ObjectionDecided(
            case_id=case["case_id"],
            assignment_id=turn["id"],
            organisation=turn["organisation"],
            upheld=upheld,
            decided_by=caller.organisation,
            decided_at=uow.now,
        )
    )
    uow.audit(
        "objection.decided",
        case_id=case["case_id"],
        subject=str(assignment_id),
        detail={"upheld": upheld},
    )
    return turn


async def _locked(uow: UnitOfWork, case_id: UUID) -> Row:
    await uow.lock_case(case_id)
    case = await repository.case_of(uow.db, case_id)
    if case is None:
        raise NotFound()
    return case


def _must_be_open(case: Row) -> None:
    """Asked once the caller may know of the case: a stranger must not learn that it is over."""
    if case["state"] in ("closed", "ending"):
        raise CaseClosedProblem()


def _coordinates(uow: UnitOfWork, case: Row, organisation: str) -> bool:
    """Whether the organisation coordinates or convenes for the place of the case."""
    value = uow.runtime.directory.organisation(organisation) or {}
    return bool({"coordinator", "convenor"} & set(value.get("roles") or ())) and value.get(
        "place"
    ) in chain_of(uow.runtime, case["place"])


def _must_be_able(uow: UnitOfWork, case: Row, organisation: str, pointer: str) -> None:
    """What neither a person nor a settlement can lift: conflict, no mediator, not in force."""
    value = uow.runtime.directory.organisation(organisation)
    if value is None:
        raise Invalid(
            errors=[
                FieldError(pointer, "unknown_organisation", "目录中没有这个机构。/ it is not known")
            ]
        )
    facts = offering.facts(uow, case, [])
    body = candidate_of(value, today=day_of(uow.now).isoformat())
    failed = [code for code in judge(facts, body).failed if code in UNLIFTABLE]
    if failed:
        raise Invalid(
            errors=[
                FieldError(
                    pointer,
                    code.replace("-", "_"),
                    f"{BY_CODE[code].refusal_zh}/ {BY_CODE[code].refusal_en}",
                )
                for code in failed
            ]
        )


async def override(
    uow: UnitOfWork, caller: Caller, decision_id: UUID, *, organisation: str, ground: str
) -> UUID:
    """A person sends the case elsewhere, with a ground; that is a decision too, shown as such.

    Where somebody has a turn it is recalled first, and the new offer follows its end. Answers
    the id of the decision that stands: the new one, or the overridden one until the turn ends.
    """
    row = await repository.decision_of(uow.db, decision_id)
    if row is None:
        raise NotFound()
    held = await AgencyScope(caller).roles(uow, row["case_id"])
    case = await _locked(uow, row["case_id"])
    coordinates = _coordinates(uow, case, caller.organisation)
    if not coordinates and not held & {"supervisor", "source"}:
        raise Forbidden("the place's coordinator decides this") if held else NotFound()
    _must_be_open(case)
    if await repository.latest_decision(uow.db, case["case_id"]) != decision_id:
        raise Conflict("a newer decision stands; override that one")
    _must_be_able(uow, case, organisation, "/organisation")
    turn, writes = await repository.open_turn(uow.db, case["case_id"]), Writes()
    uow.audit("decision.overridden", case_id=case["case_id"], subject=str(decision_id))
    if not held:
        offering.join(uow, writes, case, caller.organisation, "supervisor")
    if turn is not None:
        if turn["state"] == "recalling" or turn["organisation"] == organisation:
            raise Conflict("that body has the turn, or it is being taken back")
        _must_not_be_agreed(turn)
        case["next_offer"] = {
            "organisation": organisation,
            "decided_by": caller.organisation,
            "ground": ground,
            "overrides": str(decision_id),
        }
        writes.add("routed_case", case)
        _take_back(uow, writes, turn, "override")
        await writes.write(uow.db)
        return decision_id
    new = await offering.offer_to(
        uow,
        writes,
        case,
        organisation,
        kind="override",
        decided_by=caller.organisation,
        ground=ground,
        returnable=True,
        overrides=decision_id,
    )
    await writes.write(uow.db)
    found: UUID = new["id"]
    return found


# -- settlement, in its order ---------------------------------------------------------------------


async def settle(
    uow: UnitOfWork,
    caller: Caller,
    *,
    case_id: UUID,
    stage: str,
    outcome: str,
    lead: str | None,
    members: list[str],
    dissent: list[str],
    ground: str | None,
) -> Row:
    """Record one stage of settling who handles a case (信访工作条例 24).

    Order: the two agree, else their common superior decides, else a conference; a later stage is
    refused until the earlier one failed. A lead that is named gets an offer it cannot return,
    where it can be bound. Emits ``ConferenceConvened`` and ``ConferenceResolved``.
    """
    held = await AgencyScope(caller).roles(uow, case_id)
    case = await _locked(uow, case_id)
    contested = await repository.refused_by(uow.db, case_id, case["episode"])
    superior = common_superior(uow.runtime.directory.all("organisation"), contested)
    if not (stage == "conference" and _coordinates(uow, case, caller.organisation)):
        _may_settle(caller, stage, held, superior)
    _must_be_open(case)
    if case["state"] != "undecided":
        raise Conflict("somebody has a turn: there is nothing to settle")
    _in_order(stage, await repository.settlements_of(uow.db, case_id, case["episode"]), superior)
    if lead is not None:
        _must_be_able(uow, case, lead, "/lead")
    binding = lead is not None and kind_of(uow.runtime, lead) not in UNBOUND
    writes = Writes()
    row = writes.add(
        "conference",
        {
            "id": new_id(),
            "case_id": case_id,
            "episode": case["episode"],
            "stage": stage,
            "convened_by": caller.organisation,
            "members": sorted({*members, *contested, case["source"]}),
            "outcome": outcome,
            "lead": lead,
            "ground": ground,
            "dissent": dissent,
            "binding": binding,
            "decision_id": None,
            "occurred_at": uow.now,
            "recorded_at": uow.now,
        },
    )
    _tell(uow, row, caller.organisation)
    if lead is not None:
        decision = await offering.offer_to(
            uow,
            writes,
            case,
            lead,
            kind="settlement",
            decided_by=caller.organisation,
            ground=f"settled-by-{stage}",
            returnable=not binding,
        )
        row["decision_id"] = decision["id"]
    await writes.write(uow.db)
    uow.audit("case.settled", case_id=case_id, subject=str(row["id"]), detail={"stage": stage})
    return row


def _in_order(stage: str, before: list[Row], superior: str | None) -> None:
    """Raises ``Conflict`` when an earlier stage has not failed yet."""
    failed = {row["stage"] for row in before if row["outcome"] == "no_agreement"}
    if stage == "superior":
        if "agreement" not in failed:
            raise Conflict("first the bodies try to agree")
        if superior is None:
            raise Conflict("they have no common superior: a conference decides")
    if stage == "conference":
        if "agreement" not in failed:
            raise Conflict("first the bodies try to agree")
        if superior is not None and "superior" not in failed:
            raise Conflict("first their common superior decides")


def _may_settle(caller: Caller, stage: str, held: set[str], superior: str | None) -> None:
    """Source and coordinator record what was settled; a common superior decides for itself."""
    if held & {"source", "supervisor"} or (stage == "superior" and caller.organisation == superior):
        return
    raise Forbidden("this body does not settle the case") if held else NotFound()


def _tell(uow: UnitOfWork, row: Row, decided_by: str) -> None:
    common: dict[str, Any] = {
        "case_id": row["case_id"],
        "conference_id": row["id"],
        "stage": row["stage"],
    }
    uow.emit(
        ConferenceConvened(
            **common,
            convened_by=row["convened_by"],
            members=tuple(row["members"]),
            convened_at=uow.now,
        )
    )
    uow.emit(
        ConferenceResolved(
            **common,
            outcome=row["outcome"],
            lead=row["lead"],
            decided_by=decided_by,
            resolved_at=uow.now,
        )
    )
