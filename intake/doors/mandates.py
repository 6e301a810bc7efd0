"""Acts done for a party under its mandate (代办): what is checked, and the mark that stays.

Every desk's write either takes the header ``Mandate-Id`` or refuses it: an act under a mandate is
never done without its mark.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.dependencies.models import Dependant

from intake.doors import repository
from intake.messages import fault, message
from services.errors import Conflict, FieldError, Invalid
from services.unit_of_work import UnitOfWork

NAME: Final = "Mandate-Id"
HEADER: Final = f"#header/{NAME}"
DATA_FILE: Final = Path(__file__).parents[1] / "data" / "mandates.json"
WRITES: Final = frozenset({"POST", "PUT", "DELETE"})

UnderMandate = Annotated[
    UUID | None,
    Header(
        alias=NAME,
        description="The mandate (代办) of a party that this act is done under; checked and marked",
    ),
]


async def in_force(
    uow: UnitOfWork,
    case_id: UUID,
    mandate_id: UUID,
    *,
    party_id: UUID | None = None,
    pointer: str = HEADER,
    conflicts: bool = True,
) -> Any:
    """The mandate an act is done under; a revocation waits until the act stands, or stops it.

    Raises ``Invalid`` for one that is not of this case and organisation, or of another party than
    the act is about; ``Conflict`` for one that was revoked (``conflicts=False``: ``Invalid``, where
    an act is never a conflict).
    """
    row = await repository.mandate(uow, mandate_id, held=True)
    organisation = uow.actor.organisation
    if row is None or row["case_id"] != case_id or row["organisation"] != organisation:
        raise Invalid(errors=[fault(pointer, "mandate_unknown")])
    if row["revoked_at"] is not None:
        revoked = [fault(pointer, "mandate_revoked")]
        raise Conflict(errors=revoked) if conflicts else Invalid(errors=revoked)
    if party_id is not None and row["party_id"] != party_id:
        raise Invalid(errors=[fault(pointer, "mandate_of_another_party")])
    return row


def mark(mandate: Any) -> dict[str, Any] | None:
    """What the audit says of an act under a mandate: the party reads it in its access log."""
    if mandate is None:
        return None
    return {"mandate_id": str(mandate["mandate_id"]), "parties": [str(mandate["party_id"])]}


# -- what a mandate does not carry ---------------------------------------------------------------


@lru_cache(1)
def own_acts() -> dict[str, dict[str, str]]:
    """What only the party itself does, each with its source."""
    found: dict[str, dict[str, str]] = json.loads(DATA_FILE.read_text("utf-8"))["own"]
    return found


def by_the_party_itself(mandate_id: UUID | None, act: str) -> None:
    """Raise ``Invalid`` when the act is done under a mandate, which does not carry it."""
    if mandate_id is not None:
        said = f"{message('mandate_not_enough')} ({own_acts()[act]['source']})"
        raise Invalid(errors=[FieldError(HEADER, "mandate_not_enough", said)])


def not_for_a_mandate(mandate_id: UUID | None) -> None:
    """Raise ``Invalid`` when the organisation's own act is said to be a party's."""
    if mandate_id is not None:
        raise Invalid(errors=[fault(HEADER, "act_of_the_organisation")])


def own(act: str) -> Any:
    """A dependency of an endpoint whose act only the party itself does."""

    async def refuse(named: UnderMandate = None) -> None:
        by_the_party_itself(named, act)

    return Depends(refuse)


def takes(dependant: Dependant) -> bool:
    """Whether an endpoint says itself what it does under a mandate."""
    return any(p.alias == NAME for p in dependant.header_params) or any(
        takes(below) for below in dependant.dependencies
    )


async def _nothing_unmarked(request: Request) -> None:
    """Raise ``Invalid`` for a desk's write under a mandate that the endpoint would not mark.

    A party's token acts for itself; its own calls ask for no mandate and are never refused by one.
    """
    if NAME not in request.headers or request.method not in WRITES:
        return
    own_token = request.url.path.startswith("/v1/party/")
    if not own_token and not takes(request.scope["route"].dependant):
        raise Invalid(errors=[fault(HEADER, "act_of_the_organisation")])


NOTHING_UNMARKED: Final = Depends(_nothing_unmarked)
