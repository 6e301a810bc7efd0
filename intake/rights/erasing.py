"""Erasure on a ground of the law: asked, decided by a second person, obeyed by four services."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from intake import repository as cases
from intake.attachments import repository as papers
from intake.doors import repository as doors
from intake.doors.handlers import ENTRY, SUPPLEMENT
from intake.duplicates import repository as duplicates
from intake.gates import repository as refusals
from intake.imports import repository as imports
from intake.keys import Keys, keys_of
from intake.matters import repository as matters
from intake.messages import fault
from intake.publishing import repository as publishing
from intake.referral_document import TABLE as REFERRAL
from intake.rights import repository, rules
from intake.rights.masking import MASK, free_text, literals, masked
from intake.rights.model import SERVICES
from intake.vault import Erased, mark
from services.calendar import shipped
from services.errors import Conflict, Invalid, NotFound
from services.events.intake import CaseErased, ErasureDone, PartyChanged
from services.ids import new_id
from services.service import Received
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

FORGET: Final = "forget-keys"
LIMITATION: Final = "limitation_record"
ERASED_NAME: Final = MASK
_LEFT_OF_A_PARTY: Final = ("ref", "role", "kind", "consent")
AT_A_TIME: Final = 500


async def ask(
    uow: UnitOfWork, case_id: UUID, party_id: UUID | None, ground: str, *, by: str
) -> UUID:
    """Ask that a party's data, or the whole file, be erased; a second person decides.

    Raises ``Invalid`` for a ground that is not theirs.
    """
    if by not in rules.data()["grounds"][ground]["by"]:
        raise Invalid(errors=[fault("/ground", "erasure_ground_unknown")])
    if by == "organisation" and uow.actor.acted_by is None:
        raise Invalid(errors=[fault("#header/Acted-By", "staff_required")])
    id_ = new_id()
    await repository.insert(
        uow,
        "erasure",
        {
            "erasure_id": id_,
            "case_id": case_id,
            "party_id": party_id,
            "ground": ground,
            "requested_by": by,
            "organisation": uow.caller.organisation if uow.caller else None,
            "acted_by": uow.actor.acted_by,
            "occurred_at": uow.now,
            "recorded_at": uow.now,
        },
    )
    uow.audit("erasure.requested", case_id=case_id, subject=str(id_), detail={"ground": ground})
    return id_


async def decide(uow: UnitOfWork, row: Any, *, approved: bool, refusal: str | None) -> None:
    """Approve or refuse; approved, everything is gone with this transaction.

    Emits ``CaseErased``. Raises ``Invalid`` while the law bars it (个人信息保护法 47; 档案法 21),
    or when the same person asked, ``Conflict`` when it was decided.
    """
    if uow.actor.acted_by is None:
        raise Invalid(errors=[fault("#header/Acted-By", "staff_required")])
    stream = await uow.lock_case(row["case_id"])
    fresh = await repository.one(uow, "erasure", row["erasure_id"])
    if fresh is None:
        raise NotFound()
    if fresh["state"] != "requested":
        raise Conflict("the erasure was decided")
    if not approved:
        await repository.decide_erasure(uow, row["erasure_id"], "refused", refusal, [], ())
        uow.audit("erasure.refused", case_id=row["case_id"], subject=str(row["erasure_id"]))
        return
    if fresh["acted_by"] == uow.actor.acted_by:
        raise Invalid(errors=[fault("#header/Acted-By", "second_person_required")])
    kept = await repository.one(uow, "retention", row["case_id"])
    bar = rules.bar(
        fresh["ground"],
        held=await repository.held(uow, row["case_id"]),
        open_=not stream.closed,
        keep_until=kept["keep_until"] if kept else None,
        now=uow.now,
    )
    if bar is not None:
        raise Invalid(errors=[fault("/approved", bar)])
    await _erase(uow, fresh)


async def _erase(uow: UnitOfWork, row: Any) -> None:
    case_id, keys = row["case_id"], keys_of(uow.runtime)
    case = await cases.case(uow, case_id)
    if case is None:
        raise NotFound()
    whole = row["party_id"] is None
    known = await _known(uow, keys, case_id)
    people = [
        {**dict(p), "known": known.get(p["party_id"], {})}
        for p in await cases.parties(uow, case_id)
        if whole or p["party_id"] == row["party_id"]
    ]
    ids, kept = [p["party_id"] for p in people], 0
    if row["ground"] != "wrong_person":
        kept = await _keep_limitation(uow, case, people, keys)
    gone = [key for erase in ERASERS for key in await erase(uow, case, people, whole)]
    await repository.close_receipts(uow, ids)
    stays = rules.stays(whole=whole, limitation=kept > 0)
    await repository.decide_erasure(uow, row["erasure_id"], "erased", None, ids, stays)
    await repository.erased_at_service(uow, row["erasure_id"], "intake", len(gone), SERVICES)
    uow.emit(
        CaseErased(
            case_id=case_id,
            erasure_id=row["erasure_id"],
            parties=tuple(ids),
            whole=whole,
            ground=row["ground"],
            erased_at=uow.now,
        )
    )
    if not whole:
        uow.emit(
            PartyChanged(
                case_id=case_id,
                party_id=row["party_id"],
                changed=("erased",),
                changed_at=uow.now,
            )
        )
    uow.audit(
        "case.erased",
        case_id=case_id,
        subject=str(row["erasure_id"]),
        detail={"parties": [str(id_) for id_ in ids], "ground": row["ground"]},
    )
    # After the commit, so that an erasure that is rolled back destroys no key.
    uow.enqueue(FORGET, {"marks": [mark(key) for key in gone]}, key=f"{FORGET}:{row['erasure_id']}")


async def _known(uow: UnitOfWork, keys: Keys, case_id: UUID) -> dict[UUID, dict[str, Any]]:
    """What the vault says of each party, for the erasure itself; of an erased one nothing."""
    found = {}
    for row in await cases.sealed_parties(uow, case_id):
        sealed = {name: row[name] for name in ("name", "identity", "phone", "address")}
        try:
            found[row["party_id"]] = keys.vault.open(
                "party_vault", row["party_id"], row["kek_id"], row["wrapped_key"], sealed
            )
        except Erased:
            continue
    return found


async def _keep_limitation(uow: UnitOfWork, case: Any, people: list[Any], keys: Keys) -> int:
    """That an applicant asked stays provable as long as the law counts (民法典 195: LIM-1).

    Answers of how many.
    """
    ended_at = case["closed_at"] or uow.now
    until = rules.limitation_until(ended_at, shipped())
    if case["request_made_at"] is None or until is None or until <= uow.now:
        return 0
    asked = [p for p in people if p["role"] == "applicant" and p["known"]]
    for row in asked:
        person = {name: row["known"][name] for name in ("name", "identity")}
        kept = keys.vault.seal(LIMITATION, row["party_id"], {"person": person})
        await repository.insert(
            uow,
            LIMITATION,
            {
                "case_id": case["case_id"],
                "party_id": row["party_id"],
                "kek_id": kept.kek_id,
                "wrapped_key": kept.wrapped_key,
                "person": kept.fields["person"],
                "request_made_at": case["request_made_at"],
                "ended_at": ended_at,
                "keep_until": until,
                "recorded_at": uow.now,
            },
        )
    return len(asked)


async def shred_parties(uow: UnitOfWork, case: Any, people: list[Any], whole: bool) -> list[bytes]:
    """Empty what the vault and the rooms beside it say of these parties."""
    ids = [p["party_id"] for p in people]
    return [key for table in repository.SHREDDED for key in await repository.shred(uow, table, ids)]


async def shred_referrals(
    uow: UnitOfWork, case: Any, people: list[Any], whole: bool
) -> list[bytes]:
    """The sealed referrals without these parties, under another key; emptied for the whole file."""
    keys, gone = keys_of(uow.runtime), []
    refs = {(p["referral_id"], p["ref"]) for p in people}
    named = literals(*(p["known"] for p in people))
    for row in await repository.referrals(uow, case["case_id"]):
        if not row["wrapped_key"]:
            continue
        gone.append(bytes(row["wrapped_key"]))
        id_ = row["referral_id"]
        versions = await repository.referral_versions(uow, id_)
        if not whole:
            own = {ref for of, ref in refs if of == id_}
            await _redact(uow, keys, row, versions, own, named)
            continue
        await repository.replace_referral(uow, id_, row["kek_id"], b"", b"")
        for version in versions:
            await repository.replace_version(uow, id_, version["version"], b"", b"")
    return gone


async def _redact(
    uow: UnitOfWork,
    keys: Keys,
    row: Any,
    versions: list[Any],
    refs: set[str],
    named: frozenset[str],
) -> None:
    """Without the parties' records, and without what the free text says of them literally: also by
    a name or number that stood before a correction."""
    id_, key = row["referral_id"], (row["kek_id"], bytes(row["wrapped_key"]))

    def opened(fields: dict[str, Any]) -> dict[str, Any]:
        return keys.vault.open(REFERRAL, id_, *key, fields)

    document = opened({"document": row["document"]})["document"]
    formers = [opened({"document": v["document"], "reason": v["reason"]}) for v in versions]
    for each in (document, *(former["document"] for former in formers)):
        named |= literals(*(p for p in each["parties"] if p["ref"] in refs))

    def redacted(whole: dict[str, Any]) -> dict[str, Any]:
        return free_text(without(whole, refs), named)

    sealed = keys.vault.seal(REFERRAL, id_, {"document": redacted(document)})
    await repository.replace_referral(
        uow, id_, sealed.kek_id, sealed.wrapped_key, sealed.fields["document"]
    )
    for version, former in zip(versions, formers, strict=True):
        again = keys.vault.reseal(
            REFERRAL,
            id_,
            sealed.kek_id,
            sealed.wrapped_key,
            {
                "document": redacted(former["document"]),
                "reason": masked(former["reason"], named),
            },
        )
        await repository.replace_version(
            uow, id_, version["version"], again["document"], again["reason"]
        )


def without(document: dict[str, Any], refs: set[str]) -> dict[str, Any]:
    """The referral in which these parties have a role and no name."""
    return {
        **document,
        "parties": [
            {**{name: party[name] for name in _LEFT_OF_A_PARTY}, "name": ERASED_NAME}
            if party["ref"] in refs
            else party
            for party in document["parties"]
        ],
    }


async def shred_papers(uow: UnitOfWork, case: Any, people: list[Any], whole: bool) -> list[bytes]:
    """What these parties handed in, every paper of a whole file; and exports, which hold both."""
    ids = None if whole else [p["party_id"] for p in people]
    return await papers.shred(uow, case["case_id"], ids)


async def shred_doors(uow: UnitOfWork, case: Any, people: list[Any], whole: bool) -> list[bytes]:
    """Who filed for these parties and what was added under it; of a whole file everything added,
    why it came late, and the matter it came from. What others added goes on without the names."""
    if not whole:
        gone = await doors.shred(uow, case["case_id"], [p["party_id"] for p in people])
        return gone + await _mask_doors(uow, case["case_id"], people)
    gone = await doors.shred(uow, case["case_id"], None)
    return gone + await matters.shred(uow, case["case_id"])


async def _mask_doors(uow: UnitOfWork, case_id: UUID, people: list[Any]) -> list[bytes]:
    """Texts of supplements and late entries that name these parties, under another key."""
    vault, gone = keys_of(uow.runtime).vault, []
    named = literals(*(p.get("known", {}) for p in people))
    for table, member in ((SUPPLEMENT, "text"), (ENTRY, "reason")):
        for row in await doors.texts(uow, table, case_id):
            key = (row["kek_id"], bytes(row["wrapped_key"]))
            text = vault.open(table, row["id"], *key, {member: row["sealed"]})[member]
            if text is None or (rest := masked(text, named)) == text:
                continue
            sealed = vault.seal(table, row["id"], {member: rest})
            await doors.replace_text(uow, table, row["id"], sealed, sealed.fields[member])
            gone.append(key[1])
    return gone


async def shred_refusals(uow: UnitOfWork, case: Any, people: list[Any], whole: bool) -> list[bytes]:
    """What was sent under the case's number before a gate opened: a copy that nobody needs."""
    return await refusals.shred(uow, case["case_id"])


async def shred_imports(uow: UnitOfWork, case: Any, people: list[Any], whole: bool) -> list[bytes]:
    """The upload that the referral was a row of, with its refused rows; the sender has its own."""
    return await imports.shred(uow, case["case_id"])


async def unpublish(uow: UnitOfWork, case: Any, people: list[Any], whole: bool) -> list[bytes]:
    """Nobody consents any more that the case is shown."""
    await publishing.withdraw(uow, [p["party_id"] for p in people], "erasure")
    return []


async def forget_hashes(uow: UnitOfWork, case: Any, people: list[Any], whole: bool) -> list[bytes]:
    """Nothing is found or compared by them any more; what is left of the case is compared anew."""
    await duplicates.forget(uow, case["case_id"], compare_again=not whole)
    return []


# Each room's share of an erasure: case, parties, whether the whole file goes; the wrapped data keys
# that are to be destroyed. A room that keeps something of a person adds its own.
Eraser = Callable[[UnitOfWork, Any, list[Any], bool], Awaitable[list[bytes]]]
ERASERS: Final[tuple[Eraser, ...]] = (
    shred_parties,
    shred_referrals,
    shred_papers,
    shred_doors,
    shred_refusals,
    shred_imports,
    unpublish,
    forget_hashes,
)


async def forget(job_id: UUID, payload: dict[str, Any], runtime: "Runtime") -> None:
    """Destroy data keys for good: no backup of the database opens what they sealed."""
    keys_of(runtime).vault.keys.forget(payload["marks"])


async def hear_done(received: Received[ErasureDone], uow: UnitOfWork) -> None:
    """Another service has obeyed; a repeat changes nothing."""
    service = received.source.lstrip("/")
    await repository.erased_at_service(
        uow, received.data.erasure_id, service, received.data.removed, SERVICES
    )


async def sweep_limitation(runtime: "Runtime") -> int:
    """Remove limitation records whose time has ended, and destroy their keys."""
    async with runtime.unit_of_work() as uow:
        gone = await repository.forget_limitation(uow, AT_A_TIME)
        if gone:
            uow.enqueue(FORGET, {"marks": [mark(key) for key in gone]})
        return len(gone)
