"""Corrections that a party asks for, consent to share papers, and the copy of one's data."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from intake import repository as cases
from intake import views
from intake.corrections import correct_referral
from intake.keys import Keys, keys_of
from intake.messages import fault
from intake.parties import repository as representations
from intake.parties.handlers import as_party
from intake.parties.handlers import person as representative
from intake.referral_document import opened as opened_document
from intake.rights import keeping, repository, rules
from intake.safety import repository as safety
from intake.vault import Erased
from services.access import AgencyScope
from services.auth import Caller, PartyCaller
from services.calendar import shipped
from services.clock import wire
from services.errors import Conflict, Gone, Invalid, NotFound
from services.ids import new_id
from services.unit_of_work import UnitOfWork

REQUEST: Final = "correction_request"
# More entries than any case has; a copy is whole or it is no copy.
WHOLE: Final = 100_000


# -- correction ----------------------------------------------------------------------------------


async def ask_correction(
    uow: UnitOfWork, party: PartyCaller, member: str, value: Any, reason: str
) -> UUID:
    """A party asks that one of its data be put right (个人信息保护法 46); the source decides."""
    id_ = new_id()
    sealed = keys_of(uow.runtime).vault.seal(
        REQUEST, id_, {"wish": {"value": value, "reason": reason}}
    )
    await repository.insert(
        uow,
        REQUEST,
        {
            "request_id": id_,
            "case_id": party.case_id,
            "party_id": party.party_id,
            "member": member,
            "kek_id": sealed.kek_id,
            "wrapped_key": sealed.wrapped_key,
            "wish": sealed.fields["wish"],
            "occurred_at": uow.now,
            "recorded_at": uow.now,
        },
    )
    uow.audit("correction.requested", case_id=party.case_id, subject=str(id_))
    return id_


def opened_request(keys: Keys, row: Any) -> dict[str, Any]:
    """What a party wished, and why it was refused; the caller audits the reading.

    Of a request that was erased nothing.
    """
    sealed = {"wish": row["wish"], "answer": row["answer"]}
    try:
        found = keys.vault.open(
            REQUEST, row["request_id"], row["kek_id"], row["wrapped_key"], sealed
        )
    except Erased:
        return {"value": None, "reason": None, "answer": None}
    return {**found["wish"], "answer": found["answer"]}


async def decide_correction(
    uow: UnitOfWork, caller: Caller, row: Any, *, accepted: bool, reason: str | None
) -> None:
    """The sender of the referral accepts, and the referral is corrected; or refuses with a reason.

    Emits what a correction emits. Raises ``Invalid``, ``Conflict``.
    """
    await uow.lock_case(row["case_id"])
    fresh = await repository.one(uow, REQUEST, row["request_id"])
    if fresh is None:
        raise NotFound()
    if fresh["state"] != "waiting":
        raise Conflict("the request was decided")
    keys = keys_of(uow.runtime)
    if not accepted:
        if not reason:
            raise Invalid(errors=[fault("/reason", "reason_required")])
        sealed = keys.vault.reseal(
            REQUEST, row["request_id"], row["kek_id"], row["wrapped_key"], {"answer": reason}
        )
        await repository.decide_request(uow, row["request_id"], "refused", sealed["answer"])
    else:
        await _correct(uow, caller, fresh, opened_request(keys, fresh))
        await repository.decide_request(uow, row["request_id"], "accepted", None)
    uow.audit("correction.decided", case_id=row["case_id"], subject=str(row["request_id"]))


async def _correct(uow: UnitOfWork, caller: Caller, row: Any, wish: dict[str, Any]) -> None:
    if not row["wrapped_key"]:
        raise Gone("the request was erased")
    people = await cases.parties(uow, row["case_id"])
    party = next(p for p in people if p["party_id"] == row["party_id"])
    scope = AgencyScope(caller)
    referral = await cases.own_referral(uow, scope, party["referral_id"])
    if referral is None:
        raise NotFound()
    document = opened_document(keys_of(uow.runtime), referral)
    place = next(n for n, p in enumerate(document["parties"]) if p["ref"] == party["ref"])
    await correct_referral(
        party["referral_id"],
        uow,
        scope,
        changes=[(f"/parties/{place}/{row['member']}", wish["value"])],
        reason=wish["reason"],
        occurred_at=None,
        version=None,
    )


# -- ask once ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sharing:
    """Which papers which agency may use, for what, until when."""

    agency: str
    papers: tuple[str, ...]
    purpose: str
    valid_until: datetime | None
    sensitive: bool


async def share(
    uow: UnitOfWork, case_id: UUID, party_id: UUID, found: Sharing, *, told_by: str
) -> UUID:
    """Consent that papers already given are used by another agency (个人信息保护法 23: D-05).

    For a purpose, for a year at the most. Raises ``Invalid``.
    """
    case = await cases.case(uow, case_id)
    if case is None:
        raise NotFound()
    known = {row["sha256"] for row in await cases.documents(uow, case_id)}
    longest = rules.longest_consent(uow.now, shipped())
    errors = [
        fault(f"/papers/{n}", "paper_unknown")
        for n, sha256 in enumerate(found.papers)
        if sha256 not in known
    ]
    if uow.runtime.directory.organisation(found.agency) is None:
        errors.append(fault("/agency", "organisation_unknown"))
    if found.agency == case["organisation"]:
        errors.append(fault("/agency", "agency_has_the_papers"))
    if found.valid_until is not None and not uow.now < found.valid_until <= longest:
        errors.append(fault("/valid_until", "consent_too_long"))
    if errors:
        raise Invalid(errors=errors)
    id_ = new_id()
    await repository.insert(
        uow,
        "sharing_consent",
        {
            "consent_id": id_,
            "case_id": case_id,
            "party_id": party_id,
            "given_to": case["organisation"],
            "agency": found.agency,
            "papers": sorted(set(found.papers)),
            "purpose": found.purpose,
            "sensitive": found.sensitive,
            "told_by": told_by,
            "organisation": uow.caller.organisation if uow.caller else None,
            "acted_by": uow.actor.acted_by,
            "valid_until": found.valid_until or longest,
            "occurred_at": uow.now,
            "recorded_at": uow.now,
        },
    )
    uow.audit(
        "sharing.consented",
        case_id=case_id,
        subject=str(id_),
        purpose=found.purpose,
        detail={"parties": [str(party_id)], "agency": found.agency},
    )
    return id_


async def withdraw(uow: UnitOfWork, row: Any) -> None:
    """Take the consent back, from now; a repeat changes nothing (个人信息保护法 15)."""
    await repository.withdraw_consent(uow, row["consent_id"])
    uow.audit("sharing.withdrawn", case_id=row["case_id"], subject=str(row["consent_id"]))


# -- the copy ------------------------------------------------------------------------------------


async def copy(uow: UnitOfWork, party: PartyCaller) -> dict[str, Any]:
    """Everything that is kept here of a party, machine-readable (个人信息保护法 45); logged.

    The answers of a safety screen are not in it: whoever holds the receipt would read them. The
    party reads them at a desk.
    """
    await as_party(uow, party.party_id)
    keys = keys_of(uow.runtime)
    case_id, party_id = party.case_id, party.party_id
    row = next(
        (r for r in await cases.sealed_parties(uow, case_id) if r["party_id"] == party_id), None
    )
    case = await cases.case(uow, case_id)
    if row is None or case is None:
        raise NotFound()
    known = views.known_party(keys, row, await views.around(uow, keys, [row]))
    acting = await representations.of_case(uow, case_id, party_id)
    screenings = [s for s in await safety.screenings(uow, case_id) if s["party_id"] == party_id]
    wishes = await repository.of_case(uow, REQUEST, case_id, party_id)
    log = await cases.access_log(uow, case_id, party_id=party_id, before=None, limit=WHOLE)
    uow.audit(
        "copy.made",
        case_id=case_id,
        subject=str(party_id),
        purpose="access_request",
        detail={"parties": [str(party_id)]},
    )
    return {
        "made_at": wire(uow.now),
        "case": await views.party_case(uow, case_id, party_id),
        "party": known,
        "representatives": [
            {**_plain(r, _ACTING), "person": representative(keys, r)} for r in acting
        ],
        "protection": [_plain(s, _SCREENED) for s in screenings],
        "corrections": [{**_plain(w, _WISHED), **opened_request(keys, w)} for w in wishes],
        "sharing_consents": [
            dict(r) for r in await repository.of_case(uow, "sharing_consent", case_id, party_id)
        ],
        "erasures": [
            _plain(r, _ERASED) for r in await repository.of_case(uow, "erasure", case_id, party_id)
        ],
        "retention": await keeping.kept(uow, case),
        "access_log": [views.access_view(entry, for_party=True) for entry in log],
    }


_ACTING: Final = (
    "representation_id", "authority", "relation", "scopes", "valid_from", "valid_until",
    "revoked_at", "revoked_by",
)  # fmt: skip
_SCREENED: Final = ("screening_id", "form_version", "consequences", "occurred_at")
_WISHED: Final = ("request_id", "member", "state", "occurred_at", "decided_at")
_ERASED: Final = ("erasure_id", "ground", "state", "occurred_at", "decided_at", "certified_at")


def _plain(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names}
