"""The first rows of an export that nobody has described: its format, its heads, its records."""

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from intake import strict_json
from intake.adapters import xlsx
from intake.adapters.layout import Json, Layout, Ndjson, Xml
from intake.adapters.reading import rows
from intake.adapters.rows import FileError, Row
from intake.adapters.xml_events import CHUNK_BYTES, feed

ROWS: Final = 2000
HEAD_BYTES: Final = 4 * 1024 * 1024
TOTALS: Final = ("合计", "总计", "小计")


class Sample:
    """Format as a layout names it, columns in their order, and the rows that could be read."""

    def __init__(self, form: dict[str, Any], rows: list[Row]) -> None:
        self.form = form
        self.rows = rows
        self.columns: dict[str, list[Any]] = {}
        for row in rows:
            for name, value in row.cells.items():
                self.columns.setdefault(name, []).append(value)
            for name, items in row.lists.items():
                keys = [key for item in items for key in item if key]
                if not items or not keys:
                    self.columns.setdefault(name, [])
                for item in items:
                    for key, value in item.items():
                        if key:
                            self.columns.setdefault(f"{name}/{key}", []).append(value)
        for name in [n for n in self.columns if n.endswith("[]")]:
            if any(other.startswith(f"{name}/") for other in self.columns):
                del self.columns[name]


def sample(path: Path) -> Sample:
    """What the file is and its first rows. Raises ``FileError`` when it is none of the formats."""
    with path.open("rb") as file:
        start = file.read(4096)
        file.seek(0)
        if start.startswith(b"PK"):
            return _workbook(file)
        text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
        if text.startswith(b"<"):
            return _xml(file)
        if text.startswith(b"{"):
            return _objects(file)
        return _table(file)


def _table(file: BinaryIO) -> Sample:
    raw = file.read(HEAD_BYTES)
    if len(raw) == HEAD_BYTES:
        raw = raw[: raw.rfind(b"\n") + 1]
    encoding = "utf-8-sig" if raw.startswith(b"\xef\xbb\xbf") else "utf-8"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        encoding = "gb18030"
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            raise FileError("file_not_decodable") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    head = [cell.strip() for cell in next(reader, [])]
    if len(head) < 2 or len(set(head)) != len(head):
        raise FileError("head_missing", line=1)
    found = [
        Row(number, reader.line_num, dict(zip(head, cells, strict=True)))
        for number, cells in enumerate(itertools.islice(reader, ROWS), 1)
        if len(cells) == len(head)
    ]
    form: dict[str, Any] = {"kind": "csv", "encoding": encoding}
    if delimiter != ",":
        form["delimiter"] = delimiter
    return Sample(form, found)


def _workbook(file: BinaryIO) -> Sample:
    lines = list(itertools.islice(xlsx.sheet_rows(file, None), ROWS))
    widths = Counter(_filled(cells) for _, cells in lines)
    width = max((n for n in widths if n), default=0)
    line, names = _sheet_head(lines[:50], width)
    found = [
        Row(number, at, {name: cells.get(i) for i, name in enumerate(names)})
        for number, (at, cells) in enumerate(lines, 1)
        if at > line and _filled(cells)
    ]
    form: dict[str, Any] = {"kind": "xlsx", "head_row": line}
    last = found[-1].cells if found else {}
    for name, value in last.items():
        if isinstance(value, str) and value.strip() in TOTALS:
            form["total"] = {"column": name, "words": list(TOTALS)}
            found.pop()
            break
    return Sample(form, found)


def _sheet_head(lines: list[tuple[int, dict[int, Any]]], width: int) -> tuple[int, list[str]]:
    """The first line of nothing but different texts that is nearly as wide as most lines are."""
    for line, cells in lines:
        texts = [cells.get(column) for column in range(max(cells, default=-1) + 1)]
        names = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
        if len(names) == len(texts) == len(set(names)) and len(names) * 10 >= width * 8:
            return line, names
    raise FileError("head_missing")


def _filled(cells: dict[int, Any]) -> int:
    return sum(value not in (None, "") for value in cells.values())


def _objects(file: BinaryIO) -> Sample:
    """One object with a list of objects, or an object a line."""
    try:
        body = strict_json.parse(file.read(HEAD_BYTES), max_bytes=HEAD_BYTES)
    except strict_json.StrictJsonError:
        body = None
    lists = {
        key: value
        for key, value in (body.items() if isinstance(body, dict) else ())
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    }
    file.seek(0)
    if lists:
        records = max(lists, key=lambda key: len(lists[key]))
        form = {"kind": "json", "records": records}
        return Sample(form, _read(file, Json(kind="json", records=records)))
    return Sample({"kind": "ndjson"}, _read(file, Ndjson(kind="ndjson")))


def _xml(file: BinaryIO) -> Sample:
    """The root, the element that stands most often below it, and what repeats inside one."""
    path: list[str] = []
    below: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    repeated: set[str] = set()
    with_members: set[str] = set()

    def start(name: str, attributes: dict[str, str], line: int) -> None:
        path.append(name)
        if len(path) == 2:
            below[name] += 1
            inside.clear()
        elif len(path) == 3:
            inside[name] += 1
            if inside[name] > 1:
                repeated.add(name)
        elif len(path) == 4:
            with_members.add(path[2])

    root: list[str] = []

    def end(name: str) -> None:
        if len(path) == 1:
            root.append(name)
        path.pop()

    chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
    for _ in feed(chunks, start, end, lambda text: None):
        pass
    if not below:
        raise FileError("file_not_xml")
    records = below.most_common(1)[0][0]
    form: dict[str, Any] = {"kind": "xml", "root": root[0], "records": records}
    if repeated & with_members:
        form["lists"] = sorted(repeated & with_members)
    file.seek(0)
    return Sample(form, _read(file, Xml.model_validate(form)))


def _read(file: BinaryIO, form: Any) -> list[Row]:
    """The first rows that are whole."""
    layout = Layout.model_construct(None, **{"format": form, "columns": {}})
    found: Iterator[Row] = itertools.islice(rows(file, layout), ROWS)
    return [row for row in found if not row.fault]
