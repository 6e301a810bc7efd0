"""Short links to files: sealed, bound to one caller, one purpose and a few minutes. No database.

AES-256-GCM under a secret of its own: a link shows no id, cannot be made or changed outside, and
opens for nobody but the caller it was made for.
"""

import base64
import binascii
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from intake.keys import Keys

_NONCE: Final = 12


@dataclass(frozen=True)
class Link:
    """What a link opens, in which form, for whom, why, until when (epoch seconds, UTC)."""

    kind: str
    file_id: str
    form: str
    caller: str
    purpose: str
    until: int

    @property
    def id(self) -> UUID:
        """The file."""
        return UUID(self.file_id)


def make(keys: Keys, link: Link) -> str:
    """The link's text, safe in a path."""
    nonce = os.urandom(_NONCE)
    sealed = _cipher(keys).encrypt(nonce, json.dumps(asdict(link)).encode(), b"link")
    return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")


def open_(keys: Keys, text: str, caller: str, now: datetime) -> Link | None:
    """The link again; None when it is not ours, not this caller's, or over."""
    try:
        raw = base64.urlsafe_b64decode(text[:1000] + "=" * (-len(text[:1000]) % 4))
        found = json.loads(_cipher(keys).decrypt(raw[:_NONCE], raw[_NONCE:], b"link"))
    except (binascii.Error, ValueError, InvalidTag):
        return None
    link = Link(**found)
    return link if link.caller == caller and now.timestamp() < link.until else None


def _cipher(keys: Keys) -> AESGCM:
    return AESGCM(keys.vault.keys.secret("links"))
