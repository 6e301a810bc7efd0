"""Commands that come in by Kafka: accept, return, object."""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

from mediation.gate import Act, act, hold
from mediation.queue import handlers
from mediation.repository import Row
from services.clock import read
from services.errors import FieldError, Forbidden, Invalid
from services.service import Command
from services.unit_of_work import UnitOfWork


def _member(data: dict[str, Any], name: str, *, required: bool = True) -> str | None:
    value = data.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or len(value) > 2000:
        raise Invalid(
            errors=[
                FieldError(
                    f"/{name}", "required", f"须以文本写明 {name}。/ {name} is required as text"
                )
            ]
        )
    return value


def _uuid(data: dict[str, Any], name: str) -> UUID:
    try:
        return UUID(_member(data, name) or "")
    except ValueError:
        raise Invalid(
            errors=[FieldError(f"/{name}", "uuid", f"{name} 须为编号（UUID）。/ {name} is a UUID")]
        ) from None


async def _on_turn(
    command: Command,
    uow: UnitOfWork,
    move: Callable[[Row, Act], Awaitable[Row]],
) -> dict[str, Any]:
    """Find the turn, check who acts, move it; members of the answer."""
    caller = uow.caller
    if caller is None:
        raise Forbidden()
    occurred = _member(command.data, "occurred_at", required=False)
    try:
        occurred_at = read(occurred) if occurred else None
    except ValueError:
        raise Invalid(
            errors=[
                FieldError(
                    "/occurred_at",
                    "timestamp_without_zone",
                    "须为带时区的时刻。/ an instant with offset",
                )
            ]
        ) from None
    row = await hold(uow, "assignment", _uuid(command.data, "assignment_id"), caller.organisation)
    done_by = await act(uow, caller.organisation, occurred_at=occurred_at, acted_by=caller.acted_by)
    row = await move(row, done_by)
    return {"case_id": row["case_id"], "case_number": row["case_number"]}


async def accept(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """``assignment.accept``: `{organisation, assignment_id, acted_by?, occurred_at?}`."""

    async def move(row: Row, done_by: Act) -> Row:
        return await handlers.accept(row, done_by, uow)

    return await _on_turn(command, uow, move)


async def give_back(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """``assignment.return``: `{organisation, assignment_id, ground, note?, acted_by?}`."""
    ground = _member(command.data, "ground") or ""
    note = _member(command.data, "note", required=False)

    async def move(row: Row, done_by: Act) -> Row:
        return await handlers.give_back(row, ground, note, done_by, uow)

    return await _on_turn(command, uow, move)


async def object_to(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """``assignment.object``: `{organisation, assignment_id, ground, note?, acted_by?}`."""
    ground = _member(command.data, "ground") or ""
    note = _member(command.data, "note", required=False)

    async def move(row: Row, done_by: Act) -> Row:
        return await handlers.object_to(row, ground, note, done_by, uow)

    return await _on_turn(command, uow, move)


COMMANDS: Final = {
    "assignment.accept": accept,
    "assignment.return": give_back,
    "assignment.object": object_to,
}
