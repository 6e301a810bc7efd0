"""The installation that is measured: its own data folder and ports, started and stopped by us."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from bench.referrals import CENTRE
from services.stack.postgres import SUPERUSER, wheel_binaries

ROOT = Path(__file__).resolve().parents[1]
PLENTY = 10_000_000


class Installation:
    """One stack of the bench, with the centre as the only body that has room."""

    def __init__(self, home: Path, port_base: int) -> None:
        self.home = home
        self.port_base = port_base
        self.process: subprocess.Popen[bytes] | None = None
        # API processes beside the stack, by their address.
        self.apis: dict[str, psutil.Process] = {}

    # -- its life ------------------------------------------------------------------------------

    def make_samples(self) -> Path:
        """A copy of the samples in which the county centre takes everything, and nobody else.

        Capacity is counted and respected, so a load of thousands of cases needs a body with room.
        """
        target = self.home.parent / f"{self.home.name}-samples"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(ROOT / "samples", target)
        file = target / "directory.json"
        directory = json.loads(file.read_text(encoding="utf-8"))
        for organisation in directory["organisations"]:
            organisation["capacity"] = 0
            if organisation["code"] == CENTRE:
                organisation["capacity"] = PLENTY
                organisation["lanes"] = sorted({*organisation["lanes"], "court_pre"})
        file.write_text(json.dumps(directory, ensure_ascii=False, indent=1), encoding="utf-8")
        return target

    def environ(self) -> dict[str, str]:
        """What the stack of the bench is told."""
        return os.environ | {
            "LIANDIAO_HOME": str(self.home),
            "LIANDIAO_PORT_BASE": str(self.port_base),
            "LIANDIAO_SAMPLES_DIR": str(self.home.parent / f"{self.home.name}-samples"),
            "LIANDIAO_REQUESTS_PER_SECOND": "1000000",
            "LIANDIAO_LOG_LEVEL": "WARNING",
        }

    def start(self, patience_seconds: float = 180) -> float:
        """Start it; seconds until all four services say they are ready."""
        stack_file = self.home / "stack.json"
        with contextlib.suppress(FileNotFoundError):
            stack_file.unlink()
        started = time.monotonic()
        log = (self.home.parent / f"{self.home.name}.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services", "stack", "--no-play"],
            cwd=ROOT,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while not (stack_file.exists() and self.ready()):
            if self.process.poll() is not None:
                raise SystemExit(f"the stack ended while it started; see {log.name}")
            if time.monotonic() - started > patience_seconds:
                self.stop()
                raise SystemExit(f"the stack was not ready in time; see {log.name}")
            time.sleep(0.05)
        return time.monotonic() - started

    def ready(self) -> bool:
        """Whether every service answers 200 at its health address."""
        try:
            for url in self.description["services"].values():
                with urllib.request.urlopen(f"{url}/health/ready", timeout=2) as answer:
                    if answer.status != 200:
                        return False
        except (OSError, ValueError, KeyError):
            return False
        return True

    def stop(self) -> None:
        """Stop it and wait."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def throw_away(self) -> None:
        """Remove its folders."""
        for folder in (self.home, self.home.parent / f"{self.home.name}-samples"):
            shutil.rmtree(folder, ignore_errors=True)

    # -- what it is ----------------------------------------------------------------------------

    @property
    def description(self) -> dict[str, Any]:
        """What ``stack.json`` says."""
        answer: dict[str, Any] = json.loads((self.home / "stack.json").read_text("utf-8"))
        return answer

    @property
    def settings(self) -> dict[str, str]:
        """The services' environment."""
        answer: dict[str, str] = json.loads((self.home / "environment.json").read_text("utf-8"))
        return answer

    def secret(self, name: str) -> str:
        """One of the stack's own passwords."""
        return str(json.loads((self.home / "secrets.json").read_text("utf-8"))[name])

    @property
    def postgres_port(self) -> int:
        """Where PostgreSQL listens."""
        return int(self.settings["INTAKE_DATABASE_URL"].rsplit("/", 1)[0].rsplit(":", 1)[1])

    def database(self, name: str) -> str:
        """The superuser's address of a database."""
        return (
            f"postgresql://{SUPERUSER}:{self.secret('postgres')}"
            f"@127.0.0.1:{self.postgres_port}/{name}"
        )

    def client(self, organisation: str) -> dict[str, Any]:
        """The client of an organisation's system."""
        for entry in self.description["clients"]:
            if entry["organisations"] == [organisation]:
                found: dict[str, Any] = entry
                return found
        raise LookupError(organisation)

    def service_process(self, service: str) -> psutil.Process:
        """The process of a service."""
        assert self.process is not None
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if service in process.cmdline() and "-m" in process.cmdline():
                return process
        raise LookupError(service)

    def memory(self) -> dict[str, float]:
        """MB per kind of process: proportional set size, so that shared pages count once."""

        def size(process: psutil.Process) -> float:
            full = process.memory_full_info()
            return float(getattr(full, "pss", 0) or full.rss) / 1e6

        return self._summed(size)

    def open_files(self) -> dict[str, float]:
        """Open files and sockets per kind of process."""
        return self._summed(lambda process: process.num_fds())

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time per kind of process so far."""

        def spent(process: psutil.Process) -> float:
            times = process.cpu_times()
            return float(times.user + times.system)

        return self._summed(spent)

    def _summed(self, figure: Callable[[psutil.Process], float]) -> dict[str, float]:
        assert self.process is not None
        sums: dict[str, float] = {}
        top = psutil.Process(self.process.pid)
        for process in (top, *top.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                name = _kind(process, top)
                sums[name] = sums.get(name, 0.0) + figure(process)
        return sums


def _kind(process: psutil.Process, top: psutil.Process) -> str:
    if process.pid == top.pid:
        return "supervisor"
    command = process.cmdline()
    name = process.name()
    if name.startswith("postgres") or (command and "postgres" in command[0]):
        return "postgresql"
    if name.startswith("java"):
        return "kafka"
    for service in ("intake", "routing", "mediation", "notification"):
        if service in command:
            return service
    return "other"


# -- a database of its own for what must not touch the running services -------------------------

TWIN = "bench_intake"


def _tool(name: str) -> str:
    return str(wheel_binaries() / "bin" / name)


async def make_twin(installation: Installation) -> None:
    """A second intake database: same schema, same directory copy, no cases, nobody consuming."""
    admin = await asyncpg.connect(installation.database("postgres"))
    try:
        await admin.execute(f"DROP DATABASE IF EXISTS {TWIN} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {TWIN} TEMPLATE template0")
    finally:
        await admin.close()
    await asyncio.to_thread(_copy_into_twin, installation)
    admin = await asyncpg.connect(installation.database("postgres"))
    try:
        await admin.execute(f"GRANT CONNECT ON DATABASE {TWIN} TO intake_app")
        for row in await admin.fetch(
            """SELECT unnest(setconfig) AS setting, setrole::regrole::text AS role
               FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
               WHERE d.datname = 'liandiao_intake' AND setrole <> 0"""
        ):
            name, value = row["setting"].split("=", 1)
            await admin.execute(f"ALTER ROLE {row['role']} IN DATABASE {TWIN} SET {name} = {value}")
    finally:
        await admin.close()


def _copy_into_twin(installation: Installation) -> None:
    source = installation.database("liandiao_intake")
    for options in (("--schema-only",), ("--data-only", "--table=*.directory_entry")):
        dumped = subprocess.run(
            [_tool("pg_dump"), *options, source], capture_output=True, check=True
        )
        subprocess.run(
            [_tool("psql"), "-q", installation.database(TWIN)],
            input=dumped.stdout,
            capture_output=True,
            check=True,
        )


def twin_url(installation: Installation) -> str:
    """The run-time role's address of the twin."""
    return installation.settings["INTAKE_DATABASE_URL"].rsplit("/", 1)[0] + f"/{TWIN}"


def twin_api(installation: Installation, port: int) -> contextlib.AbstractContextManager[str]:
    """Intake's API alone on the twin: no relay, no consumers; its base URL."""
    return api(installation, "intake", port, INTAKE_DATABASE_URL=twin_url(installation))


@contextlib.contextmanager
def api(installation: Installation, service: str, port: int, **settings: str) -> Iterator[str]:
    """One more API process of a service, without its work; its base URL."""
    environ = (
        os.environ
        | installation.settings
        | {
            f"{service.upper()}_PORT": str(port),
            "LIANDIAO_REQUESTS_PER_SECOND": "1000000",
            "LIANDIAO_LOG_LEVEL": "WARNING",
            "LIANDIAO_HOME": str(installation.home),
        }
        | settings
    )
    log = (installation.home.parent / f"{installation.home.name}-{service}-api.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "services", "api", service],
        cwd=ROOT,
        env=environ,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if process.poll() is not None:
                raise SystemExit(f"{service}'s API ended while it started; see {log.name}")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health/live"):
                break
            time.sleep(0.1)
        installation.apis[url] = psutil.Process(process.pid)
        yield url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        if process.poll() is None:
            process.kill()
