"""The whole stack under its supervisor: every process may die, and so may the supervisor."""

import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx
import psutil
import pytest

from services.stack.home import ROOT
from tests.e2e.running import RunningStack, free_base
from tests.fixtures.servers import passable_folder

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]
NAMES = ("intake", "routing", "mediation", "notification", "kafka", "postgres")


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with passable_folder("a stack") as folder:
        running = RunningStack(folder, free_base())
        try:
            running.start()
            yield running
        finally:
            running.stop()


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_ready(stack: RunningStack, name: str) -> bool:
    url = stack.client().description["services"][name]
    try:
        return httpx.get(f"{url}/health/ready", timeout=3, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def listens(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def run_here(stack: RunningStack, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services", "stack", "--no-play"],
        cwd=ROOT,
        env={**stack.environ, **environ},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_stack_json_tells_scripts_everything_and_only_them(stack: RunningStack) -> None:
    file = stack.home / "stack.json"
    told = stack.client().description

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(told["services"]) == set(NAMES[:4])
    assert told["token_url"] == f"{told['services']['routing']}/oauth/token"
    assert told["kafka"]["mechanism"] == "SCRAM-SHA-256"
    court = told["kafka"]["connections"]["o-330681-ct-0001"]
    assert court["user"] == "o-330681-ct-0001"
    client = next(each for each in told["clients"] if each["id"] == "o-330681-ct-0001")
    assert client["organisations"] == ["330681-CT-0001"]
    assert set(client) == {"id", "secret", "connection", "organisations", "scopes"}
    assert not [each for each in told["clients"] if each["id"].startswith("svc-")]


def test_the_command_line_gives_a_token_of_the_running_stack(stack: RunningStack) -> None:
    answer = stack.command("token", "o-330681-ct-0001")

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count(".") == 2


def test_a_second_start_on_the_same_folder_is_one_sentence(stack: RunningStack) -> None:
    answer = run_here(stack)

    assert answer.returncode == 1
    assert "already runs with the data folder" in answer.stdout
    assert (stack.home / "stack.json").exists()


def test_a_copy_on_taken_ports_is_one_sentence(stack: RunningStack) -> None:
    with passable_folder("another") as folder:
        answer = run_here(stack, LIANDIAO_HOME=str(folder))

    assert answer.returncode == 1
    assert "is taken by another program" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr


def test_every_process_comes_back_after_kill_9(stack: RunningStack) -> None:
    before = {name: stack.pid(name) for name in NAMES}

    for name in NAMES:
        stack.kill(name)

    wait_for(lambda: all(stack.pid(name) != before[name] for name in NAMES))
    wait_for(lambda: listens(stack.client().description["kafka"]["bootstrap"]))
    wait_for(lambda: all(is_ready(stack, name) for name in NAMES[:4]))


def test_when_the_supervisor_dies_its_children_stop_and_the_next_start_goes_on(
    stack: RunningStack,
) -> None:
    assert stack.process is not None
    secret = stack.client().description["clients"][0]["secret"]
    children = [psutil.Process(stack.pid(name)) for name in NAMES]

    stack.process.kill()
    stack.process.wait()
    (stack.home / "stack.json").unlink()
    # Nothing is fetched at a second start: there is no network and no mirror.
    stack.environ["LIANDIAO_MAVEN_MIRROR"] = "http://127.0.0.1:1"
    stack.start()

    assert not [child for child in children if child.is_running()]
    assert stack.client().description["clients"][0]["secret"] == secret
    assert all(is_ready(stack, name) for name in NAMES[:4])


def test_ctrl_c_stops_everything_cleanly(stack: RunningStack) -> None:
    assert stack.process is not None
    children = [psutil.Process(stack.pid(name)) for name in NAMES]

    stack.process.send_signal(signal.SIGINT)

    assert stack.process.wait(120) == 0
    assert not [child for child in children if child.is_running()]
    assert not (stack.home / "stack.json").exists()
    assert list((stack.home / "run").iterdir()) == []
    said = (stack.home / "supervisor.out").read_text(encoding="utf-8")
    assert "did not stop by itself" not in said
    assert "database system is shut down" in (stack.home / "logs" / "postgres.log").read_text()
