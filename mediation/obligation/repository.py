"""Obligations and performances as rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from mediation.obligation.model import Progress
from mediation.repository import Row, insert, many
from services.events.mediation import Obligation
from services.ids import new_id


async def put(db: asyncpg.Connection, values: Mapping[str, Any]) -> Row:
    """Add an obligation."""
    return await insert(db, "obligation", {"obligation_id": new_id(), **values})


async def of_mediation(db: asyncpg.Connection, mediation_id: UUID) -> list[Row]:
    """The obligations of a mediation's agreement, in order."""
    return await db.fetch(
        """SELECT * FROM obligation WHERE mediation_id = $1 AND state <> 'superseded'
           ORDER BY ordinal""",
        mediation_id,
    )


async def of_agreement(db: asyncpg.Connection, agreement_id: UUID) -> list[Row]:
    """All obligations of an agreement, in order."""
    return await many(db, "obligation", "agreement_id", agreement_id, "ordinal")


async def supersede(db: asyncpg.Connection, agreement_id: UUID) -> list[Row]:
    """What a void agreement promised is owed no longer."""
    await db.execute(
        """UPDATE obligation SET state = 'superseded', version = version + 1
           WHERE agreement_id = $1""",
        agreement_id,
    )
    return await of_agreement(db, agreement_id)


async def page(
    db: asyncpg.Connection,
    organisation: str,
    *,
    state: str | None,
    due_before: datetime | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Row]:
    """One page of an organisation's obligations, oldest due first; without a day last."""
    after_at, after_id = after or (None, None)
    return await db.fetch(
        """SELECT * FROM (
             SELECT *, coalesce(due_at, 'infinity'::timestamptz) AS sort_at FROM obligation
             WHERE organisation = $1 AND ($2::text IS NULL OR state = $2)
               AND ($3::timestamptz IS NULL OR due_at < $3)) AS o
           WHERE $4::timestamptz IS NULL OR (sort_at, obligation_id) > ($4, $5::uuid)
           ORDER BY sort_at, obligation_id LIMIT $6""",
        organisation,
        state,
        due_before,
        after_at,
        after_id,
        limit,
    )


async def put_performance(db: asyncpg.Connection, values: Mapping[str, Any]) -> Row:
    """Add a performance."""
    return await insert(db, "performance", {"id": new_id(), **values})


async def performances(db: asyncpg.Connection, obligation_id: UUID) -> list[Row]:
    """What was done on an obligation, in order."""
    return await many(db, "performance", "obligation_id", obligation_id)


def progress(row: Row) -> Progress:
    """What the rules look at."""
    return Progress(row["state"], row["amount_fen"], row["paid_fen"], row["due_at"])


def as_event(row: Row) -> Obligation:
    """An obligation as events tell it: no name."""
    return Obligation(
        obligation_id=row["obligation_id"],
        ordinal=row["ordinal"],
        kind=row["kind"],
        debtor=row["debtor"],
        creditor=row["creditor"],
        amount_fen=row["amount_fen"],
        due_at=row["due_at"],
        due_on=row["due_on"],
        state=row["state"],
    )
