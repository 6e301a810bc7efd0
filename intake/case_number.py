"""Case numbers ``LD<year>-<county>-<serial>-<check>``, with ISO 7064 MOD 37,36. Pure.

Contracts section 4: year and county of registration, a serial that may have gaps, and a check
character that catches every single wrong character and every swap of neighbours.
"""

import re
from typing import Final

from intake.identity import fold_width

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NUMBER: Final = re.compile(r"(L[DMR])([0-9]{4})-?([0-9]{6})-?([0-9]{7})-?([0-9A-Z])\Z")
# LD a case, LM a matter that is no dispute, LR a refusal.
CASE, MATTER, REFUSAL = "LD", "LM", "LR"
_DASHES: Final = str.maketrans("", "", "\u2010\u2011\u2012\u2013\u2014\u2212 \t")


def case_number(year: int, county: str, serial: int, prefix: str = CASE) -> str:
    """The number of the ``serial``-th case of a county and year."""
    if not 0 < serial < 10_000_000 or not re.fullmatch(r"[0-9]{6}", county):
        raise ValueError("a serial has seven digits and a county six")
    body = f"{prefix}{year:04d}{county}{serial:07d}"
    return f"{prefix}{year:04d}-{county}-{serial:07d}-{check_character(body)}"


def check_character(body: str) -> str:
    """ISO 7064 MOD 37,36 over capital letters and digits."""
    product = 36
    for char in body:
        total = (product + _ALPHABET.index(char)) % 36 or 36
        product = total * 2 % 37
    return _ALPHABET[(37 - product) % 36]


def fold(text: str) -> str | None:
    """The canonical form of a number typed by hand (any case, width, hyphens), or None if wrong."""
    if len(text) > 64:
        return None
    match = _NUMBER.match(fold_width(text).translate(_DASHES).upper())
    if match is None:
        return None
    prefix, year, county, serial, check = match.groups()
    if check_character(f"{prefix}{year}{county}{serial}") != check:
        return None
    return f"{prefix}{year}-{county}-{serial}-{check}"
