"""The copy of mandates as rows."""

from datetime import datetime
from uuid import UUID

import asyncpg

from mediation.mandate.rules import Mandate


async def keep(db: asyncpg.Connection, mandate: Mandate, given_at: datetime) -> None:
    """Somebody files for a party from now on; a repeat changes nothing."""
    await db.execute(
        """INSERT INTO mandate (mandate_id, case_id, party_id, organisation, given_at)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
        mandate.mandate_id,
        mandate.case_id,
        mandate.party_id,
        mandate.organisation,
        given_at,
    )


async def end(db: asyncpg.Connection, mandate_id: UUID, revoked_at: datetime) -> None:
    """The mandate holds no more; the first time stands."""
    await db.execute(
        "UPDATE mandate SET revoked_at = $2 WHERE mandate_id = $1 AND revoked_at IS NULL",
        mandate_id,
        revoked_at,
    )


async def find(db: asyncpg.Connection, mandate_id: UUID) -> Mandate | None:
    """A mandate by its id."""
    row = await db.fetchrow(
        """SELECT mandate_id, case_id, party_id, organisation, revoked_at FROM mandate
           WHERE mandate_id = $1""",
        mandate_id,
    )
    return Mandate(**dict(row)) if row is not None else None
