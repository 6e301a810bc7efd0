"""How long a file is kept: its class from closing on, changed with a ground, and legal holds."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from intake import repository as cases
from intake.rights import repository, rules
from services.calendar import shipped
from services.errors import NotFound
from services.ids import new_id
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

AT_A_TIME = 100


async def begin(uow: UnitOfWork, case_id: UUID, closed_at: datetime) -> None:
    """The file is closed: its class counts from now; a class that was set by hand stays."""
    case = await cases.case(uow, case_id)
    if case is None:
        raise NotFound()
    known = await repository.one(uow, "retention", case_id)
    class_ = known["class"] if known else rules.class_of(case["dispute_type"])
    until = rules.keep(class_, closed_at, shipped()).keep_until
    ground = known["ground"] if known else "by_type"
    await repository.set_retention(uow, case_id, class_, until, ground, by_hand=False)


async def open_again(uow: UnitOfWork, case_id: UUID) -> None:
    """The next round: the file is kept while it is open."""
    await repository.open_again(uow, case_id)


async def classify(uow: UnitOfWork, case_id: UUID, class_: str, ground: str) -> None:
    """Put the file into another class (D-16); in an open case it counts from closing."""
    await uow.lock_case(case_id)
    case = await cases.case(uow, case_id)
    if case is None:
        raise NotFound()
    closed_at = case["closed_at"]
    until = rules.keep(class_, closed_at, shipped()).keep_until if closed_at else None
    await repository.set_retention(uow, case_id, class_, until, ground, by_hand=True)
    uow.audit("retention.set", case_id=case_id, detail={"class": class_, "ground": ground})


async def kept(uow: UnitOfWork, case: Any) -> dict[str, Any]:
    """Class, end and law of a file, and whether a hold stands."""
    row = await repository.one(uow, "retention", case["case_id"])
    class_ = row["class"] if row else rules.class_of(case["dispute_type"])
    found = rules.data()["classes"][class_]
    return {
        "class": class_,
        "zh": found["zh"],
        "en": found["en"],
        "citation": found["source"],
        "ground": row["ground"] if row else "by_type",
        "keep_until": row["keep_until"] if row else None,
        "held": await repository.held(uow, case["case_id"]),
    }


async def hold(uow: UnitOfWork, case_id: UUID, ground: str, occurred_at: datetime | None) -> UUID:
    """Nothing of the file is erased while the hold stands (档案法 21: D-17)."""
    await uow.lock_case(case_id)
    id_ = new_id()
    await repository.insert(
        uow,
        "legal_hold",
        {
            "hold_id": id_,
            "case_id": case_id,
            "ground": ground,
            "organisation": uow.caller.organisation if uow.caller else None,
            "acted_by": uow.actor.acted_by,
            "occurred_at": occurred_at or uow.now,
            "recorded_at": uow.now,
        },
    )
    uow.audit("hold.set", case_id=case_id, subject=str(id_), detail={"ground": ground})
    return id_


async def lift(uow: UnitOfWork, row: Any) -> None:
    """The hold is over."""
    await uow.lock_case(row["case_id"])
    await repository.lift_hold(uow, row["hold_id"])
    uow.audit("hold.lifted", case_id=row["case_id"], subject=str(row["hold_id"]))


async def sweep(runtime: "Runtime") -> int:
    """Propose to erase files whose time has come; a person approves, never the machine (D-17)."""
    async with runtime.unit_of_work() as uow:
        found = await repository.due(uow, AT_A_TIME)
        for case_id in found:
            await repository.insert(
                uow,
                "erasure",
                {
                    "erasure_id": new_id(),
                    "case_id": case_id,
                    "ground": "term_ended",
                    "requested_by": "machine",
                    "occurred_at": uow.now,
                    "recorded_at": uow.now,
                },
            )
            uow.audit("erasure.proposed", case_id=case_id)
        return len(found)
