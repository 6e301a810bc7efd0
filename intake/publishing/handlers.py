"""Consents to a public version, and the version itself."""

from typing import Any
from uuid import UUID

from intake import case_number
from intake import repository as cases
from intake.doors import mandates
from intake.keys import keys_of
from intake.messages import fault
from intake.parties.rules import age
from intake.publishing import repository
from intake.publishing.model import born_on, county, is_minor, least_cases
from intake.safety import repository as safety
from intake.tracking import words
from intake.vault import Erased
from services.clock import SHANGHAI
from services.errors import Gone, Invalid, NotFound
from services.unit_of_work import UnitOfWork


async def consent(uow: UnitOfWork, case_id: UUID, party_id: UUID, told_by: str) -> Any:
    """A party lets coarse facts of its case be shown; a repeat answers the consent that stands.

    Never for a minor, whoever says so (未成年人保护法 103: N-13). Raises ``Invalid``, ``Gone``.
    """
    await uow.lock_case(case_id)
    if await _minor(uow, case_id, party_id):
        raise Invalid(errors=[fault("/party_id", "minor_not_published")])
    row, fresh = await repository.give(uow, case_id, party_id, told_by)
    if fresh:
        _note(uow, "publication.consented", row)
    return dict(row)


async def _minor(uow: UnitOfWork, case_id: UUID, party_id: UUID) -> bool:
    rows = await cases.sealed_parties(uow, case_id)
    row = next((r for r in rows if r["party_id"] == party_id), None)
    if row is None:
        raise NotFound()
    sealed = {name: row[name] for name in ("identity", "details")}
    try:
        known = keys_of(uow.runtime).vault.open(
            "party_vault", party_id, row["kek_id"], row["wrapped_key"], sealed
        )
    except Erased:
        raise Gone("the party's data were erased. 该当事人的数据已经删除。") from None
    born = born_on(known["details"], known["identity"])
    return born is not None and is_minor(age(born, uow.now.astimezone(SHANGHAI).date()))


async def withdraw(
    uow: UnitOfWork, case_id: UUID, party_id: UUID, told_by: str, mandate_id: UUID | None = None
) -> Any:
    """Take the consent back, from now (个人信息保护法 15). Never refused; a repeat answers the
    first. Raises ``NotFound`` for a party that never consented, ``Invalid`` for a mandate that is
    not this party's or not in force."""
    await uow.lock_case(case_id)
    standing, under = await repository.last(uow, party_id), None
    if mandate_id is not None and standing is not None and standing["withdrawn_at"] is None:
        under = await mandates.in_force(
            uow, case_id, mandate_id, party_id=party_id, conflicts=False
        )
    for row in await repository.withdraw(uow, [party_id], told_by, mandate_id):
        _note(uow, "publication.withdrawn", row, mandates.mark(under))
    row = await repository.last(uow, party_id)
    if row is None:
        raise NotFound()
    return dict(row)


def _note(uow: UnitOfWork, action: str, row: Any, mark: dict[str, Any] | None = None) -> None:
    uow.audit(
        action,
        case_id=row["case_id"],
        subject=str(row["consent_id"]),
        detail=mark or {"parties": [str(row["party_id"])]},
    )


async def public_case(uow: UnitOfWork, number: str) -> dict[str, Any]:
    """The coarse facts of a closed case. Raises ``NotFound`` alike for a number that is none, an
    open case, one without every consent, one with a protected party and one of too few alike."""
    folded = case_number.fold(number)
    case = await repository.published(uow, folded) if folded else None
    if case is None or await safety.consequences_of_case(uow, case["case_id"]):
        raise NotFound()
    if not await repository.alike(uow, case, least_cases()):
        raise NotFound()
    code = county(case["place"])
    place = uow.runtime.directory.place(code) or {}
    return {
        "number": case["case_number"],
        "dispute_type": {
            "code": case["dispute_type"],
            **words.dispute_type(case["dispute_type"]),
        },
        "county": {"code": code, "name": place.get("name")},
        "registered_month": case["registered_month"],
        "closed_month": case["closed_month"],
        "outcome": {"code": case["outcome"], **(words.outcome(case["outcome"]) or {})},
        "cases_alike_at_least": least_cases(),
    }
