"""Applications for confirmation as rows."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from mediation.confirmation.model import LASTING
from mediation.repository import Row, insert


async def put(db: asyncpg.Connection, values: Mapping[str, Any]) -> Row:
    """Add an application."""
    return await insert(db, "confirmation", values)


async def lasting(db: asyncpg.Connection, agreement_id: UUID) -> bool:
    """Whether a court has an application for the agreement, or has confirmed it."""
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT 1 FROM confirmation WHERE agreement_id = $1 AND state = ANY($2))",
        agreement_id,
        list(LASTING),
    )
    return found


async def awaited(db: asyncpg.Connection, mediation_id: UUID) -> bool:
    """Whether a court has still to decide, or the parties who mean to apply may still do so."""
    found: bool = await db.fetchval(
        """SELECT EXISTS (SELECT 1 FROM confirmation WHERE mediation_id = $1 AND state = 'applied')
             OR EXISTS (
               SELECT 1 FROM agreement g
               WHERE g.mediation_id = $1 AND g.state = 'effective' AND g.to_be_confirmed
                 AND NOT EXISTS (SELECT 1 FROM confirmation c
                                 WHERE c.agreement_id = g.agreement_id))""",
        mediation_id,
    )
    return found
