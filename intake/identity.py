"""Identity numbers of people and bodies: folding, check characters, the dates inside them. Pure.

Resident id and residence permit: GB 11643 with ISO 7064 MOD 11-2 (K-01). Organisations: GB 32100
through ``stdnum`` (K-02). Travel permits, passports and the old card of foreign permanent residents
have no public check rule: their shape is looked at, an unusual one is kept with a doubt. A region
that nobody knows or that was abolished is never a reason to refuse, only to warn.
"""

import re
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from operator import mul
from typing import Final

from stdnum import numdb
from stdnum.cn import uscc
from stdnum.exceptions import ValidationError

_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"
_RESIDENT: Final = re.compile(r"[0-9]{17}[0-9X]\Z")
_FIRST_GENERATION: Final = re.compile(r"[0-9]{15}\Z")
# The first six digits of the permits of Hong Kong, Macao and Taiwan residents.
PERMIT_REGIONS: Final = frozenset({"810000", "820000", "830000"})
# Documents without a public check rule, and how their numbers look.
_SHAPES: Final = {
    "hk_macau_permit": re.compile(r"[HM]([0-9]{8}|[0-9]{10})\Z"),
    "taiwan_permit": re.compile(r"([0-9]{8}|[0-9]{10}([A-Z]|\([A-Z]\))?)\Z"),
    "passport": re.compile(r"[A-Z0-9]{5,17}\Z"),
    "foreign_permanent_resident": re.compile(r"([A-Z]{3}[0-9]{12}|9[0-9]{16}[0-9X])\Z"),
}
_YEARS: Final = re.compile(r"\[[0-9]{0,4}-([0-9]{0,4})\]")
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
        found = check_resident_id(number, today=today)
        permit = number[:6] in PERMIT_REGIONS
        if not found.fault and permit != (type_ == "residence_permit"):
            found = replace(found, doubts=(*found.doubts, "id_type_differs_from_number"))
        return found
    if type_ == "uscc":
        return check_uscc(number)
    if type_ in _SHAPES and not _SHAPES[type_].match(number):
        return Checked(doubts=("id_shape_unusual",))
    if type_ == "foreign_permanent_resident":
        return check_permanent_resident(number, today=today)
    return Checked()


def check_permanent_resident(number: str, *, today: date) -> Checked:
    """The card of 2023 has 18 digits built like a resident's; the former one no public rule.

    A check character or date that does not fit is a doubt: the rule was not read in its own text.
    """
    if len(number) != 18:
        return Checked()
    born = _day(number[6:14])
    if check_character(number[:17]) != number[17] or born is None or born > today:
        return Checked(doubts=("id_shape_unusual",))
    return Checked(birth_date=born, gender=_gender(number[16]))


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
    doubt = region_doubt(number[:6], born.year)
    return Checked(None, (doubt,) if doubt else (), born, _gender(number[16]))


def region_doubt(code: str, born: int) -> str | None:
    """What to say about the six digits of a division: unknown, abolished, or nothing (K-01, K-03).

    A number keeps the division it was given under, so most people from a county that was renamed
    since carry its old code; a doubt is only a division that was gone before the year of birth
    ``born``. By the table of GB/T 2260 in ``stdnum``, whose counties carry the years in which they
    were in force; a newer division is known to the directory, which the caller asks first.
    """
    if code in PERMIT_REGIONS:
        return None
    ended = _ended(code)
    if ended is None:
        return "id_region_unknown"
    return "id_region_abolished" if ended < born else None


@lru_cache(maxsize=4096)
def _ended(code: str) -> int | None:
    """The last year in which a division was in force, 9999 when it still is; None: not known."""
    counties = [part["county"] for _, part in numdb.get("cn/loc").info(code) if "county" in part]
    if not counties:
        return None
    years = [int(year or 9999) for year in _YEARS.findall(counties[0])]
    return max(years, default=9999)


def check_character(digits: str) -> str:
    """The 18th character for 17 digits (ISO 7064 MOD 11-2)."""
    if len(digits) != len(_WEIGHTS):
        raise ValueError("a check character is that of 17 digits")
    return _CHECKS[sum(map(mul, _WEIGHTS, map(int, digits))) % 11]


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
