"""Child processes: started with a log and a pid file, never outliving us, ended in good order."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from services.stack.home import Person

LOG_LIMIT_BYTES = 64 * 1024 * 1024
QUICKEST_RESTART_SECONDS = 0.2
SLOWEST_RESTART_SECONDS = 5.0
STEADY_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None


_LIBC = _libc()


def dies_with_parent(stop: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before exec so that the kernel signals it when we die (Linux)."""
    libc = _LIBC
    if libc is None:
        return None
    parent = os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(stop), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel


@dataclass
class Child:
    """One process that is kept running: what to start, how to stop it, where it writes."""

    name: str
    argv: Callable[[], Sequence[str]]
    log: Path
    pid_file: Path
    environ: Mapping[str, str]
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0
    person: Person | None = None
    before_start: Callable[[], None] = lambda: None
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    started_at: float = 0.0
    restarts: int = 0
    next_start_at: float = 0.0
    pause: float = QUICKEST_RESTART_SECONDS

    def start(self) -> None:
        """Start it now; its output is appended to its log."""
        self.before_start()
        argv = list(self.argv())
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.cwd,
                env=dict(self.environ),
                start_new_session=True,
                preexec_fn=dies_with_parent(self.stop_signal),
                **(self.person.popen() if self.person else {}),
            )
        self.started_at = time.monotonic()
        write_pid_file(self.pid_file, self.process.pid, argv, self.stop_signal)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self.process.pid if self.process and self.process.poll() is None else None

    def watch(self) -> str | None:
        """Restart it when it has died and its pause is over; answers a sentence to be told."""
        if self.process is None:
            if time.monotonic() >= self.next_start_at:
                self.restarts += 1
                self.start()
            return None
        code = self.process.poll()
        if code is None:
            return None
        if time.monotonic() - self.started_at > STEADY_SECONDS:
            self.pause = QUICKEST_RESTART_SECONDS
        self.process = None
        self.next_start_at = time.monotonic() + self.pause
        sentence = f"{self.name} ended ({ending(code)}) and is started again; see {self.log}"
        self.pause = min(self.pause * 2, SLOWEST_RESTART_SECONDS)
        return sentence

    def ask_to_stop(self) -> None:
        """Send its stop signal."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(self.stop_signal)

    def stop(self, *, asked: bool = False) -> bool:
        """Stop it and wait; after ``stop_seconds`` kill it. Answers whether it ended itself."""
        if self.process is None:
            return True
        if not asked:
            self.ask_to_stop()
        try:
            self.process.wait(self.stop_seconds)
            return True
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        finally:
            self.pid_file.unlink(missing_ok=True)
            self.process = None

    def shorten_log(self) -> None:
        """Keep one older copy when the log has grown too long (its writer appends)."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > LOG_LIMIT_BYTES:
                older = self.log.with_suffix(".1.log")
                older.write_bytes(self.log.read_bytes())
                os.truncate(self.log, 0)


def rotate(log: Path, keep: int = 3) -> None:
    """Begin a new log file; the last ``keep`` older ones stay as name.1.log and so on."""
    for number in range(keep, 0, -1):
        older = log.with_suffix(f".{number - 1}.log") if number > 1 else log
        with contextlib.suppress(FileNotFoundError):
            os.replace(older, log.with_suffix(f".{number}.log"))


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"by {signal.Signals(-code).name}"
    return f"by signal {-code}"


def write_pid_file(path: Path, pid: int, argv: Sequence[str], stop: signal.Signals) -> None:
    """Remember a child so that a later supervisor can know it again."""
    created = 0.0
    with contextlib.suppress(psutil.Error):
        created = psutil.Process(pid).create_time()
    value = {"pid": pid, "created": created, "argv": list(argv), "signal": int(stop)}
    path.write_text(json.dumps(value), encoding="utf-8")


def stale_process(path: Path) -> tuple[psutil.Process, signal.Signals] | None:
    """The still running process of a pid file, or None; never a stranger with the same number."""
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        process = psutil.Process(value["pid"])
        same = abs(process.create_time() - value["created"]) < 5 and process.cmdline() in (
            value["argv"],
            [],
        )
        if same and process.status() != psutil.STATUS_ZOMBIE:
            return process, signal.Signals(value["signal"])
    except (OSError, ValueError, KeyError, psutil.Error):
        pass
    return None


def end_stale(folder: Path, patience_seconds: float = 15.0) -> list[str]:
    """End what a killed supervisor left running: ask, wait, then kill. Answers their names."""
    found = []
    for path in sorted(folder.glob("*.pid")):
        stale = stale_process(path)
        if stale is not None:
            found.append((path.stem, *stale))
    # Services first, PostgreSQL last, as in a clean stop.
    found.sort(
        key=lambda each: (
            ("kafka", "postgres").index(each[0]) if each[0] in ("kafka", "postgres") else -1
        )
    )
    for _, process, stop in found:
        with contextlib.suppress(psutil.Error):
            process.send_signal(stop)
    _, alive = psutil.wait_procs([process for _, process, _ in found], patience_seconds)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, 5)
    for path in folder.glob("*.pid"):
        path.unlink(missing_ok=True)
    return [name for name, _, _ in found]
