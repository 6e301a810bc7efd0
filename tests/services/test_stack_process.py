"""Child processes: restarted, ended in order, never confused with a stranger."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from services.stack import process
from services.stack.home import ROOT

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, 1); print('up', flush=True); time.sleep(60)",
]


def a_child(folder: Path, argv: list[str] = SLEEP, **more: object) -> process.Child:
    return process.Child(
        "thing", lambda: argv, folder / "t.log", folder / "t.pid", os.environ, folder, **more
    )


def wait_for(condition, seconds: float = 10.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_child_is_told_and_started_again(tmp_path: Path) -> None:
    child = a_child(tmp_path)
    child.start()
    first = child.pid
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()

    told = child.watch()
    wait_for(lambda: child.watch() is None and child.pid is not None)

    assert told is not None
    assert "SIGKILL" in told
    assert child.pid != first
    assert child.restarts == 1
    child.stop()


def test_a_child_that_dies_at_once_is_started_ever_more_slowly(tmp_path: Path) -> None:
    child = a_child(tmp_path, [sys.executable, "-c", ""])
    pauses = []
    for _ in range(7):
        child.start()
        child.process.wait()
        child.watch()
        pauses.append(child.next_start_at - time.monotonic())

    assert pauses[0] < 0.21
    assert pauses[:4] == sorted(pauses[:4])
    assert 4.9 < pauses[-1] <= process.SLOWEST_RESTART_SECONDS


def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    child = a_child(tmp_path, STUBBORN, stop_seconds=0.3)
    child.start()
    wait_for(lambda: "up" in (tmp_path / "t.log").read_text())

    assert child.stop() is False
    assert child.pid is None
    assert not (tmp_path / "t.pid").exists()


def test_what_a_killed_supervisor_left_is_ended(tmp_path: Path) -> None:
    child = a_child(tmp_path)
    child.start()

    assert process.end_stale(tmp_path) == ["t"]

    assert child.pid is None
    assert list(tmp_path.glob("*.pid")) == []


@pytest.mark.parametrize("lie", [{"created": 1.0}, {"argv": ["something", "else"]}])
def test_a_stranger_with_the_same_number_is_left_alone(
    tmp_path: Path, lie: dict[str, object]
) -> None:
    child = a_child(tmp_path)
    child.start()
    value = json.loads((tmp_path / "t.pid").read_text())
    (tmp_path / "t.pid").write_text(json.dumps(value | lie))

    assert process.end_stale(tmp_path) == []
    assert child.pid is not None
    child.stop()


def test_a_damaged_pid_file_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "t.pid").write_text("{")

    assert process.end_stale(tmp_path) == []


PARENT = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from services.stack import process
folder = Path({folder!r})
child = process.Child(
    "thing", lambda: {argv!r}, folder / "t.log", folder / "t.pid", os.environ, folder
)
child.start()
{more}
print("started", flush=True)
time.sleep(60)
"""
WATCHER = """
import subprocess
watcher = subprocess.Popen([sys.executable, "-m", "services.stack.watcher", str(folder)],
    stdin=subprocess.PIPE, cwd={root!r})
"""


@pytest.mark.parametrize("portable", [False, True], ids=["by the kernel", "by the watcher"])
def test_children_die_with_their_parent(tmp_path: Path, portable: bool) -> None:
    if not portable and not sys.platform.startswith("linux"):
        return
    code = PARENT.format(
        root=str(ROOT),
        folder=str(tmp_path),
        argv=SLEEP,
        more=WATCHER.format(root=str(ROOT)) if portable else "",
    )
    if portable:
        code = code.replace("child.start()", "process._LIBC = None\nchild.start()")
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    child = psutil.Process(json.loads((tmp_path / "t.pid").read_text())["pid"])

    parent.kill()
    parent.wait()
    parent.stdout.close()

    psutil.wait_procs([child], 10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_older_logs_are_kept_at_a_new_start(tmp_path: Path) -> None:
    log = tmp_path / "t.log"
    for number in range(6):
        process.rotate(log)
        log.write_text(str(number))

    assert log.read_text() == "5"
    assert [(tmp_path / f"t.{n}.log").read_text() for n in (1, 2, 3)] == ["4", "3", "2"]
    assert not (tmp_path / "t.4.log").exists()
