"""Obligations performed, waived, broken - and the turn completed with the last one."""

from datetime import datetime

from mediation.errors import fail, moved, problem, refuse
from mediation.gate import Act, own
from mediation.mandate import handlers as mandates
from mediation.mandate.rules import OWN, Mandate
from mediation.obligation import repository, rules
from mediation.obligation.model import OBLIGATION
from mediation.proceeding.handlers import complete_if_nothing_is_left
from mediation.repository import Row, change
from mediation.transition import Refusal
from services.events import lanes
from services.events.mediation import (
    ObligationBreached,
    ObligationPerformed,
    ObligationsChanged,
)
from services.unit_of_work import UnitOfWork


async def perform(
    row: Row,
    *,
    amount_fen: int | None,
    proved_by: str,
    proof_sha256: str | None,
    act: Act,
    uow: UnitOfWork,
) -> Row:
    """Record a performance, proved by either side; a payment may be a part.

    Emits ``ObligationPerformed`` when nothing is owed any more, and completes the turn with the
    last obligation. Under a mandate it is reported for who proves it: debtor or creditor.
    """
    reporting = [row[proved_by]] if proved_by != "organisation" else []
    under = await mandates.in_force(act, row["case_id"], reporting, uow)
    after = rules.after_performance(
        repository.progress(row),
        amount_fen=amount_fen,
        performed_at=act.occurred_at,
        now=uow.now,
    )
    if isinstance(after, Refusal):
        raise problem(after)
    state, paid = after
    await repository.put_performance(
        uow.db,
        {
            "obligation_id": row["obligation_id"],
            "amount_fen": paid - row["paid_fen"] if row["amount_fen"] is not None else None,
            "waived": False,
            "proved_by": proved_by,
            "proof_sha256": proof_sha256,
            "acted_by": act.acted_by,
            "mandate_id": mandates.id_of(under),
            "occurred_at": act.occurred_at,
        },
    )
    done = state == "performed"
    row = await change(
        uow.db,
        "obligation",
        "obligation_id",
        row["obligation_id"],
        {
            "state": state,
            "paid_fen": paid,
            "performed_at": act.occurred_at if done else None,
        },
    )
    uow.audit(
        "obligation.perform",
        case_id=row["case_id"],
        subject=str(row["obligation_id"]),
        detail=mandates.mark(under),
    )
    if done:
        uow.emit(
            ObligationPerformed(
                case_id=row["case_id"],
                agreement_id=row["agreement_id"],
                obligation_id=row["obligation_id"],
                ordinal=row["ordinal"],
                performed_at=act.occurred_at,
                in_time=rules.in_time(row["due_at"], act.occurred_at),
            ),
            occurred_at=act.occurred_at,
        )
        await _close_when_all_ended(row, act.occurred_at, uow)
    return row


async def waive(row: Row, *, proof_sha256: str | None, act: Act, uow: UnitOfWork) -> Row:
    """The creditor lets the debtor off; emits ``ObligationsChanged``.

    That is the creditor's own: no mandate to file carries it (N-19).
    """
    mandates.by_the_party_itself(act, OWN["waive"])
    state = moved(OBLIGATION, row["state"], "waive")
    await repository.put_performance(
        uow.db,
        {
            "obligation_id": row["obligation_id"],
            "waived": True,
            "proved_by": "creditor",
            "proof_sha256": proof_sha256,
            "acted_by": act.acted_by,
            "occurred_at": act.occurred_at,
        },
    )
    row = await change(
        uow.db, "obligation", "obligation_id", row["obligation_id"], {"state": state}
    )
    uow.audit("obligation.waive", case_id=row["case_id"], subject=str(row["obligation_id"]))
    uow.emit(
        ObligationsChanged(
            case_id=row["case_id"],
            agreement_id=row["agreement_id"],
            obligations=tuple(
                repository.as_event(owed)
                for owed in await repository.of_agreement(uow.db, row["agreement_id"])
            ),
            changed_at=act.occurred_at,
        ),
        occurred_at=act.occurred_at,
    )
    await _close_when_all_ended(row, act.occurred_at, uow)
    return row


async def report_breach(row: Row, *, declared: bool, act: Act, uow: UnitOfWork) -> Row:
    """Say that an obligation was not kept; under a mandate for the creditor."""
    under = await mandates.in_force(act, row["case_id"], [row["creditor"]], uow)
    return await break_(row, declared=declared, at=act.occurred_at, uow=uow, under=under)


async def break_(
    row: Row, *, declared: bool, at: datetime, uow: UnitOfWork, under: Mandate | None = None
) -> Row:
    """Say that an obligation was not kept, and which ways are open now."""
    refuse(rules.may_breach(repository.progress(row), now=uow.now, declared=declared))
    mediation = await own(uow, "mediation", row["mediation_id"], row["organisation"])
    outcome = mediation["outcome"] or "agreed_written"
    remedies = [
        r.code for r in lanes.remedies(mediation["lane"], outcome) if r.code != "joint_confirmation"
    ]
    if not remedies:
        fail("remedies-not-told", "本通道没有已知的救济途径。/ No remedy is known for this lane.")
    row = await change(
        uow.db,
        "obligation",
        "obligation_id",
        row["obligation_id"],
        {
            "state": "breached",
            "breached_at": at,
            "breached_mandate_id": mandates.id_of(under),
            "remedies": remedies,
            "overdue": True,
        },
    )
    uow.emit(
        ObligationBreached(
            case_id=row["case_id"],
            agreement_id=row["agreement_id"],
            obligation_id=row["obligation_id"],
            ordinal=row["ordinal"],
            remedies=tuple(remedies),
            breached_at=at,
        ),
        occurred_at=at,
    )
    uow.audit(
        "obligation.breach",
        case_id=row["case_id"],
        subject=str(row["obligation_id"]),
        detail=mandates.mark(under),
    )
    return row


async def due_passed(row: Row, at: datetime, uow: UnitOfWork) -> None:
    """Routing says that time is up: what is still open then is broken; that is ours to say."""
    if row["state"] == "open" and row["due_at"] is not None and at >= row["due_at"]:
        await break_(row, declared=True, at=at, uow=uow)


async def _close_when_all_ended(row: Row, at: datetime, uow: UnitOfWork) -> None:
    mediation = await own(uow, "mediation", row["mediation_id"], row["organisation"])
    await complete_if_nothing_is_left(mediation, at, uow)
