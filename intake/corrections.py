"""Corrections of a referral: an own act with a reason, checked like the referral, with history."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from intake import pointers, repository
from intake.doors import mandates
from intake.gates.model import warned
from intake.handlers import (
    REFERRAL_TABLE,
    VAULT_TABLE,
    blind,
    fault,
    organisation_of,
    seal_party,
    travelling_party,
    vault_fields,
)
from intake.keys import Keys, keys_of
from intake.lane_facts import civil_loss_only
from intake.legal_context import travelling
from intake.model import PartyFacts, Referral
from intake.notices import repository as notices
from intake.parties import handlers as acting
from intake.referral_document import opened
from intake.safety.repository import consequences_of_case
from intake.strict_json import StrictJsonError, parse
from intake.validation import validate
from intake.withdrawals import handlers as withdrawals
from services.access import AgencyScope
from services.errors import FieldError, Invalid, NotFound, VersionMismatch
from services.events.intake import CaseCorrected, HandlingConstraintsChanged, PartyChanged
from services.unit_of_work import UnitOfWork

_ACTS = {"representative", "represented_by"}
_CASE_MEMBERS = ("dispute_type", "dispute_subtype", "place", "claim_fen")


@dataclass(frozen=True)
class Corrected:
    """The outcome of a correction."""

    referral_id: UUID
    case_id: UUID
    case_number: str
    version: int
    changed: tuple[str, ...]
    warnings: list[dict[str, str]]
    mandate_id: UUID | None = None


async def correct_referral(
    referral_id: UUID,
    uow: UnitOfWork,
    scope: AgencyScope,
    *,
    changes: list[tuple[str, Any]],
    reason: str,
    occurred_at: datetime | None,
    version: int | None,
    mandate_id: UUID | None = None,
    mandate_at: str = mandates.HEADER,
) -> Corrected:
    """Change members of a referral; the version that stood is kept, sealed.

    Emits ``CaseCorrected``, ``PartyChanged`` per changed party, ``HandlingConstraintsChanged``.
    Raises ``NotFound``, ``VersionMismatch``, ``Invalid`` with every fault; what
    ``mandates.in_force`` raises for an act under a mandate.
    """
    seen = await repository.own_referral(uow, scope, referral_id)
    if seen is None:
        raise NotFound()
    await uow.lock_case(seen["case_id"])
    row = await repository.own_referral(uow, scope, referral_id, lock=True)
    if row is None:
        raise NotFound()
    if version is not None and row["version"] != version:
        raise VersionMismatch()
    at = occurred_at or uow.now
    if at > uow.now:
        raise Invalid(errors=[fault("/occurred_at", "in_future")])
    keys = keys_of(uow.runtime)
    before = opened(keys, row)
    under = None
    if mandate_id is not None:
        under = await mandates.in_force(uow, row["case_id"], mandate_id, pointer=mandate_at)
        await _require_own_party(uow, under, before, changes, mandate_at)
    document, errors = pointers.apply(before, changes)
    document = _as_sent(document)
    verdict = validate(document, uow.runtime.directory, _sent_already, uow.now, consent_later=True)
    errors += verdict.errors
    if errors or verdict.referral is None:
        raise Invalid(errors=errors)
    warnings = (*verdict.warnings, *warned(verdict.referral, uow.runtime.directory))
    facts = verdict.referral
    return await _write(row, before, facts, warnings, keys, uow, reason, changes, at, under)


def _sent_already(lane: str, kind: str) -> bool:
    """Who may send in a lane is not in question any more, whatever the rule has become."""
    return True


async def _require_own_party(
    uow: UnitOfWork,
    mandate: Any,
    before: dict[str, Any],
    changes: list[tuple[str, Any]],
    pointer: str,
) -> None:
    """A mandate speaks of its own party: it corrects no other's. Raises ``Invalid``."""
    people = await repository.parties(uow, mandate["case_id"])
    ref = next(p["ref"] for p in people if p["party_id"] == mandate["party_id"])
    indexes = {str(n) for n, party in enumerate(before["parties"]) if party["ref"] != ref}
    parts = [changed.split("/") for changed, _ in changes]
    if any(part[1:2] == ["parties"] and part[2:3] and part[2] in indexes for part in parts):
        raise Invalid(errors=[fault(pointer, "mandate_of_another_party")])


def _as_sent(document: dict[str, Any]) -> dict[str, Any]:
    """The corrected document read again as if it had been sent: depth, size, no NaN, no NUL."""
    try:
        found: dict[str, Any] = parse(json.dumps(document, ensure_ascii=False).encode())
    except StrictJsonError as error:
        place = FieldError(error.pointer, error.rule, error.message)
        raise Invalid(errors=[place]) from None
    except UnicodeEncodeError:
        raise Invalid(errors=[fault("/changes", "control_character")]) from None
    return found


async def _write(
    row: Any,
    before: dict[str, Any],
    facts: Referral,
    warnings: tuple[FieldError, ...],
    keys: Keys,
    uow: UnitOfWork,
    reason: str,
    changes: list[tuple[str, Any]],
    at: datetime,
    under: Any = None,
) -> Corrected:
    referral_id, case_id = row["referral_id"], row["case_id"]
    pointers_ = sorted({pointer for pointer, _ in changes})
    mandate_id = under["mandate_id"] if under is not None else None
    sealed = keys.vault.reseal(
        REFERRAL_TABLE,
        referral_id,
        row["kek_id"],
        row["wrapped_key"],
        {"document": facts.document, "reason": reason},
    )
    await repository.replace_document(
        uow,
        row,
        document=sealed["document"],
        reason=sealed["reason"],
        changed=pointers_,
        organisation=row["organisation"],
        occurred_at=at,
        mandate_id=mandate_id,
    )
    case = await repository.case(uow, case_id)
    if case is None:
        raise NotFound()
    joint = facts.joint_sessions and "no_joint_session" not in await consequences_of_case(
        uow, case_id
    )
    await repository.correct_case(
        uow, case_id, facts, travelling(facts.legal_context), joint_sessions=joint
    )
    if facts.document["documents"] != before["documents"]:
        await repository.replace_documents(uow, case_id, referral_id, list(facts.documents))
    await _correct_parties(row, before, facts, keys, uow)
    members = tuple(sorted({pointer.split("/")[1] for pointer in pointers_}))
    uow.emit(
        CaseCorrected(
            case_id=case_id,
            case_number=row["case_number"],
            referral_id=referral_id,
            changed=members,
            corrected_at=uow.now,
            **{name: getattr(facts, name) for name in _CASE_MEMBERS if name in members},
        ),
        occurred_at=at,
    )
    only = civil_loss_only(facts.legal_context)
    was = bool(case["legal_context"].get("civil_loss_only"))
    if joint != case["joint_sessions"] or only != was:
        uow.emit(
            HandlingConstraintsChanged(
                case_id=case_id,
                joint_sessions=joint,
                civil_loss_only=only if only != was else None,
                changed_at=uow.now,
            )
        )
    uow.audit(
        "referral.corrected",
        case_id=case_id,
        subject=str(referral_id),
        detail=mandates.mark(under),
    )
    warnings += waived(before, facts)
    return Corrected(
        referral_id,
        case_id,
        row["case_number"],
        row["version"] + 1,
        tuple(pointers_),
        [warning.wire() for warning in warnings],
        mandate_id,
    )


def waived(before: dict[str, Any], facts: Referral) -> tuple[FieldError, ...]:
    """A lower claim of somebody under guardianship: only for the ward's good (民法典 35: N-12)."""
    was, is_ = before.get("claim_fen"), facts.claim_fen
    ward = any(
        party.role == "applicant"
        and party.kind == "person"
        and (party.details.get("representative") or {}).get("authority") == "statutory"
        for party in facts.parties
    )
    lower = was is not None and (is_ is None or is_ < was)
    return (
        (fault("/claim_fen", "guardian_acts_for_ward_only_for_its_good"),) if ward and lower else ()
    )


async def _correct_parties(
    row: Any, before: dict[str, Any], facts: Referral, keys: Keys, uow: UnitOfWork
) -> None:
    old = {party["ref"]: party for party in before["parties"]}
    new = {party["ref"]: party for party in facts.document["parties"]}
    stored = {p["ref"]: p for p in await repository.sealed_parties(uow, row["case_id"])}
    ids = {ref: p["party_id"] for ref, p in stored.items()}
    for party in facts.parties:
        if old.get(party.ref) == new[party.ref]:
            continue
        new_party = None
        if party.ref in stored:
            changed = tuple(
                sorted(
                    name
                    for name in {*old.get(party.ref, {}), *new[party.ref]}
                    if old.get(party.ref, {}).get(name) != new[party.ref].get(name)
                )
            )
            await _replace_party(stored[party.ref], party, keys, uow)
            party_id = stored[party.ref]["party_id"]
            if _ACTS & set(changed):
                await acting.rename(uow, keys, row["case_id"], facts, ids, party.ref)
        else:
            added = seal_party(uow, keys, party)
            await repository.add_party(
                uow, row["case_id"], row["referral_id"], row["organisation"], added
            )
            party_id, changed, new_party = added["party_id"], ("added",), travelling_party(added)
            ids[party.ref] = party_id
            await _owe(row["case_id"], added, uow)
            await acting.add_named(uow, keys, row["case_id"], facts, ids, frozenset({party.ref}))
        uow.emit(
            PartyChanged(
                case_id=row["case_id"],
                party_id=party_id,
                changed=changed,
                added=new_party,
                changed_at=uow.now,
            )
        )


async def _owe(case_id: UUID, added: dict[str, Any], uow: UnitOfWork) -> None:
    """Who is named only now is told of the turn that runs and of a withdrawal that waits.

    Unless nothing would reach them.
    """
    stream = await uow.lock_case(case_id)
    party_id, reachable = added["party_id"], bool(added["phone"] or added["address"])
    await notices.owe_newcomer(uow, case_id, stream.episode, party_id, reachable=reachable)
    await withdrawals.owe_newcomer(uow, case_id, party_id, reachable=reachable)


async def _replace_party(stored: Any, facts: PartyFacts, keys: Keys, uow: UnitOfWork) -> None:
    values = vault_fields(facts)
    sealed: dict[str, bytes | None] = dict.fromkeys(
        ("name", "identity", "phone", "address", "details")
    )
    sealed |= keys.vault.reseal(
        VAULT_TABLE, stored["party_id"], stored["kek_id"], stored["wrapped_key"], values
    )
    await repository.correct_party(
        uow,
        stored["party_id"],
        organisation=organisation_of(uow, facts),
        consent=facts.consent,
        consent_on=date.fromisoformat(facts.consent_on) if facts.consent_on else None,
        sealed=sealed,
        protected=facts.protected,
        identity_blind=blind(keys, facts),
    )
