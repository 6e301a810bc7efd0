"""Agreements written down, signed in any order, in effect by the lane's rule."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from mediation.agreement import repository, rules
from mediation.agreement.model import AGREEMENT, Signature, text_sha256
from mediation.errors import fail, refuse
from mediation.gate import Act, check_open, handler_kind, own, seal, to_the_millisecond
from mediation.mandate.handlers import by_the_party_itself
from mediation.mandate.rules import OWN
from mediation.obligation import repository as obligations
from mediation.proceeding import repository as proceedings
from mediation.proceeding.handlers import (
    agree,
    check_present,
    complete_if_nothing_is_left,
    moved,
    parties_of,
)
from mediation.repository import Row, change, insert
from services.calendar import day_of, start_of
from services.events import lanes
from services.events.mediation import AgreementEffective, ObligationsChanged
from services.ids import new_id
from services.unit_of_work import UnitOfWork

OUTCOMES = {"paper": "agreed_written", "online": "agreed_written", "oral": "agreed_oral"}


def effect_rule(lane_code: str, form: str, kind: str) -> str | None:
    """The lane's effect rule for a form and a handler's kind; None when the form is barred."""
    lane = lanes.lane(lane_code)
    if form == "oral" and lane.effect.oral is None:
        return None
    return lane.effect_for(form=form, handler_kind=kind)


async def draft(
    mediation: Row,
    *,
    form: str,
    partial: bool,
    bound: Sequence[UUID],
    clauses: Sequence[Mapping[str, Any]],
    text: str,
    agreed_at: datetime | None,
    flags_told: bool,
    to_be_confirmed: bool,
    act: Act,
    uow: UnitOfWork,
) -> Row:
    """Write the agreement down and freeze it by its hash; a new draft voids the former one.

    An oral agreement binds from ``agreed_at`` (人民调解法 30): it takes effect at once. To agree is
    the parties' own: no mandate to file carries it (N-19).
    """
    by_the_party_itself(act, OWN["agree"])
    moved(mediation, "draft")
    case = await proceedings.case_copy(uow.db, mediation["case_id"])
    kind = handler_kind(uow, mediation["organisation"])
    rule = effect_rule(mediation["lane"], form, kind)
    lane = lanes.lane(mediation["lane"])
    flags = sorted({flag for clause in clauses for flag in clause.get("flags", ())})
    sector_writes = case["sector"] in ("medical", "labor")
    check_present(case, bound)
    refuse(
        rules.may_draft(
            form=form,
            effect_rule=rule,
            written_mandatory=lane.written_mandatory or sector_writes,
            bound=bound,
            parties=parties_of(case),
            flags=flags,
        )
    )
    if mediation["mediator_id"] is None:
        fail("no-mediator", "须先确定调解员。/ A mediator is appointed first.")
    if flags and not flags_told:
        fail(
            "flags-not-told",
            "须先告知受约束的各方：法院不会确认此项。/ "
            "All bound are told first that a court will not confirm this.",
        )
    if form == "oral" and agreed_at is None:
        fail(
            "agreed-at", "口头协议须写明达成时间。/ An oral agreement says when the parties agreed."
        )
    if agreed_at is not None and agreed_at > uow.now:
        fail(
            "in-future", "协议达成后才能登记。/ An agreement is recorded when it has been reached."
        )
    for clause in clauses:
        if clause.get("obligation"):
            _check_obligation(clause["obligation"], bound)
    confirmation = lane.confirmation_for(kind)
    confirmable = rules.confirmable(confirmation.allowed, flags)
    if to_be_confirmed and not confirmable:
        fail(
            "not-confirmable",
            "此类协议法院不予司法确认。/ "
            "No court confirms such an agreement (民诉法 205: JC-1, JC-4).",
        )
    await repository.void_drafts(uow.db, mediation["mediation_id"])
    agreement_id = new_id()
    row = await insert(
        uow.db,
        "agreement",
        {
            "agreement_id": agreement_id,
            "mediation_id": mediation["mediation_id"],
            "case_id": mediation["case_id"],
            "organisation": mediation["organisation"],
            "form": form,
            "partial": partial,
            "lane": mediation["lane"],
            "effect_rule": rule,
            "parties": [str(party) for party in bound],
            "flags": flags,
            "text_sha256": text_sha256(clauses, text),
            "sealed": seal(uow, "agreement").close(
                {"clauses": list(clauses), "text": text}, agreement_id
            ),
            "confirmable": confirmable,
            "confirmation_source": confirmation.source,
            "to_be_confirmed": to_be_confirmed,
            "state": "draft",
            "agreed_at": to_the_millisecond(agreed_at) if agreed_at else None,
            "occurred_at": act.occurred_at,
        },
    )
    await change(uow.db, "mediation", "mediation_id", mediation["mediation_id"], {})
    uow.audit("agreement.draft", case_id=row["case_id"], subject=str(agreement_id))
    return await settle(row, uow) if form == "oral" else row


def _check_obligation(obligation: Mapping[str, Any], bound: Sequence[UUID]) -> None:
    people = {str(party) for party in bound}
    if not {str(obligation["debtor"]), str(obligation["creditor"])} <= people:
        fail(
            "not-a-party",
            "债务人和债权人须受协议约束。/ Debtor and creditor are bound by the agreement.",
        )
    if obligation["debtor"] == obligation["creditor"]:
        fail("two-sides", "债务人和债权人不得为同一人。/ Nobody owes something to themselves.")
    if obligation["kind"] == "pay" and not obligation.get("amount_fen"):
        fail("amount", "付款须写明金额。/ A payment says how much.")


async def sign(
    row: Row,
    *,
    signature: Signature,
    proof_sha256: str | None,
    act: Act,
    uow: UnitOfWork,
) -> Row:
    """Add a signature; the last one that the lane asks for puts the agreement into effect.

    The same signer again changes nothing. Under a mandate to file nobody signs (N-19).
    """
    by_the_party_itself(act, OWN["sign"])
    known = await repository.signature(
        uow.db, row["agreement_id"], signature.signer_kind, signature.signer
    )
    if known is not None:
        if known["text_sha256"] != signature.text_sha256:
            fail(
                "text-changed",
                "所签文本不是本协议文本。/ The signed text is not this agreement's text.",
            )
        return row
    check_open(row, uow)
    if not AGREEMENT.allows(row["state"], "sign"):
        fail("state", "该协议已不能再签署。/ The agreement is no longer open for signatures.")
    mediation = await own(uow, "mediation", row["mediation_id"], act.organisation)
    case = await proceedings.case_copy(uow.db, row["case_id"])
    refuse(
        rules.may_sign(
            signature,
            repository.terms_of(row),
            mediator=await mediator_staff_id(mediation, uow),
            organisation=row["organisation"],
            dispute_subtype=case["dispute_subtype"],
            now=uow.now,
        )
    )
    await _check_e_sign(mediation, signature, uow)
    await repository.put_signature(
        uow.db,
        {
            "agreement_id": row["agreement_id"],
            "signer_kind": signature.signer_kind,
            "signer": signature.signer,
            "method": signature.method,
            "text_sha256": signature.text_sha256,
            "proof_sha256": proof_sha256,
            "acted_by": act.acted_by,
            "occurred_at": to_the_millisecond(signature.signed_at),
        },
    )
    uow.audit(
        "agreement.sign",
        case_id=row["case_id"],
        subject=str(row["agreement_id"]),
        detail={"signer_kind": signature.signer_kind},
    )
    row = await change(uow.db, "agreement", "agreement_id", row["agreement_id"], {})
    return await settle(row, uow)


async def _check_e_sign(mediation: Row, signature: Signature, uow: UnitOfWork) -> None:
    """A party who has said no to signing electronically signs by hand."""
    if signature.signer_kind != "party" or signature.method != "electronic":
        return
    word = await proceedings.current_consent(
        uow.db, mediation["mediation_id"], UUID(signature.signer), "e_sign", ""
    )
    if word is not None and word["state"] != "given":
        fail(
            "e-sign-refused",
            "该当事人不同意电子签名。/ This party has refused to sign electronically.",
        )


async def mediator_staff_id(mediation: Row, uow: UnitOfWork) -> str | None:
    """The staff id under which the mediator of a case signs."""
    if mediation["mediator_id"] is None:
        return None
    staff_id: str = await uow.db.fetchval(
        "SELECT staff_id FROM staff WHERE id = $1", mediation["mediator_id"]
    )
    return staff_id


async def settle(row: Row, uow: UnitOfWork, *, not_before: datetime | None = None) -> Row:
    """Put a draft into effect when the lane's rule is met; else leave it as it is.

    ``not_before``: when a lane change or an appointment, not a signature, completed it.
    """
    if row["state"] != "draft":
        return row
    signatures = [
        repository.as_signature(s) for s in await repository.signatures(uow.db, row["agreement_id"])
    ]
    terms = repository.terms_of(row)
    mediation = await own(uow, "mediation", row["mediation_id"], row["organisation"])
    mediator = await mediator_staff_id(mediation, uow)
    organisation: str = row["organisation"]
    if row["effect_rule"] in rules.BY_OTHERS:
        complete = rules.complete_at(
            row["effect_rule"], terms, signatures, mediator=mediator, organisation=organisation
        )
        if complete is not None:
            row = await change(
                uow.db, "agreement", "agreement_id", row["agreement_id"], {"state": "signed"}
            )
        return row
    at = rules.effective_at(
        row["effect_rule"], terms, signatures, mediator=mediator, organisation=organisation
    )
    if at is None:
        return row
    return await _take_effect(row, max(at, not_before) if not_before else at, uow)


async def _take_effect(row: Row, at: datetime, uow: UnitOfWork) -> Row:
    row = await change(
        uow.db,
        "agreement",
        "agreement_id",
        row["agreement_id"],
        {"state": "effective", "effective_at": at},
    )
    mediation = await own(uow, "mediation", row["mediation_id"], row["organisation"])
    uow.emit(
        AgreementEffective(
            case_id=row["case_id"],
            agreement_id=row["agreement_id"],
            mediation_id=row["mediation_id"],
            assignment_id=mediation["assignment_id"],
            organisation=row["organisation"],
            form="oral" if row["form"] == "oral" else "written",
            effect_rule=row["effect_rule"],
            sha256=row["text_sha256"],
            confirmable=row["confirmable"],
            effective_at=at,
        ),
        occurred_at=at,
    )
    await _promise(row, at, uow)
    outcome = "agreed_partial" if row["partial"] else OUTCOMES[row["form"]]
    mediation = await agree(mediation, outcome, at, uow)
    await complete_if_nothing_is_left(mediation, at, uow)
    return row


async def _promise(row: Row, at: datetime, uow: UnitOfWork) -> None:
    body = seal(uow, "agreement").open(row["sealed"], row["agreement_id"])
    promised = [c["obligation"] for c in body["clauses"] if c.get("obligation")]
    rows = []
    for ordinal, promise in enumerate(promised, 1):
        due_at, due_on = due(promise.get("due_at"), promise.get("due_on"))
        rows.append(
            await obligations.put(
                uow.db,
                {
                    "agreement_id": row["agreement_id"],
                    "mediation_id": row["mediation_id"],
                    "case_id": row["case_id"],
                    "organisation": row["organisation"],
                    "ordinal": ordinal,
                    "kind": promise["kind"],
                    "debtor": UUID(promise["debtor"]),
                    "creditor": UUID(promise["creditor"]),
                    "amount_fen": promise.get("amount_fen"),
                    "due_at": due_at,
                    "due_on": due_on,
                    "state": "open",
                    "remedies": [],
                    "occurred_at": at,
                },
            )
        )
    if rows:
        uow.emit(
            ObligationsChanged(
                case_id=row["case_id"],
                agreement_id=row["agreement_id"],
                obligations=tuple(obligations.as_event(owed) for owed in rows),
                changed_at=at,
            ),
            occurred_at=at,
        )


def due(due_at: str | None, due_on: str | None) -> tuple[datetime | None, str | None]:
    """The exclusive instant and the day of an agreed time: a day lasts to its 24:00 (T-05).

    An agreed day is a promise, not a legal period: it does not roll over rest days.
    """
    if due_on is not None:
        return start_of(date.fromisoformat(due_on) + timedelta(days=1)), due_on
    if due_at is None:
        return None, None
    instant = datetime.fromisoformat(due_at)
    return instant, day_of(instant - timedelta(microseconds=1)).isoformat()


async def follow_mediator(mediation: Row, at: datetime, uow: UnitOfWork) -> None:
    """After an appointment: a draft that only waited for this mediator, who has signed, binds."""
    row = await repository.current(uow.db, mediation["mediation_id"])
    if row is not None:
        await settle(row, uow, not_before=at)


async def restate(mediation: Row, at: datetime, uow: UnitOfWork) -> None:
    """After a lane change: an open draft follows the rules of the lane it is in now."""
    row = await repository.current(uow.db, mediation["mediation_id"])
    if row is None or row["state"] == "effective":
        return
    kind = handler_kind(uow, mediation["organisation"])
    lane = lanes.lane(mediation["lane"])
    rule = effect_rule(mediation["lane"], row["form"], kind)
    if rule is None:
        await repository.void_drafts(uow.db, mediation["mediation_id"])
        return
    confirmable = rules.confirmable(lane.confirmation_for(kind).allowed, row["flags"])
    row = await change(
        uow.db,
        "agreement",
        "agreement_id",
        row["agreement_id"],
        {
            "lane": mediation["lane"],
            "effect_rule": rule,
            "state": "draft",
            "confirmable": confirmable,
            "to_be_confirmed": row["to_be_confirmed"] and confirmable,
        },
    )
    await settle(row, uow, not_before=at)
