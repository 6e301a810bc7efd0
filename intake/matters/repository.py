"""All SQL of matters. A read goes by who took part in one, never by whom it is about."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.ids import new_id
from services.unit_of_work import UnitOfWork

Row = Any
_COLUMNS: Final = (
    "matter_id", "number", "kind", "organisation", "connection", "reference", "normal_reference",
    "fingerprint", "place", "channel", "holder", "about_agency", "reachable", "kek_id",
    "wrapped_key", "content", "receipt_hash", "request_made_at", "received_at", "due_at",
    "recorded_at",
)  # fmt: skip


async def add(uow: UnitOfWork, row: dict[str, Any]) -> bool:
    """Write a matter; False when the organisation used the reference already."""
    places = ", ".join(f"${n}" for n in range(1, len(_COLUMNS) + 1))
    added = await uow.db.fetchval(
        f"""INSERT INTO matter ({", ".join(_COLUMNS)}) VALUES ({places})
            ON CONFLICT (organisation, normal_reference) DO NOTHING RETURNING true""",
        *(row[name] for name in _COLUMNS),
    )
    return bool(added)


async def by_reference(uow: UnitOfWork, organisation: str, normal_reference: str) -> Row | None:
    """A matter by the number of the desk that took it."""
    return await uow.db.fetchrow(
        "SELECT * FROM matter WHERE organisation = $1 AND normal_reference = $2",
        organisation,
        normal_reference,
    )


async def add_step(
    uow: UnitOfWork,
    matter_id: UUID,
    step: str,
    *,
    organisation: str,
    occurred_at: datetime,
    to: str | None = None,
    ground: str | None = None,
    citation: str | None = None,
    text: bytes | None = None,
) -> None:
    """What was done."""
    await uow.db.execute(
        """INSERT INTO matter_step (step_id, matter_id, step, organisation, to_organisation, ground,
             citation, text, acted_by, occurred_at, recorded_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
        new_id(),
        matter_id,
        step,
        organisation,
        to,
        ground,
        citation,
        text,
        uow.actor.acted_by,
        occurred_at,
        uow.now,
    )


# Who took it, who must answer it, and who has passed it on; never the line it is about.
_TAKES_PART: Final = """
(about_agency IS NULL OR about_agency <> $2) AND (holder = $1 OR organisation = $1
  OR EXISTS (SELECT 1 FROM matter_step s WHERE s.matter_id = m.matter_id AND s.organisation = $1))
"""


async def seen(
    uow: UnitOfWork, organisation: str, agency: str, matter_id: UUID, *, lock: bool = False
) -> Row | None:
    """A matter for an organisation that takes part in it; ``agency`` is the head of its line."""
    return await uow.db.fetchrow(
        f"""SELECT m.* FROM matter m WHERE m.matter_id = $3 AND {_TAKES_PART}
            {"FOR UPDATE OF m" if lock else ""}""",
        organisation,
        agency,
        matter_id,
    )


async def listed(
    uow: UnitOfWork,
    organisation: str,
    agency: str,
    *,
    kind: str | None,
    state: str | None,
    mine: bool,
    overdue: bool | None,
    before: UUID | None,
    limit: int,
) -> list[Row]:
    """Matters the organisation takes part in, youngest first; ``mine``: those it must answer."""
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT m.* FROM matter m WHERE {_TAKES_PART}
             AND m.kind = coalesce($3, m.kind) AND m.state = coalesce($4, m.state)
             {"AND m.holder = $1" if mine else ""}
             AND ($6::boolean IS NULL OR (m.state = 'open' AND m.due_at <= $7) = $6)
             AND m.matter_id < coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
           ORDER BY m.matter_id DESC LIMIT {int(limit)}""",
        organisation,
        agency,
        kind,
        state,
        before,
        overdue,
        uow.now,
    )
    return rows


async def counts(
    uow: UnitOfWork, organisation: str, agency: str, since: datetime, until: datetime
) -> list[Row]:
    """Matters of a time per kind: how many wait, are overdue, were answered, and how many late."""
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT m.kind, count(*) AS taken,
             count(*) FILTER (WHERE m.state = 'open') AS open,
             count(*) FILTER (WHERE m.state = 'open' AND m.due_at <= $5) AS overdue,
             count(*) FILTER (WHERE m.state = 'answered') AS answered,
             count(*) FILTER (WHERE m.state = 'converted') AS converted,
             count(*) FILTER (WHERE m.answered_at >= m.due_at) AS late
           FROM matter m WHERE {_TAKES_PART} AND m.recorded_at >= $3 AND m.recorded_at < $4
           GROUP BY m.kind ORDER BY m.kind""",
        organisation,
        agency,
        since,
        until,
        uow.now,
    )
    return rows


async def steps(uow: UnitOfWork, matter_id: UUID) -> list[Row]:
    """What was done with a matter, oldest first."""
    rows: list[Row] = await uow.db.fetch(
        "SELECT * FROM matter_step WHERE matter_id = $1 ORDER BY step_id", matter_id
    )
    return rows


async def move(uow: UnitOfWork, matter_id: UUID, **columns: Any) -> Row:
    """Set columns of a locked matter and raise its version."""
    names = list(columns)
    sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(names, 2))
    row: Row = await uow.db.fetchrow(
        f"UPDATE matter SET {sets}, version = version + 1 WHERE matter_id = $1 RETURNING *",
        matter_id,
        *columns.values(),
    )
    return row


async def by_number(db: Any, number: str) -> Row | None:
    """A matter by the number on its receipt; the secret is checked by the caller."""
    return await db.fetchrow("SELECT * FROM matter WHERE number = $1", number)


async def undelivered(db: Any) -> int:
    """Matters that nobody must answer, because the directory has no organ for them."""
    return int(
        await db.fetchval("SELECT count(*) FROM matter WHERE holder IS NULL AND state = 'open'")
    )


async def waiting(db: Any) -> list[UUID]:
    """Matters that nobody must answer yet, oldest first."""
    rows = await db.fetch(
        """SELECT matter_id FROM matter WHERE holder IS NULL AND state = 'open'
           ORDER BY matter_id LIMIT 100"""
    )
    return [row["matter_id"] for row in rows]


async def take_missed(uow: UnitOfWork, limit: int) -> list[Row]:
    """Matters whose last day is over, each taken once for telling, the latest ones first."""
    rows: list[Row] = await uow.db.fetch(
        """UPDATE matter m SET missed_told_at = $1 FROM (
             SELECT matter_id FROM matter
             WHERE state = 'open' AND missed_told_at IS NULL AND holder IS NOT NULL
               AND due_at <= $1
             ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED) d
           WHERE m.matter_id = d.matter_id
           RETURNING m.matter_id, m.holder, m.due_at""",
        uow.now,
        limit,
    )
    return sorted(rows, key=lambda row: (row["due_at"], row["matter_id"]))


async def locked(uow: UnitOfWork, matter_id: UUID) -> Row | None:
    """A matter for the service itself."""
    return await uow.db.fetchrow("SELECT * FROM matter WHERE matter_id = $1 FOR UPDATE", matter_id)


async def by_id(uow: UnitOfWork, matter_id: UUID) -> Row:
    """A matter that the caller has just written or written before under the same key."""
    return await uow.db.fetchrow("SELECT * FROM matter WHERE matter_id = $1", matter_id)


async def case_number(uow: UnitOfWork, case_id: UUID) -> str | None:
    """The number of the case a matter has become."""
    found: str | None = await uow.db.fetchval(
        "SELECT case_number FROM case_file WHERE case_id = $1", case_id
    )
    return found


async def shred(uow: UnitOfWork, case_id: UUID) -> list[bytes]:
    """Empty the matter that a case came from; answers the wrapped keys to be destroyed."""
    rows = await uow.db.fetch(
        """WITH m AS (SELECT matter_id, wrapped_key FROM matter
             WHERE case_id = $1 AND content <> ''),
           _m AS (UPDATE matter SET content = '', wrapped_key = ''
             WHERE matter_id IN (SELECT matter_id FROM m)),
           _s AS (UPDATE matter_step SET text = NULL
             WHERE matter_id IN (SELECT matter_id FROM m))
           SELECT wrapped_key FROM m""",
        case_id,
    )
    return [bytes(row["wrapped_key"]) for row in rows]
