"""One cell to one value, for each transformation of the closed list. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Final

from intake.adapters import layout as spec
from intake.adapters.places import DirectoryFolder
from intake.adapters.rows import Value
from intake.identity import fold_width
from services.clock import SHANGHAI

TITLE_LENGTH: Final = 200
_FIGURE: Final = re.compile(r"[0-9]([.,][0-9]+)?[Ee]\+?[0-9]{1,3}\Z")
_YUAN: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]+)?\Z")
_DIGITS: Final = re.compile(r"[0-9]+\Z")
_SECONDS: Final = range(10**9, 10**11)
_MILLISECONDS: Final = range(10**11, 4_102_444_800_000)
_LAST_SERIAL: Final = 2_958_465  # 9999-12-31
_BRACKETS: Final = str.maketrans("()", "（）")
_TOKENS: Final = ("YYYY", "MM", "DD", "HH", "mm", "ss")


class CellFault(ValueError):
    """The cell cannot be converted; ``rule`` says why. Never holds the value."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


@dataclass(frozen=True)
class Surroundings:
    """What a transformation may look at beside its cell, and where it leaves warnings."""

    directory: DirectoryFolder
    on: date
    warn: Callable[[str], None]


def clean(value: Value, column: spec.Column) -> tuple[Value, bool]:
    """A cell without guards and outer blanks, empty as None; whether brackets were folded."""
    if not isinstance(value, str):
        return value, False
    return cleaned(value, "strip_guard" in column.clean, "full_width_brackets" in column.clean)


def cleaned(text: str, guarded: bool, bracketed: bool) -> tuple[str | None, bool]:
    """A text without its guard and outer blanks; whether brackets were folded."""
    text = (text.removeprefix("\t") if guarded else text).strip(" \r\n\u3000")
    folded = text.translate(_BRACKETS) if bracketed else text
    return folded or None, folded != text


def is_figure(text: str) -> bool:
    """Whether a spreadsheet wrote a long number as a figure, as in 3.30681E+17."""
    return _FIGURE.match(fold_width(text)) is not None


def apply(by: spec.Transformation, value: Value, around: Surroundings) -> Any:
    """The converted value of a cell that is not empty. Raises ``CellFault``."""
    return _BY_KIND[by.kind](by, value, around)


def ready(by: spec.Transformation) -> Callable[[Value, Surroundings], Any]:
    """The transformation with its parameters, to be applied to many cells."""
    return partial(_BY_KIND[by.kind], by)


def looks_around(by: spec.Transformation) -> bool:
    """Whether it looks at more than its cell."""
    return by.kind in _LOOKING_AROUND


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise CellFault("not_a_text")
    return value


def _as_text(_: spec.Text, value: Value, __: Surroundings) -> str:
    return _text(value)


def _first_sentence(_: spec.FirstSentence, value: Value, __: Surroundings) -> str:
    first, stop, _rest = _text(value).partition("。")
    return " ".join((first + stop).split())[:TITLE_LENGTH]


def _list(by: spec.ListOf, value: Value, _: Surroundings) -> list[Any]:
    text = _text(value)
    parts = text.split(by.separator) if by.separator else [text]
    kept = [part.strip() for part in parts if part.strip()]
    return [{by.member: part} for part in kept] if by.member else kept


@lru_cache
def _places_of(form: str) -> tuple[tuple[int, int], ...]:
    """Where year, month, day, hour, minute and second stand in a text of the form."""
    found = ((form.find(token), len(token)) for token in _TOKENS)
    return tuple((at, at + length) for at, length in found if at >= 0)


@lru_cache
def _marks_of(form: str) -> tuple[tuple[int, str], ...]:
    """What stands between them."""
    taken = {at for start, end in _places_of(form) for at in range(start, end)}
    return tuple((at, char) for at, char in enumerate(form) if at not in taken)


@lru_cache(4096)
def _moment(text: str, form: str) -> datetime:
    """A text of exactly this form, in Asia/Shanghai."""
    if len(text) != len(form) or not text.isascii():
        raise CellFault("not_a_date")
    parts = [text[start:end] for start, end in _places_of(form)]
    if not "".join(parts).isdigit() or any(text[at] != mark for at, mark in _marks_of(form)):
        raise CellFault("not_a_date")
    try:
        return datetime(*map(int, parts), tzinfo=SHANGHAI)  # type: ignore[arg-type, misc]
    except ValueError:
        raise CellFault("not_a_date") from None


def _date(by: spec.Date | spec.Instant, value: Value, _: Surroundings) -> datetime:
    return _moment(_text(value), by.form)


def _epoch_ms(_: spec.EpochMs, value: Value, around: Surroundings) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool):
        raise CellFault("not_a_date")
    if value in _SECONDS:
        around.warn("epoch_in_seconds")
        value *= 1000
    if value not in _MILLISECONDS:
        raise CellFault("not_a_date")
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)).astimezone(SHANGHAI)


def _serial_day(by: spec.SerialDay, value: Value, around: Surroundings) -> datetime:
    """Day 1 is 1900-01-01 and day 60 the 29 February 1900 that never was."""
    if isinstance(value, str) and by.text_form:
        found = _moment(value, by.text_form)
        around.warn("date_is_text")
        return found
    if not isinstance(value, int) or isinstance(value, bool):
        raise CellFault("not_a_date")
    if not 1 <= value <= _LAST_SERIAL or value == 60:
        raise CellFault("not_a_date")
    before = date(1899, 12, 31) if value < 60 else date(1899, 12, 30)
    day = before + timedelta(days=value)
    return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)


def _yuan_to_fen(_: spec.YuanToFen, value: Value, __: Surroundings) -> int:
    if isinstance(value, Decimal) and (not value.is_finite() or abs(value.adjusted()) > 20):
        raise CellFault("amount_not_a_number")
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        value = f"{value:f}" if isinstance(value, Decimal) else str(value)
    if not isinstance(value, str) or not _YUAN.match(value):
        raise CellFault("amount_not_a_number")
    fen = Decimal(value) * 100
    if fen != int(fen):
        raise CellFault("amount_not_whole_fen")
    return int(fen)


def _count(by: spec.Count, value: Value, _: Surroundings) -> int:
    if isinstance(value, str) and _DIGITS.match(value) and len(value) < 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise CellFault("not_a_count")
    if by.at_most is not None and value > by.at_most:
        raise CellFault(by.beyond or "not_a_count")
    return value


def _flag(by: spec.Flag, value: Value, _: Surroundings) -> bool:
    if isinstance(value, bool):
        return value
    if value == by.true:
        return True
    if value == by.false:
        return False
    raise CellFault("code_unknown")


def _place_by_name(_: spec.PlaceByName, value: Value, around: Surroundings) -> str:
    codes = around.directory.by_name(_text(value), around.on)
    if len(codes) != 1:
        raise CellFault("place_ambiguous" if codes else "place_not_found")
    return codes[0]


def _place_filled_up(_: spec.PlaceFilledUp, value: Value, around: Surroundings) -> str:
    text = _text(value)
    code = text.ljust(12, "0")
    if len(text) not in (6, 9, 12) or around.directory.place(code) is None:
        raise CellFault("place_not_found")
    if len(text) == 6:
        around.warn("place_county_only")
    return code


def _place_cell(_: spec.PlaceCell, value: Value, around: Surroundings) -> str:
    code = _text(value)
    if len(code) != 15 or around.directory.place(code[:12]) is None:
        raise CellFault("place_not_found")
    if around.directory.place(code) is None:
        around.warn("grid_cell_unknown")
        return code[:12]
    return code


_BY_KIND: Final[dict[str, Callable[[Any, Value, Surroundings], Any]]] = {
    "text": _as_text,
    "first_sentence": _first_sentence,
    "list": _list,
    "date": _date,
    "instant": _date,
    "epoch_ms": _epoch_ms,
    "serial_day": _serial_day,
    "yuan_to_fen": _yuan_to_fen,
    "count": _count,
    "flag": _flag,
    "place_by_name": _place_by_name,
    "place_filled_up": _place_filled_up,
    "place_cell": _place_cell,
}
_LOOKING_AROUND: Final = frozenset(
    {"epoch_ms", "serial_day", "place_by_name", "place_filled_up", "place_cell"}
)
