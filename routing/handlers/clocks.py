"""Clocks of a case: start, stop, pause, resume, extend, restate, warn, fire."""

from datetime import date, datetime
from uuid import UUID

from routing import repository
from routing.clocks import (
    Extension,
    Measure,
    due_of,
    extension_refused,
    may_pause,
    warnings_of,
)
from routing.directory import calendars
from routing.repository import Row, Writes
from services.calendar import Due
from services.errors import CaseClosedProblem, Conflict, FieldError, Invalid, VersionMismatch
from services.events.routing import (
    AcceptanceWindowElapsed,
    Deadline,
    DeadlineApproaching,
    DeadlineChanged,
    DeadlineMissed,
    DeadlineMissWithdrawn,
    DeadlinePaused,
    DeadlineResumed,
    DeadlineStarted,
    DeadlineStopped,
)
from services.ids import new_id
from services.unit_of_work import UnitOfWork


def _instant(value: datetime | str) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def deadline_of(row: Row) -> Deadline:
    """The clock as events tell it."""
    due_on = row["due_on"]
    return Deadline(
        clock_id=row["id"],
        kind=row["kind"],
        rule=row["rule_id"],
        citation=row["citation"],
        subject_id=row["subject_id"],
        due_at=row["due_at"],
        due_on=due_on.isoformat() if isinstance(due_on, date) else due_on,
        original_due_at=row["original_due_at"],
        projected=row["projected"],
    )


def measure_of(row: Row) -> Measure:
    """How long the clock runs, from its row."""
    return Measure(
        start_at=row["started_at"],
        n=row["n"],
        unit=row["unit"],
        fixed_due_at=row["fixed_due_at"],
        extensions=tuple(Extension(item["n"], item["unit"]) for item in row["extensions"]),
    )


def _set_due(row: Row, due: Due, now: datetime) -> None:
    """Take a new due instant over; warnings that are still to come are set anew."""
    row["due_at"], row["due_on"], row["projected"] = due.due_at, due.due_on, due.projected
    steps = warnings_of(row["kind"], row["id"], row["started_at"], due, row["unit"])
    row["warnings"] = [[step, at.isoformat()] for step, at in steps if at > now]
    row["warn_at"] = next((at for _, at in steps if at > now), None)


async def start(
    uow: UnitOfWork,
    writes: Writes,
    case: Row,
    *,
    kind: str,
    rule_id: str,
    citation: str,
    on_expiry: str,
    start_at: datetime,
    n: int | None = None,
    unit: str = "day",
    fixed_due_at: datetime | None = None,
    subject_id: UUID | None = None,
    extend_by: str = "",
    exclude: tuple[str, ...] = (),
) -> Row:
    """Start a clock of a locked case; emits ``DeadlineStarted``."""
    row: Row = {
        "id": new_id(),
        "case_id": case["case_id"],
        "episode": case["episode"],
        "kind": kind,
        "rule_id": rule_id,
        "citation": citation,
        "subject_id": subject_id,
        "n": n,
        "unit": unit,
        "fixed_due_at": fixed_due_at,
        "extend_by": extend_by,
        "exclude": list(exclude),
        "extensions": [],
        "on_expiry": on_expiry,
        "started_at": start_at,
        "original_due_at": None,
        "due_at": None,
        "due_on": None,
        "projected": False,
        "state": "running",
        "warnings": [],
        "warn_at": None,
        "fired_at": None,
        "stopped_at": None,
        "stop_reason": None,
        "version": 1,
        "occurred_at": start_at,
        "recorded_at": uow.now,
    }
    _set_due(row, due_of(measure_of(row), calendars(uow.runtime)), uow.now)
    row["original_due_at"] = row["due_at"]
    writes.add("clock", row)
    uow.emit(
        DeadlineStarted(case_id=case["case_id"], deadline=deadline_of(row), started_at=start_at),
        occurred_at=start_at,
    )
    return row


async def stop(
    uow: UnitOfWork,
    writes: Writes,
    case_id: UUID,
    reason: str,
    *,
    kinds: tuple[str, ...] | None = None,
    subject_id: UUID | None = None,
    act_at: datetime | None = None,
) -> None:
    """Stop the clocks the act at ``act_at`` answers.

    Emits ``DeadlineStopped``; for a clock that has fired though the act was in time,
    ``DeadlineMissWithdrawn``.
    """
    at = act_at or uow.now
    for row in await repository.live_clocks(uow.db, case_id, kinds=kinds, subject_id=subject_id):
        if row["state"] == "fired":
            if act_at is not None and act_at < row["due_at"]:
                uow.emit(
                    DeadlineMissWithdrawn(
                        case_id=case_id,
                        deadline=deadline_of(row),
                        act_at=act_at,
                        withdrawn_at=uow.now,
                    )
                )
        else:
            uow.emit(
                DeadlineStopped(
                    case_id=case_id, deadline=deadline_of(row), reason=reason, stopped_at=at
                )
            )
        row |= {"state": "stopped", "stopped_at": at, "stop_reason": reason, "warn_at": None}
        row["version"] += 1
        writes.add("clock", row)


async def load(uow: UnitOfWork, clock_id: UUID, version: int | None = None) -> Row | None:
    """The clock with its case locked; ``None`` when there is none. Raises ``VersionMismatch``."""
    row = await repository.clock_of(uow.db, clock_id)
    if row is None:
        return None
    stream = await uow.lock_case(row["case_id"])
    row = await repository.clock_of(uow.db, clock_id)
    if row is not None and version is not None:
        if row["version"] != version:
            raise VersionMismatch()
        if stream.closed:
            raise CaseClosedProblem()
    return row


async def recompute(uow: UnitOfWork, writes: Writes, row: Row, reason: str) -> bool:
    """Count the clock again; emits ``DeadlineChanged`` when the end moved."""
    before, was_projected = row["due_at"], row["projected"]
    pauses = [
        (pause["paused_at"], pause["resumed_at"] or uow.now)
        for pause in await repository.pauses_of(uow.db, row["id"])
    ]
    _set_due(row, due_of(measure_of(row), calendars(uow.runtime), pauses), uow.now)
    if row["due_at"] == before and row["projected"] == was_projected:
        return False
    row["version"] += 1
    writes.add("clock", row)
    if reason:
        uow.emit(
            DeadlineChanged(
                case_id=row["case_id"],
                deadline=deadline_of(row),
                reason=reason,
                previous_due_at=before,
                changed_at=uow.now,
            )
        )
    return True


async def pause(
    uow: UnitOfWork,
    row: Row,
    *,
    ground: str,
    paused_at: datetime,
    expected_until: datetime | None,
    paused_by: str,
) -> Row:
    """Let a running clock stand still; emits ``DeadlinePaused``.

    Raises ``Invalid`` when the rule does not list the ground, ``Conflict`` when it does not run.
    """
    if not may_pause(row["exclude"], ground):
        raise Invalid(
            errors=[
                FieldError(
                    "/ground",
                    "ground_not_in_rule",
                    "规则不因此中止计时。/ the rule does not pause for it",
                )
            ]
        )
    if row["state"] != "running":
        raise Conflict("the clock is not running")
    if not row["started_at"] <= paused_at < row["due_at"] or paused_at > uow.now:
        raise Invalid(
            errors=[
                FieldError(
                    "/paused_at",
                    "out_of_range",
                    "须在计时期间之内，不得更晚。/ while the clock ran, not later",
                )
            ]
        )
    writes = Writes()
    row |= {"state": "paused", "version": row["version"] + 1}
    writes.add("clock", row)
    writes.add(
        "clock_pause",
        {
            "id": new_id(),
            "clock_id": row["id"],
            "ground": ground,
            "paused_at": paused_at,
            "resumed_at": None,
            "expected_until": expected_until,
            "paused_by": paused_by,
            "occurred_at": paused_at,
            "recorded_at": uow.now,
        },
    )
    uow.emit(
        DeadlinePaused(
            case_id=row["case_id"],
            deadline=deadline_of(row),
            ground=ground,
            paused_at=paused_at,
            expected_until=expected_until,
        ),
        occurred_at=paused_at,
    )
    await writes.write(uow.db)
    return row


async def resume(uow: UnitOfWork, row: Row, *, resumed_at: datetime) -> Row:
    """Let a paused clock run again, its end moved by the pause; emits ``DeadlineResumed``."""
    if row["state"] != "paused":
        raise Conflict("the clock is not paused")
    pauses = await repository.pauses_of(uow.db, row["id"])
    if resumed_at > uow.now or resumed_at < pauses[-1]["paused_at"]:
        raise Invalid(
            errors=[
                FieldError(
                    "/resumed_at",
                    "out_of_range",
                    "须在中止开始之后，不得晚于现在。/ after the pause began, not later",
                )
            ]
        )
    await repository.resume_pauses(uow.db, row["id"], resumed_at)
    writes = Writes()
    row["state"] = "running"
    row["version"] += 1
    writes.add("clock", row)
    await recompute(uow, writes, row, "")
    uow.emit(
        DeadlineResumed(case_id=row["case_id"], deadline=deadline_of(row), resumed_at=resumed_at),
        occurred_at=resumed_at,
    )
    await writes.write(uow.db)
    return row


async def extend(uow: UnitOfWork, row: Row, *, n: int, unit: str, agreed_by: str) -> Row:
    """Make a clock longer, before it is over, by whom its rule says; emits ``DeadlineChanged``."""
    if row["state"] not in ("running", "paused") or row["due_at"] <= uow.now:
        raise Conflict("the clock is over; an extension has to come before its end")
    rule_id = row["rule_id"] if row["rule_id"].startswith("DL-") else None
    refused = extension_refused(
        rule_id, row["extend_by"], len(row["extensions"]), n, unit, agreed_by
    )
    if refused is not None:
        raise Invalid(
            errors=[
                FieldError(
                    "",
                    refused,
                    "该期限的规则不允许这样延长。/ the clock's rule does not allow this extension",
                )
            ]
        )
    writes = Writes()
    row["extensions"] = [*row["extensions"], {"n": n, "unit": unit}]
    await recompute(uow, writes, row, "extended")
    await writes.write(uow.db)
    return row


async def warn(uow: UnitOfWork, clock_id: UUID) -> bool:
    """Tell the steps that have come, each once; emits ``DeadlineApproaching``."""
    row = await load(uow, clock_id)
    if row is None or row["state"] != "running" or row["warn_at"] is None:
        return False
    due = [step for step, at in row["warnings"] if _instant(at) <= uow.now]
    rest = [[step, at] for step, at in row["warnings"] if _instant(at) > uow.now]
    for step in due:
        uow.emit(
            DeadlineApproaching(
                case_id=row["case_id"], deadline=deadline_of(row), step=step, warned_at=uow.now
            )
        )
    row |= {"warnings": rest, "warn_at": _instant(rest[0][1]) if rest else None}
    writes = Writes()
    writes.add("clock", row)
    await writes.write(uow.db)
    return True


async def fire(uow: UnitOfWork, clock_id: UUID, before: datetime) -> bool:
    """Time is up: emits ``DeadlineMissed`` and, for an offer, ``AcceptanceWindowElapsed``.

    Answers whether the clock fired; one that was stopped, paused or moved meanwhile does not.
    """
    row = await load(uow, clock_id)
    if row is None or row["state"] != "running" or row["due_at"] > before:
        return False
    row |= {"state": "fired", "fired_at": uow.now, "warn_at": None, "version": row["version"] + 1}
    writes = Writes()
    writes.add("clock", row)
    uow.emit(
        DeadlineMissed(
            case_id=row["case_id"],
            deadline=deadline_of(row),
            on_expiry=row["on_expiry"],
            missed_at=uow.now,
        )
    )
    if row["kind"] == "acceptance":
        turn = await repository.turn_of(uow.db, row["subject_id"])
        if turn is not None and turn["state"] == "offered":
            uow.emit(
                AcceptanceWindowElapsed(
                    case_id=row["case_id"],
                    assignment_id=turn["id"],
                    organisation=turn["organisation"],
                    on_silence=turn["on_silence"],
                    accept_by=turn["accept_by"],
                    elapsed_at=uow.now,
                )
            )
    await writes.write(uow.db)
    return True
