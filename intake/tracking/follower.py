"""Who follows a case with a receipt: the party, or a representative until it is revoked."""

from typing import Annotated

from fastapi import Depends, Request

from intake.tracking import repository as tracking
from services.auth import PartyCaller
from services.errors import Unauthenticated
from services.http import Party, runtime_of


async def _follower(request: Request, party: Party) -> PartyCaller:
    """The party's token; one of a revoked representative opens nothing, however young."""
    if party.representative is not None:
        runtime = runtime_of(request)
        if await tracking.is_revoked(runtime.pool, party.representative, runtime.clock.now()):
            raise Unauthenticated()
    return party


Follower = Annotated[PartyCaller, Depends(_follower)]
