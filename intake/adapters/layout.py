"""A layout: how one sender's export maps to the canonical referral, as data, checked strictly.

A layout names columns, tables and transformations of a closed list; it holds no expression and no
code. An unknown member, an undeclared column, a table whose entries set different members, a reason
without a sentence or a pointer that no referral has is a ``LayoutError``.
"""

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intake import types
from intake.validation import schema, subtypes

FOLDER: Final = Path(__file__).parents[1] / "data" / "layouts"
DETAIL: Final = "/type_details/"

Pointer = Annotated[str, Field(pattern=r"^(/[a-z0-9_]+)+$")]
Reason = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{2,59}$")]
Name = Annotated[str, Field(min_length=1)]


class LayoutError(ValueError):
    """The mapping cannot be used; the text says where. ``faults``: pointer and sentence of each."""

    def __init__(self, text: str, faults: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.faults = tuple(faults)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Total(_Strict):
    """A line that is a total, known by a word in one column."""

    column: Name
    words: tuple[Name, ...] = Field(min_length=1)


class _Format(_Strict):
    total: Total | None = None


class Csv(_Format):
    """A table of texts under one row of heads (RFC 4180)."""

    kind: Literal["csv"]
    encoding: Literal["utf-8", "utf-8-sig", "gb18030"]
    delimiter: Literal[",", ";", "\t"] = ","


class Json(_Format):
    """One object with a list of records."""

    kind: Literal["json"]
    records: Name


class Ndjson(_Format):
    """One object a line."""

    kind: Literal["ndjson"]


class Xml(_Format):
    """Elements of one name below the root; ``lists`` names what may stand several times in one."""

    kind: Literal["xml"]
    root: Name
    records: Name
    lists: tuple[Name, ...] = ()


class Xlsx(_Format):
    """One sheet, the first when none is named; what stands above ``head_row`` is not read."""

    kind: Literal["xlsx"]
    sheet: Name | None = None
    head_row: int = Field(1, ge=1, le=100)


Format = Annotated[Csv | Json | Ndjson | Xml | Xlsx, Field(discriminator="kind")]


class Column(_Strict):
    """A column of the export; ``kept`` false says that it is known and left out on purpose."""

    kept: bool = True
    clean: tuple[Literal["strip_guard", "full_width_brackets"], ...] = ()
    split: Name | None = None
    shared: bool = False


# -- transformations of one cell ------------------------------------------------------------------


class Text(_Strict):
    """The text as it stands."""

    kind: Literal["text"] = Field(alias="as")


class FirstSentence(_Strict):
    """The text up to its first 。, 200 characters at most."""

    kind: Literal["first_sentence"] = Field(alias="as")


class ListOf(_Strict):
    """A list: the parts between separators, or the one text; each wrapped when ``member`` is."""

    kind: Literal["list"] = Field(alias="as")
    separator: Name | None = None
    member: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] | None = None


class Date(_Strict):
    """A day; as an instant it is its 00:00:00 in Asia/Shanghai."""

    kind: Literal["date"] = Field(alias="as")
    form: Literal["YYYY-MM-DD", "YYYY/MM/DD", "YYYY.MM.DD", "YYYYMMDD"]


class Instant(_Strict):
    """A day and a time in Asia/Shanghai."""

    kind: Literal["instant"] = Field(alias="as")
    form: Literal["YYYY-MM-DD HH:mm:ss", "YYYY/MM/DD HH:mm:ss"]


class EpochMs(_Strict):
    """Milliseconds since 1970; seconds are read as seconds, with a warning."""

    kind: Literal["epoch_ms"] = Field(alias="as")


class SerialDay(_Strict):
    """A spreadsheet's day number with the 1900 leap-year error; a text of this form is warned."""

    kind: Literal["serial_day"] = Field(alias="as")
    text_form: Literal["YYYY-MM-DD", "YYYY/MM/DD", "YYYY.MM.DD", "YYYYMMDD"] | None = None


class YuanToFen(_Strict):
    """A decimal number of yuan as whole fen."""

    kind: Literal["yuan_to_fen"] = Field(alias="as")


class Count(_Strict):
    """A whole number from 0; beyond ``at_most`` the row is refused for ``beyond``."""

    kind: Literal["count"] = Field(alias="as")
    at_most: int | None = Field(None, ge=0)
    beyond: Reason | None = None


class Flag(_Strict):
    """Two words as true and false; in JSON also true and false themselves."""

    kind: Literal["flag"] = Field(alias="as")
    true: Name
    false: Name


class PlaceByName(_Strict):
    """An address or name, resolved in the division tree as deep as it goes; county at least."""

    kind: Literal["place_by_name"] = Field(alias="as")


class PlaceFilledUp(_Strict):
    """A division code of 6, 9 or 12 digits, filled up with zeros; 6 digits are warned."""

    kind: Literal["place_filled_up"] = Field(alias="as")


class PlaceCell(_Strict):
    """A village code and three digits of a grid cell; an unknown cell becomes its village."""

    kind: Literal["place_cell"] = Field(alias="as")


Transformation = Annotated[
    Text
    | FirstSentence
    | ListOf
    | Date
    | Instant
    | EpochMs
    | SerialDay
    | YuanToFen
    | Count
    | Flag
    | PlaceByName
    | PlaceFilledUp
    | PlaceCell,
    Field(discriminator="kind"),
]


class Mapping(_Strict):
    """One column to one or more members. An empty cell is null, save where ``required``."""

    column: Name
    to: tuple[Pointer, ...] = Field(min_length=1)
    by: Transformation = Field(Text(**{"as": "text"}))
    required: bool = False
    warn_when_present: Reason | None = None


# -- code tables ----------------------------------------------------------------------------------


class Entry(_Strict):
    """What one code means: members it sets, a warning, a refusal, or no referral at all."""

    set: dict[Pointer, Any] = {}
    warn: Reason | None = None
    refuse: Reason | None = None
    no_referral: Reason | None = None


class Codes(_Strict):
    """The table of one column. A code outside it is refused; ``empty`` says what no code means."""

    column: Name
    entries: dict[Name, Entry] = Field(min_length=1)
    empty: Entry | None = None


class Coded(_Strict):
    """One value by code; an empty cell is null."""

    column: Name
    values: dict[Name, Name] = Field(min_length=1)


# -- parties --------------------------------------------------------------------------------------


class Representative(_Strict):
    """Who speaks for a party, and with what authority."""

    name: Name
    relation: Literal["other", "lawyer", "legal_worker", "staff", "legal_representative"]
    authority: Literal["special", "general", "statutory"] | Coded


class Party(_Strict):
    """The parties of one role: their columns, or with ``each`` the members of a list."""

    role: Literal["applicant", "respondent", "third_party"]
    each: Name | None = None
    at: int | None = Field(None, ge=0)
    name: Name
    kind: Literal["by_id", "by_name", "person", "organisation"]
    id: Name | None = None
    id_type: Coded | None = None
    phone: Name | None = None
    address: Name | None = None
    gender: Coded | None = None
    consent: Literal["given", "unknown"] | Coded = "unknown"
    representative: Representative | None = None
    warn_when_absent: Reason | None = None
    warn_when_present: Reason | None = None
    anonymous_names: tuple[Name, ...] = ()
    anonymous_without_phone: Reason | None = None


class Layout(_Strict):
    """One sender's layout."""

    layout: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{2,59}$")]
    version: int = Field(ge=1)
    about: Name
    source: Name
    format: Format
    columns: dict[Name, Column] = Field(min_length=1)
    constants: dict[Pointer, Any] = {}
    mappings: tuple[Mapping, ...]
    codes: tuple[Codes, ...] = ()
    parties: tuple[Party, ...] = Field(min_length=1)
    organisation_words: tuple[Name, ...] = ()
    reasons: dict[Reason, Name] = {}

    def text(self) -> str:
        """The mapping file again, in its order, without what need not be said."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True)

    def reference_column(self) -> str:
        """The column that holds the sender's own number."""
        return next(each.column for each in self.mappings if "/source/reference" in each.to)


def read_layout(path: Path) -> Layout:
    """A mapping file. Raises ``LayoutError`` saying what is wrong with it, and where."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise LayoutError(f"{path.name} cannot be read") from None
    except ValueError:
        raise LayoutError(f"{path.name} is not JSON in UTF-8") from None
    try:
        return checked(raw)
    except LayoutError as error:
        raise LayoutError(f"{path.name}: {error}", error.faults) from None


def checked(raw: Any) -> Layout:
    """A mapping. Raises ``LayoutError`` with everything that is wrong."""
    try:
        layout = Layout.model_validate(raw)
    except ValidationError as error:
        faults = [("/".join(("", *map(str, e["loc"]))), e["msg"]) for e in error.errors()]
        told = "; ".join(f"{pointer[1:]}: {said}" for pointer, said in faults)
        raise LayoutError(told, faults) from None
    if wrongs := list(_wrongs(layout)):
        raise LayoutError("; ".join(wrongs), [("", wrong) for wrong in wrongs])
    return layout


@lru_cache(1)
def shipped() -> dict[str, Layout]:
    """The layouts that come with this release, by name."""
    found = [read_layout(path) for path in sorted(FOLDER.glob("*.json"))]
    return {layout.layout: layout for layout in found}


# -- what a schema cannot say ---------------------------------------------------------------------


def _wrongs(layout: Layout) -> Iterator[str]:
    used = list(_used_columns(layout))
    for name in dict.fromkeys(used):
        if name not in layout.columns:
            yield f"列 {name} 未声明。/ column {name} is not declared"
        elif not layout.columns[name].kept:
            yield f"列 {name} 声明为不取，却被使用。/ column {name} is used although it is not kept"
    for name, column in layout.columns.items():
        if column.kept and name not in used:
            yield (
                f"列 {name} 已声明而未使用，请写明 kept: false。"
                f"/ column {name} is declared and nowhere used; say kept: false"
            )
    yield from _wrong_tables(layout)
    yield from _wrong_reasons(layout)
    yield from _wrong_pointers(layout)
    yield from _wrong_details(layout)
    if not any("/source/reference" in each.to for each in layout.mappings):
        yield "没有列给出 /source/reference。/ no column gives /source/reference"
    for mapping in layout.mappings:
        by = mapping.by
        if isinstance(by, Count) and (by.at_most is None) != (by.beyond is None):
            yield (
                f"列 {mapping.column} 的 at_most 与 beyond 须同时写明。"
                f"/ column {mapping.column}: at_most and beyond go together"
            )


def _used_columns(layout: Layout) -> Iterator[str]:
    if layout.format.total:
        yield layout.format.total.column
    for mapping in layout.mappings:
        yield mapping.column
    for table in layout.codes:
        yield table.column
    for party in layout.parties:
        prefix = f"{party.each}/" if party.each else ""
        for name in party_columns(party):
            yield prefix + name
        if isinstance(party.consent, Coded):
            yield party.consent.column


def party_columns(party: Party) -> Iterator[str]:
    """The columns of a party, without the list they stand in."""
    yield party.name
    yield from (name for name in (party.id, party.phone, party.address) if name)
    yield from (coded.column for coded in (party.id_type, party.gender) if coded)
    if party.representative:
        yield party.representative.name
        if isinstance(party.representative.authority, Coded):
            yield party.representative.authority.column


def _entries(table: Codes) -> list[Entry]:
    return [*table.entries.values(), *([table.empty] if table.empty else [])]


def _wrong_tables(layout: Layout) -> Iterator[str]:
    """A table is complete when every code that gives a referral sets the same members; a detail of
    the type that a code says nothing of is not known, and left out."""
    for table in layout.codes:
        members = {
            frozenset(pointer for pointer in entry.set if not pointer.startswith(DETAIL))
            for entry in _entries(table)
            if entry.no_referral is None
        }
        if len(members) > 1:
            yield (
                f"列 {table.column} 的各代码所设的项不一致。"
                f"/ the codes of {table.column} do not all set the same members"
            )
        for code, entry in table.entries.items():
            subtype = entry.set.get("/dispute_subtype")
            if subtype and subtypes().get(subtype) != entry.set.get("/dispute_type"):
                yield (
                    f"列 {table.column} 的代码 {code}：细类不属于该类型。"
                    f"/ code {code} of {table.column}: the subtype is not one of the type"
                )


def _used_reasons(layout: Layout) -> Iterator[str | None]:
    for table in layout.codes:
        for entry in _entries(table):
            yield from (entry.warn, entry.refuse, entry.no_referral)
    for mapping in layout.mappings:
        yield mapping.warn_when_present
        if isinstance(mapping.by, Count):
            yield mapping.by.beyond
    for party in layout.parties:
        yield from (party.warn_when_absent, party.warn_when_present, party.anonymous_without_phone)


def _wrong_reasons(layout: Layout) -> Iterator[str]:
    used = {reason for reason in _used_reasons(layout) if reason}
    for reason in sorted(used - layout.reasons.keys()):
        yield f"理由 {reason} 没有说明。/ reason {reason} has no sentence"
    for reason in sorted(layout.reasons.keys() - used):
        yield f"理由 {reason} 未使用。/ reason {reason} is nowhere used"


def _wrong_pointers(layout: Layout) -> Iterator[str]:
    """Members that no referral has, and values outside a member's closed list."""
    values: list[tuple[str, Any]] = [*layout.constants.items()]
    for table in layout.codes:
        for entry in _entries(table):
            values += entry.set.items()
    mapped = [pointer for mapping in layout.mappings for pointer in mapping.to]
    for pointer in dict.fromkeys([*(pointer for pointer, _ in values), *mapped]):
        if _member(pointer) is None:
            yield f"来件没有 {pointer} 这一项。/ a referral has no member {pointer}"
    for pointer, value in values:
        closed = (_member(pointer) or {}).get("enum")
        if closed is not None and value not in closed:
            yield f"{pointer} 的值不在规定范围内。/ a value of {pointer} is not in its closed list"


# -- details of a dispute type ---------------------------------------------------------------------

# What each transformation gives, as a type of JSON Schema; left out: a moment, told by its member.
_GIVES: Final = {"list": "array", "yuan_to_fen": "integer", "count": "integer", "flag": "boolean"}
_MOMENTS: Final = ("date", "instant", "epoch_ms", "serial_day")


def _wrong_details(layout: Layout) -> Iterator[str]:
    """Details that no type of this layout has, and values and transformations that none of them
    takes, in any version of the tree; what only a row can tell is checked for each row."""
    kinds = _types_of(layout)
    values = [(pointer, value, kinds) for pointer, value in layout.constants.items()]
    for table in layout.codes:
        for entry in _entries(table):
            own = entry.set.get("/dispute_type")
            of = frozenset({own}) if isinstance(own, str) else kinds
            values += [(pointer, value, of) for pointer, value in entry.set.items()]
    for pointer, value, of in values:
        if _is_detail(pointer):
            schemas = types.detail_schemas(pointer.removeprefix(DETAIL), of)
            if not schemas:
                yield _no_detail(pointer)
            elif not any(types.fits(value, each) for each in schemas):
                yield f"值不符合纠纷类型的格式。/ A value of {pointer} breaks its type's schema"
    for mapping in layout.mappings:
        for pointer in filter(_is_detail, mapping.to):
            schemas = types.detail_schemas(pointer.removeprefix(DETAIL), kinds)
            if not schemas:
                yield _no_detail(pointer)
            elif not any(_may_give(mapping.by, pointer, each) for each in schemas):
                yield (
                    f"列 {mapping.column} 的转换得不出 {pointer} 所要的类型。/ column"
                    f" {mapping.column}: {mapping.by.kind} never gives what {pointer} takes"
                )


def _types_of(layout: Layout) -> frozenset[str] | None:
    """The dispute types that its rows can have; None when only the rows tell."""
    if any("/dispute_type" in mapping.to for mapping in layout.mappings):
        return None
    found = [layout.constants.get("/dispute_type")]
    found += [e.set.get("/dispute_type") for table in layout.codes for e in _entries(table)]
    return frozenset(each for each in found if isinstance(each, str)) or None


def _may_give(by: Transformation, pointer: str, detail: dict[str, Any]) -> bool:
    """Whether the transformation can give a value of this schema."""
    if by.kind in _MOMENTS:
        gives = "date" if pointer.endswith("_on") else "date-time"
        return bool(detail.get("type") == "string" and detail.get("format", gives) == gives)
    gives = _GIVES.get(by.kind, "string")
    if "enum" in detail:
        return gives == "string" and any(isinstance(each, str) for each in detail["enum"])
    return bool(detail.get("type", gives) == gives)


def _is_detail(pointer: str) -> bool:
    return pointer.startswith(DETAIL)


def _no_detail(pointer: str) -> str:
    return f"没有哪类纠纷有这一项。/ No dispute type of this layout has the detail {pointer}"


def _member(pointer: str) -> dict[str, Any] | None:
    """The schema of a member; directly below ``legal_context`` any name is the lane's own, and
    details of a type are looked at by ``_wrong_details``."""
    steps = pointer.split("/")[1:]
    if _is_detail(pointer) and len(steps) == 2:
        return {}
    node: dict[str, Any] = schema()
    for step in steps:
        if "$ref" in node:
            node = schema()["$defs"][node["$ref"].removeprefix("#/$defs/")]
        if "items" in node and step.isdigit():
            node = node["items"]
        elif step in node.get("properties", {}):
            node = node["properties"][step]
        else:
            return {} if steps[0] == "legal_context" and len(steps) == 2 else None
    return node
