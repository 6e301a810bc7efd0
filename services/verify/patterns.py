"""How personal data looks: given canaries in every guise, residents' numbers, mobile phones."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, Final

# What may not stand before is looked at after the first digits: so the search can leap to them.
RESIDENT: Final = re.compile(rb"[1-9](?<![0-9A-Za-z].)[0-9]{16}[0-9Xx](?![0-9A-Za-z])", re.DOTALL)
# Sums of money in fen can have eleven digits too.
MOBILE: Final = re.compile(
    rb'1[3-9](?<![0-9A-Za-z.]..)(?<!_fen":..)(?<!_fen": ..)[0-9]{9}(?![0-9A-Za-z])', re.DOTALL
)
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"


def is_resident_number(text: str) -> bool:
    """Whether 18 characters are a resident's number: a day of birth and the check digit.

    Source: GB 11643, with ISO 7064 MOD 11-2.
    """
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _WEIGHTS, strict=True))
    return 1900 <= born.year <= 2100 and _CHECKS[total % 11] == text[17].upper()


def guises(canary: str) -> set[bytes]:
    """A value as UTF-8, in hexadecimal (a dumped bytea), and escaped in JSON, once and twice."""
    plain = canary.encode()
    escaped = json.dumps(canary)[1:-1].encode()
    return {plain, plain.hex().encode(), escaped, escaped.replace(b"\\", b"\\\\")}


class Canaries:
    """Many values, looked for at once."""

    def __init__(self, values: Iterable[str]) -> None:
        self._numbers: dict[bytes, int] = {}
        for number, value in enumerate(values, start=1):
            if value.strip():
                for guise in guises(value.strip()):
                    self._numbers.setdefault(guise, number)
        tree: dict[int, Any] = {}
        for guise in self._numbers:
            node = tree
            for byte in guise:
                node = node.setdefault(byte, {})
            node[-1] = True
        self._pattern = re.compile(_alternatives(tree), re.DOTALL) if self._numbers else None

    def __len__(self) -> int:
        return len(set(self._numbers.values()))

    def found(self, data: bytes) -> Iterator[tuple[int, int]]:
        """The number of each canary in these bytes, and where it stands."""
        if self._pattern is not None:
            for match in self._pattern.finditer(data):
                yield self._numbers[match.group()], match.start()


def _alternatives(node: dict[int, Any]) -> bytes:
    """A regular expression that shares beginnings, so that its size is that of the tree."""
    branches = []
    for byte, below in sorted(node.items()):
        if byte == -1:
            continue
        text = re.escape(bytes([byte]))
        while len(below) == 1 and -1 not in below:
            ((byte, below),) = below.items()
            text += re.escape(bytes([byte]))
        branches.append(text + (_alternatives(below) if below.keys() - {-1} else b""))
    optional = b"?" if -1 in node else b""
    return b"(?:" + b"|".join(branches) + b")" + optional
