"""An act done for a party under its mandate (代办): checked before it, marked on it.

The copy is built from intake's events; nobody is asked on the way. Whoever has the case first, the
act or the revocation, wins: the case is locked by both.
"""

from collections.abc import Collection
from typing import Any, Final, NoReturn
from uuid import UUID

from mediation.gate import Act
from mediation.mandate import repository, rules
from mediation.mandate.rules import Mandate
from mediation.transition import Refusal
from services.errors import Conflict, FieldError, Invalid
from services.unit_of_work import UnitOfWork

HEADER: Final = "#header/Mandate-Id"


def _refuse(refusal: Refusal, *, conflicts: bool = True) -> NoReturn:
    fault = FieldError(HEADER, refusal.code, refusal.message)
    if refusal.code == rules.REVOKED and conflicts:
        raise Conflict(errors=[fault])
    raise Invalid(errors=[fault])


async def in_force(
    act: Act,
    case_id: UUID,
    parties: Collection[UUID],
    uow: UnitOfWork,
    *,
    conflicts: bool = True,
) -> Mandate | None:
    """The mandate that the act is done under; None when the party acts alone. Its case is locked.

    ``parties``: for whom the act may be done. Raises ``Invalid`` for a mandate that is unknown or
    another party's, ``Conflict`` for one that was revoked (``conflicts=False``: ``Invalid``, where
    an act is never a conflict).
    """
    if act.mandate_id is None:
        return None
    mandate = await repository.find(uow.db, act.mandate_id)
    refusal = rules.may_act(
        mandate, case_id=case_id, organisation=act.organisation, parties=parties
    )
    if refusal is not None:
        _refuse(refusal, conflicts=conflicts)
    return mandate


def by_the_party_itself(act: Act, source: str) -> None:
    """Raise ``Invalid`` when the act is done under a mandate, which does not carry it."""
    if act.mandate_id is not None:
        _refuse(rules.not_carried(source))


def mark(mandate: Mandate | None) -> dict[str, Any]:
    """What the audit says of an act under a mandate: the party reads it in its access log."""
    if mandate is None:
        return {}
    return {"mandate_id": str(mandate.mandate_id), "parties": [str(mandate.party_id)]}


def id_of(mandate: Mandate | None) -> UUID | None:
    """The mark of the act's own record."""
    return mandate.mandate_id if mandate is not None else None
