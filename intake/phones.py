"""Telephone numbers as people write them: folded for reading, one form for equality. Pure.

Shapes of the national numbering plan (工业和信息化部《电信网编号计划》, 2017): mobile numbers of 11
digits, landlines with area code, 400/800 numbers, short public numbers; others with +country code
(ITU-T E.164). A number of no known shape is kept as sent, with a doubt: people must stay reachable.
"""

import re
from typing import Final

from intake.identity import fold_width

_EXTENSION: Final = re.compile(r"(?:转|分机|ext\.?|x|#|,)\s*([0-9]{1,6})\Z", re.IGNORECASE)
_FILLERS: Final = str.maketrans("", "", " -‐‑–—()./·\u00a0")
_MOBILE: Final = re.compile(r"1[3-9][0-9]{9}\Z")
_LANDLINE: Final = re.compile(r"0(10|2[0-9]|[3-9][0-9]{2})[2-8][0-9]{6,7}\Z")
_PUBLIC: Final = re.compile(r"((400|800)[0-9]{7}|1[0-9]{2,4}|9[0-9]{4,5})\Z")
_ABROAD: Final = re.compile(r"\+[1-9][0-9]{5,14}\Z")


def fold(text: str) -> str:
    """The number as it is shown and dialled: half-width, outer blanks gone."""
    return fold_width(text).strip()


def normal(text: str) -> str | None:
    """One form for equality, ``+86…`` or ``+country…`` with ``;ext=``; ``None``: no known shape."""
    number = fold(text)
    extension = _EXTENSION.search(number)
    if extension:
        number = number[: extension.start()]
    number = number.translate(_FILLERS)
    if number.startswith("00"):
        number = f"+{number[2:]}"
    if number.startswith("+86"):
        rest = number[3:]
        number = rest if _MOBILE.match(rest) else f"0{rest.removeprefix('0')}"
    if _ABROAD.match(number):
        found = number
    elif _MOBILE.match(number) or _PUBLIC.match(number):
        found = f"+86{number}"
    elif _LANDLINE.match(number):
        found = f"+86{number[1:]}"
    else:
        return None
    return f"{found};ext={extension[1]}" if extension else found
