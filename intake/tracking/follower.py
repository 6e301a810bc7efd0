"""Who calls with a receipt's token: the party itself, or a representative until it is revoked.

Every endpoint of a party takes one of these three, never the bare token of ``services.http``.
"""

from typing import Annotated, Any

from fastapi import Depends, Request

from intake.parties import repository as representations
from intake.parties.handlers import as_party
from intake.tracking import repository as tracking
from services.auth import PartyCaller
from services.errors import Forbidden, Unauthenticated
from services.http import Party, itself, runtime_of
from services.unit_of_work import Actor


async def _follower(request: Request, party: Party) -> PartyCaller:
    """The party's token; one of a revoked representative opens nothing, however young."""
    if party.representative is not None:
        runtime = runtime_of(request)
        if await tracking.is_revoked(runtime.pool, party.representative, runtime.clock.now()):
            raise Unauthenticated()
    return party


Follower = Annotated[PartyCaller, Depends(_follower)]


async def _oneself(party: Follower) -> PartyCaller:
    """What a representative may not do for the party. Raises ``Forbidden``."""
    return itself(party)


Oneself = Annotated[PartyCaller, Depends(_oneself)]


def within(scope: str) -> Any:
    """The party, or a representative whose authority has this scope (民诉法 62: N-19)."""

    async def allowed(request: Request, party: Follower) -> PartyCaller:
        if party.representative is None:
            return party
        actor = Actor(party.client_id)
        async with runtime_of(request).unit_of_work(
            actor=actor, organisation="", readonly=True
        ) as uow:
            await as_party(uow, party.party_id)
            standing = await representations.behind_receipt(uow, party.representative)
        if standing is None or scope not in standing["scopes"]:
            raise Forbidden("the representative's authority does not reach that far")
        return party

    return Depends(allowed)


WithEvidence = Annotated[PartyCaller, within("evidence")]
