"""Telling an organisation that a matter which it must answer has become overdue."""

from typing import TYPE_CHECKING, Final

from intake.matters import repository
from services.events.intake import MatterAnswerMissed

if TYPE_CHECKING:
    from services.runtime import Runtime

AT_ONCE: Final = 50


async def tell_missed(runtime: "Runtime") -> int:
    """Say once of each matter that its last day is over. Answers how many were told.

    Emits ``MatterAnswerMissed``, the longest overdue first, in the transaction that marks the
    matter: however long nobody looked, each is told, and none twice. One that the directory has
    nobody for is told when somebody has it.
    """
    async with runtime.unit_of_work() as uow:
        rows = await repository.take_missed(uow, AT_ONCE)
        await uow.lock_cases({row["matter_id"]: 1 for row in rows})
        for row in rows:
            uow.emit(
                MatterAnswerMissed(
                    case_id=row["matter_id"],
                    matter_id=row["matter_id"],
                    organisation=row["holder"],
                    due_at=row["due_at"],
                    missed_at=uow.now,
                )
            )
            uow.audit("matter.answer_missed", subject=str(row["matter_id"]))
    return len(rows)
