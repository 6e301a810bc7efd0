"""Erasure: what mediation holds of people goes; what counts in figures stays."""

from typing import Final

from services.events.intake import CaseErased, ErasureDone
from services.service import Received
from services.unit_of_work import UnitOfWork

# What is sealed and goes with the whole file; hashes, states, dates and sums stay.
_WHOLE: Final = (
    "UPDATE assignment SET note_sealed = NULL WHERE case_id = $1 AND note_sealed IS NOT NULL",
    "UPDATE mediation SET report_sealed = NULL WHERE case_id = $1 AND report_sealed IS NOT NULL",
    "UPDATE agreement SET sealed = '' WHERE case_id = $1 AND sealed <> ''",
    "UPDATE hand_over SET package_sealed = '' WHERE case_id = $1 AND package_sealed <> ''",
    "UPDATE session_note SET sealed = '' WHERE case_id = $1 AND sealed <> ''",
)


async def obey(received: Received[CaseErased], uow: UnitOfWork) -> None:
    """Remove the party sheet, and with the whole file every sealed text; emits ``ErasureDone``.

    Of one party alone only the sheet goes: an agreement belongs to the others too, and stays until
    its file's class has ended. The sheet is fetched anew, without the party. A repeat removes
    nothing more.
    """
    data = received.data
    await uow.lock_case(data.case_id, create=True, episode=received.episode)
    removed = _count(
        await uow.db.execute("DELETE FROM party_sheet WHERE case_id = $1", data.case_id)
    )
    if data.whole:
        # Notes are open to their author alone; this opens them to nothing but being emptied.
        await uow.db.execute("SELECT set_config('liandiao.erasing', $1, true)", str(data.case_id))
        for statement in _WHOLE:
            removed += _count(await uow.db.execute(statement, data.case_id))
        await uow.db.execute("SELECT set_config('liandiao.erasing', '', true)")
    uow.emit(
        ErasureDone(
            case_id=data.case_id, erasure_id=data.erasure_id, removed=removed, done_at=uow.now
        )
    )
    uow.audit("erasure.obeyed", case_id=data.case_id, subject=str(data.erasure_id))


def _count(status: str) -> int:
    return int(status.split()[-1])
