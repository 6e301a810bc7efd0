"""An uploaded file at rest: parts of one size, each sealed under the file's own key.

Parts are of equal size, so that a workbook can be read from any place without unsealing the rest.
A part is bound to its file and place by its associated data: another's does not open.
"""

import io
import os
from collections.abc import Callable
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from intake.vault import SealBroken

PART_BYTES: Final = 256 * 1024
FILE_TABLE: Final = "import_file"
_NONCE: Final = 12


def seal(cipher: AESGCM, table: str, row_id: UUID, ordinal: int, data: bytes) -> bytes:
    """Bytes sealed for one place."""
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, data, _context(table, row_id, ordinal))


def unseal(cipher: AESGCM, table: str, row_id: UUID, ordinal: int, sealed: bytes) -> bytes:
    """The bytes again. Raises :class:`SealBroken`."""
    try:
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _context(table, row_id, ordinal))
    except InvalidTag:
        raise SealBroken("a part of a file does not open") from None


def _context(table: str, row_id: UUID, ordinal: int) -> bytes:
    return f"{table}/{row_id}/{ordinal}".encode()


class Parts:
    """Cuts a stream of pieces into parts."""

    def __init__(self) -> None:
        self._left = bytearray()
        self.size = 0

    def add(self, piece: bytes) -> list[bytes]:
        """The parts that are whole now."""
        self.size += len(piece)
        self._left += piece
        found = []
        while len(self._left) >= PART_BYTES:
            found.append(bytes(self._left[:PART_BYTES]))
            del self._left[:PART_BYTES]
        return found

    def rest(self) -> list[bytes]:
        """The last part, if there is one."""
        return [bytes(self._left)] if self._left else []


class SealedFile(io.RawIOBase):
    """A file in parts, read as one: only the part in hand is in memory."""

    def __init__(self, size: int, part: Callable[[int], bytes]) -> None:
        self._size = size
        self._part = part
        self._at = 0
        self._held: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from any place."""
        return True

    def tell(self) -> int:
        """Bytes before the next one."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, into: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fill what fits from the part at this place."""
        if self._at >= self._size:
            return 0
        ordinal, skip = divmod(self._at, PART_BYTES)
        if self._held[0] != ordinal:
            self._held = (ordinal, self._part(ordinal))
        piece = self._held[1][skip : skip + len(into)]
        into[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
