"""Commands that agencies send over Kafka: the same acts as over REST, answered once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from routing import schemas
from routing.handlers import linking, settling
from routing.repository import Row, case_of
from services.auth import Caller
from services.errors import FieldError, Forbidden, Invalid
from services.events.envelope import Citation, Code, Slug
from services.service import Command
from services.unit_of_work import UnitOfWork

B = TypeVar("B", bound="CommandData")


class CommandData(BaseModel):
    """Members every command may carry; others of an agency's own are ignored."""

    model_config = ConfigDict(extra="ignore")
    organisation: str | None = None
    reference: str | None = None


class RecallData(CommandData):
    """``assignment.recall``."""

    assignment_id: UUID
    ground: schemas.Ground = "source-withdrew"


class ObjectionData(CommandData):
    """``objection.decide``."""

    assignment_id: UUID
    upheld: bool


class LinkageData(CommandData):
    """``linkage.request``."""

    case_id: UUID
    kind: str = Field("evidence", pattern="^evidence$")
    asked: Code
    items: list[Slug] = Field(min_length=1, max_length=20)
    legal_basis: Citation
    answer_by: AwareDatetime | None = None


class LinkageAnswerData(CommandData, schemas.LinkageAnswerIn):
    """``linkage.answer``."""

    model_config = ConfigDict(extra="ignore")
    linkage_id: UUID


def _read(model: type[B], command: Command) -> B:
    try:
        return model.model_validate_json(_json(command.data))
    except ValidationError as error:
        raise Invalid(
            errors=[
                FieldError(
                    "".join(f"/{part}" for part in fault["loc"]),
                    "required" if fault["type"] == "missing" else fault["type"],
                    "该项缺失或者不符合规定。/ the member is missing or breaks its rule",
                )
                for fault in error.errors()
            ]
        ) from None


def _json(data: dict[str, Any]) -> bytes:
    import orjson

    return orjson.dumps(data)


def _caller(uow: UnitOfWork) -> Caller:
    if uow.caller is None:
        raise Forbidden()
    return uow.caller


async def _answer(uow: UnitOfWork, row: Row) -> dict[str, Any]:
    case = await case_of(uow.db, row["case_id"])
    return {"case_id": row["case_id"], "case_number": case["case_number"] if case else None}


async def recall(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """The source takes its referral back."""
    data = _read(RecallData, command)
    row = await settling.recall(uow, _caller(uow), data.assignment_id, data.ground)
    return await _answer(uow, row)


async def decide_objection(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """The sender says whether an objection is right."""
    data = _read(ObjectionData, command)
    row = await settling.decide_objection(uow, _caller(uow), data.assignment_id, upheld=data.upheld)
    return await _answer(uow, row)


async def request_linkage(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """An agency asks another for one thing."""
    data = _read(LinkageData, command)
    members = data.model_dump(exclude={"organisation", "reference"})
    return await _answer(uow, await linking.request(uow, _caller(uow), **members))


async def answer_linkage(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """The asked agency answers."""
    data = _read(LinkageAnswerData, command)
    row = await linking.answer(
        uow,
        _caller(uow),
        data.linkage_id,
        result=data.result,
        ground=data.ground,
        documents=[paper.model_dump() for paper in data.documents],
    )
    return await _answer(uow, row)


COMMANDS: Final[Mapping[str, Callable[[Command, UnitOfWork], Awaitable[dict[str, Any]]]]] = {
    "assignment.recall": recall,
    "objection.decide": decide_objection,
    "linkage.request": request_linkage,
    "linkage.answer": answer_linkage,
}
