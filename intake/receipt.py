"""Receipts: the secret by which a party follows a case. Pure.

The secret is the first 50 bits of HMAC-SHA-256(receipt key, party id, version) in Crockford base
32, so that a repeated referral answers the same; only a hash of it is stored.
"""

import hashlib
import hmac
from typing import Final
from uuid import UUID

from intake.identity import fold_width

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOK_ALIKE: Final = str.maketrans({"O": "0", "I": "1", "L": "1"})
LENGTH: Final = 10


def secret(key: bytes, party_id: UUID, version: int) -> str:
    """The party's secret; raising ``version`` replaces it."""
    digest = hmac.digest(key, party_id.bytes + version.to_bytes(4, "big"), "sha256")
    bits = int.from_bytes(digest[:7], "big") >> 6
    return "".join(_CROCKFORD[bits >> shift & 31] for shift in range(45, -1, -5))


def fold(text: str) -> str:
    """A secret typed by hand: any case and width, blanks and hyphens dropped, O I L as digits."""
    folded = fold_width(text[:64]).upper().translate(_LOOK_ALIKE)
    return "".join(char for char in folded if char in _CROCKFORD)


def secret_hash(key: bytes, party_id: UUID, text: str) -> bytes:
    """What is stored instead of a secret; keyed, because 50 bits alone could be tried out."""
    return hmac.digest(key, b"hash" + party_id.bytes + fold(text).encode(), hashlib.sha256)
