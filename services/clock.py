"""Instants: how the product writes them, reads them and moves them in a test installation."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")


def wire(instant: datetime) -> str:
    """RFC 3339 in UTC with exactly three decimals and ``Z`` (contracts section 10)."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return f"{instant.isoformat(timespec='milliseconds')[:-6]}Z"


def read(text: str) -> datetime:
    """An aware instant from RFC 3339 text. Raises ``ValueError`` when the offset is missing."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs an offset")
    return instant.astimezone(UTC)


class Clock:
    """The time services go by: real time, plus an advance-only offset in a test installation."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """The current instant, aware, UTC."""
        return datetime.now(UTC) + self.offset

    def advance_to_offset(self, seconds: int) -> None:
        """Move forward to ``seconds`` of offset; a smaller value is ignored (advance only)."""
        self.offset = max(self.offset, timedelta(seconds=seconds))
