import email
from collections.abc import Iterator
from email import policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from pydantic import SecretStr

from notification.channels import Address, Answer, FileChannel, Letter, SmtpChannel, channels
from notification.errors import SendingFailed, SendingUnknown
from notification.settings import NotificationSettings
from services.ids import new_id
from tests.fixtures.servers import free_ports


class Server:
    """Takes mail, or refuses it, or hangs up in the middle of it."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer: str | None = None

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer == "hang up":
            server.transport.abort()
            return ""
        if self.answer:
            return self.answer
        self.mails.append((envelope.rcpt_tos, envelope.content))
        return "250 taken as 42"


@pytest.fixture
def server() -> Iterator[tuple[Server, int]]:
    """A mail server on a free port."""
    handler, port = Server(), free_ports(1)[0]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


def _settings(port: int, **changes: Any) -> NotificationSettings:
    return NotificationSettings(
        database_url=SecretStr("postgresql://nowhere/none"),
        channel="smtp",
        smtp_host="127.0.0.1",
        smtp_port=port,
        smtp_starttls=False,
        smtp_sender="notice@county.example",
        **changes,
    )


def _a_letter(kind: str = "mail", value: str = "someone@example.com") -> Letter:
    return Letter(new_id(), Address(kind, value), "zh-CN", "调解会通知", "您好：正文")


async def test_a_mail_carries_the_messages_id_and_text(server: tuple[Server, int]) -> None:
    handler, port = server
    letter = _a_letter()

    receipt = await SmtpChannel(_settings(port)).send(letter)

    (to, content) = handler.mails[0]
    mail = email.message_from_bytes(content, policy=policy.default)
    assert to == ["someone@example.com"]
    assert mail["Message-ID"] == f"<{letter.message_id}@county.example>"
    assert mail["Subject"] == "调解会通知"
    assert "正文" in mail.get_content()
    assert (receipt.channel, receipt.reference) == ("smtp", "taken as 42")


async def test_a_phone_goes_through_the_gateway_where_there_is_one(
    server: tuple[Server, int],
) -> None:
    handler, port = server
    channel = SmtpChannel(_settings(port, smtp_phone_domain="sms.example"))

    await channel.send(_a_letter("phone", "199 0000 1111"))

    assert handler.mails[0][0] == ["19900001111@sms.example"]
    assert not SmtpChannel(_settings(port)).takes(Address("phone", "1"))


@pytest.mark.parametrize(("answer", "final"), [("550 no such box", True), ("451 later", False)])
async def test_a_refusal_is_final_only_when_the_server_says_so(
    server: tuple[Server, int], answer: str, final: bool
) -> None:
    handler, port = server
    handler.answer = answer

    with pytest.raises(SendingFailed) as refused:
        await SmtpChannel(_settings(port)).send(_a_letter())
    assert refused.value.final is final


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(SendingFailed) as away:
        await SmtpChannel(_settings(free_ports(1)[0])).send(_a_letter())
    assert (away.value.reason, away.value.final) == ("mail_server_away", False)


async def test_a_connection_lost_midway_leaves_it_unknown(server: tuple[Server, int]) -> None:
    handler, port = server
    handler.answer = "hang up"
    channel = SmtpChannel(_settings(port))
    letter = _a_letter()

    with pytest.raises(SendingUnknown):
        await channel.send(letter)
    assert await channel.ask(letter.message_id) is Answer.CANNOT_SAY


def test_the_spool_takes_what_mail_cannot_reach(tmp_path: Path) -> None:
    used = channels(_settings(25, spool_dir=tmp_path))

    assert [type(c) for c in used] == [SmtpChannel, FileChannel]
    assert not used[0].takes(Address("desk", "310105-CE-0001"))
    assert used[1].takes(Address("desk", "310105-CE-0001"))
