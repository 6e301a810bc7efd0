"""All SQL of screening and alerts."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from services.unit_of_work import UnitOfWork

Row = asyncpg.Record

_SCREENING: Final = (
    "screening_id", "case_id", "party_id", "form_version", "channel", "organisation", "acted_by",
    "confirmed_by", "consequences", "kek_id", "wrapped_key", "answers", "safe_contact",
    "occurred_at", "recorded_at",
)  # fmt: skip
_ALERT: Final = (
    "alert_id", "case_id", "party_id", "kind", "state", "raised_by", "acted_by", "asked", "kek_id",
    "wrapped_key", "ground", "settled_at", "occurred_at", "recorded_at",
)  # fmt: skip
# What protects a party now: its last screening (1 row per party).
_LATEST: Final = """
SELECT DISTINCT ON (party_id) * FROM screening WHERE {where}
ORDER BY party_id, recorded_at DESC, screening_id DESC
"""


def _insert(table: str, columns: tuple[str, ...], more: str = "") -> str:
    places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}){more}"


async def add_screening(uow: UnitOfWork, row: dict[str, Any]) -> None:
    """One party's answers, sealed."""
    await uow.db.execute(_insert("screening", _SCREENING), *(row[name] for name in _SCREENING))


async def latest(uow: UnitOfWork, party_ids: list[UUID]) -> dict[UUID, Row]:
    """The last screening of each of these parties."""
    rows = await uow.db.fetch(_LATEST.format(where="party_id = ANY($1::uuid[])"), party_ids)
    return {row["party_id"]: row for row in rows}


async def screenings(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """All screenings of a case, in order."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT s.*, p.ref FROM screening s JOIN party p USING (party_id)
           WHERE s.case_id = $1 ORDER BY s.recorded_at, s.screening_id""",
        case_id,
    )
    return rows


async def screening(uow: UnitOfWork, screening_id: UUID) -> Row | None:
    """One screening."""
    return await uow.db.fetchrow(
        """SELECT s.*, p.ref FROM screening s JOIN party p USING (party_id)
           WHERE screening_id = $1""",
        screening_id,
    )


async def consequences_of_case(uow: UnitOfWork, case_id: UUID) -> set[str]:
    """What the last screenings of all parties of the case say together."""
    rows = await uow.db.fetch(
        f"""SELECT DISTINCT unnest(consequences) AS found
            FROM ({_LATEST.format(where="case_id = $1")}) AS last""",
        case_id,
    )
    return {row["found"] for row in rows}


async def set_joint_sessions(uow: UnitOfWork, case_id: UUID, joint: bool) -> bool:
    """Whether people may be put into one room; False when that is as it was."""
    status = await uow.db.execute(
        """UPDATE case_file SET joint_sessions = $2, version = version + 1
           WHERE case_id = $1 AND joint_sessions <> $2""",
        case_id,
        joint,
    )
    return bool(status.endswith(" 1"))


# -- alerts --------------------------------------------------------------------------------------


async def add_alert(uow: UnitOfWork, row: dict[str, Any]) -> bool:
    """A new alert; False when one of its kind is still open for the party."""
    status = await uow.db.execute(
        _insert("alert", _ALERT, " ON CONFLICT DO NOTHING"), *(row[name] for name in _ALERT)
    )
    return bool(status.endswith(" 1"))


async def place_of(uow: UnitOfWork, case_id: UUID) -> str:
    """Where the dispute is."""
    place: str = await uow.db.fetchval("SELECT place FROM case_file WHERE case_id = $1", case_id)
    return place


async def alert(uow: UnitOfWork, alert_id: UUID) -> Row | None:
    """One alert."""
    return await uow.db.fetchrow("SELECT * FROM alert WHERE alert_id = $1", alert_id)


async def alerts(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """The alerts of a case, in order."""
    rows: list[Row] = await uow.db.fetch(
        "SELECT * FROM alert WHERE case_id = $1 ORDER BY recorded_at, alert_id", case_id
    )
    return rows


async def asked(uow: UnitOfWork, alert_id: UUID, linkage_id: UUID, organisation: str) -> None:
    """Routing has asked the police."""
    await uow.db.execute(
        """UPDATE alert SET linkage_id = $2, asked = $3,
             state = CASE WHEN state = 'raised' THEN 'asked' ELSE state END
           WHERE alert_id = $1""",
        alert_id,
        linkage_id,
        organisation,
    )


async def answered(uow: UnitOfWork, linkage_id: UUID, result: str, at: datetime) -> None:
    """The police have answered."""
    await uow.db.execute(
        """UPDATE alert SET state = 'answered', result = $2, settled_at = $3
           WHERE linkage_id = $1 AND state = 'asked'""",
        linkage_id,
        result,
        at,
    )


async def propose_dismissal(uow: UnitOfWork, alert_id: UUID, ground: str, by: str) -> None:
    """One member of the staff says that there is nothing in it."""
    await uow.db.execute(
        "UPDATE alert SET proposed_by = $3, dismissal_ground = $2 WHERE alert_id = $1",
        alert_id,
        ground,
        by,
    )


async def dismiss(uow: UnitOfWork, alert_id: UUID, by: str) -> None:
    """A second one says so too."""
    await uow.db.execute(
        """UPDATE alert SET state = 'dismissed', dismissed_by = $2, settled_at = $3
           WHERE alert_id = $1""",
        alert_id,
        by,
        uow.now,
    )


async def unheard_alerts(db: Any, *, seconds: int) -> int:
    """Alerts that nobody has been asked about for so long."""
    return int(
        await db.fetchval(
            """SELECT count(*) FROM alert WHERE state = 'raised'
               AND recorded_at < now() - make_interval(secs => $1)""",
            seconds,
        )
    )
