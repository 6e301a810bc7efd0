"""Confirmation applied for by the parties through the body that holds the case; decided by a court.

While a court has it, or while the parties who said that they mean to apply still may, the turn
stays open even when every obligation has ended, so that application and ruling find an open case.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from mediation.confirmation import repository, rules
from mediation.confirmation.model import Confirmable
from mediation.errors import fail, refuse
from mediation.gate import Act, handler_kind, own
from mediation.mandate.handlers import by_the_party_itself
from mediation.mandate.rules import OWN
from mediation.proceeding.handlers import complete_if_nothing_is_left
from mediation.repository import Row, change
from services.errors import Unavailable
from services.events import lanes
from services.events.mediation import ConfirmationApplied, ConfirmationDecided
from services.ids import new_id
from services.unit_of_work import UnitOfWork


async def apply(
    agreement: Row, *, court: str, applied_by: Sequence[UUID], act: Act, uow: UnitOfWork
) -> Row:
    """Record that all bound applied to a court; emits ``ConfirmationApplied``.

    In time means before the exclusive end that routing's clock told. Raises ``Unavailable`` while
    that clock has not been heard of. All apply together, nobody under a mandate to file (N-19).
    """
    by_the_party_itself(act, OWN["apply"])
    kind = handler_kind(uow, agreement["organisation"])
    lane = lanes.lane(agreement["lane"])
    refuse(
        rules.may_apply(
            Confirmable(
                lane=agreement["lane"],
                lane_confirms=lane.confirmation,
                handler_kind=kind,
                kind_confirms=lane.confirmation_for(kind).allowed,
                flags=frozenset(agreement["flags"]),
                state=agreement["state"],
                parties=frozenset(UUID(party) for party in agreement["parties"]),
                effective_at=agreement["effective_at"],
                confirm_by=agreement["confirm_by"],
                applied_before=await repository.lasting(uow.db, agreement["agreement_id"]),
            ),
            applied_by=applied_by,
            applied_at=act.occurred_at,
        )
    )
    if agreement["confirm_by"] is None:
        raise Unavailable("the window's clock is not known yet", retry_after_seconds=1)
    entry = uow.runtime.directory.organisation(court)
    if entry is None or entry["kind"] != "court":
        fail("not-a-court", "司法确认须向法院申请。/ Confirmation is applied for at a court.")
    row = await repository.put(
        uow.db,
        {
            "confirmation_id": new_id(),
            "agreement_id": agreement["agreement_id"],
            "mediation_id": agreement["mediation_id"],
            "case_id": agreement["case_id"],
            "organisation": agreement["organisation"],
            "court": court,
            "applied_by": [str(party) for party in applied_by],
            "state": "applied",
            "remedies": [],
            "acted_by": act.acted_by,
            "occurred_at": act.occurred_at,
        },
    )
    await change(uow.db, "agreement", "agreement_id", agreement["agreement_id"], {})
    uow.emit(
        ConfirmationApplied(
            case_id=row["case_id"],
            confirmation_id=row["confirmation_id"],
            agreement_id=row["agreement_id"],
            mediation_id=row["mediation_id"],
            court=court,
            applied_by=tuple(applied_by),
            applied_at=act.occurred_at,
        ),
        occurred_at=act.occurred_at,
    )
    uow.audit("confirmation.apply", case_id=row["case_id"], subject=str(row["confirmation_id"]))
    return row


async def decide(
    row: Row, *, confirmed: bool, ground: str | None, act: Act, uow: UnitOfWork
) -> Row:
    """Record the court's ruling with what is open now; emits ``ConfirmationDecided``."""
    agreement = await own(uow, "agreement", row["agreement_id"], row["organisation"])
    refuse(
        rules.may_decide(
            state=row["state"],
            agreement_state=agreement["state"],
            confirmed=confirmed,
            ground=ground,
            grounds=lanes.CONFIRMATION_GROUNDS,
            applied_at=row["occurred_at"],
            decided_at=act.occurred_at,
        )
    )
    remedies = [remedy.code for remedy in lanes.remedies_of_confirmation(confirmed)]
    row = await change(
        uow.db,
        "confirmation",
        "confirmation_id",
        row["confirmation_id"],
        {
            "state": "confirmed" if confirmed else "refused",
            "ground": ground,
            "remedies": remedies,
            "decided_at": act.occurred_at,
        },
    )
    uow.emit(
        ConfirmationDecided(
            case_id=row["case_id"],
            confirmation_id=row["confirmation_id"],
            agreement_id=row["agreement_id"],
            mediation_id=row["mediation_id"],
            court=row["court"],
            confirmed=confirmed,
            ground=ground,
            remedies=tuple(remedies),
            decided_at=act.occurred_at,
        ),
        occurred_at=act.occurred_at,
    )
    uow.audit(
        "confirmation.decide",
        case_id=row["case_id"],
        subject=str(row["confirmation_id"]),
        detail={"confirmed": confirmed},
    )
    mediation = await own(uow, "mediation", row["mediation_id"], row["organisation"])
    await complete_if_nothing_is_left(mediation, act.occurred_at, uow)
    return row


async def window_ended(agreement: Row, at: datetime, uow: UnitOfWork) -> None:
    """Nobody applied in time: the case waits for it no longer (民事诉讼法 205: JC-1)."""
    if not agreement["to_be_confirmed"]:
        return
    await change(
        uow.db, "agreement", "agreement_id", agreement["agreement_id"], {"to_be_confirmed": False}
    )
    mediation = await own(uow, "mediation", agreement["mediation_id"], agreement["organisation"])
    await complete_if_nothing_is_left(mediation, at, uow)


def view(row: Row) -> dict[str, Any]:
    """An application as it is shown."""
    ground = lanes.CONFIRMATION_GROUNDS.get(row["ground"] or "")
    return {
        **dict(row),
        "applied_at": row["occurred_at"],
        "source": lanes.lane("pm").confirmation_for("committee").source,
        "ground_source": ground.source if ground else None,
        "remedies": [
            {"code": r.code, "zh": r.zh, "en": r.en, "source": r.source}
            for r in (lanes.REMEDIES[code] for code in row["remedies"])
        ],
    }
