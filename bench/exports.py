"""A court's export of any size, with people nobody shares."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from bench.referrals import identity

SAMPLE = "samples/native/court_pre_export.csv"
AT_ONCE = 1000


def court_export(root: Path, start: int, count: int) -> Iterator[bytes]:
    """The head, then so many rows that are all in order, a third with a lawyer, in pieces."""
    text = (root / SAMPLE).read_text("utf-8-sig")
    head, first = list(csv.reader(io.StringIO(text)))[:2]
    pattern = dict(zip(head, first, strict=True))
    yield ("\ufeff" + _line(head)).encode()
    for begin in range(start, start + count, AT_ONCE):
        lines = []
        for number in range(begin, min(begin + AT_ONCE, start + count)):
            row = pattern | {
                "案号": f"（2026）浙0681民诉前调{number}号",
                "原告证件号码": identity(number * 2)[0],
                "被告证件号码": identity(number * 2 + 1)[0],
            }
            if number % 3 == 0:
                row |= {"委托代理人": "样律", "代理权限": "特别授权"}
            lines.append(_line([row[name] for name in head]))
        yield "".join(lines).encode()


def _line(cells: list[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue()
