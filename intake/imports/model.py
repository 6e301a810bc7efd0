"""What an import is: its words and its figures. Pure."""

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

MEDIA_TYPES: Final = {
    "text/csv": "csv",
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/xml": "xml",
    "text/xml": "xml",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
ANY_FORMAT: Final = "application/octet-stream"
ENDED: Final = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class RowResult:
    """What became of a row."""

    row: int
    line: int
    outcome: str
    referral_id: UUID | None
    reasons: list[dict[str, Any]]
    mark: bytes | None = None
    content: bytes | None = None

    def reasons_text(self) -> str | None:
        """The reasons as JSON; None when there is none."""
        return json.dumps(self.reasons, ensure_ascii=False) if self.reasons else None

    @property
    def warned(self) -> bool:
        """Accepted, with a doubt."""
        return self.outcome == "accepted" and bool(self.reasons)
