"""Bytes on disk, sealed: segments of frames under a key per file. No database.

A segment is a file of frames; a frame is its length (4 bytes, big-endian), a random nonce of 12
bytes and AES-256-GCM of at most 64 KiB. The associated data names file, segment and place, so that
frames cannot be moved, and the size that the database knows shows when some are missing.
"""

import contextlib
import os
import secrets
import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from intake.vault import SealBroken

if TYPE_CHECKING:
    from services.runtime import Runtime

FRAME: Final = 64 * 1024
_NONCE: Final = 12


def root_of(runtime: "Runtime") -> Path:
    """The site's folder for sealed files (``INTAKE_FILES_DIR``); all processes share it."""
    return Path(getattr(runtime.settings, "files_dir", ".liandiao/files"))


def folder_of(root: Path, file_id: UUID) -> Path:
    """A file's own folder; two levels, so that no folder grows large."""
    text = str(file_id)
    return root / text[-2:] / text


class SegmentWriter:
    """Writes one segment; nothing of it counts before ``close`` and the database's word."""

    def __init__(self, root: Path, file_id: UUID, key: bytes, name: str) -> None:
        folder = folder_of(root, file_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.name = name
        self.path = folder / name
        self.size = 0
        self._context = f"{file_id}/{name}"
        self._cipher = AESGCM(key)
        self._rest = b""
        self._frames = 0
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")

    def write(self, data: bytes) -> None:
        """Take bytes; whole frames go to the file."""
        self.size += len(data)
        self._rest += data
        while len(self._rest) >= FRAME:
            frame, self._rest = self._rest[:FRAME], self._rest[FRAME:]
            self._frame(frame)

    def _frame(self, data: bytes) -> None:
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, data, f"{self._context}/{self._frames}".encode())
        self._file.write(struct.pack(">I", len(sealed)) + nonce + sealed)
        self._frames += 1

    def close(self) -> None:
        """Write what is left and bring it to the disk, folder entry included."""
        if self._rest:
            self._frame(self._rest)
            self._rest = b""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        """Give it up."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def new_name(kind: str) -> str:
    """A name nobody else writes to."""
    return f"{kind}-{secrets.token_hex(8)}"


def write_whole(root: Path, file_id: UUID, key: bytes, kind: str, data: bytes) -> str:
    """One segment from bytes in memory; answers its name."""
    writer = SegmentWriter(root, file_id, key, new_name(kind))
    try:
        for at in range(0, len(data), FRAME):
            writer.write(data[at : at + FRAME])
        writer.close()
    except BaseException:
        writer.discard()
        raise
    return writer.name


def read(
    root: Path, file_id: UUID, key: bytes, segments: Iterable[tuple[str, int]]
) -> Iterator[bytes]:
    """The plain bytes of segments (name, size) in order. Raises ``SealBroken``."""
    cipher = AESGCM(key)
    for name, size in segments:
        seen = 0
        for frame in _frames(folder_of(root, file_id) / name, cipher, f"{file_id}/{name}"):
            seen += len(frame)
            yield frame
        if seen != size:
            raise SealBroken("a sealed file is not as long as it was")


def _frames(path: Path, cipher: AESGCM, context: str) -> Iterator[bytes]:
    with path.open("rb") as file:
        place = 0
        while head := file.read(4):
            length = struct.unpack(">I", head)[0] if len(head) == 4 else 0
            nonce, sealed = file.read(_NONCE), file.read(min(length, FRAME + 16))
            try:
                yield cipher.decrypt(nonce, sealed, f"{context}/{place}".encode())
            except (InvalidTag, ValueError):
                raise SealBroken("a sealed frame does not open") from None
            place += 1


def remove(root: Path, file_id: UUID) -> None:
    """Take a file's folder away; a second call finds nothing."""
    shutil.rmtree(folder_of(root, file_id), ignore_errors=True)


def remove_others(root: Path, file_id: UUID, kept: Iterable[str]) -> None:
    """Take away segments that nobody counted: a part that was cut off, a check that died."""
    keep, folder = set(kept), folder_of(root, file_id)
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in keep:
                path.unlink(missing_ok=True)


def ids_in(root: Path, nook: int) -> Iterator[UUID]:
    """Every file that has a folder in one of the 256 nooks."""
    for path in root.glob(f"{nook % 256:02x}/*"):
        with contextlib.suppress(ValueError):
            yield UUID(path.name)
