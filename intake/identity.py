"""Identity numbers of people and bodies: folding, check characters, the dates inside them. Pure.

Resident id: GB 11643 with ISO 7064 MOD 11-2. Organisations: GB 32100 through ``stdnum``. A region
that nobody knows is never a reason to refuse (districts are made and abolished), only to warn.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from stdnum.cn import uscc
from stdnum.exceptions import ValidationError

_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"
_RESIDENT: Final = re.compile(r"[0-9]{17}[0-9X]\Z")
_FIRST_GENERATION: Final = re.compile(r"[0-9]{15}\Z")
_PROVINCES: Final = frozenset(
    str(code)
    for codes in (
        range(11, 16),
        range(21, 24),
        range(31, 38),
        range(41, 47),
        range(50, 55),
        range(61, 66),
        (71, 81, 82, 83),
    )
    for code in codes
)
RESIDENT_TYPES: Final = frozenset({"resident_id", "residence_permit"})


@dataclass(frozen=True)
class Checked:
    """What a look at a number found: a fault (refused), doubts (warned), the dates inside it."""

    fault: str | None = None
    doubts: tuple[str, ...] = ()
    birth_date: date | None = None
    gender: str | None = None


def fold_width(text: str) -> str:
    """Full-width forms as half-width ones, the ideographic space as a space."""
    return text if text.isascii() else text.translate(_FULL_WIDTH)


def fold_number(number: str) -> str:
    """A document number as it is compared and stored: half-width, no blanks, capital letters."""
    return "".join(fold_width(number).split()).upper()


def check(type_: str, number: str, *, today: date) -> Checked:
    """Look at a folded number of this document type; types without a public rule pass."""
    if type_ in RESIDENT_TYPES:
        return check_resident_id(number, today=today)
    if type_ == "uscc":
        return check_uscc(number)
    return Checked()


def check_resident_id(number: str, *, today: date) -> Checked:
    """GB 11643: form, date, check character; a first-generation number is kept with a doubt."""
    if _FIRST_GENERATION.match(number):
        born = _day("19" + number[6:12])
        if born is None:
            return Checked(fault="id_date")
        return Checked(None, ("id_first_generation",), born, _gender(number[14]))
    if not _RESIDENT.match(number):
        return Checked(fault="id_format")
    if check_character(number[:17]) != number[17]:
        return Checked(fault="id_check_digit")
    born = _day(number[6:14])
    if born is None or born > today or born.year < 1850:
        return Checked(fault="id_date")
    doubts = () if number[:2] in _PROVINCES else ("id_region_unknown",)
    return Checked(None, doubts, born, _gender(number[16]))


def check_character(digits: str) -> str:
    """The 18th character for 17 digits (ISO 7064 MOD 11-2)."""
    return _CHECKS[sum(w * int(d) for w, d in zip(_WEIGHTS, digits, strict=True)) % 11]


def check_uscc(number: str) -> Checked:
    """GB 32100: 18 characters without I, O, S, V, Z and a check character."""
    try:
        uscc.validate(number)
    except ValidationError as error:
        short = type(error).__name__ in ("InvalidLength", "InvalidFormat")
        return Checked(fault="uscc_format" if short else "uscc_check_digit")
    except (KeyError, ValueError):
        return Checked(fault="uscc_format")
    return Checked()


def _day(digits: str) -> date | None:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None


def _gender(digit: str) -> str:
    return "male" if int(digit) % 2 else "female"
