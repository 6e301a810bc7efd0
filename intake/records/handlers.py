"""Erasing what never became a case: asked by the person or its body, decided by a second person."""

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from intake.gates.handlers import TABLE as REFUSAL
from intake.keys import keys_of
from intake.matters.handlers import TABLE as MATTER
from intake.matters.model import kinds
from intake.messages import fault
from intake.notices import repository as notices
from intake.organs import agency
from intake.records import repository, rules
from intake.records.model import Record
from intake.rights.erasing import FORGET
from intake.rights.rules import data
from intake.vault import mark
from services.calendar import shipped
from services.errors import Conflict, Invalid, NotFound
from services.ids import new_id
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

LIMITATION: Final = "record_limitation"
AT_A_TIME: Final = 500
_BY: Final = {"person": "party", "organisation": "organisation"}


async def record(uow: UnitOfWork, record_id: UUID, *, lock: bool = False) -> Record:
    """A record by its id. Raises ``NotFound``."""
    row = await repository.refusal(uow, record_id, lock=lock)
    if row is not None:
        return Record(
            record_id,
            "refusal",
            "refusal",
            row["number"],
            row["ground"],
            row["citation"],
            row["place"],
            False,
            row["of_a_case"],
            row["received_at"],
            row["recorded_at"],
            row["request_made_at"],
            (row["kek_id"], bytes(row["wrapped_key"]), bytes(row["document"])),
        )
    row = await repository.matter(uow, record_id, lock=lock)
    if row is None:
        raise NotFound()
    return Record(
        record_id,
        "matter",
        row["kind"],
        row["number"],
        None,
        kinds()[row["kind"]].citation,
        row["place"],
        row["state"] == "open",
        row["of_a_case"],
        row["received_at"],
        row["recorded_at"],
        row["request_made_at"],
        (row["kek_id"], bytes(row["wrapped_key"]), bytes(row["content"])),
    )


async def own(uow: UnitOfWork, organisation: str, record_id: UUID, *, lock: bool = False) -> Record:
    """A record of the body that sent it, took it or must answer it. Raises ``NotFound``."""
    line = agency(uow.runtime.directory, organisation)
    if not await repository.is_own(uow, organisation, line, record_id):
        raise NotFound()
    return await record(uow, record_id, lock=lock)


async def ask(uow: UnitOfWork, found: Record, ground: str, *, by: str) -> UUID:
    """Ask that a record be erased; a second person decides.

    What a person has asked already and nobody has decided is not asked twice. Raises ``Invalid``
    for a ground that is not theirs, ``Conflict`` when it is a case's, or erased.
    """
    if _BY[by] not in data()["grounds"][ground]["by"]:
        raise Invalid(errors=[fault("/ground", "erasure_ground_unknown")])
    if by == "organisation" and uow.actor.acted_by is None:
        raise Invalid(errors=[fault("#header/Acted-By", "staff_required")])
    if found.of_a_case:
        raise Conflict("it has become a case: ask for the erasure of the case")
    if found.empty:
        raise Conflict("it was erased")
    if by == "person":
        for row in await repository.of_record(uow, found.record_id):
            if (row["requested_by"], row["state"], row["ground"]) == (by, "requested", ground):
                known: UUID = row["record_erasure_id"]
                return known
    id_ = new_id()
    await repository.insert(
        uow,
        "record_erasure",
        {
            "record_erasure_id": id_,
            "record_id": found.record_id,
            "subject": found.subject,
            "ground": ground,
            "requested_by": by,
            "organisation": uow.caller.organisation if uow.caller else None,
            "acted_by": uow.actor.acted_by,
            "occurred_at": uow.now,
            "recorded_at": uow.now,
        },
    )
    uow.audit("erasure.requested", subject=str(id_), detail={"ground": ground})
    return id_


async def decide(
    uow: UnitOfWork, found: Record, erasure_id: UUID, *, approved: bool, refusal: str | None
) -> None:
    """Approve or refuse; approved, what was said is gone with this transaction.

    Raises ``Invalid`` while the law bars it (个人信息保护法 47; 档案法 21), or when the same person
    asked, ``Conflict`` when it was decided or has become a case.
    """
    if uow.actor.acted_by is None:
        raise Invalid(errors=[fault("#header/Acted-By", "staff_required")])
    row = await repository.one(uow, "record_erasure", erasure_id)
    if row is None:
        raise NotFound()
    if row["state"] != "requested":
        raise Conflict("the erasure was decided")
    if not approved:
        await repository.decide(uow, erasure_id, "refused", refusal, [])
        uow.audit("erasure.refused", subject=str(erasure_id))
        return
    if row["acted_by"] == uow.actor.acted_by:
        raise Invalid(errors=[fault("#header/Acted-By", "second_person_required")])
    if found.of_a_case:
        raise Conflict("it has become a case: ask for the erasure of the case")
    if found.empty:
        raise Conflict("it was erased")
    kept = await repository.one(uow, "record_retention", found.record_id)
    bar = rules.bar(
        row["ground"],
        held=await repository.held(uow, found.record_id),
        open_=found.open,
        keep_until=kept["keep_until"] if kept else None,
        now=uow.now,
    )
    if bar is not None:
        raise Invalid(errors=[fault("/approved", bar)])
    await _erase(uow, found, row)


async def _erase(uow: UnitOfWork, found: Record, row: Any) -> None:
    id_ = row["record_erasure_id"]
    provable = await _keep_limitation(uow, found, row["ground"])
    if found.subject == "refusal":
        await repository.empty_refusal(uow, found.record_id, id_.bytes)
    else:
        await repository.empty_matter(uow, found.record_id, id_.bytes)
    await notices.not_owed(uow, found.record_id)
    stays = rules.stays(found.subject, limitation=provable)
    await repository.decide(uow, id_, "erased", None, stays)
    uow.audit("record.erased", subject=str(id_), detail={"ground": row["ground"]})
    # After the commit, so that an erasure that is rolled back destroys no key.
    uow.enqueue(FORGET, {"marks": [mark(found.sealed[1])]}, key=f"{FORGET}:{id_}")


async def _keep_limitation(uow: UnitOfWork, found: Record, ground: str) -> bool:
    """That somebody asked stays provable as long as the law counts, where the class says so."""
    class_ = rules.class_of(found.kind)
    until = rules.provable_until(
        class_, ground, found.request_made_at, found.recorded_at, shipped()
    )
    if until is None or until <= uow.now:
        return False
    keys = keys_of(uow.runtime)
    people = _people(uow, found)
    if not people:
        return False
    kept = keys.vault.seal(LIMITATION, found.record_id, {"people": people})
    await repository.insert(
        uow,
        LIMITATION,
        {
            "record_id": found.record_id,
            "subject": found.subject,
            "kek_id": kept.kek_id,
            "wrapped_key": kept.wrapped_key,
            "people": kept.fields["people"],
            "request_made_at": found.request_made_at,
            "ended_at": found.recorded_at,
            "keep_until": until,
            "recorded_at": uow.now,
        },
    )
    return True


def _people(uow: UnitOfWork, found: Record) -> list[dict[str, Any]]:
    """Who asked: name and document, nothing else."""
    table, member = (REFUSAL, "document") if found.subject == "refusal" else (MATTER, "content")
    kek_id, wrapped, sealed = found.sealed
    opened = keys_of(uow.runtime).vault.open(
        table, found.record_id, kek_id, wrapped, {member: sealed}
    )[member]
    if found.subject == "matter":
        person = opened.get("person") or {}
        return [{"name": person["name"], "id": None}] if person.get("name") else []
    return [
        {"name": party["name"], "id": party.get("id")}
        for party in opened["parties"]
        if party["role"] == "applicant"
    ]


async def sweep_limitation(runtime: "Runtime") -> int:
    """Remove limitation records whose time has ended, and destroy their keys."""
    async with runtime.unit_of_work() as uow:
        gone = await repository.forget_limitation(uow, AT_A_TIME)
        if gone:
            uow.enqueue(FORGET, {"marks": [mark(key) for key in gone]})
        return len(gone)
