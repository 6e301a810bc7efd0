"""Commands that come in over Kafka: the same handlers as REST, behind the sealed members."""

import json
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from intake import repository
from intake.corrections import correct_referral
from intake.handlers import fault, leave_case, parsed, submit_referral
from intake.keys import keys_of
from intake.matters.record import as_answer
from intake.sealing import CannotUnseal
from intake.validation import normal_reference, read_instant
from services.access import AgencyScope
from services.auth import Caller
from services.errors import Invalid, NotFound, Refused
from services.service import Command
from services.unit_of_work import UnitOfWork

_MANDATE_AT: Final = "/mandate_id"


async def submit(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """``referral.submit``: register the sealed referral; the answer never holds a receipt."""
    caller = _caller(uow)
    document = _unseal(command, uow)
    source = document.get("source") if isinstance(document, dict) else None
    _must_agree(command, source if isinstance(source, dict) else {}, "/source")
    try:
        done = await submit_referral(
            document, uow, organisations=caller.organisations, connection=command.connection
        )
    except Refused as refusal:
        return await as_answer(refusal, uow, connection=command.connection)
    return {
        "case_id": done.case_id,
        "case_number": done.case_number,
        "referral_id": done.referral_id,
        "warnings": done.warnings,
        **await _locked(done.case_id, uow),
    }


async def amend(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """``referral.amend``: a sealed ``{organisation, reference, reason, changes, mandate_id?}``."""
    caller = _caller(uow)
    amendment = _unseal(command, uow)
    if not isinstance(amendment, dict):
        raise Invalid(errors=[fault("", "type")])
    _must_agree(command, amendment, "")
    row = await _referral(command, caller, uow)
    reason, changes = amendment.get("reason"), amendment.get("changes")
    errors = []
    if not isinstance(reason, str) or not 1 <= len(reason) <= 500:
        errors.append(fault("/reason", "required"))
    if not isinstance(changes, list) or not 1 <= len(changes) <= 100:
        errors.append(fault("/changes", "required"))
        changes = []
    pairs: list[tuple[str, Any]] = []
    for number, change in enumerate(changes):
        pointer = change.get("pointer") if isinstance(change, dict) else None
        if isinstance(pointer, str):
            pairs.append((pointer, change.get("value")))
        else:
            errors.append(fault(f"/changes/{number}/pointer", "required"))
    if errors:
        raise Invalid(errors=errors)
    done = await correct_referral(
        row["referral_id"],
        uow,
        AgencyScope(caller),
        changes=pairs,
        reason=str(reason),
        occurred_at=_instant(amendment, "occurred_at"),
        version=None,
        mandate_id=_mandate(command.data, amendment),
        mandate_at=_MANDATE_AT,
    )
    return {
        "case_id": done.case_id,
        "case_number": done.case_number,
        "referral_id": done.referral_id,
        "warnings": done.warnings,
    }


async def leave(command: Command, uow: UnitOfWork) -> dict[str, Any]:
    """``case.leave``: ``{organisation, reference?, party_id | party_ref, left_at?, mandate_id?}``,
    or sealed.

    ``ce_subject`` is the case; without it the organisation's own reference says which.
    """
    caller = _caller(uow)
    data = command.data
    if data.get("sealed"):
        opened = _unseal(command, uow)
        if not isinstance(opened, dict):
            raise Invalid(errors=[fault("", "type")])
        _must_agree(command, opened, "")
        data = {**data, **opened}
    case_id = _uuid(command.subject)
    if case_id is None:
        case_id = (await _referral(command, caller, uow))["case_id"]
    await AgencyScope(caller).require(uow, case_id, roles=("source", "handler"))
    party_id = _uuid(data.get("party_id"))
    ref = data.get("party_ref")
    if party_id is None and not isinstance(ref, str):
        raise Invalid(errors=[fault("/party_id", "required")])
    await leave_case(
        case_id,
        uow,
        party_id=party_id,
        ref=ref if isinstance(ref, str) else None,
        left_at=_instant(data, "left_at"),
        told_by="organisation",
        way="stream",
        mandate_id=_mandate(command.data, data),
        mandate_at=_MANDATE_AT,
    )
    stream = await uow.lock_case(case_id)
    return {"case_id": case_id, "case_number": stream.case_number}


def _caller(uow: UnitOfWork) -> Caller:
    if uow.caller is None:
        raise NotFound()
    return uow.caller


async def _locked(case_id: UUID, uow: UnitOfWork) -> dict[str, Any]:
    """The answer stands on the case's stream: lock it when this was a repeat."""
    await uow.lock_case(case_id)
    return {}


def _unseal(command: Command, uow: UnitOfWork) -> Any:
    try:
        plaintext = keys_of(uow.runtime).sealing.unseal(command.data.get("sealed"))
    except CannotUnseal as error:
        raise Invalid(errors=[fault("/sealed", error.rule)]) from None
    return parsed(plaintext)


def _must_agree(command: Command, sealed: dict[str, Any], prefix: str) -> None:
    """The clear members must say what the sealed ones say. Raises ``Invalid``."""
    errors = []
    for name in ("organisation", "reference", "mandate_id"):
        clear, inside = command.data.get(name), sealed.get(name)
        if clear is None and name == "reference":
            errors.append(fault("/reference", "required"))
        elif clear is not None and inside is not None and _form(clear) != _form(inside):
            errors.append(fault(f"/{name}", "clear_member_differs"))
    if errors:
        raise Invalid(errors=errors)


def _form(value: Any) -> str:
    return normal_reference(value) if isinstance(value, str) else json.dumps(value, sort_keys=True)


async def _referral(command: Command, caller: Caller, uow: UnitOfWork) -> Any:
    reference = command.data.get("reference")
    if not isinstance(reference, str):
        raise Invalid(errors=[fault("/reference", "required")])
    row = await repository.referral_by_reference(
        uow, caller.organisation, normal_reference(reference)
    )
    if row is None:
        raise NotFound()
    return row


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _mandate(*told: dict[str, Any]) -> UUID | None:
    """The mandate (代办) of a command, clear or sealed: what the header names on REST."""
    named = [data["mandate_id"] for data in told if data.get("mandate_id") is not None]
    if not named:
        return None
    found = _uuid(named[-1])
    if found is None:
        raise Invalid(errors=[fault(_MANDATE_AT, "mandate_unknown")])
    return found


def _instant(data: dict[str, Any], name: str) -> datetime | None:
    value = data.get(name)
    if value is None:
        return None
    try:
        return read_instant(value)
    except (ValueError, TypeError):
        raise Invalid(errors=[fault(f"/{name}", "not_an_instant")]) from None
