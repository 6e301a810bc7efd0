"""Acts done for a party under its mandate (代办): what is checked, and the mark that stays."""

from typing import Any, Final
from uuid import UUID

from intake.doors import repository
from intake.messages import fault
from services.errors import Conflict, Invalid
from services.unit_of_work import UnitOfWork

HEADER: Final = "#header/Mandate-Id"


async def in_force(
    uow: UnitOfWork,
    case_id: UUID,
    mandate_id: UUID,
    *,
    party_id: UUID | None = None,
    pointer: str = HEADER,
) -> Any:
    """The mandate an act is done under; a revocation waits until the act stands, or stops it.

    Raises ``Invalid`` for one that is not of this case and organisation, or of another party than
    the act is about; ``Conflict`` for one that was revoked.
    """
    row = await repository.mandate(uow, mandate_id, held=True)
    organisation = uow.actor.organisation
    if row is None or row["case_id"] != case_id or row["organisation"] != organisation:
        raise Invalid(errors=[fault(pointer, "mandate_unknown")])
    if row["revoked_at"] is not None:
        raise Conflict(errors=[fault(pointer, "mandate_revoked")])
    if party_id is not None and row["party_id"] != party_id:
        raise Invalid(errors=[fault(pointer, "mandate_of_another_party")])
    return row


def mark(mandate: Any) -> dict[str, Any] | None:
    """What the audit says of an act under a mandate: the party reads it in its access log."""
    if mandate is None:
        return None
    return {"mandate_id": str(mandate["mandate_id"]), "parties": [str(mandate["party_id"])]}
