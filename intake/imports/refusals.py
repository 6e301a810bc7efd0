"""Refused rows given back in the sender's own layout and encoding, with a column of reasons. Pure.

The file is made of pieces: one for each refused row, between a head and a tail. It can be mended
and sent again as it is: reading leaves the column of reasons out.
"""

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from intake.adapters import xlsx
from intake.adapters.layout import Csv, Json, Layout, Ndjson, Xlsx, Xml
from intake.adapters.rows import REASON, Cells, Row, Value

BROKEN: Final = "原文"
_NS: Final = "http://schemas.openxmlformats.org"
_WORKBOOK: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_NS}/package/2006/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/xl/workbook.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_NS}/package/2006/relationships"><Relationship '
    f'Id="rId1" Type="{_NS}/officeDocument/2006/relationships/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_NS}/package/2006/relationships">'
    f'<Relationship Id="rId1" Type="{_NS}/officeDocument/2006/relationships/worksheet" '
    'Target="worksheets/sheet1.xml"/></Relationships>',
}
MEDIA_TYPE: Final = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "xml": "application/xml",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class Refusals:
    """Makes the pieces of one layout's file of refused rows, and puts them together."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.form = layout.format
        self.names = [name for name in layout.columns if name != REASON]
        self.between = b",\n" if isinstance(self.form, Json) else b""

    def piece(self, refused: Iterable[tuple[Row, str]]) -> bytes:
        """Rows with why each is refused."""
        return self.between.join(self._row(row, why) for row, why in refused)

    def file(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The whole file, piece by piece; a workbook is packed and so held in memory."""
        if isinstance(self.form, Xlsx):
            yield _packed(self.form, self._parts(pieces))
        else:
            yield from self._parts(pieces)

    async def streamed(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The whole file from pieces that are still to be fetched."""
        if isinstance(self.form, Xlsx):
            for part in self.file([piece async for piece in pieces]):
                yield part
            return
        yield self._head()
        first = True
        async for piece in pieces:
            yield piece if first else self.between + piece
            first = False
        yield self._tail()

    def _parts(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        yield self._head()
        for number, piece in enumerate(pieces):
            yield self.between + piece if number else piece
        yield self._tail()

    def _head(self) -> bytes:
        match self.form:
            case Csv() as form:
                mark = "\ufeff" if form.encoding == "utf-8-sig" else ""
                return (mark + self._line([*self.names, REASON])).encode(self._encoding(form))
            case Json() as form:
                return f"{{{json.dumps(form.records, ensure_ascii=False)}: [\n".encode()
            case Xml() as form:
                return f'<?xml version="1.0" encoding="UTF-8"?>\n<{form.root}>\n'.encode()
            case Xlsx() as form:
                return _sheet_row([*self.names, REASON], number=form.head_row)
            case Ndjson():
                return b""

    def _tail(self) -> bytes:
        match self.form:
            case Json():
                return b"\n]}\n"
            case Xml() as form:
                return f"</{form.root}>\n".encode()
            case _:
                return b""

    def _row(self, row: Row, why: str) -> bytes:
        match self.form:
            case Csv() as form:
                return self._line([*self._cells(row), why]).encode(self._encoding(form))
            case Xlsx():
                return _sheet_row([*self._cells(row), why])
            case Xml() as form:
                return _element(form, row, why).encode()
            case Ndjson():
                return self._object(row, why) + b"\n"
            case Json():
                return self._object(row, why)

    def _cells(self, row: Row) -> list[Value]:
        """In the order of the head; of a row that does not fit, as far as there is room."""
        if row.cells:
            return [row.cells.get(name) for name in self.names]
        cells = list(row.raw or [])[: len(self.names)]
        return cells + [None] * (len(self.names) - len(cells))

    @staticmethod
    def _encoding(form: Csv) -> str:
        return "utf-8" if form.encoding == "utf-8-sig" else form.encoding

    def _line(self, cells: list[Any]) -> str:
        text = io.StringIO(newline="")
        delimiter = self.form.delimiter if isinstance(self.form, Csv) else ","
        csv.writer(text, delimiter=delimiter).writerow(cells)
        return text.getvalue()

    @staticmethod
    def _object(row: Row, why: str) -> bytes:
        record = dict(row.raw) if isinstance(row.raw, dict) else {BROKEN: row.raw}
        return json.dumps({**record, REASON: why}, ensure_ascii=False, default=str).encode()


def _element(form: Xml, row: Row, why: str) -> str:
    """The record's element again: attributes, members, lists."""
    return _tree(form.records, {**row.cells, REASON: why}, row.lists) + "\n"


def _tree(name: str, cells: Cells, lists: dict[str, list[Cells]]) -> str:
    attributes, text = "", ""
    below: dict[str, Cells] = {}
    for path, value in cells.items():
        step, _, rest = path.partition("/")
        if step.startswith("@"):
            attributes += f" {step[1:]}={quoteattr(str(value or ''))}"
        elif not step:
            text = escape(str(value or ""))
        else:
            below.setdefault(step, {})[rest] = value
    inside = text + "".join(_tree(step, members, {}) for step, members in below.items())
    for key, items in lists.items():
        inside += "".join(_tree(key.removesuffix("[]"), item, {}) for item in items)
    return f"<{name}{attributes}>{inside}</{name}>"


def _sheet_row(cells: list[Any], *, number: int | None = None) -> bytes:
    at = f' r="{number}"' if number else ""
    return f"<row{at}>{''.join(_sheet_cell(value) for value in cells)}</row>".encode()


def _sheet_cell(value: Any) -> str:
    if value is None or value == xlsx.ERROR:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | Decimal):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(str(value))}</t></is></c>'


def _packed(form: Xlsx, parts: Iterable[bytes]) -> bytes:
    """A workbook of one sheet (ECMA-376)."""
    packed = io.BytesIO()
    name = quoteattr(form.sheet or "Sheet1")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in _WORKBOOK.items():
            archive.writestr(path, text)
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_NS}/spreadsheetml/2006/main" '
            f'xmlns:r="{_NS}/officeDocument/2006/relationships"><sheets>'
            f'<sheet name={name} sheetId="1" r:id="rId1"/></sheets></workbook>',
        )
        with archive.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(f'<worksheet xmlns="{_NS}/spreadsheetml/2006/main"><sheetData>'.encode())
            for part in parts:
                sheet.write(part)
            sheet.write(b"</sheetData></worksheet>")
    return packed.getvalue()
