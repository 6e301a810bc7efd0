"""What the import endpoints show."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from intake.schemas import Instant

State = Literal["queued", "running", "done", "failed", "cancelled"]
RowOutcome = Literal["accepted", "repeated", "refused"]


class LayoutName(BaseModel):
    """A layout by name and version; ``own``: the connection's own, else of this release."""

    layout: str
    version: int
    format: str
    about: str
    own: bool


class LayoutView(LayoutName):
    """A layout whole."""

    definition: dict[str, Any]


class FaultView(BaseModel):
    """Why the file as a whole cannot be read on."""

    rule: str
    line: int | None
    message: str
    message_zh: str


class ImportView(BaseModel):
    """One reading of an export, and how far it has come.

    ``accepted`` in a dry run: what would be. ``warned`` are of the accepted ones. ``rows_read`` is
    the sum of accepted, repeated and refused. ``file_kept_until``: then file and refused rows are
    deleted, and their key with them.
    """

    import_id: UUID
    mode: Literal["dry_run", "run"]
    state: State
    layout: str | None
    layout_version: int | None
    fault: FaultView | None
    rows_read: int
    accepted: int
    warned: int
    repeated: int
    refused: int
    bytes_read: int
    bytes_total: int
    recorded_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    file_kept_until: Instant | None
    dry_run_id: UUID | None
    run_id: UUID | None


class ReasonView(BaseModel):
    """Column of the export, pointer of the referral, rule; never a value.

    ``message_zh`` of a reason that the layout itself gives is its one sentence.
    """

    level: Literal["warning", "refused"]
    column: str | None
    pointer: str | None
    rule: str
    message: str
    message_zh: str


class RowView(BaseModel):
    """What became of a row; ``row`` counts records from 1, ``line`` is the line of the file."""

    row: int
    line: int
    outcome: RowOutcome
    reference: str | None
    referral_id: UUID | None
    case_id: UUID | None
    case_number: str | None
    reasons: list[ReasonView]
