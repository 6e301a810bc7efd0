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
from services.unit_of_work import CaseStream, UnitOfWork

ID = {
    "assignment": "assignment_id",
    "mediation": "mediation_id",
    "session": "session_id",
    "agreement": "agreement_id",
    "obligation": "obligation_id",
    "confirmation": "confirmation_id",
    "consent": "id",
    "staff": "id",
}


@dataclass(frozen=True)
class Act:
    """Who does something, for which organisation, when it happened, under which mandate."""

    organisation: str
    occurred_at: datetime
    acted_by: str | None = None
    mandate_id: UUID | None = None


async def act(
    uow: UnitOfWork,
    organisation: str,
    *,
    occurred_at: datetime | None = None,
    acted_by: str | None = None,
    mandate_id: UUID | None = None,
) -> Act:
    """Check who acts and when: staff of that organisation, and nothing that is yet to happen."""
    if occurred_at is not None and occurred_at > uow.now:
        fail("in-future", "行为发生之后才能登记。/ An act is recorded when it has happened.")
    if acted_by is not None and not await uow.db.fetchval(
        "SELECT active FROM staff WHERE organisation = $1 AND staff_id = $2",
        organisation,
        acted_by,
    ):
        fail("unknown-staff", "不是本机构工作人员。/ Not on the staff of this organisation.")
    return Act(organisation, to_the_millisecond(occurred_at or uow.now), acted_by, mandate_id)


def to_the_millisecond(instant: datetime) -> datetime:
    """An instant as the wire tells it: two instants are compared as everybody sees them."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


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
    """Lock the row's case, then the row, and read both as they are now: one round trip.

    Raises ``NotFound``, ``VersionMismatch`` and, when the case or its round is over,
    ``CaseClosedProblem``.
    """
    row = await repository.lock(uow.db, table, ID[table], id_, organisation)
    if row is None:
        raise NotFound()
    uow.streams.setdefault(
        row["case_id"],
        CaseStream(
            row["case_id"],
            row["stream_number"],
            row["stream_episode"],
            row["stream_closed"],
            row["stream_sequence"],
        ),
    )
    if version is not None and row["version"] != version:
        raise VersionMismatch()
    if not even_when_over:
        check_open(row, uow)
    return row


def check_open(row: Row, uow: UnitOfWork) -> None:
    """Raise ``CaseClosedProblem`` when the case, or the round the row belongs to, is over."""
    stream = uow.streams[row["case_id"]]
    if stream.closed or ("episode" in row and row["episode"] != stream.episode):
        raise CaseClosedProblem()


def seal(uow: UnitOfWork, purpose: str) -> Seal:
    """The seal of one purpose, with this installation's key."""
    return Seal(uow.runtime.settings.keys_dir, purpose)


def handler_kind(uow: UnitOfWork, organisation: str) -> str:
    """The directory's kind of an organisation; ``committee`` while the directory lacks it."""
    entry: dict[str, Any] | None = uow.runtime.directory.organisation(organisation)
    return str(entry["kind"]) if entry else "committee"
