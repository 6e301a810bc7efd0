"""Searching: what was typed is folded, what is personal is hashed before it goes anywhere."""

from uuid import UUID

from intake import case_number
from intake.duplicates.model import Kind
from intake.duplicates.traits import Hasher
from intake.handlers import fault
from intake.identity import fold_number
from intake.search import repository
from intake.search.model import Sought
from intake.search.schemas import PartySought, SearchBody
from intake.validation import normal_reference
from services.access import AgencyScope
from services.errors import FieldError, Invalid
from services.unit_of_work import UnitOfWork


def sought(body: SearchBody, hasher: Hasher) -> Sought:
    """What is looked for. Raises ``Invalid`` for a number that cannot be, a party without a
    purpose, or a name of which only half is known."""
    faults: list[FieldError] = []
    number = case_number.fold(body.number) if body.number else None
    if body.number and number is None:
        faults.append(fault("/number", "case_number_format"))
    keys: list[int] = []
    if body.reference:
        keys.append(hasher.key(Kind.NUMBER, normal_reference(body.reference)))
    if body.party is not None:
        if body.purpose is None:
            faults.append(fault("/purpose", "required"))
        keys += _party_keys(body.party, hasher, faults)
    if faults:
        raise Invalid(errors=faults)
    return Sought(
        case_number=number,
        keys=tuple(keys),
        by_party=body.party is not None,
        place=body.place,
        dispute_type=body.dispute_type,
        lane=body.lane,
        state=body.state,
        stage=body.stage,
        registered_from=body.registered_from,
        registered_until=body.registered_until,
    )


def _party_keys(party: PartySought, hasher: Hasher, faults: list[FieldError]) -> list[int]:
    found: dict[str, int | None] = {}
    if party.name is not None:
        found["name"] = hasher.name(party.name)
    if party.identity is not None:
        number = fold_number(party.identity.number)
        found["identity"] = hasher.identity(party.identity.type, number) if number else None
    if party.phone is not None:
        found["phone"] = hasher.phone(party.phone)
    if not found:
        faults.append(fault("/party", "required"))
    faults += [fault(f"/party/{name}", "not_whole") for name, key in found.items() if key is None]
    return [key for key in found.values() if key is not None]


async def search(
    uow: UnitOfWork,
    scope: AgencyScope,
    body: SearchBody,
    asked: Sought,
    *,
    before: UUID | None,
    limit: int,
) -> repository.Found:
    """One page; a search by a party is in the audit, with what was given but not its value."""
    found = await repository.search(uow, scope, asked, before=before, limit=limit)
    if body.party is not None:
        uow.audit(
            "cases.searched",
            purpose=body.purpose,
            detail={"by": sorted(body.party.model_dump(exclude_none=True))},
        )
    return found
