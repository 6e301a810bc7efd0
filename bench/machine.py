"""What the machine itself can do: without it no figure means anything."""

import contextlib
import os
import platform
import threading
import time
from pathlib import Path
from statistics import quantiles

import psutil


def fdatasync_ms(folder: Path, seconds: float = 2.0) -> tuple[float, float]:
    """p50 and p99 of writing 8 kB and fdatasync, in milliseconds."""
    path = folder / f".fdatasync.{os.getpid()}"
    block = os.urandom(8192)
    took: list[float] = []
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(took) < 20:
            os.lseek(handle, len(took) % 256 * 8192, os.SEEK_SET)
            started = time.perf_counter()
            os.write(handle, block)
            os.fdatasync(handle)
            took.append((time.perf_counter() - started) * 1000)
    finally:
        os.close(handle)
        path.unlink()
    return percentile(took, 50), percentile(took, 99)


def percentile(values: list[float], percent: int) -> float:
    """A percentile; not a number when there is nothing."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return quantiles(values, n=100, method="inclusive")[percent - 1]


class Steal:
    """The share of CPU time that the hypervisor gave to others since ``Steal()``."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def percent(self) -> float:
        """Percent of all CPU time."""
        now = psutil.cpu_times()
        total = sum(now[:8]) - sum(self._before[:8])
        stolen = getattr(now, "steal", 0.0) - getattr(self._before, "steal", 0.0)
        return 100 * stolen / total if total else 0.0


def is_memory(folder: Path) -> bool:
    """Whether a folder lies on tmpfs, where fdatasync costs nothing."""
    best = ("", "")
    for part in psutil.disk_partitions(all=True):
        if str(folder).startswith(part.mountpoint) and len(part.mountpoint) > len(best[0]):
            best = (part.mountpoint, part.fstype)
    return best[1] in ("tmpfs", "ramfs")


def description() -> str:
    """Cores, memory, system."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


class Priority:
    """Keeps this run's processes above others on a shared machine (Linux, root).

    Every child of the stack is a session of its own, and the scheduler weighs sessions, not
    processes: so each session's weight is set, again and again, since processes come and go.
    """

    def __init__(self, nice: int) -> None:
        self._nice = nice
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "Priority":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        done: set[int] = set()
        while not self._over.wait(0.2):
            me = psutil.Process()
            for process in (me, *me.children(recursive=True)):
                if process.pid not in done:
                    with contextlib.suppress(OSError):
                        Path(f"/proc/{process.pid}/autogroup").write_text(str(self._nice))
                    done.add(process.pid)
