"""Sending: claim, look whether it still stands, fetch the contact, hand over, keep the proof."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
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
from services.events.notification import Delivery, MessageDelivered, MessageFailed
from services.messaging.failpoints import failpoint
from services.messaging.handling import error_code, is_transient
from services.telemetry import MESSAGES
from services.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
ASK: Final = "message.ask"
ASK_AGAIN_SECONDS: Final = 600
# As many as one question to intake may name.
ROUND: Final = 50
RECORD_SECONDS: Final = 0.25


@dataclass(frozen=True)
class Contact:
    """How a recipient is reached and spoken to; lives as long as one try."""

    ways: tuple[Address, ...]
    greeting_name: str | None
    locale: str
    neutral: bool


@dataclass(frozen=True)
class Try:
    """A letter, ready to be handed over, and what is kept of its way: a hash and a mask."""

    row: asyncpg.Record
    channel: Channel
    letter: Letter
    address_hash: str
    neutral: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a try."""

    row: asyncpg.Record
    state: str
    reason: str | None = None
    receipt: Receipt | None = None
    channel: str | None = None
    locale: str | None = None
    retry_seconds: int | None = None


class Sender:
    """Sends what is due, a round at a time, so that a round costs a few statements and one call.

    Runs under a lease; a former holder can settle nothing any more.
    """

    def __init__(self, runtime: "Runtime", used: tuple[Channel, ...] | None = None) -> None:
        assert isinstance(runtime.settings, NotificationSettings)  # noqa: S101
        self.runtime = runtime
        self.settings = runtime.settings
        self.channels = used or channels(self.settings)
        self._key = address_key(self.settings.keys_dir)
        self._saved = float(self.settings.messages_per_second)
        self._counted_at = time.monotonic()
        self._slots = asyncio.Semaphore(self.settings.senders_at_once)

    async def step(self) -> int:
        """One round: first what an interrupted sender left, then what is due. Answers how many."""
        left = await repository.abandoned(self.runtime.pool, self.settings.claim_seconds)
        if left:
            await self._settle([await self._resolve(row) for row in left])
        async with self.runtime.unit_of_work() as uow:
            rows = await repository.claim(
                uow.db,
                uow.now,
                self._allowance(),
                statutory_only=self._quiet(uow),
            )
            now = uow.now
        self._saved -= len(rows)
        if rows:
            await self._round(rows, now)
        return len(left) + len(rows)

    def _allowance(self) -> int:
        """How many may go now; what is not used is saved up for one second at most."""
        now = time.monotonic()
        rate = self.settings.messages_per_second
        self._saved = min(rate, self._saved + (now - self._counted_at) * rate)
        self._counted_at = now
        return min(int(self._saved), ROUND)

    def _quiet(self, uow: UnitOfWork) -> bool:
        hour = uow.now.astimezone(SHANGHAI).hour
        start, end = self.settings.quiet_from_hour, self.settings.quiet_until_hour
        return hour >= start or hour < end if start > end else start <= hour < end

    # -- one round -----------------------------------------------------------------------------

    async def _round(self, rows: list[asyncpg.Record], now: datetime) -> None:
        settled: list[Outcome] = []
        going: list[asyncpg.Record] = []
        latest = await repository.latest_words(self.runtime.pool, rows)
        for row in rows:
            reason = _no_longer(row, latest, now)
            if reason is not None:
                settled.append(Outcome(row, "dropped", reason))
            else:
                going.append(row)
        contacts = await self._contacts(going)
        tries: list[Try] = []
        for row in going:
            try:
                tries.append(self._ready(row, contacts))
            except SendingFailed as fault:
                settled.append(self._failed(row, fault))
        if settled:
            await self._settle(settled)
        if tries:
            await repository.note_channels(self.runtime.pool, tries)
            await self._hand_over_all(tries)

    async def _hand_over_all(self, tries: list[Try]) -> None:
        """Hand over side by side; what is done is recorded soon, whatever a slow one takes."""
        pending = {asyncio.create_task(self._hand_over(each)) for each in tries}
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=RECORD_SECONDS)
                if done:
                    await self._settle([task.result() for task in done])
        finally:
            for task in pending:
                task.cancel()

    async def _hand_over(self, going: Try) -> Outcome:
        async with self._slots:
            try:
                failpoint("sender.before_send")
                receipt = await going.channel.send(going.letter)
                failpoint("sender.after_send")
            except SendingFailed as fault:
                return self._failed(going.row, fault)
            except SendingUnknown as doubt:
                return Outcome(going.row, "unknown", doubt.reason)
        return Outcome(
            going.row,
            "delivered",
            receipt=receipt,
            channel=going.channel.name,
            locale=going.letter.locale,
        )

    async def _contacts(self, rows: list[asyncpg.Record]) -> Mapping[UUID, Contact] | SendingFailed:
        """The contacts of the parties written to, or why intake did not tell any."""
        wanted = list(dict.fromkeys(row["party_id"] for row in rows if row["party_id"]))
        if not wanted:
            return {}
        try:
            answer = await self.runtime.http.get(
                f"{self.settings.intake_url}/v1/contacts",
                params={"purpose": "notice", "party_id": [str(party_id) for party_id in wanted]},
                headers={"Authorization": f"Bearer {await self.runtime.service_token()}"},
            )
        except httpx.HTTPError:
            return SendingFailed("contact_not_available")
        if answer.status_code != 200:
            return SendingFailed("contact_not_available")
        return {UUID(c["party_id"]): party_contact(c) for c in answer.json()["items"]}

    def _ready(self, row: asyncpg.Record, contacts: Mapping[UUID, Contact] | SendingFailed) -> Try:
        """The letter and its way. Raises ``SendingFailed``."""
        template = templates.load().get(row["purpose"])
        if template is None:
            raise SendingFailed("template_gone", final=True)
        if row["recipient_kind"] == "organisation":
            contact = self._desk(row["organisation"])
        elif isinstance(contacts, SendingFailed):
            raise contacts
        elif row["party_id"] in contacts:
            contact = contacts[row["party_id"]]
        else:
            raise SendingFailed("no_contact", final=True)
        channel, address = self._way(contact, row)
        letter = self._letter(row, template, contact, address)
        return Try(row, channel, letter, address.hashed(self._key), contact.neutral)

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

    def _failed(self, row: asyncpg.Record, fault: SendingFailed) -> Outcome:
        waits = self.settings.retry_seconds
        if fault.final or row["attempts"] > len(waits):
            return Outcome(row, "failed", fault.reason)
        return Outcome(row, "waiting", fault.reason, retry_seconds=waits[row["attempts"] - 1])

    async def _settle(self, outcomes: list[Outcome]) -> None:
        """Record tries; when one of them cannot be recorded, the others are all the same."""
        try:
            await self._record(outcomes)
        except Exception as error:
            if len(outcomes) == 1 or is_transient(error):
                raise
            log.warning("tries are recorded one by one", code=error_code(error))
            faults = []
            for outcome in outcomes:
                try:
                    await self._record([outcome])
                except Exception as fault:
                    # Left as it is; the next rounds ask the channel what became of it.
                    faults.append(fault)
            if faults:
                raise faults[0] from None

    async def _record(self, outcomes: list[Outcome]) -> None:
        """Record tries and say on the stream what became of them, in one transaction."""
        async with self.runtime.unit_of_work() as uow:
            moved = await repository.settle(uow.db, outcomes, now=uow.now)
            known = [outcome for outcome in outcomes if outcome.row["id"] in moved]
            said = [outcome for outcome in known if outcome.state in ("delivered", "failed")]
            await uow.lock_cases({o.row["case_id"]: o.row["episode"] for o in said})
            delivered: dict[tuple[UUID, UUID], list[tuple[Any, str]]] = {}
            for each in said:
                channel = each.channel or each.row.get("channel") or "none"
                if each.state == "failed":
                    say_failed(uow, each.row, channel, each.reason)
                else:
                    fact = each.row["case_id"], each.row["event_id"]
                    delivered.setdefault(fact, []).append((each.row, channel))
            for together in delivered.values():
                say_delivered(uow, together)
            for each in known:
                if each.state == "unknown":
                    uow.enqueue(
                        ASK,
                        {"message_id": str(each.row["id"])},
                        run_after=uow.now + timedelta(seconds=ASK_AGAIN_SECONDS),
                        key=f"{ASK}:{each.row['id']}",
                    )
        for each in known:
            MESSAGES.labels(each.channel or "none", each.state).inc()

    async def _resolve(self, row: asyncpg.Record) -> Outcome:
        """A sender died between handing over and recording: ask the channel, never send blindly."""
        if row["channel"] is None:
            return Outcome(row, "waiting", "interrupted", retry_seconds=0)
        channel = next((c for c in self.channels if c.name == row["channel"]), None)
        answer = await channel.ask(row["id"]) if channel else Answer.CANNOT_SAY
        if isinstance(answer, Receipt):
            return Outcome(row, "delivered", receipt=answer, channel=row["channel"])
        if answer is Answer.NOT_TAKEN:
            return Outcome(row, "waiting", "interrupted", retry_seconds=0)
        return Outcome(row, "unknown", "interrupted")


def _no_longer(
    row: asyncpg.Record, latest: Mapping[tuple[UUID, str], UUID], now: datetime
) -> str | None:
    """Why the message is not sent any more, if so: replaced by a later fact, or over."""
    case_id = row["case_id"]
    words = {fact: latest[case_id, fact] for fact in row["stands"] if (case_id, fact) in latest}
    if not letters.stands(row["event_id"], words, row["stands"]):
        return "superseded"
    if row["valid_until"] is not None and row["valid_until"] <= now:
        return "over"
    return None


def greeting(contact: Contact) -> str:
    """How the message begins; a protected party is not named."""
    if contact.neutral or not contact.greeting_name:
        return "您好：" if contact.locale == "zh-CN" else "Hello,"
    name = contact.greeting_name
    return f"{name}：" if contact.locale == "zh-CN" else f"Dear {name},"


def party_contact(answer: Mapping[str, Any]) -> Contact:
    """Intake's answer as a contact; a statutory representative is reached instead of the party.

    Intake says when a text must be neutral, and when only a safe number is left to use: then no
    letter goes out, and without such a number the message waits at the desk (反家庭暴力法 5).
    """
    languages = answer.get("languages") or ["zh"]
    locale = "en" if str(languages[0]).startswith("en") else "zh-CN"
    representative = answer.get("representative") or {}
    spoken_for = representative.get("authority") in ("statutory",) and representative.get("phone")
    ways = contact_addresses(representative) if spoken_for else contact_addresses(answer)
    if answer.get("safe_only"):
        spoken_for, ways = None, [way for way in contact_addresses(answer) if way.kind == "phone"]
    return Contact(
        ways=tuple(ways),
        greeting_name=representative.get("name") if spoken_for else answer.get("name"),
        locale=locale,
        neutral=is_protected(answer) or bool(answer.get("neutral")),
    )


def say_delivered(uow: UnitOfWork, deliveries: list[tuple[Any, str]]) -> None:
    """Emit ``MessageDelivered``: which messages about one fact reached whom by which channel.

    The case's row is locked. The event stands in the trace of the fact that the messages tell.
    """
    fact = deliveries[0][0]
    told = tuple(
        Delivery(**_whom(row), channel=channel, delivered_at=uow.now) for row, channel in deliveries
    )
    uow.answer(fact["event_id"], fact["correlation_id"], fact["traceparent"])
    uow.emit(MessageDelivered(**_about(uow, fact), deliveries=told))


def say_failed(uow: UnitOfWork, row: Any, channel: str, reason: str | None) -> None:
    """Emit ``MessageFailed``; the case's row is locked."""
    uow.answer(row["event_id"], row["correlation_id"], row["traceparent"])
    uow.emit(
        MessageFailed(
            **_about(uow, row),
            **_whom(row),
            channel=channel,
            reason=reason or "unknown",
            failed_at=uow.now,
        )
    )


def _about(uow: UnitOfWork, row: Any) -> dict[str, Any]:
    stream = uow.streams[row["case_id"]]
    return {
        "case_id": row["case_id"],
        "case_number": stream.case_number,
        "about": row["event_id"],
    }


def _whom(row: Any) -> dict[str, Any]:
    return {
        "message_id": row["id"],
        "purpose": row["purpose"],
        "recipient_kind": row["recipient_kind"],
        "party_id": row["party_id"],
        "organisation": row["organisation"],
    }


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
        await uow.lock_cases({row["case_id"]: row["episode"]})
        channel_name = row["channel"] or "none"
        if delivered:
            say_delivered(uow, [(row, channel_name)])
        else:
            say_failed(uow, row, channel_name, "unknown")
