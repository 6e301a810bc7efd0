"""Notification as a value: what it hears, serves, numbers and sends."""

from typing import TYPE_CHECKING, Final

from notification import erasing, repository, restore, sender, templates
from notification.consumers import CONSUMES
from notification.endpoints import router
from notification.feed import feed_topics
from notification.settings import NotificationSettings
from notification.webhooks import repository as webhooks
from notification.webhooks import telling
from notification.webhooks.endpoints import router as webhook_router
from notification.webhooks.sender import bring
from services.service import Loop, Restored, Schema, Service

if TYPE_CHECKING:
    from services.runtime import Runtime


async def _start(runtime: "Runtime") -> None:
    """Refuse to start with a bad template."""
    templates.load()


async def _messages_waiting(runtime: "Runtime") -> float:
    """Messages that are not yet sent."""
    return float((await repository.figures(runtime.pool))["waiting"])


async def _oldest_message_seconds(runtime: "Runtime") -> float:
    """Age of the oldest of them."""
    return float((await repository.figures(runtime.pool))["oldest"])


async def _webhook_entries_waiting(runtime: "Runtime") -> float:
    """Entries of feeds that active webhooks have not got."""
    return float((await webhooks.figures(runtime.pool))["entries"])


async def _oldest_webhook_entry_seconds(runtime: "Runtime") -> float:
    """Age of the oldest of them."""
    return float((await webhooks.figures(runtime.pool))["seconds"])


async def _webhooks_failing(runtime: "Runtime") -> float:
    """Webhooks that were paused because nobody took what was sent."""
    return float((await webhooks.figures(runtime.pool))["failing"])


async def _doctor(runtime: "Runtime") -> list[str]:
    found = await repository.findings(runtime.pool)
    found += [
        f"webhook {row['webhook_id']} of {row['connection']} is paused since "
        f"{row['changed_at']:%Y-%m-%d %H:%M} UTC: nobody took what was sent; its owner looks at "
        "GET /v1/webhooks/{webhook_id}/attempts, mends its receiver and resumes it"
        for row in await webhooks.stopped(runtime.pool)
    ]
    settings = runtime.settings
    if getattr(settings, "webhook_loopback", False) and not settings.test_installation:
        found.append(
            "webhooks may lead to this machine itself, also without TLS: "
            "take NOTIFICATION_WEBHOOK_LOOPBACK away"
        )
    return found


def _schema() -> Schema:
    import notification.webhooks.tables  # noqa: F401 - adds to METADATA
    from notification.tables import EXTRA_DDL, METADATA

    return Schema(METADATA, EXTRA_DDL)


NOTIFICATION: Final = Service(
    name="notification",
    title="Notification",
    description="Who hears of it: feeds, messages and their proof",
    routers=lambda: (router, webhook_router),
    settings=NotificationSettings,
    schema=_schema,
    gather_seconds=0.1,
    consumes=CONSUMES,
    jobs={
        sender.ASK: sender.ask_again,
        erasing.LETTERS: erasing.remove_letters,
        telling.TELL: telling.tell,
    },
    loops=(
        Loop("notification.feeder", feed_topics, idle_seconds=0.2, gather_seconds=0.1),
        Loop("notification.sender", sender.send_due, idle_seconds=0.5, gather_seconds=0.2),
        Loop("notification.webhooks", bring, idle_seconds=0.2),
    ),
    on_start=_start,
    doctor=_doctor,
    restored=Restored(missing=restore.missing, adopt=restore.adopt),
    figures={
        "messages_waiting": _messages_waiting,
        "oldest_message_seconds": _oldest_message_seconds,
        "webhook_entries_waiting": _webhook_entries_waiting,
        "oldest_webhook_entry_seconds": _oldest_webhook_entry_seconds,
        "webhooks_failing": _webhooks_failing,
    },
)
