"""Comparing what came in, joining two files and undoing it: decided by people, told on both."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog

from intake.duplicates import repository
from intake.duplicates.repository import SEES
from intake.duplicates.rules import best
from intake.duplicates.traits import Hasher, traits_of
from intake.handlers import REFERRAL_TABLE, SEPARATED, close_case, fault, reopen_case
from intake.keys import keys_of
from intake.repository import case
from intake.vault import SealBroken
from services.access import AgencyScope
from services.clock import read
from services.errors import Conflict, Invalid, NotFound
from services.events.intake import CasesJoined, CasesSeparated, SurvivingCaseClosed
from services.ids import new_id
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
AT_ONCE: Final = 8
JOINED: Final = "joined"
ITSELF: Final = "a case is compared with another one"
TELL_JOINED: Final = "tell-joined"


def hasher_of(runtime: "Runtime") -> Hasher:
    """The hasher under this installation's own secret."""
    found: Hasher | None = runtime.state.get("intake.duplicates")
    if found is None:
        secret = keys_of(runtime).vault.keys.secret("duplicates")
        found = runtime.state["intake.duplicates"] = Hasher(secret)
    return found


# -- comparing ---------------------------------------------------------------------------------


async def compare_waiting(runtime: "Runtime") -> int:
    """Compare the referrals that wait, a few at a time. Answers how many.

    What cannot be opened (erased, or of a lost key) is left out: there is nothing to compare.
    """
    vault, hasher = keys_of(runtime).vault, hasher_of(runtime)
    lately = runtime.state.setdefault("intake.duplicates.lately", repository.Lately())
    async with runtime.unit_of_work() as uow:
        rows = await repository.take(uow, AT_ONCE)
        found = {}
        for row in rows:
            try:
                opened = vault.open(
                    REFERRAL_TABLE,
                    row["referral_id"],
                    row["kek_id"],
                    row["wrapped_key"],
                    {"document": row["document"]},
                )
            except SealBroken:
                log.warning("a referral cannot be compared", referral_id=str(row["referral_id"]))
                continue
            found[row["case_id"]] = traits_of(opened["document"], hasher)
            await repository.put_traits(uow, row["case_id"], found[row["case_id"]])
        for case_id, traits in found.items():
            others = await repository.candidates(uow.db, case_id, sorted(traits.keys), lately)
            # In a thread: hundreds of files are compared, and requests are answered meanwhile.
            found_pairs = await asyncio.to_thread(best, traits, others)
            await repository.put_pairs(uow, case_id, found_pairs)
    return len(rows)


# -- what staff are told -----------------------------------------------------------------------


async def handled_elsewhere(uow: UnitOfWork, scope: AgencyScope, case_id: UUID) -> list[str]:
    """Organisations that may have the same matter already, and nothing else about it.

    Each such notice stands in the access log of the other file's applicant.
    """
    rows = await repository.handled_elsewhere(uow, scope, case_id)
    for row in rows:
        uow.audit(
            "duplicate.notice",
            case_id=row["case_id"],
            subject=str(case_id),
            detail={"parties": [str(party) for party in row["parties"]]},
        )
    return sorted({row["holder"] for row in rows})


async def dismiss(
    uow: UnitOfWork, scope: AgencyScope, case_id: UUID, other_case_id: UUID, reason: str
) -> None:
    """A person says that two files are two disputes. Raises ``NotFound``, ``Conflict`` for the
    same file twice, ``Invalid`` without a person who decides."""
    for each in (case_id, other_case_id):
        await scope.require(uow, each, roles=SEES)
    _by_a_person(uow)
    if case_id == other_case_id:
        raise Conflict(ITSELF)
    if not await repository.dismiss(uow, case_id, other_case_id, scope.organisation, reason):
        raise NotFound()
    uow.audit(
        "duplicate.dismissed",
        case_id=case_id,
        subject=str(other_case_id),
        detail={"reason": reason},
    )


# -- joining -----------------------------------------------------------------------------------


async def join_cases(
    uow: UnitOfWork, scope: AgencyScope, surviving: UUID, joined: UUID, ground: str
) -> UUID:
    """Handle two files as one from now on; answers the join.

    Nothing is moved: each file keeps its number, receipts, parties, consents and history. The
    joined one rests (closed, outcome ``joined``) while the surviving one goes on. Emits
    ``CasesJoined`` on both and ``CaseClosed`` on the joined. Raises ``NotFound`` unless the caller
    takes part in both as source or handler, ``Conflict`` when one of them is not free to be joined,
    ``Invalid`` without a person who decides.
    """
    for case_id in (surviving, joined):
        await scope.require(uow, case_id, roles=SEES)
    _by_a_person(uow)
    if surviving == joined:
        raise Conflict(ITSELF)
    for case_id in sorted((surviving, joined)):
        await uow.lock_case(case_id)
    kept, resting = await case(uow, surviving), await case(uow, joined)
    if kept is None or resting is None:
        raise NotFound()
    await _free_to_join(uow, kept, resting)
    join_id = new_id()
    await repository.join(
        uow,
        {
            "join_id": join_id,
            "surviving_case_id": surviving,
            "joined_case_id": joined,
            "ground": ground,
            "decided_by": scope.organisation,
            "decided_by_staff": uow.actor.acted_by,
            "joined_at": uow.now,
        },
    )
    # Closed first: who hears of the join has then heard that nobody has a turn any more.
    await close_case(joined, JOINED, uow.now, uow)
    for this, other, side in ((resting, kept, "joined"), (kept, resting, "surviving")):
        uow.emit(
            CasesJoined(
                case_id=this["case_id"],
                join_id=join_id,
                side=side,
                other_case_id=other["case_id"],
                other_case_number=other["case_number"],
                holder=kept["holder"],
                ground=ground,
                decided_by=scope.organisation,
                joined_at=uow.now,
            )
        )
    for case_id in (surviving, joined):
        uow.audit("case.joined", case_id=case_id, subject=str(join_id), detail={"ground": ground})
    return join_id


async def _free_to_join(uow: UnitOfWork, kept: Any, resting: Any) -> None:
    if kept["state"] != "open" or resting["state"] != "open":
        raise Conflict("both cases must be open")
    if resting["stage"] == "performing":
        raise Conflict("an agreement binds in the case that would be joined: it goes on by itself")
    standing = await repository.joins_of(uow.db, resting["case_id"])
    if any(row["surviving_case_id"] == resting["case_id"] for row in standing):
        raise Conflict("other cases are joined to this one: let it survive, or undo those joins")


async def separate_cases(
    uow: UnitOfWork, scope: AgencyScope, join_id: UUID, reason: str, *, replayed: bool = False
) -> Any:
    """Undo a join: the joined file begins its next round, everything in both stands as it was.

    Emits ``CasesSeparated`` on both and ``CaseReopened``. Raises ``NotFound`` unless the caller
    takes part in one of them as source or handler, ``Conflict`` when it was undone before.
    """
    row = await repository.join_by_id(uow, join_id)
    if row is None:
        raise NotFound()
    both = (row["surviving_case_id"], row["joined_case_id"])
    held = [await scope.roles(uow, case_id) for case_id in both]
    if not any(roles & set(SEES) for roles in held):
        raise NotFound()
    if replayed:
        return row
    _by_a_person(uow)
    for case_id in sorted(both):
        await uow.lock_case(case_id)
    if not await repository.undo(uow, join_id, scope.organisation, reason):
        raise Conflict("the join was undone before")
    kept, resting = await case(uow, both[0]), await case(uow, both[1])
    if kept is None or resting is None:
        raise NotFound()
    for this, other, side in ((resting, kept, "joined"), (kept, resting, "surviving")):
        uow.emit(
            CasesSeparated(
                case_id=this["case_id"],
                join_id=join_id,
                side=side,
                other_case_id=other["case_id"],
                other_case_number=other["case_number"],
                reason=reason,
                decided_by=scope.organisation,
                separated_at=uow.now,
            )
        )
        uow.audit(
            "case.separated",
            case_id=this["case_id"],
            subject=str(join_id),
            detail={"reason": reason},
        )
    await reopen_case(both[1], uow, ground=SEPARATED, version=resting["version"], within_days=0)
    return row


def _by_a_person(uow: UnitOfWork) -> None:
    """Raises ``Invalid`` when no member of staff is named: a machine decides none of this."""
    if not uow.actor.acted_by:
        raise Invalid(errors=[fault("#header/Acted-By", "person_needed")])


async def tell_joined(job_id: UUID, payload: dict[str, Any], runtime: "Runtime") -> None:
    """Tell the agencies of joined files, under their own numbers, how the surviving one ended.

    Each file in a transaction of its own; one that was told stays as it is.
    """
    surviving, closed_at = UUID(payload["case_id"]), read(payload["closed_at"])
    async with runtime.unit_of_work(readonly=True) as uow:
        joins = await repository.joins_of(uow.db, surviving)
    for row in joins:
        if row["surviving_case_id"] == surviving:
            async with runtime.unit_of_work() as uow:
                await _tell(uow, row, payload["outcome"], closed_at)


async def _tell(uow: UnitOfWork, row: Any, outcome: str, closed_at: datetime) -> None:
    await uow.lock_case(row["joined_case_id"])
    if not await repository.tell_outcome(uow, row["join_id"], closed_at):
        return
    uow.emit(
        SurvivingCaseClosed(
            case_id=row["joined_case_id"],
            join_id=row["join_id"],
            surviving_case_id=row["surviving_case_id"],
            surviving_case_number=row["surviving_case_number"],
            outcome=outcome,
            closed_at=closed_at,
        ),
        occurred_at=closed_at,
    )
