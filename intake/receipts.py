"""Receipts in use: the exchange for a party's token, and what locks it against guessing."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from intake import case_number, receipt, repository
from intake.keys import keys_of
from services.auth import TOKEN_SECONDS, sign
from services.errors import TooManyRequests, Unauthenticated

if TYPE_CHECKING:
    from services.runtime import Runtime

T = TypeVar("T")


async def guarded(
    runtime: "Runtime",
    number: str,
    address: str,
    find: Callable[[repository.Database, str], Awaitable[T | None]],
) -> T:
    """What ``find`` answers for a number typed with a secret, behind the lock against guessing.

    Every try is counted before it is judged, so that many at once gain nothing; a right one wipes
    the count. Unknown numbers count and answer alike. Raises ``Unauthenticated``,
    ``TooManyRequests`` with the seconds left.
    """
    keys, settings = keys_of(runtime), runtime.settings
    tries = getattr(settings, "receipt_tries", 5)
    lock_seconds = getattr(settings, "receipt_lock_seconds", 900)
    folded = case_number.fold(number)
    salt = keys.vault.keys.secret("receipt-tries")
    marks = [
        hmac.digest(salt, text.encode(), hashlib.sha256).hex()[:32]
        for text in (folded or number[:64], address)
    ]
    async with runtime.pool.acquire() as db:
        count, seconds = await repository.count_try(db, *marks, window_seconds=lock_seconds)
        if count > tries:
            raise TooManyRequests("too many wrong tries", retry_after_seconds=seconds)
        if count == tries:
            await repository.start_lock(db, *marks)
        found = await find(db, folded or "")
        if found is None:
            raise Unauthenticated()
        await repository.forget_tries(db, *marks)
    return found


async def exchange(
    runtime: "Runtime", number: str, secret: str, address: str
) -> tuple[str, UUID, UUID]:
    """A 15-minute token for the party whose secret this is: token, case id, party id.

    Raises ``Unauthenticated``, ``TooManyRequests``.
    """
    keys = keys_of(runtime)

    async def party(db: repository.Database, folded: str) -> Any:
        found = None
        for row in await repository.parties_by_number(db, folded):
            mark = receipt.secret_hash(keys.receipt, row["party_id"], secret)
            if hmac.compare_digest(mark, bytes(row["receipt_hash"])):
                found = row
        return found

    found = await guarded(runtime, number, address, party)
    claims = {
        "sub": "party",
        "case_id": str(found["case_id"]),
        "party_id": str(found["party_id"]),
    }
    token = sign(keys.party_token, claims, seconds=TOKEN_SECONDS)
    return token, found["case_id"], found["party_id"]
