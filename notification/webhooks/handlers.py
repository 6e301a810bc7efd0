"""Registering a webhook and moving it on; who made it is told when it stops by itself."""

import secrets
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from notification import repository as feeds
from notification.handlers import PARTICIPATION_ENDED, SNAPSHOT
from notification.repository import Entry
from notification.rules import structured
from notification.settings import NotificationSettings
from notification.webhooks import repository
from notification.webhooks.model import ENDED, LONGEST_REPLAY, PAUSED
from notification.webhooks.rules import (
    REFUSALS,
    SECRET_BYTES,
    Policy,
    as_secret,
    read_url,
)
from notification.webhooks.telling import TELL
from services.clock import SHANGHAI, wire
from services.errors import Conflict, FieldError, Invalid, NotFound
from services.events import load_catalogue
from services.ids import new_id
from services.seal import Seal
from services.unit_of_work import UnitOfWork

KEY_FILE: Final = "notification-vault.key"


def policy(settings: NotificationSettings) -> Policy:
    """What this site lets webhooks reach."""
    return Policy(
        ports=frozenset(settings.webhook_ports),
        networks=tuple(settings.webhook_networks),
        loopback=settings.webhook_loopback,
    )


def seal(settings: NotificationSettings) -> Seal:
    """What secrets are kept under."""
    return Seal(settings.keys_dir / KEY_FILE, "webhook-secret")


def bound_to(webhook_id: UUID, version: int) -> str:
    """A secret opens only as this version of this webhook."""
    return f"{webhook_id}:{version}"


def known_types() -> frozenset[str]:
    """Wire types that can stand in a feed."""
    return frozenset({*load_catalogue(), SNAPSHOT, PARTICIPATION_ENDED, PAUSED, ENDED})


def _settings(uow: UnitOfWork) -> NotificationSettings:
    settings = uow.runtime.settings
    assert isinstance(settings, NotificationSettings)  # noqa: S101
    return settings


def _new_secret(uow: UnitOfWork, webhook_id: UUID, version: int) -> tuple[str, bytes]:
    secret = as_secret(secrets.token_bytes(SECRET_BYTES))
    return secret, seal(_settings(uow)).close(secret, bound_to(webhook_id, version))


async def register(
    uow: UnitOfWork, connection: str, *, url: str, types: list[str] | None, after: int | None
) -> tuple[UUID, str]:
    """A webhook for the connection's own feed; answers its id and its secret.

    Raises ``Invalid`` for a URL that may not be reached, a type nobody knows, a number behind the
    feed's end; ``Conflict`` when the connection has as many as the site allows.
    """
    settings = _settings(uow)
    faults = []
    target = read_url(url, policy(settings))
    if isinstance(target, str):
        faults.append(FieldError("/url", target, REFUSALS[target]))
    unknown = known_types()
    for place, name in enumerate(types or ()):
        if name not in unknown:
            text = "没有这种事件。 there is no such type"
            faults.append(FieldError(f"/types/{place}", "type_unknown", text))
    head = (await feeds.heads(uow.db, [connection])).get(connection, 0)
    if after is not None and after > head:
        faults.append(_behind_the_end())
    if faults:
        raise Invalid(errors=faults)
    if await repository.lasting(uow.db, connection) >= settings.webhooks_each:
        raise Conflict(
            "the connection has as many webhooks as this site allows; end one first. "
            "该接入的推送地址已达上限，请先停用一个。"
        )
    webhook_id = new_id()
    secret, sealed = _new_secret(uow, webhook_id, 1)
    await repository.add(
        uow.db,
        {
            "webhook_id": webhook_id,
            "connection": connection,
            "url": url,
            "types": sorted(set(types)) if types else None,
            "position": head if after is None else after,
            "secret": sealed,
            "created_at": uow.now,
            "changed_at": uow.now,
        },
    )
    uow.audit("webhook.registered", subject=str(webhook_id), detail={"connection": connection})
    return webhook_id, secret


def _behind_the_end() -> FieldError:
    text = "推送流还没有这一号。 the feed ends before this number"
    return FieldError("/after", "behind_the_end", text)


async def _own(uow: UnitOfWork, connection: str, webhook_id: UUID) -> asyncpg.Record:
    row = await repository.locked(uow.db, webhook_id, connection)
    if row is None:
        raise NotFound()
    return row


def _not_ended(row: asyncpg.Record) -> None:
    if row["state"] == "ended":
        raise Conflict("the webhook has ended; register another. 该推送地址已停用，请另行登记。")


async def pause(uow: UnitOfWork, connection: str, webhook_id: UUID) -> None:
    """Send nothing until it is resumed; a repeat changes nothing. ``Conflict`` when it ended."""
    row = await _own(uow, connection, webhook_id)
    _not_ended(row)
    if row["state"] == "active":
        await repository.set_state(uow.db, webhook_id, "paused", "asked", uow.now)
        uow.audit("webhook.paused", subject=str(webhook_id))


async def resume(
    uow: UnitOfWork, connection: str, webhook_id: UUID, after: int | None = None
) -> None:
    """Go on where it stopped, or behind another number, at once; a repeat changes nothing.

    Raises ``Conflict`` when it has ended, ``Invalid`` for a number behind the feed's end.
    """
    row = await _own(uow, connection, webhook_id)
    _not_ended(row)
    if row["state"] == "active":
        return
    if after is not None:
        if after > (await feeds.heads(uow.db, [connection])).get(connection, 0):
            raise Invalid(errors=[_behind_the_end()])
        await repository.set_position(uow.db, webhook_id, after)
    await repository.try_all_now(uow.db, webhook_id)
    await repository.set_state(uow.db, webhook_id, "active", None, uow.now)
    uow.audit("webhook.resumed", subject=str(webhook_id))


async def end(uow: UnitOfWork, connection: str, webhook_id: UUID) -> None:
    """Send nothing any more; a repeat changes nothing."""
    row = await _own(uow, connection, webhook_id)
    if row["state"] != "ended":
        await repository.drop_all(uow.db, webhook_id)
        await repository.set_state(uow.db, webhook_id, "ended", "asked", uow.now)
        uow.audit("webhook.ended", subject=str(webhook_id))


async def rotate(
    uow: UnitOfWork, connection: str, webhook_id: UUID, *, previous_valid_seconds: int | None
) -> tuple[int, str]:
    """Another secret; the one so far signs beside it for a while. Answers its number and itself.

    A second change within that time ends the older of the two. Raises ``Conflict`` when it has
    ended.
    """
    settings = _settings(uow)
    row = await _own(uow, connection, webhook_id)
    _not_ended(row)
    version = row["secret_version"] + 1
    secret, sealed = _new_secret(uow, webhook_id, version)
    seconds = previous_valid_seconds
    if seconds is None:
        seconds = 3600 * settings.webhook_rotation_hours
    await repository.set_secret(
        uow.db,
        webhook_id,
        secret=sealed,
        previous=row["secret"] if seconds else None,
        until=uow.now + timedelta(seconds=seconds) if seconds else None,
        now=uow.now,
    )
    uow.audit("webhook.secret_changed", subject=str(webhook_id), detail={"version": version})
    return version, secret


async def secret_again(
    uow: UnitOfWork, connection: str, webhook_id: UUID, version: int
) -> str | None:
    """The secret that was made under a key, for the same request again, while no other follows."""
    row = await _own(uow, connection, webhook_id)
    if row["secret_version"] != version:
        return None
    opened: str = seal(_settings(uow)).open(row["secret"], bound_to(webhook_id, version))
    return opened


async def replay(
    uow: UnitOfWork, connection: str, webhook_id: UUID, *, first: int, last: int
) -> None:
    """Bring entries once more that were taken up before, under their old numbers and ids.

    What its filter leaves out stays out. Raises ``Invalid`` for a range that is none or too long,
    ``Conflict`` when it has ended.
    """
    row = await _own(uow, connection, webhook_id)
    _not_ended(row)
    if not 1 <= first <= last:
        text = (
            "起止号应从小到大，且自一开始。 from the lower number to the higher, beginning with 1"
        )
        raise Invalid(errors=[FieldError("/to", "range", text)])
    if last - first >= LONGEST_REPLAY:
        text = "一次最多重放一万条。 at most 10000 entries at once"
        raise Invalid(errors=[FieldError("/to", "range_too_long", text)])
    count = await repository.wait_again(uow.db, webhook_id, first, last)
    detail = {"from": first, "to": last, "count": count}
    uow.audit("webhook.replayed", subject=str(webhook_id), detail=detail)


async def ping(uow: UnitOfWork, connection: str, webhook_id: UUID) -> None:
    """One signed entry of no case is sent, also to a paused webhook. ``Conflict`` when ended."""
    row = await _own(uow, connection, webhook_id)
    _not_ended(row)
    await repository.add_ping(uow.db, webhook_id)


async def stop(uow: UnitOfWork, webhook_id: UUID, state: str, reason: str) -> bool:
    """It stops by itself; its owner's feed and desks are told. False when it had stopped before.

    ``paused`` for ``failing``: what waits stays and goes on when it is resumed. ``ended`` for
    ``gone``: nothing waits any more. Either way the feed has every entry.
    """
    row = await repository.locked(uow.db, webhook_id)
    if row is None or row["state"] == "ended" or (row["state"], state) == ("paused", "paused"):
        return False
    shown = await repository.shown(uow.db, row["connection"], webhook_id)
    if state == "ended":
        await repository.drop_all(uow.db, webhook_id)
    await repository.set_state(uow.db, webhook_id, state, reason, uow.now)
    data: dict[str, Any] = {
        "webhook_id": str(webhook_id),
        "connection": row["connection"],
        "reason": reason,
        "position": f"{row['position']:010d}",
        "waiting": shown["waiting"] if shown and state == "paused" else 0,
        "changed_at": wire(uow.now),
    }
    if shown and shown["failing_since"]:
        data["failing_since"] = wire(shown["failing_since"])
    type_, event_id = {"paused": PAUSED, "ended": ENDED}[state], new_id()
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": str(event_id),
        "ce_source": "/notification",
        "ce_type": type_,
        "ce_subject": str(webhook_id),
        "ce_time": wire(uow.now),
        "ce_recordedtime": wire(uow.now),
        "ce_episode": "1",
        "ce_correlationid": uow.correlation_id,
        "ce_dataschema": f"urn:liandiao:schema:{type_}",
    }
    entry = Entry(
        connection=row["connection"],
        event_id=event_id,
        type=type_,
        reference=None,
        read_after="notification=0000000000",
        event=structured(attributes, data),
    )
    await feeds.add_entry(uow.db, entry, subject=webhook_id, occurred_at=uow.now)
    told = {
        "event_id": str(event_id),
        "state": state,
        "connection": row["connection"],
        "webhook_id": str(webhook_id),
        "waiting": data["waiting"],
        "at": f"{uow.now.astimezone(SHANGHAI):%Y-%m-%d %H:%M} (UTC+8)",
    }
    uow.enqueue(TELL, told, key=f"{TELL}:{event_id}")
    uow.audit(f"webhook.{state}", subject=str(webhook_id), detail={"reason": reason})
    return True
