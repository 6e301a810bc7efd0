"""Linking two cases and ending it; nothing is moved, and neither file opens the other."""

from typing import Any
from uuid import UUID

from intake.linking import repository
from intake.linking.model import SEES
from services.access import AgencyScope
from services.errors import Conflict, NotFound
from services.events.intake import CaseLinked, CaseUnlinked
from services.ids import new_id
from services.unit_of_work import UnitOfWork


async def link(
    uow: UnitOfWork, scope: AgencyScope, case_id: UUID, other_case_id: UUID, kind: str
) -> UUID:
    """Link two cases, open or closed; answers the link. Emits ``CaseLinked`` on both.

    Raises ``NotFound`` unless the caller takes part in both as source or handler, ``Conflict`` for
    a case with itself or when they are linked so already.
    """
    for each in (case_id, other_case_id):
        await scope.require(uow, each, roles=SEES)
    if case_id == other_case_id:
        raise Conflict("a case is linked with another one. 案件不能与自身关联。")
    for each in sorted((case_id, other_case_id)):
        await uow.lock_case(each)
    link_id = new_id()
    row = {
        "link_id": link_id,
        "case_id": case_id,
        "other_case_id": other_case_id,
        "kind": kind,
        "linked_by": scope.organisation,
        "acted_by": uow.actor.acted_by,
        "linked_at": uow.now,
        "recorded_at": uow.now,
    }
    if not await repository.add(uow, row):
        raise Conflict("the two are linked so already. 两案已经如此关联。")
    for each in (case_id, other_case_id):
        uow.emit(CaseLinked(case_id=each, link_id=link_id, linked_at=uow.now))
        uow.audit("case.linked", case_id=each, subject=str(link_id), detail={"kind": kind})
    return link_id


async def unlink(uow: UnitOfWork, scope: AgencyScope, link_id: UUID) -> Any:
    """End a link; a repeat answers the first time. Emits ``CaseUnlinked`` on both.

    Raises ``NotFound`` unless the caller takes part in both as source or handler.
    """
    row = await repository.one(uow, link_id)
    if row is None:
        raise NotFound()
    both = (row["case_id"], row["other_case_id"])
    for each in both:
        await scope.require(uow, each, roles=SEES)
    for each in sorted(both):
        await uow.lock_case(each)
    if await repository.remove(uow, link_id, scope.organisation):
        for each in both:
            uow.emit(CaseUnlinked(case_id=each, link_id=link_id, unlinked_at=uow.now))
            uow.audit("case.unlinked", case_id=each, subject=str(link_id))
    return await repository.seen(uow, scope, both[0], link_id)
