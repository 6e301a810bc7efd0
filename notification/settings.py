"""What a site sets for notification."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.settings import ServiceSettings


class NotificationSettings(ServiceSettings):
    """Read from ``NOTIFICATION_*``."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_prefix="NOTIFICATION_"
    )

    channel: Literal["file", "smtp"] = "file"
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 25
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_starttls: bool = True
    smtp_sender: str = "notice@liandiao.invalid"
    # A gateway that turns mail to <phone>@<domain> into a text message; empty: there is none.
    smtp_phone_domain: str = ""
    senders_at_once: int = Field(8, ge=1, le=64)
    # Sending yields to hearing: no more than this in a second, however long the queue is.
    # The whole nation's notices are about 150 in a second at their peak.
    messages_per_second: int = Field(200, ge=1)
    claim_seconds: int = Field(120, ge=5)
    # Waits before each further try; after the last one the message has failed.
    retry_seconds: tuple[int, ...] = (5, 30, 120, 600, 1800, 3600, 7200, 14400)
    # Notices that no law demands wait from this hour until that hour, Asia/Shanghai (site).
    quiet_from_hour: int = 22
    quiet_until_hour: int = 8
    feeder_batch: int = 200
