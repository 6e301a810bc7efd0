"""Rounds over REST: reported, listed, and when the next is due."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from intake.doors.mandates import NOTHING_UNMARKED
from intake.handlers import fault
from intake.rounds import model, repository
from intake.schemas import Body, Instant
from services.auth import Caller
from services.calendar import day_of
from services.errors import (
    CursorInvalid,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    Invalid,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from services.http import Reader, Unit, requires
from services.idempotency import Once
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_WRITES = (IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType)


class FindingBody(Body):
    """Where and what kind of dispute; nobody's name."""

    place: str = Field(pattern=r"^[0-9]{12}([0-9]{3})?$")
    cause: str = Field(pattern=r"^[a-z][a-z_]{1,39}$", description="A dispute type or subtype")


class RoundBody(Body):
    """A round: either findings, or that nothing was found - it must be said."""

    place: str = Field(pattern=r"^[0-9]{12}$")
    began_on: date
    ended_on: date
    nothing_found: bool = False
    findings: list[FindingBody] = Field(default=[], max_length=200)


class FindingView(BaseModel):
    """A finding; ``case_id`` once it has become a case."""

    finding_id: UUID
    place: str
    cause: str
    case_id: UUID | None


class RoundView(BaseModel):
    """A round as it was reported."""

    round_id: UUID
    organisation: str
    place: str
    level: str
    began_on: date
    ended_on: date
    nothing_found: bool
    findings: list[FindingView]
    recorded_at: Instant


class DueView(BaseModel):
    """When a place is to be looked at next; ``last_on`` is empty where nobody has looked yet."""

    place: str
    level: str
    last_on: date | None
    due_on: date | None
    overdue: bool
    source: str


@router.post(
    "/v1/rounds",
    status_code=201,
    response_model=RoundView,
    responses=problems(*_WRITES),
    summary="Report a round, also one that found nothing",
)
async def report_round(
    body: RoundBody, caller: Annotated[Caller, requires("referral:write")], uow: Unit, once: Once
) -> Any:
    """Village, township or county; a finding is a place and a cause (F-29)."""
    if once.replayed:
        id_ = UUID(once.resource_id)
    else:
        level = _checked(body, uow)
        id_ = await repository.add(
            uow,
            organisation=caller.organisation,
            place=body.place,
            level=level,
            began_on=body.began_on,
            ended_on=body.ended_on,
            findings=[(each.place, each.cause) for each in body.findings],
        )
        uow.audit("round.reported", subject=str(id_), detail={"findings": len(body.findings)})
        await once.store(201, location="/v1/rounds", resource_id=str(id_))
    row = await repository.own(uow, caller.organisation, id_)
    if row is None:
        raise NotFound()
    return (await _views(uow, [row]))[0]


def _checked(body: RoundBody, uow: UnitOfWork) -> str:
    """The level of the place. Raises ``Invalid``."""
    errors, directory = [], uow.runtime.directory
    entry = directory.place(body.place) or {}
    level = str(entry.get("level"))
    if not entry:
        errors.append(fault("/place", "place_unknown"))
    elif level not in model.levels():
        errors.append(fault("/place", "not_a_place_of_rounds"))
    if body.nothing_found == bool(body.findings):
        errors.append(fault("/nothing_found", "nothing_found_or_findings"))
    if body.ended_on < body.began_on:
        errors.append(fault("/ended_on", "range_reversed"))
    if body.ended_on > day_of(uow.now):
        errors.append(fault("/ended_on", "in_future"))
    for number, each in enumerate(body.findings):
        if directory.place(each.place) is None:
            errors.append(fault(f"/findings/{number}/place", "place_unknown"))
    if errors:
        raise Invalid(errors=errors)
    return level


async def _views(uow: UnitOfWork, rows: list[Any]) -> list[dict[str, Any]]:
    found: dict[UUID, list[dict[str, Any]]] = {row["round_id"]: [] for row in rows}
    for each in await repository.findings(uow, list(found)):
        found[each["round_id"]].append(dict(each))
    return [{**dict(row), "findings": found[row["round_id"]]} for row in rows]


@router.get(
    "/v1/rounds",
    response_model=Items[RoundView],
    responses=problems(CursorInvalid),
    summary="Your rounds, youngest first",
)
async def list_rounds(
    caller: Annotated[Caller, requires("referral:read")], uow: Reader, page: Paging
) -> Any:
    """Each with its findings."""
    before = page.after_id({}, direction="desc")
    rows = await repository.listed(uow, caller.organisation, before=before, limit=page.fetch)
    views = await _views(uow, rows)
    return page.answer(views, lambda row: [row["round_id"]], dict, {}, direction="desc")


@router.get(
    "/v1/rounds/due",
    response_model=Items[DueView],
    responses=problems(),
    summary="Where you look next, and where it is overdue",
)
async def list_due(caller: Annotated[Caller, requires("referral:read")], uow: Reader) -> Any:
    """Your own place, and every place in which you have made a round."""
    today = day_of(uow.now)
    last = {row["place"]: row for row in await repository.last(uow, caller.organisation)}
    entry = uow.runtime.directory.organisation(caller.organisation) or {}
    own = str(entry.get("place"))
    level = str((uow.runtime.directory.place(own) or {}).get("level"))
    items = [
        {
            "place": row["place"],
            "level": row["level"],
            "last_on": row["ended_on"],
            "due_on": (due := model.due_on(row["level"], row["ended_on"])),
            "overdue": due < today,
            "source": model.levels()[row["level"]]["source"],
        }
        for row in last.values()
    ]
    if own not in last and level in model.levels():
        source = model.levels()[level]["source"]
        items.append(
            {
                "place": own,
                "level": level,
                "last_on": None,
                "due_on": None,
                "overdue": True,
                "source": source,
            }
        )
    return {"items": items, "next": None}
