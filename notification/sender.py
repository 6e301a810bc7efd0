"""Sending: claim, look whether it still stands, fetch the contact, hand over, keep the proof."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import httpx
import structlog

from notification import letters, repository, templates
from notification.channels import (
    Address,
    Answer,
    Channel,
    Letter,
    Receipt,
    address_key,
    channels,
    contact_addresses,
    is_protected,
)
from notification.errors import SendingFailed, SendingUnknown
from notification.settings import NotificationSettings
from services.clock import SHANGHAI
from services.events.notification import MessageDelivered, MessageFailed
from services.messaging.failpoints import failpoint
from services.telemetry import MESSAGES
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
ASK: Final = "message.ask"
ASK_AGAIN_SECONDS: Final = 600


@dataclass(frozen=True)
class Contact:
    """How a recipient is reached and spoken to; lives as long as one try."""

    ways: tuple[Address, ...]
    greeting_name: str | None
    locale: str
    neutral: bool


class Sender:
    """Sends what is due. Runs under a lease; a former holder can settle nothing any more."""

    def __init__(self, runtime: "Runtime", used: tuple[Channel, ...] | None = None) -> None:
        assert isinstance(runtime.settings, NotificationSettings)  # noqa: S101
        self.runtime = runtime
        self.settings = runtime.settings
        self.channels = used or channels(self.settings)
        self._key = address_key(self.settings.keys_dir)
        self._saved = float(self.settings.messages_per_second)
        self._counted_at = time.monotonic()

    async def step(self) -> int:
        """One round: first what an interrupted sender left, then what is due. Answers how many."""
        left = await repository.abandoned(self.runtime.pool, self.settings.claim_seconds)
        for row in left:
            await self._resolve(row)
        async with self.runtime.unit_of_work() as uow:
            rows = await repository.claim(
                uow.db,
                uow.now,
                self._allowance(),
                statutory_only=self._quiet(uow),
            )
        self._saved -= len(rows)
        slots = asyncio.Semaphore(self.settings.senders_at_once)

        async def one(row: asyncpg.Record) -> None:
            async with slots:
                await self._send(row)

        await asyncio.gather(*(one(row) for row in rows))
        return len(left) + len(rows)

    def _allowance(self) -> int:
        """How many may go now; what is not used is saved up for one second at most."""
        now = time.monotonic()
        rate = self.settings.messages_per_second
        self._saved = min(rate, self._saved + (now - self._counted_at) * rate)
        self._counted_at = now
        return min(int(self._saved), self.settings.senders_at_once * 4)

    def _quiet(self, uow: UnitOfWork) -> bool:
        hour = uow.now.astimezone(SHANGHAI).hour
        start, end = self.settings.quiet_from_hour, self.settings.quiet_until_hour
        return hour >= start or hour < end if start > end else start <= hour < end

    # -- one try -----------------------------------------------------------------------------

    async def _send(self, row: asyncpg.Record) -> None:
        reason = await self._no_longer(row)
        if reason is not None:
            await self._settle(row, "dropped", reason=reason)
            return
        template = templates.load().get(row["purpose"])
        if template is None:
            await self._settle(row, "failed", reason="template_gone")
            return
        try:
            contact = await self._contact(row)
            channel, address = self._way(contact, row)
            letter = self._letter(row, template, contact, address)
            await repository.note_channel(
                self.runtime.pool,
                row["id"],
                row["attempts"],
                channel=channel.name,
                address_hash=address.hashed(self._key),
                address_masked=address.masked(),
                neutral=contact.neutral,
            )
            receipt = await channel.send(letter)
            failpoint("sender.after_send")
        except SendingFailed as fault:
            await self._failed(row, fault)
        except SendingUnknown as doubt:
            await self._settle(row, "unknown", reason=doubt.reason)
        else:
            await self._settle(
                row, "delivered", receipt=receipt, channel=channel.name, locale=letter.locale
            )

    async def _no_longer(self, row: asyncpg.Record) -> str | None:
        """Why the message is not sent any more, if so: replaced by a later fact, or over."""
        latest = await repository.latest_words(self.runtime.pool, row["case_id"], row["stands"])
        if not letters.stands(row["event_id"], latest, row["stands"]):
            return "superseded"
        if row["valid_until"] is not None:
            async with self.runtime.unit_of_work(readonly=True) as uow:
                if row["valid_until"] <= uow.now:
                    return "over"
        return None

    async def _contact(self, row: asyncpg.Record) -> Contact:
        if row["recipient_kind"] == "organisation":
            return self._desk(row["organisation"])
        try:
            answer = await self.runtime.http.get(
                f"{self.settings.intake_url}/v1/parties/{row['party_id']}/contact",
                params={"purpose": "notice"},
                headers={
                    "Authorization": f"Bearer {await self.runtime.service_token()}",
                    **({"traceparent": row["traceparent"]} if row["traceparent"] else {}),
                },
            )
        except httpx.HTTPError as error:
            raise SendingFailed("contact_not_available") from error
        if answer.status_code in (404, 410):
            raise SendingFailed("no_contact", final=True)
        if answer.status_code != 200:
            raise SendingFailed("contact_not_available")
        return party_contact(answer.json())

    def _desk(self, code: str) -> Contact:
        organisation = self.runtime.directory.organisation(code) or {}
        contact = organisation.get("contact") or {}
        ways = contact_addresses(contact) if self.settings.channel == "smtp" else []
        return Contact(
            ways=(*ways, Address("desk", code)),
            greeting_name=organisation.get("name_zh"),
            locale="zh-CN",
            neutral=False,
        )

    def _way(self, contact: Contact, row: asyncpg.Record) -> tuple[Channel, Address]:
        """The first channel that reaches the recipient; else paper at the holder's desk."""
        desk = Address("desk", row["facts"].get("holder") or row["organisation"] or "unknown")
        for address in (*contact.ways, desk):
            for channel in self.channels:
                if channel.takes(address):
                    return channel, address
        raise SendingFailed("no_channel", final=True)

    def _letter(
        self,
        row: asyncpg.Record,
        template: letters.Template,
        contact: Contact,
        address: Address,
    ) -> Letter:
        subject, body = templates.render(
            template,
            row["facts"],
            locale=contact.locale,
            name_of=self._name_of,
            greeting=greeting(contact),
            desk_phone=self._desk_phone(row["facts"].get("holder")),
            neutral=contact.neutral,
        )
        return Letter(row["id"], address, contact.locale, subject, body)

    def _name_of(self, code: str, locale: str) -> str:
        organisation = self.runtime.directory.organisation(code) or {}
        first, second = ("name_zh", "name_en") if locale == "zh-CN" else ("name_en", "name_zh")
        return organisation.get(first) or organisation.get(second) or code

    def _desk_phone(self, code: str | None) -> str:
        organisation = self.runtime.directory.organisation(code) if code else None
        return ((organisation or {}).get("contact") or {}).get("phone") or "12348"

    # -- after a try -------------------------------------------------------------------------

    async def _failed(self, row: asyncpg.Record, fault: SendingFailed) -> None:
        waits = self.settings.retry_seconds
        if fault.final or row["attempts"] > len(waits):
            await self._settle(row, "failed", reason=fault.reason)
        else:
            await self._settle(
                row, "waiting", reason=fault.reason, retry_seconds=waits[row["attempts"] - 1]
            )

    async def _settle(
        self,
        row: asyncpg.Record,
        state: str,
        *,
        reason: str | None = None,
        receipt: Receipt | None = None,
        channel: str | None = None,
        locale: str | None = None,
        retry_seconds: int | None = None,
    ) -> None:
        """Record the try and say on the stream what became of the message, in one transaction."""
        async with self.runtime.unit_of_work(
            causation_id=str(row["event_id"]),
            correlation_id=row["correlation_id"],
            traceparent=row["traceparent"],
        ) as uow:
            moved = await repository.settle(
                uow.db,
                row["id"],
                row["attempts"],
                state=state,
                outcome="failed" if state == "waiting" else state,
                now=uow.now,
                reason=reason,
                receipt=receipt.reference if receipt else None,
                locale=locale,
                retry_seconds=retry_seconds,
            )
            if not moved:
                return
            if state in ("delivered", "failed"):
                await say(uow, row, state, channel=channel or row.get("channel"), reason=reason)
            if state == "unknown":
                uow.enqueue(
                    ASK,
                    {"message_id": str(row["id"])},
                    run_after=uow.now + timedelta(seconds=ASK_AGAIN_SECONDS),
                    key=f"{ASK}:{row['id']}",
                )
        MESSAGES.labels(channel or "none", state).inc()

    async def _resolve(self, row: asyncpg.Record) -> None:
        """A sender died between handing over and recording: ask the channel, never send blindly."""
        if row["channel"] is None:
            await self._settle(row, "waiting", reason="interrupted", retry_seconds=0)
            return
        channel = next((c for c in self.channels if c.name == row["channel"]), None)
        answer = await channel.ask(row["id"]) if channel else Answer.CANNOT_SAY
        if isinstance(answer, Receipt):
            await self._settle(row, "delivered", receipt=answer, channel=row["channel"])
        elif answer is Answer.NOT_TAKEN:
            await self._settle(row, "waiting", reason="interrupted", retry_seconds=0)
        else:
            await self._settle(row, "unknown", reason="interrupted")


def greeting(contact: Contact) -> str:
    """How the message begins; a protected party is not named."""
    if contact.neutral or not contact.greeting_name:
        return "您好：" if contact.locale == "zh-CN" else "Hello,"
    name = contact.greeting_name
    return f"{name}：" if contact.locale == "zh-CN" else f"Dear {name},"


def party_contact(answer: Mapping[str, Any]) -> Contact:
    """Intake's answer as a contact; a statutory representative is reached instead of the party."""
    languages = answer.get("languages") or ["zh"]
    locale = "en" if str(languages[0]).startswith("en") else "zh-CN"
    representative = answer.get("representative") or {}
    spoken_for = representative.get("authority") in ("statutory",) and representative.get("phone")
    ways = contact_addresses(representative) if spoken_for else contact_addresses(answer)
    return Contact(
        ways=tuple(ways),
        greeting_name=representative.get("name") if spoken_for else answer.get("name"),
        locale=locale,
        neutral=is_protected(answer),
    )


async def say(
    uow: UnitOfWork, row: Any, state: str, *, channel: str | None, reason: str | None
) -> None:
    """Emit ``MessageDelivered`` or ``MessageFailed``: what reached whom by which channel, by id."""
    stream = await uow.lock_case(row["case_id"], create=True, episode=row["episode"])
    known: dict[str, Any] = {
        "case_id": row["case_id"],
        "case_number": stream.case_number,
        "message_id": row["id"],
        "about": row["event_id"],
        "purpose": row["purpose"],
        "recipient_kind": row["recipient_kind"],
        "party_id": row["party_id"],
        "organisation": row["organisation"],
        "channel": channel or "none",
    }
    if state == "delivered":
        uow.emit(MessageDelivered(**known, delivered_at=uow.now))
    else:
        uow.emit(MessageFailed(**known, reason=reason or "unknown", failed_at=uow.now))


async def send_due(runtime: "Runtime") -> int:
    """One round of this process's sender; run under a lease."""
    sender: Sender | None = runtime.state.get("sender")
    if sender is None:
        sender = runtime.state["sender"] = Sender(runtime)
    return await sender.step()


async def ask_again(job_id: UUID, payload: dict[str, Any], runtime: "Runtime") -> None:
    """Job: ask once more for a message nobody can account for, else say ``MessageFailed``.

    It stays ``unknown`` and is never sent again by a machine.
    """
    sender = runtime.state.get("sender") or Sender(runtime)
    async with runtime.unit_of_work() as uow:
        row = await repository.unknown(uow.db, UUID(payload["message_id"]))
        if row is None:
            return
        channel = next((c for c in sender.channels if c.name == row["channel"]), None)
        answer = await channel.ask(row["id"]) if channel else Answer.CANNOT_SAY
        delivered = isinstance(answer, Receipt)
        if isinstance(answer, Receipt):
            await repository.found_delivered(uow.db, row["id"], answer.reference, uow.now)
        else:
            await repository.told_unknown(uow.db, row["id"])
        await say(
            uow,
            row,
            "delivered" if delivered else "failed",
            channel=row["channel"],
            reason=None if delivered else "unknown",
        )
