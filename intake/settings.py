"""Intake's settings, prefix ``INTAKE_``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.settings import ServiceSettings


class IntakeSettings(ServiceSettings):
    """The front door's own figures; each is a *site* value, law gives none."""

    model_config = SettingsConfigDict(
        env_prefix="INTAKE_", frozen=True, extra="ignore", populate_by_name=True
    )

    serial_block: int = Field(20, ge=1, le=1000, description="Case serials taken at a time")
    receipt_tries: int = Field(10, ge=1, description="Wrong tries per number and address")
    receipt_lock_seconds: int = Field(900, ge=1, description="How long they lock")
    public_reads_per_second: int = Field(
        5, ge=1, description="Reads of published cases from one address"
    )
    public_reads_in_all_per_second: int = Field(
        50, ge=1, description="Reads of published cases from all addresses, by process"
    )
    late_entry_days: int = Field(30, ge=1, description="How far back a desk may enter a matter")
    reopen_within_days: int = Field(30, ge=1, description="Later: a new, linked case")
    public_url: str = Field(
        "", alias="LIANDIAO_PUBLIC_URL", description="Where people reach intake's tracking page"
    )
    files_dir: Path = Field(Path(".liandiao/files"), description="Sealed papers and exports")
    clamav: str = Field("", description="clamd: host:port, or the path of its socket; empty: off")
    import_max_bytes: int = Field(512 * 2**20, ge=1, description="Size of an uploaded export")
    import_waiting: int = Field(20, ge=1, description="Runs of an organisation not at their end")
    import_keep_hours: int = Field(
        72, ge=0, description="An upload is deleted so long after its end"
    )
    import_batch: int = Field(100, ge=1, le=1000, description="Rows that share a transaction")
    import_processes: int = Field(2, ge=1, description="Processes that convert, check and seal")
    import_rows_per_second: int = Field(0, ge=0, description="No faster than that; 0: no limit")
    import_unpublished: int = Field(
        20_000, ge=1, description="Imports wait while so many events wait for the relay"
    )
    drop_dir: Path | None = Field(None, description="Folder with one folder per connection")
    drop_settle_seconds: float = Field(5.0, ge=0, description="A dropped file is whole when still")
    reconciliation_lines: int = Field(200_000, ge=1, description="Lines of a list at most")
