"""Bytes become rows of named cells: CSV, one JSON object, NDJSON, XML, XLSX.

CSV, NDJSON and XML are read as a stream, a record at a time; one JSON object and a workbook's
table of texts are held in memory, within limits. What is wrong with one record is that row's fault;
``FileError`` is for the file as a whole. No error holds a value of the file.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from intake import strict_json
from intake.adapters import xlsx
from intake.adapters.layout import Csv, Json, Layout, Ndjson, Xlsx, Xml
from intake.adapters.rows import REASON, Cells, FileError, Row, Value
from intake.adapters.xml_events import CHUNK_BYTES, feed

MAX_RECORD: Final = 1024 * 1024
MAX_JSON_BYTES: Final = 64 * 1024 * 1024


def rows(file: BinaryIO, layout: Layout) -> Iterator[Row]:
    """The records of a file in order. Raises ``FileError`` when the file cannot be read on."""
    match layout.format:
        case Csv() as form:
            return _csv(file, layout, form)
        case Xlsx() as form:
            return _xlsx(file, layout, form)
        case Json() as form:
            return _json(file, form)
        case Ndjson():
            return _ndjson(file)
        case Xml() as form:
            return _xml(file, form)


# -- tables ---------------------------------------------------------------------------------------


def _csv(file: BinaryIO, layout: Layout, form: Csv) -> Iterator[Row]:
    text = io.TextIOWrapper(file, encoding=form.encoding, errors="strict", newline="")
    reader = csv.reader(_lines(text), delimiter=form.delimiter, strict=True)
    try:
        yield from _csv_rows(reader, layout)
    except UnicodeDecodeError:
        raise FileError("file_not_decodable") from None


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_RECORD):
        if len(line) >= MAX_RECORD:
            raise FileError("line_too_long")
        yield line


def _csv_rows(reader: Any, layout: Layout) -> Iterator[Row]:
    head: list[str] | None = None
    number = 0
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error:
            if head is None:
                raise FileError("head_missing", line=line) from None
            number += 1
            yield Row(number, line, fault="line_broken")
            continue
        if not cells:
            continue
        if head is None:
            head = _head(cells, layout, line)
            continue
        number += 1
        if len(cells) != len(head):
            yield Row(number, line, fault="cells_do_not_fit", raw=cells)
            continue
        named: Cells = dict(zip(head, cells, strict=True))
        named.pop(REASON, None)
        yield Row(number, line, named)
    if head is None:
        raise FileError("head_missing")


def _head(cells: list[str], layout: Layout, line: int) -> list[str]:
    """The heads. One that is missing, unknown or repeated means that this is another layout."""
    names = [cell.strip() for cell in cells]
    if len(set(names)) != len(names) or set(names) - {REASON} != layout.columns.keys() - {REASON}:
        raise FileError("head_differs", line=line)
    return names


def _xlsx(file: BinaryIO, layout: Layout, form: Xlsx) -> Iterator[Row]:
    head: list[str] | None = None
    number = 0
    for line, cells in xlsx.sheet_rows(file, form.sheet):
        if line < form.head_row:
            continue
        if head is None:
            if line != form.head_row:
                break
            texts = [cells.get(at) for at in range(max(cells, default=-1) + 1)]
            head = _head([str(text or "") for text in texts], layout, line)
            continue
        if all(value in (None, "") for value in cells.values()):
            continue
        number += 1
        if any(at >= len(head) and value not in (None, "") for at, value in cells.items()):
            texts = [cells.get(at) for at in range(max(cells) + 1)]
            yield Row(number, line, fault="cells_do_not_fit", raw=texts)
            continue
        named: Cells = {name: cells.get(at) for at, name in enumerate(head) if name != REASON}
        yield Row(number, line, named, fault="cell_error" if xlsx.ERROR in cells.values() else None)
    if head is None:
        raise FileError("head_missing")


# -- records --------------------------------------------------------------------------------------


def _json(file: BinaryIO, form: Json) -> Iterator[Row]:
    try:
        raw = file.read(MAX_JSON_BYTES + 1).removeprefix(codecs.BOM_UTF8)
        body = strict_json.parse(raw, max_bytes=MAX_JSON_BYTES)
    except strict_json.StrictJsonError as error:
        rule = {"body_too_large": "file_too_large", "not_utf8": "file_not_decodable"}
        raise FileError(rule.get(error.rule, "file_not_json")) from None
    records = body.get(form.records) if isinstance(body, dict) else None
    if not isinstance(records, list):
        raise FileError("file_not_json")
    for number, record in enumerate(records, 1):
        yield _record(number, number, record)


def _ndjson(file: BinaryIO) -> Iterator[Row]:
    number = line = 0
    while raw := file.readline(MAX_RECORD):
        line += 1
        if line == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if len(raw) >= MAX_RECORD:
            raise FileError("line_too_long", line=line)
        if not raw.strip():
            continue
        number += 1
        try:
            record = strict_json.parse(raw)
        except strict_json.StrictJsonError as error:
            if error.rule == "not_utf8":
                raise FileError("file_not_decodable", line=line) from None
            text = raw.decode("utf-8")
            cells = _record(number, line, _before_the_break(text)).cells
            yield Row(number, line, cells, fault="line_broken", raw=text.rstrip("\r\n"))
        else:
            yield _record(number, line, record)


def _before_the_break(text: str) -> dict[str, Any]:
    """The members of a cut-off object that are whole, so that its reference can be told."""
    found: dict[str, Any] = {}
    decoder = json.JSONDecoder()
    at = text.find("{") + 1
    try:
        while at:
            key, at = decoder.raw_decode(text, _after_blank(text, at))
            at = _after_blank(text, at)
            if not isinstance(key, str) or text[at] != ":":
                break
            value, at = decoder.raw_decode(text, _after_blank(text, at + 1))
            if text[at := _after_blank(text, at)] != ",":
                break
            found[key] = value
            at += 1
    except (ValueError, IndexError, RecursionError):
        pass
    return found


def _after_blank(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _record(number: int, line: int, record: Any) -> Row:
    """A JSON object as a row: nested members by path, lists of objects apart."""
    if not isinstance(record, dict):
        return Row(number, line, fault="line_broken", raw=record)
    record.pop(REASON, None)
    cells: Cells = {}
    lists: dict[str, list[Cells]] = {}
    waiting: list[tuple[str, dict[str, Any]]] = [("", record)]
    while waiting:
        path, members = waiting.pop()
        for key, value in members.items():
            if isinstance(value, dict):
                waiting.append((f"{path}{key}/", value))
            elif isinstance(value, list):
                lists[f"{path}{key}[]"] = [_item(item) for item in value]
            else:
                cells[f"{path}{key}"] = value
    return Row(number, line, cells, lists, raw=record)


def _item(item: Any) -> Cells:
    if not isinstance(item, dict):
        return {"": None}
    return {k: None if isinstance(v, dict | list) else v for k, v in item.items()}


def _xml(file: BinaryIO, form: Xml) -> Iterator[Row]:
    building = _XmlRecords(form)
    chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
    for _ in feed(chunks, building.start, building.end, building.text):
        yield from building.done
        building.done.clear()


class _XmlRecords:
    """Builds one row for each record element below the root."""

    def __init__(self, form: Xml) -> None:
        self.form = form
        self.done: list[Row] = []
        self.number = 0
        self.size = 0
        self.path: list[str] = []
        self.line = 0
        self.cells: Cells = {}
        self.lists: dict[str, list[Cells]] = {}
        self.fault: str | None = None
        self.parts: list[str] = []
        self.leaf = False

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        """An element begins."""
        self.path.append(name)
        if len(self.path) == 1 and name != self.form.root:
            raise FileError("file_not_xml", line=line)
        if len(self.path) == 2:
            self.line, self.size = line, 0
            self.cells, self.lists, self.fault = {}, {}, None
        if not self._inside():
            return
        self._grow(len(name) + sum(len(k) + len(v) for k, v in attributes.items()))
        if len(self.path) == 3 and name in self.form.lists:
            self.lists.setdefault(f"{name}[]", []).append({})
        self.parts, self.leaf = [], True
        for key, value in attributes.items():
            self._put([*self.path[2:], f"@{key}"], value)

    def text(self, part: str) -> None:
        """A piece of text."""
        if self._inside():
            self._grow(len(part))
            self.parts.append(part)

    def end(self, _name: str) -> None:
        """An element ends."""
        if self._inside():
            if self.leaf and len(self.path) > 2 and self.path[2:] != [REASON]:
                self._put(self.path[2:], "".join(self.parts))
            self.leaf = False
            if len(self.path) == 2:
                self.number += 1
                self.done.append(
                    Row(self.number, self.line, self.cells, self.lists, fault=self.fault)
                )
        self.path.pop()

    def _grow(self, characters: int) -> None:
        self.size += characters
        if self.size > MAX_RECORD:
            raise FileError("line_too_long", line=self.line)

    def _inside(self) -> bool:
        return len(self.path) >= 2 and self.path[1] == self.form.records

    def _put(self, steps: list[str], value: Value) -> None:
        cells = self.cells
        if steps[0] in self.form.lists:
            cells = self.lists[f"{steps[0]}[]"][-1]
            steps = steps[1:]
        name = "/".join(steps)
        if name in cells:
            self.fault = "element_repeated"
        cells[name] = value
