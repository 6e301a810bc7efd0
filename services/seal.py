"""Encryption at rest of what is personal, said in confidence or secret: AES-256-GCM."""

import json
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.key_file import made_once

VERSION: Final = b"\x01"
NONCE_BYTES: Final = 12


@lru_cache(maxsize=4)
def _master(path: Path) -> bytes:
    """Read a service's vault key; made once, mode 0600, never overwritten."""
    key = made_once(path, lambda: secrets.token_bytes(32))
    if len(key) != 32:
        raise RuntimeError("the vault key file does not hold 32 bytes")
    return key


@lru_cache(maxsize=1024)
def _cipher(key_file: Path, purpose: str) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
    return AESGCM(derived.derive(_master(key_file)))


class Seal:
    """Seals JSON for one purpose; the row's id is bound in, so no row can pose as another."""

    def __init__(self, key_file: Path, purpose: str) -> None:
        self._cipher = _cipher(Path(key_file), purpose)

    def close(self, value: Any, bound_to: object) -> bytes:
        """Encrypt ``value``, readable only together with ``bound_to``."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode()
        return VERSION + nonce + self._cipher.encrypt(nonce, data, str(bound_to).encode())

    def open(self, sealed: bytes, bound_to: object) -> Any:
        """Decrypt what ``close`` made. Raises ``InvalidTag`` when anything was changed."""
        if sealed[:1] != VERSION:
            raise ValueError("unknown version of a sealed value")
        nonce, data = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        return json.loads(self._cipher.decrypt(nonce, data, str(bound_to).encode()))
