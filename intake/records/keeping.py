"""How long a record is kept, holds on it, and what the sweeper does when the time has come."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from intake.records import repository, rules
from intake.records.model import Record
from services.calendar import shipped
from services.ids import new_id
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

AT_A_TIME = 100


async def begin(uow: UnitOfWork, record_id: UUID, subject: str, kind: str, start: datetime) -> None:
    """The class of the record counts from now: it was refused, or it is answered."""
    class_ = rules.class_of(kind)
    until = rules.keep_until(class_, start, shipped())
    await repository.begin(uow, record_id, subject, class_, until)


async def kept(uow: UnitOfWork, record: Record) -> dict[str, Any]:
    """Class, end and law of a record, and whether a hold stands."""
    row = await repository.one(uow, "record_retention", record.record_id)
    class_ = row["class"] if row else rules.class_of(record.kind)
    found = rules.told(class_)
    return {
        "record_id": record.record_id,
        "class": class_,
        "zh": found["zh"],
        "en": found["en"],
        "citation": found["source"],
        "keep_until": row["keep_until"] if row else None,
        "held": await repository.held(uow, record.record_id),
    }


async def hold(uow: UnitOfWork, record: Record, ground: str, occurred_at: datetime | None) -> UUID:
    """Nothing of the record is erased while the hold stands (档案法 21: D-17)."""
    id_ = new_id()
    await repository.insert(
        uow,
        "record_hold",
        {
            "record_hold_id": id_,
            "record_id": record.record_id,
            "subject": record.subject,
            "ground": ground,
            "organisation": uow.caller.organisation if uow.caller else None,
            "acted_by": uow.actor.acted_by,
            "occurred_at": occurred_at or uow.now,
            "recorded_at": uow.now,
        },
    )
    uow.audit("hold.set", subject=str(id_), detail={"ground": ground})
    return id_


async def lift(uow: UnitOfWork, row: Any) -> None:
    """The hold is over."""
    await repository.lift_hold(uow, row["record_hold_id"])
    uow.audit("hold.lifted", subject=str(row["record_hold_id"]))


async def sweep(runtime: "Runtime") -> int:
    """Propose to erase records whose time has come; a person approves, never the machine (D-17)."""
    async with runtime.unit_of_work() as uow:
        found = await repository.due(uow, AT_A_TIME)
        for row in found:
            await repository.insert(
                uow,
                "record_erasure",
                {
                    "record_erasure_id": new_id(),
                    **row,
                    "ground": "term_ended",
                    "requested_by": "machine",
                    "occurred_at": uow.now,
                    "recorded_at": uow.now,
                },
            )
            uow.audit("erasure.proposed", subject=str(row["record_id"]))
        return len(found)
