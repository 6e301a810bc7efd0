"""Who acts for a party: named in the referral, added later, revoked at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from intake.doors import mandates
from intake.keys import Keys
from intake.messages import fault
from intake.model import PartyFacts, Referral
from intake.parties import repository, rules
from intake.parties.model import Representation, person_of
from intake.vault import Erased, Vault
from services.errors import FieldError, Invalid
from services.events.intake import PartyChanged
from services.ids import new_id
from services.unit_of_work import UnitOfWork

TABLE: Final = "representation"


@dataclass(frozen=True)
class Appointment:
    """Who is to act for a party: a person, or another party of the same side."""

    authority: str
    relation: str
    person: dict[str, Any] | None
    representative_party_id: UUID | None = None
    scopes: tuple[str, ...] = ()
    paper_sha256: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None


def row_of(
    vault: Vault,
    case_id: UUID,
    party_id: UUID,
    found: Appointment,
    *,
    told_by: str,
    organisation: str | None,
    occurred_at: datetime,
) -> dict[str, Any]:
    """The row of an appointment, but for who enters it and when; the person is sealed under a key
    of the row's own."""
    id_ = new_id()
    sealed = vault.seal(TABLE, id_, {"person": found.person}) if found.person else None
    return {
        "representation_id": id_,
        "case_id": case_id,
        "party_id": party_id,
        "representative_party_id": found.representative_party_id,
        "authority": found.authority,
        "relation": found.relation,
        "scopes": list(found.scopes or rules.usual_scopes(found.authority)),
        "paper_sha256": found.paper_sha256,
        "told_by": told_by,
        "organisation": organisation,
        "valid_from": found.valid_from or occurred_at,
        "valid_until": found.valid_until,
        "kek_id": sealed.kek_id if sealed else None,
        "wrapped_key": sealed.wrapped_key if sealed else None,
        "person": sealed.fields["person"] if sealed else None,
        "occurred_at": occurred_at,
    }


def named(facts: PartyFacts, ids: dict[str, UUID]) -> list[Appointment]:
    """Whom the sender named for a party: a person outside, and the party elected by a group."""
    found = []
    representative = facts.details.get("representative")
    if isinstance(representative, dict):
        found.append(
            Appointment(
                representative["authority"], representative["relation"], person_of(representative)
            )
        )
    elected = ids.get(facts.details.get("represented_by") or "")
    if elected is not None and elected != ids[facts.ref]:
        found.append(Appointment("elected", "group_member", None, elected))
    return found


def rows_of_named(
    vault: Vault,
    case_id: UUID,
    referral: Referral,
    ids: dict[str, UUID],
    only: frozenset[str] | None = None,
) -> list[dict[str, Any]]:
    """The rows of those whom the referral names as representatives."""
    return [
        row_of(
            vault,
            case_id,
            ids[facts.ref],
            found,
            told_by="referral",
            organisation=referral.organisation,
            occurred_at=referral.received_at,
        )
        for facts in referral.parties
        if only is None or facts.ref in only
        for found in named(facts, ids)
    ]


async def add_named(
    uow: UnitOfWork,
    keys: Keys,
    case_id: UUID,
    referral: Referral,
    ids: dict[str, UUID],
    only: frozenset[str] | None = None,
) -> None:
    """Write what the referral says of representatives; nothing when it names none."""
    rows = rows_of_named(keys.vault, case_id, referral, ids, only)
    if rows:
        await repository.add(uow, rows)


async def rename(
    uow: UnitOfWork, keys: Keys, case_id: UUID, referral: Referral, ids: dict[str, UUID], ref: str
) -> None:
    """A correction changed who acts for a party: who was named before acts no more."""
    before = await repository.of_case(uow, case_id, ids[ref])
    gone = [row["representation_id"] for row in before if row["told_by"] == "referral"]
    await repository.revoke(uow, gone, uow.now, "corrected")
    await add_named(uow, keys, case_id, referral, ids, frozenset({ref}))


async def appoint(
    uow: UnitOfWork,
    keys: Keys,
    party: Any,
    found: Appointment,
    *,
    told_by: str,
    occurred_at: datetime | None,
) -> UUID:
    """Let somebody act for a party of the locked case; emits ``PartyChanged``.

    Raises ``Invalid``: scopes that need special authority (民诉法 62: N-19), times in disorder.
    """
    at = occurred_at or uow.now
    errors: list[FieldError] = []
    if at > uow.now:
        errors.append(fault("/occurred_at", "in_future"))
    if rules.scope_faults(found.authority, found.scopes):
        errors.append(fault("/scopes", "scope_needs_special_authority"))
    if found.valid_until is not None and found.valid_until <= (found.valid_from or at):
        errors.append(fault("/valid_until", "ends_before_it_begins"))
    if errors:
        raise Invalid(errors=errors)
    organisation = uow.caller.organisation if uow.caller else None
    row = row_of(
        keys.vault,
        party["case_id"],
        party["party_id"],
        found,
        told_by=told_by,
        organisation=organisation,
        occurred_at=at,
    )
    await repository.add(uow, [row])
    _tell(uow, row, "representation.added")
    id_: UUID = row["representation_id"]
    return id_


async def revoke(
    uow: UnitOfWork,
    row: Any,
    *,
    by: str,
    revoked_at: datetime | None,
    mandate_id: UUID | None = None,
) -> None:
    """The representative acts no more, from now; a repeat changes nothing.

    Emits ``PartyChanged``, so that whoever holds the party sheet has it fetched anew. Raises
    ``Invalid`` for an instant that lies ahead, and what ``mandates.in_force`` raises.
    """
    await uow.lock_case(row["case_id"])
    fresh = await repository.one(uow, row["representation_id"])
    if fresh is None or fresh["revoked_at"] is not None:
        return
    at = revoked_at or uow.now
    if at > uow.now:
        raise Invalid(errors=[fault("/revoked_at", "in_future")])
    under = None
    if mandate_id is not None:
        under = await mandates.in_force(uow, row["case_id"], mandate_id, party_id=row["party_id"])
    await repository.revoke(uow, [row["representation_id"]], at, by, mandate_id)
    _tell(uow, row, "representation.revoked", mandates.mark(under))


def _tell(uow: UnitOfWork, row: Any, action: str, mark: dict[str, Any] | None = None) -> None:
    uow.emit(
        PartyChanged(
            case_id=row["case_id"],
            party_id=row["party_id"],
            changed=("representation",),
            changed_at=uow.now,
        )
    )
    uow.audit(
        action,
        case_id=row["case_id"],
        subject=str(row["representation_id"]),
        detail=mark or {"parties": [str(row["party_id"])]},
    )


async def as_party(uow: UnitOfWork, party_id: UUID) -> None:
    """Let row-level security show a party its own rows, for the rest of this transaction."""
    await uow.db.execute("SELECT set_config('liandiao.party', $1, true)", str(party_id))


# -- reading -------------------------------------------------------------------------------------


def representation_of(row: Any) -> Representation:
    """A row as the rules look at it."""
    return Representation(
        representation_id=row["representation_id"],
        party_id=row["party_id"],
        authority=row["authority"],
        relation=row["relation"],
        scopes=tuple(row["scopes"]),
        representative_party_id=row["representative_party_id"],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        revoked_at=row["revoked_at"],
    )


def person(keys: Keys, row: Any) -> dict[str, Any] | None:
    """The representative's name, document and phone; ``None`` when a party acts, or erased."""
    if not row["person"]:
        return None
    sealed = {"person": row["person"]}
    try:
        found: dict[str, Any] = keys.vault.open(
            TABLE, row["representation_id"], row["kek_id"], row["wrapped_key"], sealed
        )["person"]
    except Erased:
        return None
    return found


async def acting(
    uow: UnitOfWork, keys: Keys, party_ids: list[UUID]
) -> dict[UUID, list[dict[str, Any]]]:
    """Who acts for each of these parties now, opened; the caller audits the reading."""
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in await repository.acting(uow, party_ids):
        shown = {
            "representation_id": row["representation_id"],
            "representative_party_id": row["representative_party_id"],
            "authority": row["authority"],
            "relation": row["relation"],
            "scopes": row["scopes"],
            **(person(keys, row) or {}),
        }
        found.setdefault(row["party_id"], []).append(shown)
    return found
