"""A gate is asked, a refusal is put on record, another desk reviews it."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from intake import receipt
from intake.case_number import REFUSAL
from intake.gates import model, repository
from intake.keys import Keys, keys_of
from intake.messages import message
from intake.model import Referral
from intake.notices import repository as notices
from intake.notices.repository import Owed
from intake.organs import nearest, with_role
from intake.records import keeping
from intake.serials import serials_of
from services.clock import SHANGHAI
from services.directory import DirectoryCopy
from services.errors import Conflict, FieldError, Gone, Invalid, NotFound, Refused
from services.ids import new_id
from services.unit_of_work import UnitOfWork

TABLE: Final = "refusal"
# A refusal is told in writing (信访工作条例 23, 31; F-07).
TOLD_BY: Final = "信访工作条例 23, 31"


class Barred(Refused):
    """A gate holds: raised before anything is written, so that the edge can put it on record."""

    def __init__(self, referral: Referral, fingerprint: bytes, gate: model.Gate) -> None:
        super().__init__(errors=[gate.finding()])
        self.referral = referral
        self.fingerprint = fingerprint
        self.gate = gate


async def require_open(referral: Referral, fingerprint: bytes, uow: UnitOfWork) -> list[FieldError]:
    """Ask every gate; answers the doubts. Raises ``Barred``.

    No statement is spent unless a gate holds: then a review that overturned the refusal of this
    very content opens it.
    """
    facts = model.facts_of(referral, uow.runtime.directory)
    gate = model.refusing(facts)
    if gate is not None:
        known = await repository.same(
            uow, referral.organisation, referral.normal_reference, fingerprint
        )
        if known is None or known["state"] != "overturned":
            raise Barred(referral, fingerprint, gate)
    return model.doubts(facts)


async def put_on_record(barred: Barred, uow: UnitOfWork, *, connection: str | None) -> Refused:
    """Register the refusal, or find it again; answers the problem with receipt and way onward."""
    keys, referral = keys_of(uow.runtime), barred.referral
    row = await repository.same(
        uow, referral.organisation, referral.normal_reference, barred.fingerprint
    )
    if row is None:
        row = await _add(barred, uow, keys, connection)
    return Refused(
        errors=barred.errors, members={"refusal": told(row, uow.runtime.directory, keys)}
    )


async def _add(barred: Barred, uow: UnitOfWork, keys: Keys, connection: str | None) -> Any:
    referral, gate, directory = barred.referral, barred.gate, uow.runtime.directory
    refusal_id = new_id()
    facts = model.facts_of(referral, directory)
    sealed = keys.vault.seal(TABLE, refusal_id, {"document": referral.document})
    secret = receipt.secret(keys.receipt, refusal_id, 1)
    year = uow.now.astimezone(SHANGHAI).year
    due_at = model.told_by(referral.lane, referral.received_at)
    row = {
        "refusal_id": refusal_id,
        "number": await serials_of(uow.runtime).number(referral.county, year, REFUSAL),
        "organisation": referral.organisation,
        "connection": connection,
        "reference": referral.reference,
        "normal_reference": referral.normal_reference,
        "fingerprint": barred.fingerprint,
        "lane": referral.lane,
        "place": referral.place,
        "ground": gate.code,
        "citation": gate.citation,
        "go_to": model.where(gate, facts, referral.place, directory),
        "until": model.until(gate, facts, referral.received_at),
        "reviewers": reviewers(directory, referral.organisation, referral.place),
        "kek_id": sealed.kek_id,
        "wrapped_key": sealed.wrapped_key,
        "document": sealed.fields["document"],
        "receipt_hash": receipt.secret_hash(keys.receipt, refusal_id, secret),
        "request_made_at": referral.request_made_at,
        "received_at": referral.received_at,
        "due_at": due_at,
        "recorded_at": uow.now,
        "state": "standing",
    }
    await repository.add(uow, row)
    await keeping.begin(uow, refusal_id, TABLE, TABLE, uow.now)
    owed = Owed("party", "refused", referral.organisation, TOLD_BY, due_at=due_at)
    await notices.add(uow, "refusal", refusal_id, [owed])
    uow.audit("referral.refused", subject=str(refusal_id), detail={"ground": gate.code})
    return row


def reviewers(directory: DirectoryCopy, organisation: str, place: str) -> list[str]:
    """Other desks that may review: everybody above the sender, and the convenor of the place."""
    found: list[str] = []
    code: Any = organisation
    while (code := (directory.organisation(code) or {}).get("parent")) and code not in found:
        found.append(code)
    convenor = nearest(directory, place, with_role("convenor"))
    return [c for c in dict.fromkeys([*found, convenor]) if c and c != organisation]


def told(row: Any, directory: DirectoryCopy, keys: Keys | None) -> dict[str, Any]:
    """What a refusal tells: number, ground, citation, where to go, until when; the secret too
    where ``keys`` are given."""
    answer = {
        "refusal_id": str(row["refusal_id"]),
        "matter_id": None,
        "number": row["number"],
        "ground": row["ground"],
        "citation": row["citation"],
        "go_to": named(row["go_to"], directory),
        "until": row["until"],
    }
    if keys is not None:
        answer["secret"] = receipt.secret(keys.receipt, row["refusal_id"], 1)
    return answer


def named(go_to: dict[str, Any], directory: DirectoryCopy) -> dict[str, Any]:
    """The organ with its public names and phone."""
    entry = directory.organisation(go_to.get("organisation") or "") or {}
    return {
        "kind": go_to.get("kind"),
        "organisation": go_to.get("organisation"),
        "name_zh": entry.get("name_zh"),
        "name_en": entry.get("name_en"),
        "phone": (entry.get("contact") or {}).get("phone"),
    }


async def review(
    refusal_id: UUID,
    uow: UnitOfWork,
    *,
    organisation: str,
    outcome: str,
    reason: str,
    occurred_at: datetime | None,
) -> Any:
    """Another desk upholds or overturns a refusal; overturned, the same content is taken.

    The sender's own desk is no reviewer. Raises ``NotFound``, ``Conflict`` when it was reviewed,
    ``Gone`` when its content was erased.
    """
    row = await repository.seen(uow, organisation, refusal_id, lock=True)
    if row is None or organisation not in row["reviewers"]:
        raise NotFound()
    if row["state"] != "standing":
        raise Conflict("the refusal was reviewed already")
    if not row["wrapped_key"]:
        raise Gone("what was sent has been erased. 所送内容已经删除。")
    at = occurred_at or uow.now
    if at > uow.now:
        error = FieldError("/occurred_at", "in_future", message("in_future"))
        raise Invalid(errors=[error])
    sealed = keys_of(uow.runtime).vault.reseal(
        TABLE, refusal_id, row["kek_id"], row["wrapped_key"], {"reason": reason}
    )
    await repository.review(
        uow,
        refusal_id,
        review_id=new_id(),
        organisation=organisation,
        outcome=outcome,
        reason=sealed["reason"],
        occurred_at=at,
    )
    both = [
        Owed("party", "reviewed", organisation, TOLD_BY),
        Owed("receiver", "reviewed", row["organisation"], TOLD_BY),
    ]
    await notices.add(uow, "refusal", refusal_id, both)
    uow.audit("refusal.reviewed", subject=str(refusal_id), detail={"outcome": outcome})
    return {**dict(row), "state": outcome}
