"""All SQL of exports."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.unit_of_work import UnitOfWork

Row = asyncpg.Record


async def add(uow: UnitOfWork, row: dict[str, Any]) -> None:
    """An export to be made."""
    names = ", ".join(row)
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await uow.db.execute(f"INSERT INTO case_export ({names}) VALUES ({places})", *row.values())


async def one(uow: UnitOfWork, export_id: UUID) -> Row | None:
    """An export with its case's number; the caller checks whose it is."""
    return await uow.db.fetchrow(
        """SELECT e.*, c.case_number FROM case_export e JOIN case_file c USING (case_id)
           WHERE e.export_id = $1""",
        export_id,
    )


async def set_progress(uow: UnitOfWork, export_id: UUID, percent: int) -> None:
    """How far it has come; never backwards."""
    await uow.db.execute(
        """UPDATE case_export SET progress_percent = greatest(progress_percent, $2)
           WHERE export_id = $1 AND state = 'waiting'""",
        export_id,
        percent,
    )


async def set_ready(
    uow: UnitOfWork, export_id: UUID, *, file_name: str, size_bytes: int, sha256: str
) -> bool:
    """It can be fetched; False when it was made before or is over."""
    status = await uow.db.execute(
        """UPDATE case_export SET state = 'ready', progress_percent = 100, file_name = $2,
             size_bytes = $3, sha256 = $4, made_at = $5
           WHERE export_id = $1 AND state = 'waiting'""",
        export_id,
        file_name,
        size_bytes,
        sha256,
        uow.now,
    )
    return bool(status.endswith(" 1"))


async def set_failed(uow: UnitOfWork, export_id: UUID, reason: str) -> None:
    """It cannot be made."""
    await uow.db.execute(
        """UPDATE case_export SET state = 'failed', reason = $2, wrapped_key = NULL
           WHERE export_id = $1 AND state = 'waiting'""",
        export_id,
        reason,
    )


async def end_old(uow: UnitOfWork, now: datetime) -> list[UUID]:
    """Forget the keys of exports whose day is over; answers which."""
    rows = await uow.db.fetch(
        """UPDATE case_export SET state = 'over', wrapped_key = NULL
           WHERE export_id IN (SELECT export_id FROM case_export
             WHERE wrapped_key IS NOT NULL AND expires_at <= $1 LIMIT 200 FOR UPDATE SKIP LOCKED)
           RETURNING export_id""",
        now,
    )
    return [row["export_id"] for row in rows]
