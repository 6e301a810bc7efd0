"""Erasure: addresses of sent messages go, the letters in the spool too; that they went stays."""

import asyncio
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from notification.channels import FileChannel
from services.events.intake import CaseErased, ErasureDone
from services.service import Received
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

LETTERS: Final = "erase-letters"


async def obey(received: Received[CaseErased], uow: UnitOfWork) -> None:
    """Forget where these parties were reached; emits ``ErasureDone``.

    Messages that still wait are dropped. A repeat removes nothing more.
    """
    data = received.data
    await uow.lock_case(data.case_id, create=True, episode=received.episode)
    parties = list(data.parties)
    await uow.db.execute(
        """UPDATE message SET state = 'dropped', reason = 'erased', settled_at = $3
           WHERE case_id = $1 AND party_id = ANY($2::uuid[]) AND state IN ('waiting', 'sending')""",
        data.case_id,
        parties,
        uow.now,
    )
    rows = await uow.db.fetch(
        """UPDATE attempt a SET address_hash = NULL, address_masked = NULL, provider_receipt = NULL
           FROM message m WHERE m.id = a.message_id AND m.case_id = $1
             AND m.party_id = ANY($2::uuid[]) AND a.address_hash IS NOT NULL
           RETURNING a.message_id""",
        data.case_id,
        parties,
    )
    letters = sorted({str(row["message_id"]) for row in rows})
    if letters:
        uow.enqueue(LETTERS, {"messages": letters}, key=f"{LETTERS}:{data.erasure_id}")
    uow.emit(
        ErasureDone(
            case_id=data.case_id,
            erasure_id=data.erasure_id,
            removed=len(rows),
            done_at=uow.now,
        )
    )
    uow.audit("erasure.obeyed", case_id=data.case_id, subject=str(data.erasure_id))


async def remove_letters(job_id: UUID, payload: dict[str, Any], runtime: "Runtime") -> None:
    """Take the letters themselves out of the spool, where they still lie."""
    spool = FileChannel(runtime.settings.spool_dir)
    for message_id in payload["messages"]:
        await asyncio.to_thread(spool.path(UUID(message_id)).unlink, missing_ok=True)
