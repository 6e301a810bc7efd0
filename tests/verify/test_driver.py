"""What the load is made of: its log, its patience, its proxy."""

import asyncio
import contextlib
import json
from pathlib import Path

import httpx
import pytest

from services.client import asks_again
from services.http_log import HttpLog
from tests.chaos.proxy import Proxy
from tests.fixtures.servers import free_ports


def a_request(body: object = None) -> httpx.Request:
    """A POST with a key."""
    return httpx.Request(
        "POST",
        "http://127.0.0.1:1/v1/referrals",
        json=body,
        headers={"Idempotency-Key": "k" * 32, "Authorization": "Bearer secret"},
    )


def test_the_log_tells_a_body_by_its_digest_and_a_refusal_by_its_problem(tmp_path: Path) -> None:
    file = tmp_path / "http.jsonl"
    log = HttpLog(file)
    headers = {"Location": "/v1/referrals/r", "Case-Sequence": "intake=0000000002"}
    log.write(
        "intake",
        a_request({"name": "张三"}),
        httpx.Response(201, json={"case_id": "c"}, headers=headers),
    )
    log.write("intake", a_request(), httpx.Response(422, json={"code": "invalid"}))
    log.write("intake", a_request(), None, fault="ReadTimeout")
    log.close()

    text = file.read_text(encoding="utf-8")
    made, refused, unknown = (json.loads(line) for line in text.splitlines())
    assert "张三" not in text
    assert "secret" not in text
    assert (made["status"], made["location"], made["case_id"], made["sequence"]) == (
        201,
        "/v1/referrals/r",
        "c",
        "intake=0000000002",
    )
    assert len(made["digest"]) == 64
    assert made["key"] == "k" * 32
    assert refused["problem"] == {"code": "invalid"}
    assert (unknown["status"], unknown["fault"]) == (None, "ReadTimeout")


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        (503, "unavailable", True),
        (429, "too-many-requests", True),
        (409, "idempotency-in-progress", True),
        (409, "conflict", False),
        (422, "invalid", False),
        (201, None, False),
    ],
)
def test_the_same_request_is_sent_again_only_where_that_can_help(
    status: int, code: str | None, again: bool
) -> None:
    assert asks_again(httpx.Response(status, json={"code": code})) is again


async def test_the_proxy_passes_holds_releases_and_cuts() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
            await writer.drain()
        writer.close()

    target, port = free_ports(2)
    server = await asyncio.start_server(echo, "127.0.0.1", target)
    proxy = Proxy(port, target)
    await proxy.serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(b"one")
    assert await asyncio.wait_for(reader.read(100), 5) == b"one"

    proxy.hold()
    writer.write(b"two")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(
            asyncio.shield(waiting := asyncio.ensure_future(reader.read(100))), 0.3
        )
    proxy.release()
    assert await asyncio.wait_for(waiting, 5) == b"two"

    assert proxy.cut() >= 1
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(100), 5) == b""
    assert reader.at_eof() or reader.exception() is not None
    server.close()
