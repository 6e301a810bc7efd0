"""What desks and parties do with receipts: hand out, replace, unlock, let somebody follow."""

from typing import Any
from uuid import UUID

from intake import receipt, repository
from intake.doors import mandates
from intake.keys import Keys, keys_of
from intake.messages import fault
from intake.notices import repository as notices
from intake.parties import repository as representations
from intake.receipts import number_mark
from intake.tracking import repository as tracking
from intake.tracking import words
from intake.tracking.schemas import DocumentSeen
from intake.views import organisation_name
from services.errors import Invalid, NotFound
from services.ids import new_id
from services.runtime import Runtime
from services.unit_of_work import Actor, UnitOfWork


def follow_url(uow: UnitOfWork, number: str) -> str:
    """Where the party follows the case: the page's address with the number, never the secret."""
    settings = uow.runtime.settings
    base = getattr(settings, "public_url", "") or settings.intake_url
    return f"{base.rstrip('/')}/track/{number}"


def secret_of(keys: Keys, row: Any) -> str:
    """The secret on a party's receipt as it stands."""
    return receipt.secret(keys.receipt, row["party_id"], row["receipt_version"])


def paper(uow: UnitOfWork, row: Any, *, secret: str | None) -> dict[str, Any]:
    """The receipt's content; no name, no matter: the paper may be lost."""
    return {
        "number": row["case_number"],
        "party_id": row["party_id"],
        "secret": secret,
        "role": words.word("role", row["role"]),
        "lane": words.lane(row["lane"]),
        "received_by": organisation_name(uow.runtime.directory, row["organisation"]),
        "request_made_at": row["request_made_at"],
        "received_at": row["received_at"],
        "registered_at": row["registered_at"],
        "follow_url": follow_url(uow, row["case_number"]),
        "rights": words.rights(row["lane"]),
    }


async def prove_reading(runtime: Runtime, case_id: UUID, party_id: UUID) -> None:
    """The party has seen where its case is: what it was to be told so is proved.

    In a transaction of its own: a party may read also while recovery lets nobody write. Its notices
    are open until the next reading then.
    """
    if not runtime.writes_allowed:
        return
    async with runtime.unit_of_work(actor=Actor(f"party:{party_id}"), organisation="") as uow:
        await notices.prove_parties(uow, case_id, [party_id], uow.now)


async def replace(
    uow: UnitOfWork, row: Any, *, document_seen: DocumentSeen, replayed: bool = False
) -> dict[str, Any]:
    """Give a party that proved who it is a new secret; the old one opens nothing any more.

    The desk states which paper it saw, never its number: that stands in the audit and in the
    party's access log. Locks on the number are opened too. A token that was had with the old secret
    lives out its 15 minutes. Replayed, the secret that stands is answered.
    """
    keys = keys_of(uow.runtime)
    await uow.lock_case(row["case_id"])
    party_id, version = row["party_id"], row["receipt_version"]
    if not replayed:
        version += 1
        text = receipt.secret(keys.receipt, party_id, version)
        mark = receipt.secret_hash(keys.receipt, party_id, text)
        await repository.replace_receipt(uow, party_id, version, mark)
        await tracking.unlock(uow, number_mark(keys, row["case_number"]))
        uow.audit(
            "receipt.replaced",
            case_id=row["case_id"],
            subject=str(party_id),
            detail={
                "parties": [str(party_id)],
                "version": version,
                "document_seen": str(document_seen),
            },
        )
    return {
        "party_id": party_id,
        "ref": row["ref"],
        "role": row["role"],
        "number": row["case_number"],
        "secret": receipt.secret(keys.receipt, party_id, version),
    }


async def unlock(
    uow: UnitOfWork,
    row: Any,
    *,
    document_seen: DocumentSeen,
    mandate_id: UUID | None = None,
) -> int:
    """Open the locks on a case's number for a party that stands at the desk; in the audit.

    Raises what ``mandates.in_force`` raises.
    """
    under = None
    if mandate_id is not None:
        under = await mandates.in_force(uow, row["case_id"], mandate_id, party_id=row["party_id"])
    count = await tracking.unlock(uow, number_mark(keys_of(uow.runtime), row["case_number"]))
    uow.audit(
        "receipt.unlocked",
        case_id=row["case_id"],
        subject=str(row["party_id"]),
        detail={
            "parties": [str(row["party_id"])],
            "document_seen": str(document_seen),
            **(mandates.mark(under) or {}),
        },
    )
    return count


# -- representatives ---------------------------------------------------------------------------


async def give_representative(
    uow: UnitOfWork,
    row: Any,
    *,
    representation_id: UUID | None,
    issued_by: str,
    document_seen: str | None,
    replayed: str = "",
) -> dict[str, Any]:
    """A representative's own receipt; ``replayed`` names one that was given before.

    It rests on an authority in force and ends with it. The party, or the desk that saw the mandate,
    can end it by one call. It opens what the party
    may see and lets papers be handed in; it does not leave the mediation: that needs the party.
    """
    keys = keys_of(uow.runtime)
    receipt_id = UUID(replayed) if replayed else new_id()
    secret = receipt.secret(keys.receipt, receipt_id, 1)
    if not replayed:
        representation = await _in_force(uow, row["party_id"], representation_id)
        await tracking.add_representative(
            uow,
            receipt_id,
            case_id=row["case_id"],
            party_id=row["party_id"],
            representation=representation,
            secret_hash=receipt.secret_hash(keys.receipt, receipt_id, secret),
            issued_by=issued_by,
        )
        detail = {
            "parties": [str(row["party_id"])],
            "for": issued_by,
            "representation_id": str(representation["representation_id"]),
        }
        if document_seen:
            detail["document_seen"] = document_seen
        uow.audit(
            "representative.admitted",
            case_id=row["case_id"],
            subject=str(receipt_id),
            detail=detail,
        )
    return {
        "receipt_id": receipt_id,
        "party_id": row["party_id"],
        "ref": row["ref"],
        "role": row["role"],
        "number": row["case_number"],
        "secret": secret,
    }


async def _in_force(uow: UnitOfWork, party_id: UUID, representation_id: UUID | None) -> Any:
    """The authority in force that is meant; left out where the party has given only one.

    Raises ``Invalid`` when there is none, or several and none is named.
    """
    standing = await representations.acting(uow, [party_id])
    if representation_id is not None:
        standing = [r for r in standing if r["representation_id"] == representation_id]
    if len(standing) == 1:
        return standing[0]
    code = "representation_which" if standing else "representation_needed"
    raise Invalid(errors=[fault("/representation_id", code)])


async def revoke_representative(
    uow: UnitOfWork,
    receipt_id: UUID,
    *,
    case_id: UUID,
    party_id: UUID | None,
    revoked_by: str,
    mandate_id: UUID | None = None,
) -> Any:
    """End a representative's receipt and every token had with it, at once.

    Raises ``NotFound``, and what ``mandates.in_force`` raises where it still opens something.
    """
    seen, under = await tracking.representative(uow, receipt_id), None
    if mandate_id is not None and seen is not None and seen["revoked_at"] is None:
        under = await mandates.in_force(uow, case_id, mandate_id, party_id=seen["party_id"])
    row = await tracking.revoke_representative(
        uow,
        receipt_id,
        case_id=case_id,
        party_id=party_id,
        revoked_by=revoked_by,
        mandate_id=mandate_id,
    )
    if row is None:
        raise NotFound()
    uow.audit(
        "representative.revoked",
        case_id=case_id,
        subject=str(receipt_id),
        detail={
            "parties": [str(row["party_id"])],
            "for": revoked_by,
            **(mandates.mark(under) or {}),
        },
    )
    return dict(row)
