"""An agreement as it is shown: text opened, signatures, who is still missing."""

from typing import Any

from mediation.agreement import repository, rules
from mediation.agreement.handlers import mediator_staff_id
from mediation.gate import own, seal
from mediation.obligation import repository as obligations
from mediation.proceeding.views import next_act_of
from mediation.repository import Row
from services.errors import Gone
from services.events import lanes
from services.unit_of_work import UnitOfWork


async def view(row: Row, uow: UnitOfWork) -> dict[str, Any]:
    """An agreement with its text, for the body that holds it; the reading is logged."""
    signatures = await repository.signatures(uow.db, row["agreement_id"])
    mediation = await own(uow, "mediation", row["mediation_id"], row["organisation"])
    missing = (
        rules.missing_signers(
            row["effect_rule"],
            repository.terms_of(row),
            [repository.as_signature(s) for s in signatures],
            mediator=await mediator_staff_id(mediation, uow),
            organisation=row["organisation"],
        )
        if row["state"] == "draft"
        else ()
    )
    if not row["sealed"]:
        raise Gone("its text was erased")
    body = seal(uow, "agreement").open(row["sealed"], row["agreement_id"])
    owed = await obligations.of_agreement(uow.db, row["agreement_id"])
    return {
        **dict(row),
        **body,
        "effect_source": lanes.lane(row["lane"]).effect.source,
        "signatures": [{**dict(s), "signed_at": s["occurred_at"]} for s in signatures],
        "missing": [{"signer_kind": kind, "signer": signer} for kind, signer in missing],
        "next_act": await next_act_of(row["mediation_id"], uow),
        "obligations": [o["obligation_id"] for o in owed],
    }
