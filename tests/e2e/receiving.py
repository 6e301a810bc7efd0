"""A system that has its feed brought: a small server, and what came with a good signature."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.notification.webhooks.receiver import example


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """The sender's own server: where it is, and what it was brought; it refuses two tries."""
    got: list[tuple[dict[str, str], bytes]] = []
    tries: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            tries.append(self.headers["webhook-id"])
            taken = len(tries) not in (3, 7)
            if taken:
                got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(204 if taken else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/liandiao", got
    finally:
        server.shutdown()
        server.server_close()


def brought(got: list[tuple[dict[str, str], bytes]], secret: str, case_id: str) -> list[Any]:
    """The entries of a case that came with a good signature, each once, as they came."""
    verified, seen, entries = example(), set(), []
    for headers, body in list(got):
        entry = json.loads(body)
        if entry["event"].get("subject") == case_id and headers["webhook-id"] not in seen:
            assert verified(secret, headers, body)
            seen.add(headers["webhook-id"])
            entries.append(entry)
    return entries
