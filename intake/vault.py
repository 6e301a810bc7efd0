"""The vault's cryptography: one data key per party, wrapped by a key-encryption key. No database.

AES-256-GCM. The associated data name table, field and row, so that a value copied to another row
or column does not open. Equality of identity is found by a keyed, truncated hash per field.
Losing the wrapped data key is erasure.
"""

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.errors import Gone
from services.key_file import made_once

_NONCE: Final = 12
_BLIND_BYTES: Final = 16


class SealBroken(Exception):
    """A sealed value does not open: wrong row, wrong key, or changed bytes."""


class Erased(SealBroken, Gone):
    """The data key was destroyed: what it sealed is gone for good, in every backup too.

    Where nobody catches it, REST answers 410.
    """


class KeyProvider(Protocol):
    """Where key-encryption keys and derived secrets come from (a file, an HSM, a cloud KMS)."""

    def current_kek(self) -> str:
        """The id of the key that wraps new data keys."""

    def wrap(self, kek_id: str, data_key: bytes, context: bytes) -> bytes:
        """The data key, wrapped for ``context``."""

    def unwrap(self, kek_id: str, wrapped: bytes, context: bytes) -> bytes:
        """The data key again. Raises :class:`SealBroken`."""

    def secret(self, name: str) -> bytes:
        """A 32-byte secret for one purpose (``receipt``, ``blind:identity`` …)."""

    def forget(self, marks: list[str]) -> None:
        """Never again unwrap the data keys with these marks (:func:`mark`)."""


def mark(wrapped: bytes) -> str:
    """By which a wrapped data key is remembered as destroyed: says nothing of it or of whom."""
    return hashlib.sha256(wrapped).hexdigest()[:32]


class FileKeyProvider:
    """Keys in a folder of mode 0700: ``<id>.kek`` and ``root.secret``, made when missing.

    The folder belongs to intake alone and is backed up apart from the database.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = made_once(folder / "root.secret", lambda: os.urandom(32))
        if not any(folder.glob("*.kek")):
            made_once(folder / "kek-1.kek", lambda: os.urandom(32))
        self._keks = {path.stem: AESGCM(path.read_bytes()) for path in folder.glob("*.kek")}
        self._current = max(self._keks, key=lambda name: (len(name), name))
        self._secrets: dict[str, bytes] = {}
        self._destroyed: set[str] = set()
        self._seen_bytes = -1

    def current_kek(self) -> str:
        """The youngest key by name: ``kek-2`` follows ``kek-1``."""
        return self._current

    def wrap(self, kek_id: str, data_key: bytes, context: bytes) -> bytes:
        """AES-256-GCM under the key-encryption key."""
        nonce = os.urandom(_NONCE)
        return nonce + self._keks[kek_id].encrypt(nonce, data_key, context)

    def unwrap(self, kek_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Open a wrapped data key. Raises :class:`Erased` for one that was destroyed."""
        if not wrapped or mark(wrapped) in self._marks():
            raise Erased("the data key was destroyed")
        if kek_id not in self._keks:
            raise SealBroken("unknown key-encryption key")
        return _open(self._keks[kek_id], wrapped, context)

    def forget(self, marks: list[str]) -> None:
        """Append to ``erased.txt``, which outlives the database and each of its backups."""
        descriptor = os.open(self._list, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="ascii") as file:
            file.writelines(f"{each}\n" for each in marks)
            file.flush()
            os.fsync(file.fileno())

    @property
    def _list(self) -> Path:
        return self.folder / "erased.txt"

    def _marks(self) -> set[str]:
        """The destroyed keys; read anew when another process has destroyed one."""
        try:
            size = self._list.stat().st_size
        except FileNotFoundError:
            return set()
        if size != self._seen_bytes:
            self._destroyed = set(self._list.read_text("ascii").split())
            self._seen_bytes = size
        return self._destroyed

    def secret(self, name: str) -> bytes:
        """HMAC of the root secret, one per name."""
        if name not in self._secrets:
            self._secrets[name] = hmac.digest(self._root, name.encode(), hashlib.sha256)
        return self._secrets[name]


@dataclass(frozen=True)
class Sealed:
    """One row's sealed fields with its wrapped data key."""

    kek_id: str
    wrapped_key: bytes
    fields: dict[str, bytes]


class Vault:
    """Seals and opens rows; holds no data itself."""

    def __init__(self, keys: KeyProvider) -> None:
        self.keys = keys

    def seal(self, table: str, row_id: UUID, fields: dict[str, Any]) -> Sealed:
        """Every value (JSON) under a new data key of this row."""
        data_key = AESGCM.generate_key(256)
        kek_id = self.keys.current_kek()
        return Sealed(
            kek_id,
            self.keys.wrap(kek_id, data_key, _context(table, "", row_id)),
            _sealed(AESGCM(data_key), table, row_id, fields),
        )

    def reseal(
        self, table: str, row_id: UUID, kek_id: str, wrapped: bytes, fields: dict[str, Any]
    ) -> dict[str, bytes]:
        """New values under the row's existing data key."""
        return _sealed(self.cipher(table, row_id, kek_id, wrapped), table, row_id, fields)

    def open(
        self, table: str, row_id: UUID, kek_id: str, wrapped: bytes, fields: dict[str, bytes | None]
    ) -> dict[str, Any]:
        """The values again; a field that is None stays None. Raises :class:`SealBroken`."""
        cipher = self.cipher(table, row_id, kek_id, wrapped)
        return {
            name: None
            if sealed is None
            else json.loads(_open(cipher, sealed, _context(table, name, row_id)))
            for name, sealed in fields.items()
        }

    def cipher(self, table: str, row_id: UUID, kek_id: str, wrapped: bytes) -> AESGCM:
        """The row's own data key, for bytes that are no JSON. Raises :class:`SealBroken`."""
        return AESGCM(self.keys.unwrap(kek_id, wrapped, _context(table, "", row_id)))

    def blind(self, field: str, value: str) -> bytes:
        """The keyed hash by which equal values of one field are found, 16 bytes."""
        key = self.keys.secret(f"blind:{field}")
        return hmac.digest(key, value.encode(), hashlib.sha256)[:_BLIND_BYTES]

    def data_key(self, table: str, row_id: UUID, kek_id: str, wrapped: bytes) -> bytes:
        """The row's own data key, for what is sealed outside the database (files)."""
        return self.keys.unwrap(kek_id, wrapped, _context(table, "", row_id))


def _context(table: str, field: str, row_id: UUID | str) -> bytes:
    return f"{table}/{field}/{row_id}".encode()


def canonical(value: Any, *, sort: bool = True) -> bytes:
    """Compact JSON, members sorted; integers beyond 64 bits take the slower road."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort else 0)
    except TypeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort)
        return text.encode()


def _sealed(cipher: AESGCM, table: str, row_id: UUID, fields: dict[str, Any]) -> dict[str, bytes]:
    """Every value under a nonce of its own, bound to its place."""
    random, row = os.urandom(_NONCE * len(fields)), str(row_id)
    found = {}
    for at, (name, value) in enumerate(fields.items()):
        nonce = random[at * _NONCE : (at + 1) * _NONCE]
        text = canonical(value, sort=False)
        found[name] = nonce + cipher.encrypt(nonce, text, _context(table, name, row))
    return found


def _open(cipher: AESGCM, sealed: bytes, context: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
    except InvalidTag:
        raise SealBroken("a sealed value does not open") from None
