"""Channels: a spool folder by default, SMTP where a site has it; a message goes once, by its id."""

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from enum import Enum
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import aiosmtplib

from notification.errors import SendingFailed, SendingUnknown
from notification.settings import NotificationSettings


@dataclass(frozen=True)
class Address:
    """Where a message goes: a phone, a postal address, a mailbox, a desk."""

    kind: str
    value: str

    def hashed(self, key: bytes) -> str:
        """A keyed hash: proves later which address was used; not to be guessed without the key."""
        return hashlib.blake2b(f"{self.kind}:{self.value}".encode(), key=key[:64]).hexdigest()[:64]

    def masked(self) -> str:
        """As much as a desk needs to recognise it."""
        if self.kind == "phone":
            digits = self.value.strip()
            return f"{digits[:3]}****{digits[-2:]}" if len(digits) >= 8 else "****"
        if self.kind == "mail":
            name, _, domain = self.value.partition("@")
            return f"{name[:1]}***@{domain}"
        return self.value if self.kind == "desk" else "***"


@dataclass(frozen=True)
class Letter:
    """A message on its way out; only the channel sees it whole."""

    message_id: UUID
    address: Address
    locale: str
    subject: str
    body: str


@dataclass(frozen=True)
class Receipt:
    """The channel's word that it took the message."""

    channel: str
    reference: str
    at: datetime


class Answer(Enum):
    """What a channel says when asked about a message without a receipt."""

    NOT_TAKEN = "not_taken"
    CANNOT_SAY = "cannot_say"


class Channel(Protocol):
    """Something that takes messages."""

    name: str

    def takes(self, address: Address) -> bool:
        """Whether this channel can reach that kind of address."""

    async def send(self, letter: Letter) -> Receipt:
        """Hand over. Raises ``SendingFailed`` or ``SendingUnknown``."""

    async def ask(self, message_id: UUID) -> Receipt | Answer:
        """What became of the message with this id."""


class FileChannel:
    """One JSON file per message in a spool folder, for a printer, a gateway or a desk to take.

    Named by the message's id and put there whole or not at all: sending twice is sending once.
    """

    name: str = "file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def takes(self, address: Address) -> bool:
        """Every kind: the last hop is a person or another system."""
        return True

    def path(self, message_id: UUID) -> Path:
        """Where the file of this message is; the day comes out of the id."""
        made_at = datetime.fromtimestamp(int.from_bytes(message_id.bytes[:6]) / 1000, UTC)
        return self._folder / f"{made_at:%Y%m%d}" / f"{message_id}.json"

    async def send(self, letter: Letter) -> Receipt:
        """Write the file, unless it is there."""
        try:
            return await asyncio.to_thread(self._write, letter)
        except OSError as error:
            raise SendingFailed("spool_not_writable") from error

    async def ask(self, message_id: UUID) -> Receipt | Answer:
        """Taken when the file is there."""
        return await asyncio.to_thread(self._look, message_id)

    def _look(self, message_id: UUID) -> Receipt | Answer:
        path = self.path(message_id)
        if not path.exists():
            return Answer.NOT_TAKEN
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return Receipt(self.name, f"{path.parent.name}/{path.name}", at)

    def _write(self, letter: Letter) -> Receipt:
        known = self._look(letter.message_id)
        if isinstance(known, Receipt):
            return known
        path = self.path(letter.message_id)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = json.dumps(
            {
                "message_id": str(letter.message_id),
                "to": {"kind": letter.address.kind, "value": letter.address.value},
                "locale": letter.locale,
                "subject": letter.subject,
                "body": letter.body,
            },
            ensure_ascii=False,
            indent=1,
        )
        draft = path.with_suffix(f".{os.getpid()}.part")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        taken = self._look(letter.message_id)
        assert isinstance(taken, Receipt)  # noqa: S101 - it was just put there
        return taken


class SmtpChannel:
    """Mail, or text messages by a mail gateway; the message's id is the mail's ``Message-ID``."""

    name: str = "smtp"

    def __init__(self, settings: NotificationSettings) -> None:
        self._settings = settings

    def takes(self, address: Address) -> bool:
        """A mailbox, or a phone where there is a gateway."""
        return address.kind == "mail" or (
            address.kind == "phone" and bool(self._settings.smtp_phone_domain)
        )

    def _mail(self, letter: Letter) -> EmailMessage:
        mail = EmailMessage()
        to = letter.address.value
        if letter.address.kind == "phone":
            digits = "".join(c for c in to if c.isdigit() or c == "+")
            to = f"{digits}@{self._settings.smtp_phone_domain}"
        mail["From"] = self._settings.smtp_sender
        mail["To"] = to
        mail["Subject"] = letter.subject
        mail["Message-ID"] = f"<{letter.message_id}@{self._settings.smtp_sender.split('@')[-1]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = letter.locale
        mail.set_content(letter.body)
        return mail

    async def send(self, letter: Letter) -> Receipt:
        """Hand over to the mail server; a connection lost midway leaves it unknown."""
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            start_tls=settings.smtp_starttls,
            timeout=20,
        )
        try:
            await client.connect()
            if settings.smtp_user:
                await client.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        except (aiosmtplib.SMTPException, OSError) as error:
            raise SendingFailed("mail_server_away") from error
        try:
            _, answer = await client.send_message(self._mail(letter))
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise SendingFailed("address_refused", final=True) from error
        except aiosmtplib.SMTPResponseException as error:
            final = 500 <= error.code < 600
            raise SendingFailed("mail_refused", final=final) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise SendingUnknown("connection_lost") from error
        finally:
            client.close()
        return Receipt(self.name, answer[:200], datetime.now(UTC))

    async def ask(self, message_id: UUID) -> Receipt | Answer:
        """Mail servers answer no such question."""
        return Answer.CANNOT_SAY


def channels(settings: NotificationSettings) -> tuple[Channel, ...]:
    """The channels of this site, best first; the spool takes what no other can."""
    spool = FileChannel(settings.spool_dir)
    return (SmtpChannel(settings), spool) if settings.channel == "smtp" else (spool,)


def address_key(folder: Path) -> bytes:
    """The key for hashes of addresses, made once per installation and readable by it alone."""
    path = folder / "notification-address.key"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        key = os.urandom(32)
        file.write(key)
    return key


def _protected(contact: Mapping[str, Any]) -> frozenset[str]:
    """Which of a party's data are protected; an answer that only says so protects all."""
    flags = contact.get("protected") or {}
    if isinstance(flags, Mapping):
        return frozenset(name for name, on in flags.items() if on)
    return frozenset({"name", "phone", "address"})


def contact_addresses(contact: Mapping[str, Any]) -> list[Address]:
    """The ways to reach a party, best first. A protected address is no way for paper."""
    ways = [
        Address(kind, contact[member])
        for kind, member in (("mail", "email"), ("phone", "phone"), ("post", "address"))
        if contact.get(member)
    ]
    hidden = _protected(contact)
    return [w for w in ways if not (w.kind == "post" and "address" in hidden)]


def is_protected(contact: Mapping[str, Any]) -> bool:
    """Whether the party gets the neutral text: no name, no matter, no place."""
    return bool(_protected(contact))
