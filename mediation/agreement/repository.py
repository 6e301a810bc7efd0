"""Agreements and signatures as rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from mediation.agreement.model import Signature, Terms
from mediation.repository import Row, insert, many
from services.ids import new_id


async def current(db: asyncpg.Connection, mediation_id: UUID) -> Row | None:
    """The agreement of a mediation that is not void."""
    return await db.fetchrow(
        "SELECT * FROM agreement WHERE mediation_id = $1 AND state <> 'void'", mediation_id
    )


async def standing(db: asyncpg.Connection, mediation_id: UUID) -> list[Row]:
    """Agreements that are signed or in effect."""
    return await db.fetch(
        "SELECT * FROM agreement WHERE mediation_id = $1 AND state IN ('effective', 'signed')",
        mediation_id,
    )


async def void_drafts(db: asyncpg.Connection, mediation_id: UUID) -> None:
    """What is not in effect falls."""
    await db.execute(
        """UPDATE agreement SET state = 'void', version = version + 1
           WHERE mediation_id = $1 AND state IN ('draft', 'signed')""",
        mediation_id,
    )


async def void(db: asyncpg.Connection, agreement_id: UUID) -> None:
    """An agreement falls with its effect."""
    await db.execute(
        """UPDATE agreement SET state = 'void', effective_at = NULL, version = version + 1
           WHERE agreement_id = $1""",
        agreement_id,
    )


async def keep_confirmation(
    db: asyncpg.Connection, agreement_id: UUID, due_at: datetime | None, due_on: str | None
) -> None:
    """Keep until when the parties may apply for confirmation, as routing's clock tells it."""
    await db.execute(
        """UPDATE agreement SET confirm_by = $2, confirm_by_on = $3, version = version + 1
           WHERE agreement_id = $1""",
        agreement_id,
        due_at,
        due_on,
    )


async def signature(
    db: asyncpg.Connection, agreement_id: UUID, signer_kind: str, signer: str
) -> Row | None:
    """A signer's signature under an agreement."""
    return await db.fetchrow(
        "SELECT * FROM signature WHERE agreement_id = $1 AND signer_kind = $2 AND signer = $3",
        agreement_id,
        signer_kind,
        signer,
    )


async def put_signature(db: asyncpg.Connection, values: Mapping[str, Any]) -> Row:
    """Add a signature."""
    return await insert(db, "signature", {"id": new_id(), **values})


async def signatures(db: asyncpg.Connection, agreement_id: UUID) -> list[Row]:
    """All signatures under an agreement, in order of recording."""
    return await many(db, "signature", "agreement_id", agreement_id)


def terms_of(row: Row) -> Terms:
    """What the effect rule looks at."""
    return Terms(
        row["form"],
        frozenset(UUID(party) for party in row["parties"]),
        row["text_sha256"],
        row["agreed_at"],
    )


def as_signature(row: Row) -> Signature:
    """A stored signature as a value."""
    return Signature(
        row["signer_kind"], row["signer"], row["occurred_at"], row["text_sha256"], row["method"]
    )
