"""What intake does: take a referral, let a party leave, change the lane, close, reopen."""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from intake import receipt, repository
from intake.doors import mandates
from intake.gates.handlers import Barred, require_open
from intake.keys import Keys, keys_of
from intake.legal_context import travelling
from intake.matters.errors import require_dispute
from intake.messages import fault as fault
from intake.model import ByCreditCode, PartyFacts, Referral
from intake.parties import handlers as acting
from intake.rights import keeping
from intake.safety import handlers as safety
from intake.serials import serials_of
from intake.strict_json import StrictJsonError, parse
from intake.validation import validate
from intake.vault import Sealed, Vault, canonical
from services.clock import SHANGHAI, wire
from services.errors import (
    CaseClosedProblem,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    ReferenceInUse,
    TooLarge,
    VersionMismatch,
)
from services.events import lanes
from services.events.envelope import Length, Party
from services.events.intake import (
    CaseClosed,
    CaseLaneChanged,
    CaseRegistered,
    CaseReopened,
    DocumentRef,
    PartyLeft,
    ReferralReceived,
)
from services.ids import new_id
from services.unit_of_work import UnitOfWork

REFERRAL_TABLE: Final = "referral"
VAULT_TABLE: Final = "party_vault"
VAULT_FIELDS: Final = ("name", "identity", "phone", "address", "details")


@dataclass(frozen=True)
class Receipt:
    """What one party needs to follow the case."""

    party_id: UUID
    ref: str
    role: str
    number: str
    secret: str


@dataclass(frozen=True)
class Submitted:
    """The answer to a referral, the first time and every time after."""

    referral_id: UUID
    case_id: UUID
    case_number: str
    organisation: str
    reference: str
    received_at: datetime
    request_made_at: datetime | None
    registered_at: datetime
    receipts: tuple[Receipt, ...]
    warnings: list[dict[str, str]]
    replayed: bool = False


def parsed(body: bytes) -> Any:
    """The body as JSON. Raises ``Malformed`` or ``TooLarge`` with the place."""
    try:
        return parse(body)
    except StrictJsonError as error:
        problem = TooLarge if error.status == 413 else Malformed
        raise problem(errors=[FieldError(error.pointer, error.rule, error.message)]) from None


# -- a referral comes in -----------------------------------------------------------------------


async def submit_referral(
    document: Any,
    uow: UnitOfWork,
    *,
    organisations: tuple[str, ...],
    connection: str | None,
    consent_later: bool = False,
) -> Submitted:
    """Register a case for a referral, or answer a repeat as the first time.

    ``consent_later``: a consent that is not recorded is a doubt and is asked for (decision 19).

    Emits ``ReferralReceived`` and ``CaseRegistered``. Raises ``Invalid`` with every fault,
    ``Forbidden`` for somebody else's organisation, ``ReferenceInUse`` for other content;
    ``Barred`` by a gate and ``NotADispute`` before anything is written, for the edge to record.
    """
    require_own(document, organisations)
    verdict = validate(
        document, uow.runtime.directory, lanes.may_send, uow.now, consent_later=consent_later
    )
    if verdict.referral is None:
        raise Invalid(errors=list(verdict.errors))
    keys, referral = keys_of(uow.runtime), verdict.referral
    print_ = fingerprint(keys.vault, referral)
    require_dispute(referral, print_)
    try:
        doubts = await require_open(referral, print_, uow)
    except Barred:
        # What was registered before a gate came into force stays, and a repeat answers as it did.
        known = await repository.referral_by_reference(
            uow, referral.organisation, referral.normal_reference
        )
        if known is None or not hmac.compare_digest(bytes(known["fingerprint"]), print_):
            raise
        return await submitted(uow, keys, known)
    made = prepare(
        referral, print_, [*verdict.warnings, *doubts], uow.runtime.directory, keys.vault
    )
    parties = made.parties
    year = uow.now.astimezone(SHANGHAI).year
    number = await serials_of(uow.runtime).number(referral.county, year)
    registered = await repository.register(
        uow,
        referral=referral,
        referral_id=made.referral_id,
        case_id=made.case_id,
        case_number=number,
        connection=connection,
        fingerprint=made.fingerprint,
        warnings=made.warnings,
        document=made.document,
        legal_context=made.legal_context,
        parties=parties,
    )
    if not registered:
        return await _repeat(uow, keys, referral, made.fingerprint)
    announce(uow, made, number, connection)
    ids = {party["ref"]: party["party_id"] for party in parties}
    await acting.add_named(uow, keys, made.case_id, referral, ids)
    await safety.alert_registered(uow, keys, made.case_id, referral, parties)
    return Submitted(
        made.referral_id,
        made.case_id,
        number,
        referral.organisation,
        referral.reference,
        referral.received_at,
        referral.request_made_at,
        uow.now,
        tuple(Receipt(p["party_id"], p["ref"], p["role"], number, p["secret"]) for p in parties),
        made.warnings,
    )


@dataclass(frozen=True)
class Prepared:
    """A referral that may be registered, sealed, under ids that nobody knows yet."""

    referral: Referral
    referral_id: UUID
    case_id: UUID
    fingerprint: bytes
    warnings: list[dict[str, str]]
    document: Sealed
    legal_context: dict[str, Any]
    parties: list[dict[str, Any]]


def prepare(
    referral: Referral,
    content: bytes,
    warnings: Iterable[FieldError],
    directory: ByCreditCode,
    vault: Vault,
) -> Prepared:
    """Everything of a registration that needs no database: ids, seals, receipts.

    ``content`` is the referral's ``fingerprint``.
    """
    referral_id, case_id = new_id(), new_id()
    return Prepared(
        referral,
        referral_id,
        case_id,
        content,
        [warning.wire() for warning in warnings],
        vault.seal(REFERRAL_TABLE, referral_id, {"document": referral.document}),
        travelling(referral.legal_context),
        [sealed_party(facts, directory, vault) for facts in referral.parties],
    )


def announce(uow: UnitOfWork, made: Prepared, number: str, connection: str | None) -> None:
    """Say that a registered referral was received and its case opened; audited."""
    uow.adopt_new_case(made.case_id, number)
    received, registered = told(made, number, connection, uow.now)
    uow.emit(received, occurred_at=made.referral.received_at)
    uow.emit(registered)
    audit_submitted(uow, made.case_id, made.referral_id)


def audit_submitted(uow: UnitOfWork, case_id: UUID, referral_id: UUID) -> None:
    """Who sent the referral."""
    uow.audit("referral.submitted", case_id=case_id, subject=str(referral_id))


def require_own(document: Any, organisations: tuple[str, ...]) -> None:
    """A caller sends for its own organisations alone. Raises ``Forbidden``."""
    source = document.get("source") if isinstance(document, dict) else None
    code = source.get("organisation") if isinstance(source, dict) else None
    if isinstance(code, str) and code not in organisations:
        raise Forbidden(errors=[fault("/source/organisation", "organisation_not_yours")])


def fingerprint(vault: Vault, referral: Referral) -> bytes:
    """Keyed hash of the content: member order, blanks and folded characters do not count."""
    source = {**referral.document["source"], "reference": referral.normal_reference}
    text = canonical({**referral.document, "source": source})
    return hmac.digest(vault.keys.secret("fingerprint"), text, hashlib.sha256)


def seal_party(uow: UnitOfWork, keys: Keys, facts: PartyFacts) -> dict[str, Any]:
    """A party's rows: what may travel in the clear, everything else under its own data key."""
    return sealed_party(facts, uow.runtime.directory, keys.vault)


def sealed_party(facts: PartyFacts, directory: ByCreditCode, vault: Vault) -> dict[str, Any]:
    """A party's rows, of a directory and a vault alone."""
    party_id = new_id()
    sealed = vault.seal(VAULT_TABLE, party_id, vault_fields(facts))
    receipt_key = vault.keys.secret("receipt")
    secret = receipt.secret(receipt_key, party_id, 1)
    return {
        "party_id": party_id,
        "ref": facts.ref,
        "role": facts.role,
        "kind": facts.kind,
        "organisation": _organisation_of(facts, directory),
        "consent": facts.consent,
        "consent_on": date.fromisoformat(facts.consent_on) if facts.consent_on else None,
        "secret": secret,
        "receipt_hash": receipt.secret_hash(receipt_key, party_id, secret),
        "kek_id": sealed.kek_id,
        "wrapped_key": sealed.wrapped_key,
        **{name: sealed.fields.get(name) for name in VAULT_FIELDS},
        "protected": json.dumps(facts.protected),
        "identity_blind": _blind(vault, facts),
    }


def vault_fields(facts: PartyFacts) -> dict[str, Any]:
    """The values the vault keeps; what is not known is left out."""
    values = {
        "name": facts.name,
        "identity": facts.identity,
        "phone": facts.phone,
        "address": facts.address,
        "details": facts.details or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def blind(keys: Keys, facts: PartyFacts) -> bytes | None:
    """The keyed hash by which the same person or body is found again."""
    return _blind(keys.vault, facts)


def _blind(vault: Vault, facts: PartyFacts) -> bytes | None:
    key = facts.identity_key
    return vault.blind("identity", key) if key else None


def organisation_of(uow: UnitOfWork, facts: PartyFacts) -> str | None:
    """The directory's code of a party that is one of its organisations (by its credit code)."""
    return _organisation_of(facts, uow.runtime.directory)


def _organisation_of(facts: PartyFacts, directory: ByCreditCode) -> str | None:
    found = facts.identity or {}
    if facts.kind != "organisation" or found.get("type") != "uscc" or not found.get("number"):
        return None
    return directory.organisation_by_uscc(found["number"])


def told(
    made: Prepared, number: str | None, connection: str | None, registered_at: datetime
) -> tuple[ReferralReceived, CaseRegistered]:
    """What a registered referral is told as."""
    referral = made.referral
    received = ReferralReceived(
        case_id=made.case_id,
        case_number=number,
        referral_id=made.referral_id,
        organisation=referral.organisation,
        connection=connection,
        reference=referral.reference,
        channel=referral.channel,
        received_at=referral.received_at,
        request_made_at=referral.request_made_at,
    )
    registered = CaseRegistered(
        case_id=made.case_id,
        case_number=number,
        referral_id=made.referral_id,
        organisation=referral.organisation,
        lane=referral.lane,
        dispute_type=referral.dispute_type,
        dispute_subtype=referral.dispute_subtype,
        place=referral.place,
        claim_fen=referral.claim_fen,
        parties=tuple(travelling_party(party) for party in made.parties),
        legal_context=made.legal_context,
        documents=tuple(
            DocumentRef(sha256=d["sha256"], size=d["size"], media_type=d["media_type"])
            for d in referral.documents
        ),
        joint_sessions=referral.joint_sessions,
        requested_within=Length(**referral.requested_within) if referral.requested_within else None,
        preferred_mode=referral.preferred_mode,
        channel=referral.channel,
        occurred_at=referral.occurred_at,
        request_made_at=referral.request_made_at,
        received_at=referral.received_at,
        registered_at=registered_at,
    )
    return received, registered


def travelling_party(row: Any) -> Party:
    """A party as events tell it."""
    return Party(
        party_id=row["party_id"],
        role=row["role"],
        kind=row["kind"],
        organisation=row["organisation"],
        party_consent=row["consent"],
    )


async def _repeat(uow: UnitOfWork, keys: Keys, referral: Referral, print_: bytes) -> Submitted:
    row = await repository.referral_by_reference(
        uow, referral.organisation, referral.normal_reference
    )
    if row is None or not hmac.compare_digest(bytes(row["fingerprint"]), print_):
        held = f"it stands for case {row['case_number']}; " if row else ""
        raise ReferenceInUse(
            f"{held}other content wants a reference of its own, or a correction of that referral",
            errors=[fault("/source/reference", "reference_in_use")],
        )
    return await submitted(uow, keys, row)


async def submitted(uow: UnitOfWork, keys: Keys, row: Any, *, first_only: bool = True) -> Submitted:
    """The first answer, built again from what was stored; or with the parties added since."""
    return Submitted(
        row["referral_id"],
        row["case_id"],
        row["case_number"],
        row["organisation"],
        row["reference"],
        row["received_at"],
        row["request_made_at"],
        row["recorded_at"],
        tuple(
            Receipt(
                p["party_id"],
                p["ref"],
                p["role"],
                row["case_number"],
                receipt.secret(keys.receipt, p["party_id"], p["receipt_version"]),
            )
            for p in await repository.receipt_parties(
                uow, row["referral_id"], first_only=first_only
            )
        ),
        row["warnings"],
        replayed=True,
    )


# -- a party leaves ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Departure:
    """That a party left: the first record, for ever."""

    case_id: UUID
    party_id: UUID
    left_at: datetime
    told_by: str
    recorded_at: datetime
    replayed: bool
    mandate_id: UUID | None = None


async def leave_case(
    case_id: UUID,
    uow: UnitOfWork,
    *,
    party_id: UUID | None,
    ref: str | None = None,
    left_at: datetime | None,
    told_by: str,
    way: str,
    mandate_id: UUID | None = None,
    mandate_at: str = mandates.HEADER,
) -> Departure:
    """Let a party leave; it cannot be refused, and a repeat answers the first result.

    ``way``: how it said so; a note in the audit, no condition. Emits ``PartyLeft``, and
    ``CaseClosed`` when nobody works on the case and a side is empty. 人民调解法 23. Raises
    ``Invalid`` when who tells it has no mandate of this party in force.
    """
    await uow.lock_case(case_id)
    people = await repository.parties(uow, case_id)
    party = next(
        (p for p in people if p["party_id"] == party_id or (party_id is None and p["ref"] == ref)),
        None,
    )
    if party is None:
        pointer = "/party_id" if party_id else "/party_ref"
        raise Invalid(errors=[fault(pointer, "party_unknown")])
    if party["left_at"] is not None:
        return Departure(
            case_id,
            party["party_id"],
            party["left_at"],
            party["left_told_by"],
            party["left_recorded_at"],
            True,
            party["left_mandate_id"],
        )
    at = left_at or uow.now
    if at > uow.now:
        raise Invalid(errors=[fault("/left_at", "in_future")])
    under = None
    if mandate_id is not None:
        # Leaving is never a conflict: the party itself may still go.
        under = await mandates.in_force(
            uow,
            case_id,
            mandate_id,
            party_id=party["party_id"],
            pointer=mandate_at,
            conflicts=False,
        )
    await repository.leave(uow, party["party_id"], at, told_by, mandate_id)
    uow.emit(
        PartyLeft(
            case_id=case_id,
            party_id=party["party_id"],
            role=party["role"],
            left_at=at,
            told_by="party" if told_by == "party" else "organisation",
            mandate_id=mandate_id,
        ),
        occurred_at=at,
    )
    detail = {**(mandates.mark(under) or {}), "way": way}
    uow.audit("party.left", case_id=case_id, subject=str(party["party_id"]), detail=detail)
    await close_if_a_side_left(case_id, at, uow)
    return Departure(case_id, party["party_id"], at, told_by, uow.now, False, mandate_id)


async def close_if_a_side_left(case_id: UUID, at: datetime, uow: UnitOfWork) -> None:
    """Close the case when a whole side has left and no turn is open whose end would close it.

    Both a departure and the end of a turn may come last, so both ask. Emits ``CaseClosed``.
    """
    stream = await uow.lock_case(case_id)
    people = await repository.parties(uow, case_id)
    for role, outcome in (("applicant", "withdrawn"), ("respondent", "refused")):
        side = [party["left_at"] for party in people if party["role"] == role]
        if not side or not all(side):
            continue
        if await repository.open_assignment(uow, case_id, stream.episode) is None:
            await close_case(case_id, outcome, at, uow)
        return


# -- lane, closing, reopening ------------------------------------------------------------------


async def change_lane(
    case_id: UUID,
    uow: UnitOfWork,
    *,
    to_lane: str,
    ground: str,
    changed_at: datetime | None,
    version: int,
) -> int:
    """Move the case to another lane (转道); emits ``CaseLaneChanged``. Answers the new version."""
    stream = await uow.lock_case(case_id)
    row = await repository.case(uow, case_id)
    if row is None:
        raise NotFound()
    if row["version"] != version:
        raise VersionMismatch()
    if stream.closed:
        raise CaseClosedProblem()
    caller = uow.caller
    if caller is None:
        raise Forbidden()
    at = changed_at or uow.now
    if at > uow.now:
        raise Invalid(errors=[fault("/changed_at", "in_future")])
    if to_lane == row["lane"]:
        raise Invalid(errors=[fault("/to_lane", "lane_unchanged")])
    if not lanes.may_send(to_lane, caller.organisation_kind or ""):
        raise Invalid(errors=[fault("/to_lane", "lane_not_for_source_kind")])
    new_version = await repository.change_lane(uow, case_id, to_lane)
    uow.emit(
        CaseLaneChanged(
            case_id=case_id,
            from_lane=row["lane"],
            to_lane=to_lane,
            ground=ground,
            decided_by=caller.organisation,
            changed_at=at,
        ),
        occurred_at=at,
    )
    uow.audit("case.lane_changed", case_id=case_id, detail={"to": to_lane, "ground": ground})
    return new_version


async def close_case(case_id: UUID, outcome: str, closed_at: datetime, uow: UnitOfWork) -> None:
    """End the round with its outcome; emits ``CaseClosed``. A closed case stays as it is."""
    stream = await uow.lock_case(case_id)
    if stream.closed:
        return
    if await repository.close(uow, case_id, outcome, closed_at):
        uow.enqueue(
            "tell-joined",
            {"case_id": str(case_id), "outcome": outcome, "closed_at": wire(closed_at)},
            key=f"tell-joined:{case_id}:{stream.episode}",
        )
    await keeping.begin(uow, case_id, closed_at)
    uow.emit(
        CaseClosed(case_id=case_id, outcome=outcome, closed_at=closed_at), occurred_at=closed_at
    )
    uow.set_case(case_id, closed=True)
    uow.audit("case.closed", case_id=case_id, detail={"outcome": outcome})


SET_ASIDE: Final = "set_aside_by_court"
SEPARATED: Final = "separated"


async def reopen_case(
    case_id: UUID, uow: UnitOfWork, *, ground: str, version: int, within_days: int
) -> int:
    """Begin the next round of a closed case; emits ``CaseReopened``. Answers the new version.

    Later than the site's limit only when a court set the agreement aside: otherwise the matter is
    a new, linked case.
    """
    stream = await uow.lock_case(case_id)
    row = await repository.case(uow, case_id)
    if row is None:
        raise NotFound()
    if row["version"] != version:
        raise VersionMismatch()
    if not stream.closed:
        raise Conflict("the case is open")
    if row["outcome"] == "joined" and ground != SEPARATED:
        raise Conflict("the case is joined to another: undo the join")
    if ground not in (SET_ASIDE, SEPARATED) and uow.now >= row["closed_at"] + timedelta(
        days=within_days
    ):
        raise Conflict("too late to reopen: send a new referral")
    uow.set_case(case_id, episode=stream.episode + 1, closed=False)
    await repository.reopen(uow, case_id, stream.episode)
    await keeping.open_again(uow, case_id)
    source = row["organisation"]
    await repository.hold(uow, case_id, stream.episode, source, "reopened", uow.now)
    people = await repository.parties(uow, case_id)
    uow.emit(
        CaseReopened(
            case_id=case_id,
            referral_id=row["referral_id"],
            organisation=source,
            lane=row["lane"],
            dispute_type=row["dispute_type"],
            dispute_subtype=row["dispute_subtype"],
            place=row["place"],
            claim_fen=row["claim_fen"],
            parties=tuple(travelling_party(party) for party in people),
            legal_context=row["legal_context"],
            joint_sessions=row["joint_sessions"],
            ground=ground,
            received_at=row["received_at"],
            reopened_at=uow.now,
        )
    )
    uow.audit("case.reopened", case_id=case_id, detail={"ground": ground})
    return int(row["version"]) + 1
