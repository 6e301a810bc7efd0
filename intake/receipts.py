"""Receipts in use: the exchange for a party's token, and what locks it against guessing."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from intake import case_number, receipt, repository
from intake.keys import Keys, keys_of
from intake.tracking import repository as tracking
from services.auth import TOKEN_SECONDS, sign
from services.errors import TooManyRequests, Unauthenticated

if TYPE_CHECKING:
    from services.runtime import Runtime

T = TypeVar("T")


@dataclass(frozen=True)
class Opened:
    """What a right secret opens, and the token that says so for 15 minutes."""

    token: str
    case_id: UUID
    party_id: UUID
    representative: UUID | None


def number_mark(keys: Keys, number: str) -> str:
    """The keyed hash under which tries on a number are counted; any spelling of it is one."""
    return _mark(keys, case_number.fold(number) or number[:64])


def _mark(keys: Keys, text: str) -> str:
    salt = keys.vault.keys.secret("receipt-tries")
    return hmac.digest(salt, text.encode(), hashlib.sha256).hex()[:32]


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
    tries = getattr(settings, "receipt_tries", 10)
    lock_seconds = getattr(settings, "receipt_lock_seconds", 900)
    marks = [number_mark(keys, number), _mark(keys, address)]
    async with runtime.pool.acquire() as db:
        count, seconds = await repository.count_try(db, *marks, window_seconds=lock_seconds)
        if count > tries:
            raise TooManyRequests("too many wrong tries", retry_after_seconds=seconds)
        if count == tries:
            await repository.start_lock(db, *marks)
        found = await find(db, case_number.fold(number) or "")
        if found is None:
            raise Unauthenticated()
        await repository.forget_tries(db, *marks)
    return found


async def exchange(runtime: "Runtime", number: str, secret: str, address: str) -> Opened:
    """A 15-minute token for the party, or its representative, whose secret this is.

    An unknown number takes the same time: as many hashes are made whether the number has parties
    or none. Raises ``Unauthenticated``, ``TooManyRequests`` with the seconds left.
    """
    keys = keys_of(runtime)

    async def its(db: repository.Database, folded: str) -> tracking.Row | None:
        rows = await tracking.secrets_of(db, folded, runtime.clock.now())
        return _fitting(keys, rows, secret)

    found = await guarded(runtime, number, address, its)
    claims = {
        "sub": "party",
        "case_id": str(found["case_id"]),
        "party_id": str(found["party_id"]),
    }
    if found["receipt_id"]:
        claims["representative"] = str(found["receipt_id"])
    token = sign(keys.party_token, claims, seconds=TOKEN_SECONDS)
    return Opened(token, found["case_id"], found["party_id"], found["receipt_id"])


def _fitting(keys: Keys, rows: list[tracking.Row], secret: str) -> tracking.Row | None:
    """The row whose secret this is; at least ``LEAST_HASHES`` are tried, all of them always."""
    found = None
    nobody = UUID(int=0)
    for place in range(max(tracking.LEAST_HASHES, len(rows))):
        row = rows[place] if place < len(rows) else None
        owner = nobody if row is None else row["receipt_id"] or row["party_id"]
        stored = b"" if row is None else bytes(row["mark"])
        if hmac.compare_digest(receipt.secret_hash(keys.receipt, owner, secret), stored):
            found = row
    return found
