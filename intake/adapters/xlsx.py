"""The rows of one sheet of a workbook (ECMA-376), by the standard library, within limits."""

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import BinaryIO, Final

from intake.adapters.rows import FileError, Value
from intake.adapters.xml_events import CHUNK_BYTES, feed

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_COLUMNS: Final = 1000
MAX_ENTRIES: Final = 1000
ERROR: Final = "\0error"
# What zipfile says of a file that is none, is cut off or lacks a part (KeyError), is encrypted
# (RuntimeError) or packed in a way it does not know (NotImplementedError): its documented ways.
_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, EOFError, OSError,
)  # fmt: skip
_CELL: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})\Z")


def sheet_rows(file: BinaryIO, sheet: str | None) -> Iterator[tuple[int, dict[int, Value]]]:
    """Row number and cells by column (from 0); the first sheet when ``sheet`` is None.

    A numeric cell is an int or a Decimal, a text stays a text: nobody turns one into the other. A
    cell with an error of the spreadsheet is ``ERROR``. Raises ``FileError``.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if len(archive.infolist()) > MAX_ENTRIES:
                raise FileError("file_too_large")
            yield from _rows(_Parts(archive), sheet)
    except _BROKEN:
        raise FileError("file_not_xlsx") from None


class _Parts:
    """The parts of the archive, read against one budget of unpacked bytes."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.left = MAX_BYTES

    def chunks(self, name: str) -> Iterator[bytes]:
        """One part, piece by piece; what its header says of its size is not believed."""
        with self.archive.open(name) as part:
            while chunk := part.read(CHUNK_BYTES):
                self.left -= len(chunk)
                if self.left < 0:
                    raise FileError("file_too_large")
                yield chunk

    def elements(self, name: str) -> list[tuple[str, dict[str, str]]]:
        """Every element of a small part with its attributes, in order."""
        found: list[tuple[str, dict[str, str]]] = []
        for _ in feed(
            self.chunks(name),
            lambda element, attributes, _: found.append((element, attributes)),
            lambda _: None,
            lambda _: None,
        ):
            pass
        return found


def _rows(parts: _Parts, sheet: str | None) -> Iterator[tuple[int, dict[int, Value]]]:
    texts = _shared_texts(parts) if "xl/sharedStrings.xml" in parts.archive.namelist() else []
    building = _Sheet(texts)
    path = _sheet_path(parts, sheet)
    for _ in feed(parts.chunks(path), building.start, building.end, building.text):
        yield from building.done
        building.done.clear()


def _sheet_path(parts: _Parts, sheet: str | None) -> str:
    workbook = parts.elements("xl/workbook.xml")
    for name, attributes in workbook:
        if name == "workbookPr" and attributes.get("date1904") in ("1", "true"):
            raise FileError("file_uses_1904_dates")
    for name, attributes in workbook:
        if name == "sheet" and sheet in (None, attributes.get("name")):
            wanted = attributes.get("id")
            for _, relation in parts.elements("xl/_rels/workbook.xml.rels"):
                if wanted and relation.get("Id") == wanted:
                    return posixpath.join("/xl", relation["Target"]).lstrip("/")
    raise FileError("file_not_xlsx")


def _shared_texts(parts: _Parts) -> list[str]:
    """The workbook's table of texts; phonetic hints are left out."""
    found: list[str] = []
    inside: list[str] = []
    pieces: list[str] = []

    def start(name: str, _: dict[str, str], __: int) -> None:
        inside.append(name)

    def end(name: str) -> None:
        inside.pop()
        if name == "si":
            found.append("".join(pieces))
            pieces.clear()

    def text(part: str) -> None:
        if inside and inside[-1] == "t" and "rPh" not in inside:
            pieces.append(part)

    for _ in feed(parts.chunks("xl/sharedStrings.xml"), start, end, text):
        pass
    return found


class _Sheet:
    """Builds the rows of a sheet from its elements."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.done: list[tuple[int, dict[int, Value]]] = []
        self.row = 0
        self.cells: dict[int, Value] = {}
        self.column = -1
        self.kind = ""
        self.parts: list[str] = []
        self.inside: list[str] = []

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        """A row, a cell, or what a cell holds begins."""
        self.inside.append(name)
        if name == "row":
            self.row = _whole(attributes.get("r"), self.row + 1)
            self.cells, self.column = {}, -1
        elif name == "c":
            match = _CELL.match(attributes.get("r", ""))
            self.column = _column(match.group(1)) if match else self.column + 1
            if self.column >= MAX_COLUMNS:
                raise FileError("file_too_large", line=line)
            self.kind, self.parts = attributes.get("t", "n"), []

    def text(self, part: str) -> None:
        """A piece of a value, or of a text; phonetic hints are left out."""
        if self.inside and self.inside[-1] in ("v", "t") and "rPh" not in self.inside:
            self.parts.append(part)

    def end(self, name: str) -> None:
        """A cell or a row is whole."""
        self.inside.pop()
        if name == "c":
            self.cells[self.column] = self._value("".join(self.parts))
        elif name == "row":
            self.done.append((self.row, self.cells))

    def _value(self, text: str) -> Value:
        if self.kind == "e":
            return ERROR
        if self.kind in ("inlineStr", "str", "d"):
            return text
        if not text:
            return None
        if self.kind == "b":
            return text == "1"
        if self.kind == "s":
            at = _whole(text, -1)
            return self.texts[at] if 0 <= at < len(self.texts) else ERROR
        try:
            return int(text) if text.isascii() and text.isdigit() else Decimal(text)
        except (InvalidOperation, ValueError):
            return ERROR


def _whole(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else otherwise


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
