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
    reopen_within_days: int = Field(30, ge=1, description="Later: a new, linked case")
    public_url: str = Field(
        "", alias="LIANDIAO_PUBLIC_URL", description="Where people reach intake's tracking page"
    )
    files_dir: Path = Field(Path(".liandiao/files"), description="Sealed papers and exports")
    clamav: str = Field("", description="clamd: host:port, or the path of its socket; empty: off")
