"""Posting to an address somebody else named: checked, bounded, never led elsewhere.

The name is resolved here, every address it has is checked, and the connection goes to the address
that was checked: a second answer of the name server changes nothing. TLS still checks the
certificate against the name. No redirect is followed, no proxy asked, no answer kept.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpcore
import httpx

from notification.webhooks.model import Answer
from notification.webhooks.rules import Policy, Target, allowed

Resolve = Callable[[str, int], Awaitable[list[str]]]
# Of an answer so much is read, that the connection can be used again; what it says is not kept.
DRAIN_BYTES: Final = 16_384
DRAIN_SECONDS: Final = 1.0
KEEP_SECONDS: Final = 5.0
LONGEST_ASKED_SECONDS: Final = 3600
# For each address of a name; the whole try has its own bound.
_PATIENCE: Final = {"timeout": {"connect": 5.0}}
# A name server that does not answer holds threads of its own, not those that files are read with.
_names: Final = ThreadPoolExecutor(32, "webhook-names")


LATE: Final = (httpcore.TimeoutException, TimeoutError)


class NameUnknown(httpcore.ConnectError):
    """The name has no address."""


class AddressRefused(httpcore.ConnectError):
    """The name leads where no webhook may lead."""


async def look_up(host: str, port: int) -> list[str]:
    """Every address of a name. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        _names, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked and to nothing else."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy, self._resolve = policy, resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to one of the name's addresses."""
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise NameUnknown() from error
        if not addresses:
            raise NameUnknown()
        if not all(allowed(address, self._policy) for address in addresses):
            raise AddressRefused()
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, None, socket_options)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


class Poster:
    """Posts bodies; keeps connections for some seconds, each for its own name."""

    def __init__(
        self,
        policy: Policy,
        *,
        seconds: float,
        at_once: int,
        ca_file: Path | None = None,
        resolve: Resolve = look_up,
    ) -> None:
        self._seconds = seconds
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(ca_file),
            max_connections=at_once,
            max_keepalive_connections=at_once,
            keepalive_expiry=KEEP_SECONDS,
            network_backend=_Guarded(policy, resolve),
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._pool.aclose()

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post once; whatever happens is an answer. Once there is a status, it alone counts."""
        known: list[Answer] = []
        try:
            async with asyncio.timeout(self._seconds):
                await self._post(target, headers, body, known)
        except (OSError, httpcore.NetworkError, httpcore.ProtocolError, *LATE) as error:
            if not known:
                return Answer("failed", reason=_reason(error))
        return known[0]

    async def _post(
        self, target: Target, headers: Mapping[str, str], body: bytes, known: list[Answer]
    ) -> None:
        url = httpcore.URL(
            scheme=target.scheme.encode(),
            host=target.host.encode(),
            port=target.port,
            target=target.path.encode(),
        )
        head = {
            "Host": target.authority,
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(body)),
            "User-Agent": "liandiao",
            "Accept": "*/*",
            **headers,
        }
        given = list(head.items())
        async with self._pool.stream(
            "POST", url, headers=given, content=body, extensions=_PATIENCE
        ) as answer:
            known.append(read_answer(answer.status, dict(answer.headers)))
            await _drain(answer)


async def _drain(answer: httpcore.Response) -> None:
    """Read a short body to its end; leave a long or slow one, and its connection, where it is."""
    size = 0
    async with asyncio.timeout(DRAIN_SECONDS):
        async for piece in answer.aiter_stream():
            size += len(piece)
            if size > DRAIN_BYTES:
                return


def _reason(error: BaseException) -> str:
    """Why there was no status."""
    if isinstance(error, NameUnknown):
        return "name_unknown"
    if isinstance(error, AddressRefused):
        return "address_refused"
    if isinstance(error, TimeoutError):
        return "timeout"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "tls"
        cause = cause.__cause__ or cause.__context__
    return "connection"


def read_answer(status: int, headers: Mapping[bytes, bytes]) -> Answer:
    """What a status means (Standard Webhooks): 2xx has taken it, 410 wants no more, else again."""
    if 200 <= status < 300:
        return Answer("delivered", status)
    if status == 410:
        return Answer("gone", status, "status")
    asked = {name.lower(): value for name, value in headers.items()}.get(b"retry-after", b"")
    seconds = int(asked) if asked.isdigit() and len(asked) < 10 else None
    return Answer(
        "failed",
        status,
        "redirected" if 300 <= status < 400 else "status",
        None if seconds is None else min(seconds, LONGEST_ASKED_SECONDS),
    )
