"""One agency asked to do one thing on a case by a date: request, answer, cancel."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from routing import repository
from routing.directory import calendars
from routing.handlers import clocks, offering
from routing.repository import Row, Writes
from services.access import AgencyScope
from services.auth import Caller
from services.calendar import add
from services.errors import (
    CaseClosedProblem,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    VersionMismatch,
)
from services.events import lanes
from services.events.intake import DocumentRef
from services.events.routing import LinkageAnswered, LinkageCancelled, LinkageRequested
from services.ids import new_id
from services.unit_of_work import UnitOfWork

# Somebody may come to harm: such a request outlives the case and is not called off by one person.
ALERT: Final = "alert"


async def request(
    uow: UnitOfWork,
    caller: Caller,
    *,
    case_id: UUID,
    kind: str,
    asked: str,
    items: list[str],
    legal_basis: str,
    answer_by: datetime | None,
) -> Row:
    """Ask an agency for one thing; it joins the case as linked.

    Emits ``ParticipantJoined``, ``LinkageRequested`` and a clock. Raises ``NotFound``,
    ``Forbidden``, ``CaseClosedProblem``, ``Invalid``.
    """
    held = await AgencyScope(caller).require(uow, case_id)
    if not held & {"source", "handler"}:
        raise Forbidden("only the source and the handler of a case ask others for help")
    stream = await uow.lock_case(case_id)
    case = await repository.case_of(uow.db, case_id)
    if case is None:
        raise NotFound()
    if stream.closed or case["state"] == "closed":
        raise CaseClosedProblem()
    _check(uow, caller, asked, answer_by)
    return await open_linkage(
        uow,
        case,
        kind=kind,
        asked_by=caller.organisation,
        asked=asked,
        items=items,
        legal_basis=legal_basis,
        answer_by=answer_by,
        length=lanes.site("linkage"),
        rule_id="site-linkage",
    )


async def open_linkage(
    uow: UnitOfWork,
    case: Row,
    *,
    kind: str,
    asked_by: str,
    asked: str,
    items: list[str],
    legal_basis: str,
    answer_by: datetime | None,
    length: lanes.Window,
    rule_id: str,
    alert_id: UUID | None = None,
) -> Row:
    """The request, the asked body's part in the case, and the clock; the case is locked."""
    writes = Writes()
    case_id = case["case_id"]
    due = add(uow.now, length.n, length.unit, calendars(uow.runtime))
    row = writes.add(
        "linkage",
        {
            "id": new_id(),
            "case_id": case_id,
            "episode": case["episode"],
            "participation_id": offering.join(uow, writes, case, asked, "linked"),
            "kind": kind,
            "asked_by": asked_by,
            "asked": asked,
            "items": items,
            "legal_basis": legal_basis,
            "alert_id": alert_id,
            "answer_by": answer_by or due.due_at,
            "state": "requested",
            "result": None,
            "ground": None,
            "documents": [],
            "requested_at": uow.now,
            "answered_at": None,
            "version": 1,
            "occurred_at": uow.now,
            "recorded_at": uow.now,
        },
    )
    uow.emit(
        LinkageRequested(
            case_id=case_id,
            linkage_id=row["id"],
            kind=kind,
            asked_by=asked_by,
            asked=asked,
            items=tuple(items),
            legal_basis=legal_basis,
            alert_id=alert_id,
            answer_by=row["answer_by"],
            requested_at=uow.now,
        )
    )
    await clocks.start(
        uow,
        writes,
        case,
        kind="linkage",
        rule_id=rule_id,
        citation=length.source,
        on_expiry="alert",
        start_at=uow.now,
        n=None if answer_by else length.n,
        unit=length.unit,
        fixed_due_at=answer_by,
        subject_id=row["id"],
    )
    await writes.write(uow.db)
    uow.audit("linkage.requested", case_id=case_id, subject=str(row["id"]))
    return row


def _check(uow: UnitOfWork, caller: Caller, asked: str, answer_by: datetime | None) -> None:
    faults = []
    if uow.runtime.directory.organisation(asked) is None:
        faults.append(
            FieldError("/asked", "unknown_organisation", "目录中没有这个机构。/ it is not known")
        )
    if asked == caller.organisation:
        faults.append(
            FieldError(
                "/asked",
                "asks_itself",
                "须请其他机构协助，不能请自己。/ another organisation must be asked",
            )
        )
    if answer_by is not None and answer_by <= uow.now:
        faults.append(
            FieldError("/answer_by", "in_the_past", "须为将来的时刻。/ it must lie in the future")
        )
    if faults:
        raise Invalid(errors=faults)


async def _load(
    uow: UnitOfWork, caller: Caller, linkage_id: UUID, *, by: str, version: int | None
) -> Row:
    """The open request, for the body in column ``by``, its case locked."""
    row = await repository.linkage_of(uow.db, linkage_id)
    if row is None:
        raise NotFound()
    held = await AgencyScope(caller).roles(uow, row["case_id"])
    named = caller.organisation in (row["asked"], row["asked_by"])
    if not held or not (named or held & {"source", "handler"}):
        raise NotFound()
    if row[by] != caller.organisation:
        raise Forbidden("another organisation answers for this request")
    await uow.lock_case(row["case_id"])
    row = await repository.linkage_of(uow.db, linkage_id)
    if row is None:
        raise NotFound()
    if version is not None and version != row["version"]:
        raise VersionMismatch()
    if row["state"] != "requested":
        raise Conflict("the request was answered or cancelled")
    return row


async def answer(
    uow: UnitOfWork,
    caller: Caller,
    linkage_id: UUID,
    *,
    result: str,
    ground: str | None,
    documents: list[dict[str, Any]],
    version: int | None = None,
) -> Row:
    """The asked agency answers; papers by hash. It leaves the case; emits ``LinkageAnswered``."""
    row = await _load(uow, caller, linkage_id, by="asked", version=version)
    if result in ("cannot", "not_mine") and not ground:
        raise Invalid(
            errors=[
                FieldError("/ground", "required", "拒绝须写明理由。/ a refusal needs its ground")
            ]
        )
    papers = tuple(DocumentRef.model_validate(paper) for paper in documents)
    row |= {
        "state": "answered",
        "result": result,
        "ground": ground,
        "documents": [paper.model_dump(mode="json") for paper in papers],
        "answered_at": uow.now,
    }
    uow.emit(
        LinkageAnswered(
            case_id=row["case_id"],
            linkage_id=row["id"],
            kind=row["kind"],
            asked=row["asked"],
            result=result,
            ground=ground,
            documents=papers,
            answered_at=uow.now,
        )
    )
    await _finish(uow, row, "answered")
    return row


async def cancel(
    uow: UnitOfWork, caller: Caller, linkage_id: UUID, *, reason: str, version: int | None = None
) -> Row:
    """The asking agency no longer needs it; emits ``LinkageCancelled``."""
    row = await _load(uow, caller, linkage_id, by="asked_by", version=version)
    if row["kind"] == ALERT:
        raise Conflict("an alert is dismissed at intake, by two members of the staff")
    await call_off(uow, row, reason)
    return row


async def call_off(uow: UnitOfWork, row: Row, reason: str) -> None:
    """The open request is off; emits ``LinkageCancelled``. The case is locked."""
    row |= {"state": "cancelled", "ground": reason}
    uow.emit(
        LinkageCancelled(
            case_id=row["case_id"],
            linkage_id=row["id"],
            kind=row["kind"],
            asked=row["asked"],
            reason=reason,
            cancelled_at=uow.now,
        )
    )
    await _finish(uow, row, "cancelled")


async def _finish(uow: UnitOfWork, row: Row, reason: str) -> None:
    writes = Writes()
    row["version"] += 1
    writes.add("linkage", row)
    await clocks.stop(
        uow,
        writes,
        row["case_id"],
        reason,
        kinds=("linkage",),
        subject_id=row["id"],
        act_at=uow.now,
    )
    await writes.write(uow.db)
    part = {
        "participation_id": row["participation_id"],
        "case_id": row["case_id"],
        "organisation": row["asked"],
        "role": "linked",
    }
    await offering.leave(uow, part, f"linkage-{reason}")
    uow.audit(f"linkage.{reason}", case_id=row["case_id"], subject=str(row["id"]))
