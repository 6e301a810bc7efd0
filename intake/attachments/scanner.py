"""Malware scan by interface: ClamAV's clamd, or none, which says so.

INSTREAM of clamd(8): ``zINSTREAM\\0``, chunks with a 4-byte big-endian length, a chunk of length 0,
one answer: ``stream: OK``, ``stream: NAME FOUND``, or an error.
"""

import asyncio
import struct
from typing import Final, Protocol

CHUNK: Final = 256 * 1024
SECONDS: Final = 60


class ScannerUnreachable(Exception):
    """The scanner did not answer as it should: what was to be scanned stays in quarantine."""


class Scanner(Protocol):
    """Tells whether bytes are known to be harmful."""

    async def is_clean(self, data: bytes) -> bool:
        """False when something was found. Raises ``ScannerUnreachable``."""


class Clamd:
    """A clamd at ``host:port``, or behind the path of its socket."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def is_clean(self, data: bytes) -> bool:
        """Send everything, read one answer."""
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._ask(data)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise ScannerUnreachable from error
        if answer.endswith(b"OK"):
            return True
        if answer.endswith(b"FOUND"):
            return False
        raise ScannerUnreachable

    async def _ask(self, data: bytes) -> bytes:
        if self.address.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(self.address)
        else:
            host, _, port = self.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(b"zINSTREAM\0")
            for at in range(0, len(data), CHUNK):
                chunk = data[at : at + CHUNK]
                writer.write(struct.pack(">I", len(chunk)) + chunk)
                await writer.drain()
            writer.write(struct.pack(">I", 0))
            await writer.drain()
            return (await reader.readuntil(b"\0")).rstrip(b"\0").strip()
        finally:
            writer.close()


def scanner_of(address: str) -> Scanner | None:
    """The site's scanner, or None when it has none."""
    return Clamd(address) if address else None
