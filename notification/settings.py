"""What a site sets for notification."""

from pathlib import Path
from typing import Literal

from pydantic import Field, IPvAnyNetwork, SecretStr
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
    # Where webhooks may lead (site): inner networks by name, as JSON, e.g. ["10.12.0.0/16"].
    webhook_networks: tuple[IPvAnyNetwork, ...] = ()
    webhook_ports: tuple[int, ...] = (443, 8443)
    # This machine too, any port, also without TLS: for tests and demonstrations alone.
    webhook_loopback: bool = False
    # The authority that inner networks' certificates are from, beside the public ones.
    webhook_ca_file: Path | None = None
    webhook_seconds: float = Field(15, gt=0, le=30)
    # Waits before each further try, the last one again and again; how long an entry is tried (site)
    webhook_retry_seconds: tuple[int, ...] = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
    webhook_give_up_hours: float = Field(72, gt=0)
    webhook_rotation_hours: int = Field(24, ge=0, le=168)
    webhooks_each: int = Field(10, ge=1)
    # Tries under way at once: of this process, and at one webhook.
    webhooks_at_once: int = Field(64, ge=1, le=512)
    webhook_at_once: int = Field(8, ge=1, le=64)
    # Entries of one webhook that wait outside the feed; when so many do, the rest stays there.
    webhook_room: int = Field(200, ge=1, le=5000)
    webhook_attempts_days: int = Field(30, ge=1)
