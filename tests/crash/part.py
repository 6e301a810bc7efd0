"""One part of a work process as a process of its own, for tests that end or freeze it for real.

``python -m tests.crash.part relay|cases|replay``: settings of the small service of
``tests.fixtures.messaging`` as JSON in ``PART``. ``LIANDIAO_FAILPOINTS`` ends it at a place
or stops it there with SIGSTOP, so that the test decides when it goes on.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from services.messaging.consumer import consume_cases
from services.messaging.parking import replay
from services.messaging.relay import run_relay
from services.runtime import Runtime
from services.stack.process import dies_with_parent
from tests.fixtures.messaging import Trouble, a_service

PARTS: dict[str, Callable[[Runtime, str], Awaitable[Any]]] = {
    "relay": lambda runtime, _: run_relay(runtime, asyncio.Event()),
    "cases": lambda runtime, _: consume_cases(runtime, asyncio.Event()),
    "replay": replay,  # of one parked case
}


def start(
    part: str, runtime: Runtime, *, fail: str = "", key: str = "", **changes: Any
) -> "subprocess.Popen[bytes]":
    """Start the part with the settings of a runtime of this process; ``key``: of what case."""
    settings = runtime.settings.model_dump(mode="json", exclude_none=True) | changes
    for name in ("database_url", "kafka_password"):
        settings[name] = getattr(runtime.settings, name).get_secret_value()
    environ = {
        **os.environ,
        "PART": json.dumps({"service": runtime.service.name, "settings": settings, "key": key}),
        "LIANDIAO_TEST_INSTALLATION": "yes",
        "LIANDIAO_FAILPOINTS": fail,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crash.part", part],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=dies_with_parent(signal.SIGKILL),
    )


async def ended(process: "subprocess.Popen[bytes]", seconds: float = 120) -> int:
    """The status with which the process ended."""
    return await asyncio.to_thread(process.wait, seconds)


async def frozen(process: "subprocess.Popen[bytes]", seconds: float = 120) -> None:
    """Wait until the process stands still. Raises ``AssertionError`` when it does not."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        with open(f"/proc/{process.pid}/stat") as file:
            if file.read().rsplit(")", 1)[1].split()[0] == "T":
                return
        assert process.poll() is None, "it ended instead"
        assert asyncio.get_running_loop().time() < end, "it was not frozen in time"
        await asyncio.sleep(0.05)


async def _main(part: str) -> None:
    given = json.loads(os.environ["PART"])
    service = a_service(given["service"])
    runtime = await Runtime.open(service, service.settings.model_validate(given["settings"]))
    runtime.state["trouble"] = Trouble()
    await PARTS[part](runtime, given["key"])


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
