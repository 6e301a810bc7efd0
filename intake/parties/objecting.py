"""A party of a group that will not be spoken for: it stays by itself, or goes its own way."""

from datetime import datetime
from typing import Any
from uuid import UUID

from intake import repository as cases
from intake.doors import mandates
from intake.handlers import leave_case, submit_referral
from intake.keys import keys_of
from intake.messages import fault
from intake.parties import repository
from intake.referral_document import opened
from services.errors import CaseClosedProblem, Invalid, NotFound
from services.events.intake import PartyChanged
from services.unit_of_work import UnitOfWork


def party_of(
    people: list[Any], party_id: UUID | None, ref: str | None, *, pointer: str | None = None
) -> Any:
    """The party named by id or by the referral's ref. Raises ``Invalid``."""
    if party_id is None and ref is None:
        raise Invalid(errors=[fault("/party_id", "party_required")])
    for person in people:
        if person["party_id"] == party_id or (party_id is None and person["ref"] == ref):
            return person
    place = pointer or ("/party_id" if party_id else "/party_ref")
    raise Invalid(errors=[fault(place, "party_unknown")])


async def object_(
    uow: UnitOfWork,
    case_id: UUID,
    *,
    ref: str,
    own_case: bool,
    objected_at: datetime | None,
    replayed: bool,
    mandate_id: UUID | None = None,
) -> dict[str, Any]:
    """End the mandate that a party gave; with ``own_case`` register its case and let it leave this.

    The own case keeps the source's number with the party's ref behind it and the day of the first
    asking (LIM-1). Emits ``PartyChanged``, ``PartyLeft`` and what registering emits. Raises
    ``Invalid``, ``CaseClosedProblem``, and what ``mandates.in_force`` raises.
    """
    stream = await uow.lock_case(case_id)
    party = party_of(await cases.parties(uow, case_id), None, ref)
    party_id = party["party_id"]
    at = objected_at or uow.now
    if not replayed:
        if stream.closed:
            raise CaseClosedProblem()
        if at > uow.now:
            raise Invalid(errors=[fault("/objected_at", "in_future")])
        standing = [
            row
            for row in await repository.acting(uow, [party_id])
            if row["representative_party_id"] is not None
        ]
        if not standing and not own_case:
            raise Invalid(errors=[fault("/party_ref", "not_represented")])
        under = None
        if mandate_id is not None:
            under = await mandates.in_force(uow, case_id, mandate_id, party_id=party_id)
        ended = [row["representation_id"] for row in standing]
        await repository.revoke(uow, ended, at, "party", mandate_id)
        uow.emit(
            PartyChanged(
                case_id=case_id,
                party_id=party_id,
                changed=("representation",),
                changed_at=uow.now,
            )
        )
        uow.audit(
            "party.objected",
            case_id=case_id,
            subject=str(party_id),
            detail=mandates.mark(under),
        )
        if own_case:
            await _own_case(uow, case_id, party, at, mandate_id)
    own_id = await repository.own_case_of(uow, party_id)
    own = await cases.case(uow, own_id) if own_id else None
    return {
        "case_id": case_id,
        "party_id": party_id,
        "objected_at": at,
        "own_case_id": own_id,
        "own_case_number": own["case_number"] if own else None,
        "mandate_id": await repository.objected_under(uow, party_id),
    }


async def _own_case(
    uow: UnitOfWork, case_id: UUID, party: Any, at: datetime, mandate_id: UUID | None
) -> None:
    row = await cases.referral_of_case(uow, case_id)
    caller = uow.caller
    if row is None or caller is None:
        raise NotFound()
    document = opened(keys_of(uow.runtime), row)
    done = await submit_referral(
        own_document(document, party["ref"], party["role"]),
        uow,
        organisations=(row["organisation"],),
        connection=caller.connection,
        consent_later=True,  # delegated before, as the group it was in
    )
    await repository.split(uow, party["party_id"], case_id, done.case_id, mandate_id)
    await leave_case(
        case_id,
        uow,
        party_id=party["party_id"],
        left_at=at,
        told_by="organisation",
        way="objection",
        mandate_id=mandate_id,
    )


def own_document(document: dict[str, Any], ref: str, role: str) -> dict[str, Any]:
    """The referral of one party of a group: the other side stays, the others of its own go."""
    kept = {p["ref"] for p in document["parties"] if p["role"] != role} | {ref}
    parties = [
        {name: value for name, value in party.items() if name != "represented_by"}
        for party in document["parties"]
        if party["ref"] in kept
    ]
    context = {
        name: _kept(value, kept) for name, value in (document.get("legal_context") or {}).items()
    }
    claim = (context.get("per_worker_fen") or {}).get(ref) if context else None
    source = {**document["source"], "reference": f"{document['source']['reference']}-{ref}"}
    return {
        **document,
        "source": source,
        "parties": parties,
        "legal_context": context,
        "claim_fen": claim,
    }


def _kept(value: Any, refs: set[str]) -> Any:
    """What names parties, without those that are gone."""
    if isinstance(value, list) and value and all(_is_ref(item) for item in value):
        return [item for item in value if item in refs]
    if isinstance(value, dict) and value and all(_is_ref(name) for name in value):
        return {name: item for name, item in value.items() if name in refs}
    return value


def _is_ref(value: Any) -> bool:
    return isinstance(value, str) and value[:1] == "p" and value[1:].isdigit()
