"""Where a webhook may lead, and how what is sent there is signed: pure decisions."""

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

LONGEST_URL: Final = 2000
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - of the form, not of a secret
SECRET_BYTES: Final = 32
# Printable ASCII without what browsers and libraries read differently.
_URL: Final = re.compile(r"[!#-;=?-\[\]_a-z~]+")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

REFUSALS: Final = {
    "url_malformed": "须为完整的网址（ASCII）。 an absolute URL in printable ASCII",
    "url_not_https": "须为 https 网址。 the scheme must be https",
    "url_with_credentials": "网址中不得带用户名或者密码。 no user name or password in the URL",
    "url_with_fragment": "网址中不得带 # 片段。 no fragment in the URL",
    "port_refused": "不允许使用该端口。 this port is not allowed here",
    "address_refused": "不得指向内部地址。 this address is not allowed here",
}


@dataclass(frozen=True)
class Policy:
    """What a site lets webhooks reach.

    ``networks`` are inner networks that are allowed by name. ``loopback`` is for tests and
    demonstrations: this machine, any port, also without TLS.
    """

    ports: frozenset[int] = frozenset({443})
    networks: tuple[Network, ...] = ()
    loopback: bool = False


@dataclass(frozen=True)
class Target:
    """A URL taken apart, so that nobody reads it a second time in another way."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def read_url(url: str, policy: Policy) -> Target | str:
    """The URL taken apart, or the code of what is wrong with it."""
    if len(url) > LONGEST_URL or not _URL.fullmatch(url):
        return "url_malformed"
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "url_malformed"
    if parts.scheme not in ("https", "http") or not host:
        return "url_malformed" if parts.scheme == "https" else "url_not_https"
    if "@" in parts.netloc:
        return "url_with_credentials"
    if "#" in url:
        return "url_with_fragment"
    literal = _address(host)
    named = _HOST.fullmatch(host) and not host.split(".")[-1].isdigit()
    if (literal is None and not named) or "%" in host:
        return "url_malformed"  # also 127.1, which a resolver takes for an address
    if parts.scheme == "http" and not policy.loopback:
        return "url_not_https"
    if port is None:
        port = {"https": 443, "http": 80}[parts.scheme]
    if port not in policy.ports and not policy.loopback:
        return "port_refused"
    if literal is not None and not allowed(host, policy):
        return "address_refused"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def allowed(address: str, policy: Policy) -> bool:
    """Whether a connection may be made to this address.

    Public addresses, and what the site's list names; never loopback, private, link-local, shared,
    multicast or reserved ones otherwise, nor IPv6 addresses that hide such an IPv4 address.
    """
    found = _address(address)
    if found is None:
        return False
    if any(found.version == net.version and found in net for net in policy.networks):
        return True
    if found.is_loopback:
        return policy.loopback
    if isinstance(found, ipaddress.IPv6Address):
        hidden = found.sixtofour or (found.teredo or (None, None))[1]
        if hidden is not None or found.is_site_local:
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved)


def message_id(event_id: object, connection: str) -> str:
    """``webhook-id``: the same at every try, replay and webhook of the connection.

    Made of the event and not of its number, which after a restore might name another one.
    """
    return f"{event_id}_{connection}"


def signatures(secrets: Iterable[str], message: str, timestamp: int, body: bytes) -> str:
    """``webhook-signature`` (Standard Webhooks, v1): one for each secret in force."""
    content = f"{message}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(_key(s), content, hashlib.sha256)).decode()
        for s in secrets
    )


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))


def as_secret(key: bytes) -> str:
    """The form in which a secret is told."""
    return SECRET_PREFIX + base64.b64encode(key).decode()
