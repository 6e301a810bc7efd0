"""A whole stack for tests: its own folder and ports, ended with everything it started."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from services.client import Stack
from services.stack.process import dies_with_parent

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 300


def free_base() -> int:
    """A port from which eight in a row are free now."""
    for base in range(21000, 60000, 97):
        if all(_free(base + i) for i in range(8)):
            return base
    raise RuntimeError("no free ports")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class RunningStack:
    """``make run DEMO=no`` in a folder of its own."""

    command_line = ("services", "stack", "--no-play")

    def __init__(self, home: Path, base: int) -> None:
        self.home = home
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.endswith("_DATABASE_URL")},
            "LIANDIAO_HOME": str(home),
            "LIANDIAO_PORT_BASE": str(base),
            "LIANDIAO_TEST_INSTALLATION": "yes",
            "LIANDIAO_REQUESTS_PER_SECOND": "100000",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.seconds_to_ready = 0.0

    def start(self) -> None:
        """Start and wait until everything is ready."""
        began = time.monotonic()
        output = (self.home / "supervisor.out").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self.command_line],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )
        while not (self.home / "stack.json").exists():
            if self.process.poll() is not None or time.monotonic() - began > START_SECONDS:
                tail = (self.home / "supervisor.out").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the stack did not become ready:\n{tail}")
            time.sleep(0.1)
        self.seconds_to_ready = time.monotonic() - began

    def client(self) -> Stack:
        """A client of this stack; what it writes is held against the services at the end."""
        return Stack(self.home / "stack.json", http_log=self.home / "logs" / "http-tests.jsonl")

    def pid(self, name: str) -> int:
        """Process id of a child: a service, kafka or postgres."""
        text = (self.home / "run" / f"{name}.pid").read_text()
        return int(json.loads(text)["pid"] if text.lstrip().startswith("{") else text.split()[0])

    def kill(self, name: str) -> None:
        """``kill -9`` a child; the supervisor brings it back."""
        os.kill(self.pid(name), signal.SIGKILL)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``liandiao`` against this stack."""
        return subprocess.run(
            [sys.executable, "-m", "services", *arguments],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def stop(self) -> None:
        """Ctrl-C."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
