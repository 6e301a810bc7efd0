"""Which characters the font has, read from its ``cmap`` table (OpenType 1.9, format 12)."""

import struct
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

FONT: Final = Path(__file__).parent / "fonts" / "NotoSansSC-Regular.ttf"
_UNICODE_FULL: Final = 12


@lru_cache(1)
def ranges() -> tuple[list[int], list[int]]:
    """First and last code point of each run of characters that have a glyph."""
    data = FONT.read_bytes()
    tables = struct.unpack(">H", data[4:6])[0]
    entries = [struct.unpack(">4sIII", data[12 + 16 * i : 28 + 16 * i]) for i in range(tables)]
    start = next(offset for tag, _, offset, _ in entries if tag == b"cmap")
    count = struct.unpack(">H", data[start + 2 : start + 4])[0]
    for i in range(count):
        at = start + struct.unpack(">I", data[start + 8 + 8 * i : start + 12 + 8 * i])[0]
        if struct.unpack(">H", data[at : at + 2])[0] == _UNICODE_FULL:
            groups = struct.unpack(">I", data[at + 12 : at + 16])[0]
            runs = [
                struct.unpack(">II", data[at + 16 + 12 * n : at + 24 + 12 * n])
                for n in range(groups)
            ]
            return [first for first, _ in runs], [last for _, last in runs]
    raise ValueError("the font has no full Unicode table")


def shown(text: str) -> str:
    """The text; a character without a glyph as ``〓U+20BB7``, so that it is missed by nobody."""
    firsts, lasts = ranges()

    def one(char: str) -> str:
        at = bisect_right(firsts, ord(char)) - 1
        known = char in "\n\t" or (at >= 0 and ord(char) <= lasts[at])
        return char if known else f"〓U+{ord(char):04X}"

    return "".join(map(one, text))


def everywhere(value: Any) -> Any:
    """The same for every text in a JSON value."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list):
        return [everywhere(item) for item in value]
    if isinstance(value, dict):
        return {name: everywhere(item) for name, item in value.items()}
    return value
