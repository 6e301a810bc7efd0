"""What every act passes: the case locked, the row its organisation's own, the version current."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mediation import repository
from mediation.errors import fail
from mediation.repository import Row
from mediation.seal import Seal
from services.errors import CaseClosedProblem, NotFound, VersionMismatch
from services.unit_of_work import UnitOfWork

ID = {
    "assignment": "assignment_id",
    "mediation": "mediation_id",
    "session": "session_id",
    "agreement": "agreement_id",
    "obligation": "obligation_id",
    "consent": "id",
    "staff": "id",
}


@dataclass(frozen=True)
class Act:
    """Who does something, for which organisation, and when it happened."""

    organisation: str
    occurred_at: datetime
    acted_by: str | None = None


async def act(
    uow: UnitOfWork,
    organisation: str,
    *,
    occurred_at: datetime | None = None,
    acted_by: str | None = None,
) -> Act:
    """Check who acts and when: staff of that organisation, and nothing that is yet to happen."""
    if occurred_at is not None and occurred_at > uow.now:
        fail("in-future", "An act is recorded when it has happened.")
    if acted_by is not None and not await uow.db.fetchval(
        "SELECT active FROM staff WHERE organisation = $1 AND staff_id = $2",
        organisation,
        acted_by,
    ):
        fail("unknown-staff", "Not on the staff of this organisation.")
    return Act(organisation, occurred_at or uow.now, acted_by)


async def own(uow: UnitOfWork, table: str, id_: UUID, organisation: str) -> Row:
    """One row of the organisation's own. Raises ``NotFound``; not-yours and not-there are alike."""
    row = await repository.get(uow.db, table, ID[table], id_)
    if row is None or row["organisation"] != organisation:
        raise NotFound()
    return row


async def hold(
    uow: UnitOfWork,
    table: str,
    id_: UUID,
    organisation: str,
    *,
    version: int | None = None,
    even_when_over: bool = False,
) -> Row:
    """Lock the row's case and read the row again.

    Raises ``NotFound``, ``VersionMismatch`` and, when the case or its round is over,
    ``CaseClosedProblem``.
    """
    row = await own(uow, table, id_, organisation)
    stream = await uow.lock_case(row["case_id"])
    row = await own(uow, table, id_, organisation)
    if version is not None and row["version"] != version:
        raise VersionMismatch()
    if not even_when_over and (
        stream.closed or ("episode" in row and row["episode"] != stream.episode)
    ):
        raise CaseClosedProblem()
    return row


def seal(uow: UnitOfWork, purpose: str) -> Seal:
    """The seal of one purpose, with this installation's key."""
    return Seal(uow.runtime.settings.keys_dir, purpose)


def handler_kind(uow: UnitOfWork, organisation: str) -> str:
    """The directory's kind of an organisation; ``committee`` while the directory lacks it."""
    entry: dict[str, Any] | None = uow.runtime.directory.organisation(organisation)
    return str(entry["kind"]) if entry else "committee"
