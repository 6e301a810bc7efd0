"""Intake's settings, prefix ``INTAKE_``."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.settings import ServiceSettings


class IntakeSettings(ServiceSettings):
    """The front door's own figures; each is a *site* value, law gives none."""

    model_config = SettingsConfigDict(
        env_prefix="INTAKE_", frozen=True, extra="ignore", populate_by_name=True
    )

    serial_block: int = Field(20, ge=1, le=1000, description="Case serials taken at a time")
    receipt_tries: int = Field(5, ge=1, description="Wrong tries per number and address")
    receipt_lock_seconds: int = Field(900, ge=1, description="How long they lock")
    late_entry_days: int = Field(30, ge=1, description="How far back a desk may enter a matter")
    reopen_within_days: int = Field(30, ge=1, description="Later: a new, linked case")
