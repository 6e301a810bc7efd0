"""A sender's list of its referrals: CSV or NDJSON, a line each. Pure."""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake.validation import normal_reference
from services.clock import SHANGHAI

KINDS: Final = (
    "unknown_here", "unknown_there", "other_state", "other_place", "other_content", "listed_twice",
    "line_broken",
)  # fmt: skip
HEADS: Final = {
    "reference": "reference", "编号": "reference", "state": "state", "状态": "state",
    "place": "place", "区划": "place", "content_hash": "content_hash", "内容哈希": "content_hash",
}  # fmt: skip
_STATES: Final = {"open": "open", "closed": "closed", "在办": "open", "办结": "closed"}
_PLACE: Final = re.compile(r"[0-9]{12}([0-9]{3})?\Z")
_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")


NIGHTLY: Final = Path(__file__).parents[1] / "data" / "reconciliation.json"


@lru_cache(1)
def nightly_hour() -> int:
    """The hour in Asia/Shanghai at which dropped lists are compared again."""
    found: int = json.loads(NIGHTLY.read_text(encoding="utf-8"))["nightly"]["hour"]
    return found


def night(now: datetime) -> datetime:
    """The last nightly comparison that was due at this instant."""
    local = now.astimezone(SHANGHAI)
    due = local.replace(hour=nightly_hour(), minute=0, second=0, microsecond=0)
    return due if due <= local else due - timedelta(days=1)


class ListError(ValueError):
    """The list as a whole cannot be read; ``rule`` says why."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


@dataclass(frozen=True)
class Listed:
    """A line of the list; without a reference it could not be read."""

    line: int
    reference: str | None
    state: str | None = None
    place: str | None = None
    content_hash: str | None = None

    @property
    def normal(self) -> str | None:
        """The reference as it is compared."""
        return normal_reference(self.reference) if self.reference else None


def listed(lines: Iterable[str], kind: str) -> Iterator[Listed]:
    """The lines of a list. Raises ``ListError`` for heads that name no reference."""
    return _of_csv(lines) if kind == "csv" else _of_ndjson(lines)


def _of_csv(lines: Iterable[str]) -> Iterator[Listed]:
    reader = csv.reader(lines)
    head = [HEADS.get(cell.strip()) for cell in next(reader, [])]
    if "reference" not in head:
        raise ListError("head_differs")
    for cells in reader:
        if cells:
            named = {name: cell for name, cell in zip(head, cells, strict=False) if name}
            yield _line(reader.line_num, named)


def _of_ndjson(lines: Iterable[str]) -> Iterator[Listed]:
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except ValueError:
            record = None
        found = record if isinstance(record, dict) else {}
        yield _line(number, {HEADS[name]: found[name] for name in found if name in HEADS})


def _line(number: int, found: dict[str, Any]) -> Listed:
    """Broken as a whole when one member is: a wrong comparison is worse than none."""
    cells = {k: v.strip() for k, v in found.items() if isinstance(v, str) and v.strip()}
    reference, state = cells.get("reference", ""), cells.get("state")
    place, hashed = cells.get("place"), cells.get("content_hash")
    broken = (
        any(v is not None and not isinstance(v, str) for v in found.values())
        or not normal_reference(reference)
        or len(reference) > 100
        or (state is not None and state not in _STATES)
        or (place is not None and not _PLACE.match(place))
        or (hashed is not None and not _HASH.match(hashed))
    )
    if broken:
        return Listed(number, None)
    return Listed(number, reference, state and _STATES[state], place, hashed)
