"""A webhook's address is somebody else's word: it leads out, by TLS to its name, or nowhere."""

import ipaddress
import socket
import ssl
from pathlib import Path

import pytest

from notification.settings import NotificationSettings
from notification.webhooks.handlers import policy
from notification.webhooks.model import Answer
from notification.webhooks.post import Poster, Resolve, look_up
from notification.webhooks.rules import Policy, Target
from tests.notification.webhooks.receiver import Receiver, certificate

HERE = Policy(loopback=True)
OUT = Policy(frozenset(range(65536)))


def leads_to(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


async def posted(target: Target, where: Policy, resolve: Resolve, ca: Path | None = None) -> Answer:
    poster = Poster(where, seconds=3, at_once=4, ca_file=ca, resolve=resolve)
    try:
        return await poster.post(target, {"webhook-id": "x"}, b"{}")
    finally:
        await poster.close()


async def test_tls_checks_the_name_though_the_connection_goes_to_the_checked_address(
    tmp_path: Path,
) -> None:
    ca, tls = certificate(tmp_path, "receiver.example")
    async with Receiver(tls=tls) as receiver:
        port = receiver.port
        right = Target("https", "receiver.example", port, "/x")
        wrong = Target("https", "another.example", port, "/x")
        there = leads_to("127.0.0.1")

        assert await posted(right, HERE, there, ca) == Answer("delivered", 204)
        assert await posted(wrong, HERE, there, ca) == Answer("failed", reason="tls")
        assert await posted(right, HERE, there) == Answer("failed", reason="tls")

    assert len(receiver.requests) == 1
    assert receiver.requests[0].headers["host"] == f"receiver.example:{port}"


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("::ffff:127.0.0.1",), ("1.1.1.1", "127.0.0.1"), ("10.0.0.1",), ("fe80::1",)],
)
async def test_a_name_that_leads_inside_is_not_followed(addresses: tuple[str, ...]) -> None:
    """Private, loopback, link-local; also one bad address among good ones."""
    async with Receiver() as receiver:
        target = Target("http", "receiver.example", receiver.port, "/")

        answer = await posted(target, OUT, leads_to(*addresses))

    assert answer == Answer("failed", reason="address_refused")
    assert receiver.connections == 0


async def test_a_second_answer_of_the_name_server_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No rebinding: the name is asked once for a connection, and what was checked is connected."""
    asked: list[str] = []

    async def turning(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    real = socket.getaddrinfo
    looked: list[object] = []

    def watched(host: object, *rest: object, **more: object) -> object:
        looked.append(host)
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", watched)
    async with Receiver() as receiver:
        target = Target("http", "receiver.example", receiver.port, "/")
        poster = Poster(HERE, seconds=3, at_once=4, resolve=turning)
        first = await poster.post(target, {}, b"{}")
        again = await poster.post(target, {}, b"{}")
        await poster.close()
        later = await posted(target, HERE, turning)

    assert (first.outcome, again.outcome, receiver.connections) == ("delivered", "delivered", 1)
    assert asked == ["receiver.example"] * 2
    assert "receiver.example" not in looked
    assert later == Answer("failed", reason="address_refused")


async def test_an_inner_network_is_reached_where_the_site_names_it() -> None:
    """Government networks are private: 127.0.0.0/8 stands here for such a one."""
    named = Policy(OUT.ports, (ipaddress.ip_network("127.0.0.0/8"),))
    async with Receiver() as receiver:
        target = Target("http", "receiver.example", receiver.port, "/")

        assert (await posted(target, named, leads_to("127.0.0.1"))).outcome == "delivered"


async def test_a_redirect_is_an_answer_and_no_way() -> None:
    async with Receiver() as inner:
        to = f"HTTP/1.1 307 X\r\nlocation: {inner.url}\r\ncontent-length: 0\r\n\r\n".encode()
        async with Receiver(lambda _: to) as receiver:
            target = Target("http", "127.0.0.1", receiver.port, "/")
            answer = await posted(target, HERE, look_up)

    assert answer == Answer("failed", 307, "redirected")
    assert inner.connections == 0


async def test_nobody_there_and_no_name_are_told_apart() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = Target("http", "127.0.0.1", probe.getsockname()[1], "/")
        assert await posted(closed, HERE, look_up) == Answer("failed", reason="connection")
    assert await posted(closed, HERE, unknown) == Answer("failed", reason="name_unknown")
    assert await posted(closed, HERE, leads_to()) == Answer("failed", reason="name_unknown")


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with Receiver() as receiver:
        target = Target("http", "receiver.example", receiver.port, "/")

        answer = await posted(target, HERE, leads_to("127.0.0.2", "127.0.0.1"))

    assert answer.outcome == "delivered"


def test_a_site_that_says_nothing_lets_webhooks_out_by_https_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NOTIFICATION_DATABASE_URL", "postgresql://x")
    plain = policy(NotificationSettings())
    monkeypatch.setenv("NOTIFICATION_WEBHOOK_NETWORKS", '["10.12.0.0/16", "fd12::/32"]')
    inner = policy(NotificationSettings())

    assert plain == Policy(frozenset({443, 8443}), (), False)
    assert [str(net) for net in inner.networks] == ["10.12.0.0/16", "fd12::/32"]
    assert ssl.create_default_context().check_hostname
