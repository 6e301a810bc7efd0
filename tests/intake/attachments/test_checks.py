"""What a paper must pass before anybody sees it: type, container, scanner, pictures (line 1.19)."""

import asyncio
import io
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from PIL import Image

from intake.attachments.jobs import examine, pictures
from intake.attachments.kinds import NotAllowed, media_type
from intake.attachments.scanner import Clamd, ScannerUnreachable
from services.confined import ConfinedRefused
from services.documents import pdf
from services.errors import Transient
from tests.intake.attachments.handing_in import TEXT, a_photo, a_zip

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
DOCX = {"[Content_Types]__xml": b"<Types/>", "word/document__xml": b"<w:document/>"}


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("a.txt", TEXT, "text/plain"),
        ("a.csv", "甲,乙".encode("gb18030"), "text/plain"),
        ("a.JPG", a_photo(), "image/jpeg"),
        ("a.pdf", b"%PDF-1.7\n...", "application/pdf"),
        ("a.zip", a_zip(note__txt=TEXT), "application/zip"),
        (
            "a.docx",
            a_zip(**DOCX),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
    ],
)
def test_the_type_is_that_of_the_content(name: str, data: bytes, found: str) -> None:
    assert media_type(data, name) == found


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.exe", b"MZ", "type_not_allowed"),
        ("a", TEXT, "type_not_allowed"),
        ("a.html", b"<script>", "type_not_allowed"),
        ("a.svg", b"<svg/>", "type_not_allowed"),
        ("a.pdf", TEXT, "content_differs_from_name"),
        ("a.jpg", b"%PDF-1.7", "content_differs_from_name"),
        ("a.txt", b"MZ\0\0", "content_differs_from_name"),
        ("a.docx", a_zip(note__txt=TEXT), "content_differs_from_name"),
        ("a.docx", a_zip(**DOCX, **{"word/vbaProject__bin": b"x"}), "container_active"),
        ("a.zip", b"PK\x03\x04broken", "container_broken"),
        ("a.zip", a_zip(inner__zip=a_zip(note__txt=TEXT)), "container_type_not_allowed"),
        ("a.zip", a_zip(run__exe=b"MZ"), "container_type_not_allowed"),
        ("a.zip", a_zip(**{"../up__txt": TEXT}), "container_unsafe"),
        ("a.zip", a_zip(bomb__txt=b"0" * 10_000_000), "container_too_large"),
        ("a.zip", a_zip(fake__pdf=TEXT), "content_differs_from_name"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_reason(
    name: str, data: bytes, reason: str
) -> None:
    with pytest.raises(NotAllowed) as refused:
        media_type(data, name)

    assert refused.value.reason == reason


# -- the scanner


@asynccontextmanager
async def a_clamd(answer: bytes | None = None) -> AsyncIterator[str]:
    """Speaks INSTREAM as clamd(8) describes it; finds EICAR, or always says ``answer``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
        data = b""
        while length := struct.unpack(">I", await reader.readexactly(4))[0]:
            data += await reader.readexactly(length)
        told = b"stream: Eicar-Test FOUND" if EICAR in data else b"stream: OK"
        writer.write((answer or told) + b"\0")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_scanner_tells_harmful_from_clean() -> None:
    async with a_clamd() as address:
        assert await Clamd(address).is_clean(b"harmless" * 100_000)
        assert not await Clamd(address).is_clean(EICAR)
        found = await examine(EICAR, "a.txt", None, address)
        clean = await examine(TEXT, "a.txt", None, address)

    assert (found.state, found.reason, clean.state) == ("infected", "malware", "clean")


async def test_a_scanner_that_is_off_says_so_and_one_that_fails_keeps_the_paper_in_quarantine() -> (
    None
):
    assert (await examine(TEXT, "a.txt", None, "")).state == "unscanned"
    with pytest.raises(Transient):
        await examine(TEXT, "a.txt", None, "127.0.0.1:1")
    async with a_clamd(b"INSTREAM size limit exceeded. ERROR") as address:
        with pytest.raises(ScannerUnreachable):
            await Clamd(address).is_clean(TEXT)


async def test_a_paper_that_is_not_the_one_announced_is_refused() -> None:
    assert (await examine(TEXT, "a.txt", "0" * 64, "")).reason == "hash_differs"


# -- pictures


async def test_a_photo_is_handed_on_without_what_its_camera_wrote() -> None:
    """checklist 1.19: metadata stripped from photos."""
    photo = a_photo(2000)

    preview, copy = await pictures(photo, "image")

    assert b"CAMERA-CANARY" in photo
    for made in (preview, copy):
        assert b"CAMERA-CANARY" not in made
        assert not Image.open(io.BytesIO(made)).getexif()
    assert Image.open(io.BytesIO(copy)).size == (2000, 2000)
    assert max(Image.open(io.BytesIO(preview)).size) == 1200


def a_bomb() -> bytes:
    """A PNG of some bytes that claims 30,000 by 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("data", [a_bomb(), b"\x89PNG\r\n\x1a\nbroken", b"\xff\xd8\xff\xe0"])
async def test_a_picture_that_is_a_bomb_or_broken_is_not_opened(data: bytes) -> None:
    with pytest.raises(ConfinedRefused):
        await pictures(data, "image")


async def test_a_pdf_gets_a_picture_of_its_first_page() -> None:
    from datetime import UTC, datetime

    data: dict[str, Any] = {}
    paper = await pdf(
        "#set document(date: auto)\n页", data, made_at=datetime(2026, 1, 1, tzinfo=UTC)
    )

    preview, copy = await pictures(paper, "pdf")

    assert Image.open(io.BytesIO(preview)).height == 1200
    assert copy == b""
    with pytest.raises(ConfinedRefused):
        await pictures(b"%PDF-1.7 broken", "pdf")
