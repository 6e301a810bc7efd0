"""A TCP proxy that can cut its connections or let nothing through, as a bad network does."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

CHUNK_BYTES = 65_536


class Proxy:
    """Listens on 127.0.0.1 and passes everything to another port there, while it is open."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self.connections = 0
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self) -> None:
        """Begin to listen."""
        self._open.set()
        await asyncio.start_server(self._client, "127.0.0.1", self.port)

    def cut(self) -> int:
        """End every connection at once, without a goodbye; answers how many."""
        writers, self._writers = self._writers, set()
        for writer in writers:
            writer.transport.abort()
        return len(writers)

    def hold(self) -> None:
        """Let nothing through any more: bytes wait, new connections are taken and left alone."""
        self._open.clear()

    def release(self) -> None:
        """Let everything through again."""
        self._open.set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            await self._open.wait()
            back, onward = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(onward)
            await asyncio.gather(self._pump(reader, onward), self._pump(back, writer))
        except OSError:
            pass
        finally:
            for each in (writer, onward):
                if each is not None:
                    self._writers.discard(each)
                    each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        # One side has said goodbye: the other is told so too.
        raise ConnectionResetError


class Proxies:
    """Proxies on a loop of their own, so that a busy driver does not slow them down."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something on the proxies' loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def open(self, port: int, target: int) -> Proxy:
        """A proxy that listens."""

        async def make() -> Proxy:
            proxy = Proxy(port, target)
            await proxy.serve()
            return proxy

        made: Proxy = self.run(make())
        return made

    def call(self, what: Any) -> Any:
        """Call a proxy's method on its own loop."""

        async def do() -> Any:
            return what()

        return self.run(do())

    def close(self) -> None:
        """End the loop with all that runs on it."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
