"""A lean HTTP/1.1 client: the load generator shares two cores with what it measures.

httpx costs about half a millisecond of CPU per request, as much as a service needs to answer a
read, so the generator speaks HTTP through httptools directly. One connection carries one request
at a time; nothing is pipelined.
"""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httptools
import orjson


class Answer:
    """Status, headers (lower case names) and body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiting: asyncio.Future[Answer] | None = None
        self.answer = Answer()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.waiting and not self.waiting.done():
            self.waiting.set_exception(error or ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def ask(self, data: bytes) -> "asyncio.Future[Answer]":
        assert self.transport is not None
        self.answer = Answer()
        self.parser = httptools.HttpResponseParser(self)
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self.waiting

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.answer.body += data

    def on_message_complete(self) -> None:
        self.answer.status = self.parser.get_status_code()
        if self.waiting and not self.waiting.done():
            self.waiting.set_result(self.answer)


class Wire:
    """A pool of connections to one server."""

    def __init__(self, base_url: str, token: str) -> None:
        address = urlsplit(base_url)
        self.host, self.port = address.hostname or "127.0.0.1", address.port or 80
        self.token = token
        self._free: list[_Connection] = []

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request; the connection goes back to the pool after its answer."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"Authorization: Bearer {self.token}",
        ]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")
        connection = await self._connection()
        answer = await connection.ask(data)
        if answer.headers.get("connection", "") != "close":
            self._free.append(connection)
        return answer

    async def _connection(self) -> _Connection:
        while self._free:
            connection = self._free.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_Connection, self.host, self.port)
        return made

    def close(self) -> None:
        """Close what is open."""
        for connection in self._free:
            if connection.transport is not None:
                connection.transport.close()
        self._free.clear()
