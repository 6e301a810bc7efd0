"""Telling the desks of a webhook's owner that it stopped, by the channel that letters take."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog

from notification.channels import Address, Channel, Letter, channels, contact_addresses
from notification.errors import SendingFailed, SendingUnknown
from notification.handlers import derived_id
from notification.settings import NotificationSettings

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
TELL: Final = "webhook.tell"
_TEXTS: Final = Path(__file__).resolve().parent.parent / "data" / "webhook_letters.json"


@cache
def _texts() -> dict[str, Any]:
    texts: dict[str, Any] = json.loads(_TEXTS.read_text(encoding="utf-8"))
    return texts


async def tell(job_id: UUID, payload: dict[str, Any], runtime: "Runtime") -> None:
    """Job: one letter to the desk of each organisation that the connection speaks for.

    The file channel takes it once however often it is sent. Raises ``SendingFailed`` while no
    channel takes it; then the job comes again.
    """
    settings = runtime.settings
    assert isinstance(settings, NotificationSettings)  # noqa: S101
    known = runtime.directory.connection(payload["connection"]) or {}
    text, used = _texts()[payload["state"]], channels(settings)
    for code in known.get("organisations", ()):
        contact = (runtime.directory.organisation(code) or {}).get("contact") or {}
        ways = contact_addresses(contact) if settings.channel == "smtp" else []
        letter_id = derived_id(UUID(payload["event_id"]), f"desk {code}")
        subject, body = (text[part].format(**payload) for part in ("subject", "body"))
        await _hand_over(used, [*ways, Address("desk", code)], letter_id, subject, body)


async def _hand_over(
    used: tuple[Channel, ...], ways: list[Address], letter_id: UUID, subject: str, body: str
) -> None:
    """The first way that takes it; where nobody can say, it is not sent another way."""
    for number, address in enumerate(ways):
        channel = next(c for c in used if c.takes(address))
        try:
            await channel.send(Letter(letter_id, address, "zh-CN", subject, body))
        except SendingUnknown as doubt:
            log.warning("desk letter in doubt", letter_id=str(letter_id), reason=doubt.reason)
        except SendingFailed as fault:
            if not fault.final or number == len(ways) - 1:
                raise
            continue
        return
