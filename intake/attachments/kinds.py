"""What a file is by its content, never by its name alone; containers are looked into."""

import io
import zipfile
from pathlib import PurePosixPath
from typing import Any, Final

import puremagic

from intake.attachments.model import site


class NotAllowed(Exception):
    """The file is not taken; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_ACTIVE: Final = ("vbaproject.bin", "activex", "oleobject", "/embeddings/")
_PDF_HEAD: Final = b"%PDF-"
_MARKS: Final = {"docx": "word/document.xml", "xlsx": "xl/workbook.xml"}


def media_type(data: bytes, name: str) -> str:
    """The allowed type whose content this is. Raises ``NotAllowed``.

    The ending only chooses between types that look alike inside (zip and docx, text and csv); a
    file whose ending says another type than its content is refused.
    """
    ending = PurePosixPath(name.lower()).suffix
    wanted: str | None = next(
        (t for t, row in site()["types"].items() if ending in row["endings"]), None
    )
    if wanted is None:
        raise NotAllowed("type_not_allowed")
    kind = site()["types"][wanted]["kind"]
    if kind in ("zip", *_MARKS):
        _container(data, kind)
    elif kind == "text":
        _text(data)
    elif wanted not in _found(data):
        raise NotAllowed("content_differs_from_name")
    return wanted


def _found(data: bytes) -> set[str]:
    """Types that the content may be, by its magic numbers."""
    if data.startswith(_PDF_HEAD):
        return {"application/pdf"}
    try:
        matches = puremagic.magic_string(data[:65536])
    except puremagic.PureError:
        return set()
    alike = {"audio/x-wav": "audio/wav", "audio/mp3": "audio/mpeg", "audio/wave": "audio/wav"}
    found = {alike.get(match.mime_type, match.mime_type) for match in matches}
    if found & {"video/mp4", "audio/mp4", "video/quicktime", "audio/x-m4a"}:
        found.add("video/mp4")
    if data.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")):
        found.add("audio/mpeg")
    return found


def _text(data: bytes) -> None:
    if b"\0" in data:
        raise NotAllowed("content_differs_from_name")
    for encoding in ("utf-8", "gb18030"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return
    raise NotAllowed("content_differs_from_name")


def _container(data: bytes, kind: str) -> None:
    """Refuses bombs, encryption, ways out of the folder, macros and containers in containers."""
    limits = site()["container"]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > limits["entries"]:
                raise NotAllowed("container_too_large")
            unpacked = 0
            for entry in entries:
                unpacked += entry.file_size
                _entry(entry, limits)
                if unpacked > limits["unpacked_bytes"]:
                    raise NotAllowed("container_too_large")
            names = {entry.filename for entry in entries}
            if kind in _MARKS:
                if not {_MARKS[kind], "[Content_Types].xml"} <= names:
                    raise NotAllowed("content_differs_from_name")
            else:
                _contents(archive, [e for e in entries if not e.is_dir()])
    except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError):
        raise NotAllowed("container_broken") from None


def _entry(entry: zipfile.ZipInfo, limits: dict[str, Any]) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if entry.flag_bits & 1:
        raise NotAllowed("container_encrypted")
    if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
        raise NotAllowed("container_unsafe")
    if entry.file_size > limits["ratio"] * max(entry.compress_size, 1024):
        raise NotAllowed("container_too_large")
    if any(word in entry.filename.lower() for word in _ACTIVE):
        raise NotAllowed("container_active")


def _contents(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """A plain archive holds only what would be taken by itself, and no further archive."""
    for entry in entries:
        inner = media_type_of_entry(entry.filename)
        if inner in (None, "zip"):
            raise NotAllowed("container_type_not_allowed")
        with archive.open(entry) as file:
            data = file.read(site()["container"]["unpacked_bytes"] + 1)
        if len(data) > entry.file_size:
            raise NotAllowed("container_too_large")
        media_type(data, entry.filename)


def media_type_of_entry(name: str) -> str | None:
    """The kind that an ending stands for."""
    ending = PurePosixPath(name.lower()).suffix
    return next((row["kind"] for row in site()["types"].values() if ending in row["endings"]), None)
