"""Starts the whole stack on one machine, keeps it running, and stops it in good order."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import IO, Any

from services.stack import identity, jars, process, warm
from services.stack.console import StackError, say, tell
from services.stack.home import ROOT, Home, cache_folder, check_disk, unprivileged
from services.stack.kafka import Kafka
from services.stack.layout import Settings, check_ports, ports, samples_folder
from services.stack.locks import hold
from services.stack.postgres import SERVICES, Postgres, provision
from services.stack.process import Child

FIRST_MEGABYTES, LATER_MEGABYTES = 1000, 200
LOOK_SECONDS = 0.2
IMPATIENT_SECONDS = 60.0
STEP_SECONDS = 300.0


class Stop(BaseException):
    """Somebody asked us to stop."""


def read_settings(environ: Mapping[str, str], home: Home) -> Settings:
    """What the data folder and the environment say; makes secrets and clients the first time."""
    installation = home.read("installation.json")
    if installation is None:
        asked = environ.get("LIANDIAO_TEST_INSTALLATION", "yes").lower()
        installation = {"test_installation": asked in ("1", "true", "yes", "on")}
        home.write("installation.json", installation)
    everyone = identity.clients(home, samples_folder(environ))
    return Settings(
        environ=environ,
        home=home,
        ports=ports(environ),
        secrets=identity.stack_secrets(home),
        client_secrets={client["id"]: client["secret"] for client in everyone},
        test_installation=installation["test_installation"],
    )


class Supervisor:
    """One running installation."""

    def __init__(self, environ: Mapping[str, str] = os.environ, *, play: bool = True) -> None:
        self.environ, self.play = environ, play
        self.began = time.monotonic()
        self.children: list[Child] = []
        self.lock: IO[str] | None = None
        self.watcher: subprocess.Popen[bytes] | None = None
        self.player: subprocess.Popen[bytes] | None = None
        self.warmer: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.stopping = False

    # -- the whole life ------------------------------------------------------------------------

    def run(self) -> int:
        """Start everything, stay until told to stop; answers the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)
        try:
            self._take_over()
            self._start()
            self._stay()
        except Stop:
            return 0
        except StackError as error:
            say(str(error))
            return 1
        finally:
            self.stopping = True
            self._stop()
        return 0

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        if not self.stopping:
            self.stopping = True
            raise Stop

    def _take_over(self) -> None:
        """Become the one supervisor of this data folder; end what a killed one left."""
        self.home = Home.of(self.environ)
        self.lock = hold(self.home.path / "lock")
        if self.lock is None:
            raise StackError(
                f"Liandiao already runs with the data folder {self.home.path}: stop it first, or "
                "give this one a folder and ports with LIANDIAO_HOME and LIANDIAO_PORT_BASE."
            )
        (self.home.path / "stack.json").unlink(missing_ok=True)
        if left := process.end_stale(self.home.folder("run")):
            tell(f"Ended what an earlier run had left: {', '.join(left)}.")

    # -- starting ------------------------------------------------------------------------------

    def _start(self) -> None:
        settings = self.settings = self._settings()
        self.postgres = self._postgres() if settings.own_postgres else None
        new = self.postgres is not None and self.postgres.is_new
        check_disk(self.home.path, FIRST_MEGABYTES if new else LATER_MEGABYTES)
        check_ports(self._wanted_ports())
        self.kafka = self._kafka() if settings.own_kafka else None
        self._watch_over_us()
        self._start_servers()
        self.home.write("environment.json", settings.of_steps(self.postgres))
        self._prepare()
        for service in SERVICES:
            self._add(
                service,
                lambda service=service: [sys.executable, "-m", "services", "all", service],
                environ=settings.child(service, self.postgres),
            )
        tell("The four services start.")

    def _settings(self) -> Settings:
        return read_settings(self.environ, self.home)

    def _wanted_ports(self) -> dict[str, int]:
        ours = dict(self.settings.ports)
        if not self.settings.own_postgres:
            del ours["postgres"]
        if not self.settings.own_kafka:
            del ours["kafka"], ours["kafka_controller"]
        return ours

    def _postgres(self) -> Postgres:
        folder = self.home.server_folder("postgres")
        if not folder.is_relative_to(self.home.path):
            tell(f"PostgreSQL's data is in {folder}, since its user may not pass to {ROOT}.")
        return Postgres(
            folder,
            self.settings.ports["postgres"],
            self.settings.secrets["postgres"],
            unprivileged(),
        )

    def _kafka(self) -> Kafka:
        files = jars.ensure(cache_folder(self.environ), self.environ)
        return Kafka(
            self.home.folder("kafka"),
            self.settings.ports["kafka"],
            self.settings.ports["kafka_controller"],
            files,
            self.settings.secrets["kafka_admin"],
            self.settings.secrets["kafka_controller"],
            warm.cache_file(files),
        )

    def _start_servers(self) -> None:
        """PostgreSQL and Kafka side by side; the data folders of both are made first."""
        postgres, kafka = self.postgres, self.kafka
        with ThreadPoolExecutor(2) as pool:
            made = [pool.submit(server.make) for server in (postgres, kafka) if server is not None]
            for each in made:
                each.result()
        inherited = self.settings.inherited()
        if kafka is not None:
            self._add("kafka", kafka.argv, environ=inherited, stop_seconds=45.0)
        if postgres is not None:
            child = self._add(
                "postgres",
                postgres.argv,
                environ={k: v for k, v in inherited.items() if not k.startswith("PG")},
                stop_signal=signal.SIGINT,
                stop_seconds=120.0,
                person=postgres.person,
                before_start=postgres.clear_stale_pid,
                cwd=Path("/"),
            )
            postgres.wait(child.process)
            tell(f"PostgreSQL answers on 127.0.0.1:{postgres.port}.")

    def _provision(self, postgres: Postgres) -> None:
        urls = {service: postgres.url(f"liandiao_{service}") for service in SERVICES}
        asyncio.run(provision(postgres.url(), urls, dict(self.settings.secrets)))

    def _add(self, name: str, argv: Any, *, environ: Mapping[str, str], **more: Any) -> Child:
        log = self.home.log(name)
        process.rotate(log)
        pid_file = self.home.folder("run") / f"{name}.pid"
        more.setdefault("cwd", ROOT)
        child = Child(name, argv, log, pid_file, environ, **more)
        # Those that others need stop last.
        self.children.append(child)
        child.start()
        return child

    def _watch_over_us(self) -> None:
        """Where the kernel cannot end our children with us, a small process does."""
        if process.dies_with_parent(signal.SIGTERM) is None or self.environ.get("LIANDIAO_WATCHER"):
            self.watcher = subprocess.Popen(
                [sys.executable, "-m", "services.stack.watcher", str(self.home.folder("run"))],
                stdin=subprocess.PIPE,
                cwd=ROOT,
                start_new_session=True,
            )

    def _prepare(self) -> None:
        """Migrate, make topics and seed, each only when its input has changed."""
        environ = {**self.environ, **self.settings.of_steps(self.postgres)}
        marks = Marks(self.home)
        databases = fingerprint(
            str(self._database_identity(environ)),
            str(self.settings.secrets),
            *(path.read_bytes() for path in sorted((ROOT / "deploy" / "roles").glob("*.sql"))),
            *(f"{path}" for path in sorted(ROOT.glob("*/migrations/versions/[0-9]*.py"))),
        )
        if not self.settings.own_postgres or marks.get("databases") != databases:
            if self.postgres is not None:
                self._provision(self.postgres)
            if not asyncio.run(is_migrated(environ)):
                self._steps({"migrate": ["migrate", "upgrade"]}, environ)
            marks.put({"databases": databases})
        clients_file = self.home.path / "clients.json"
        samples = samples_folder(self.environ)
        seeds = fingerprint(
            str(self._database_identity(environ)),
            *(path.read_bytes() for path in (clients_file, *sorted(samples.glob("*.*")))),
        )
        topics = fingerprint(
            str(self.kafka and (self.kafka.logs / "meta.properties").read_bytes()),
            str(self.settings.secrets),
            *(path.read_bytes() for path in sorted((ROOT / "deploy").glob("*.json"))),
            clients_file.read_bytes(),
        )
        steps: dict[str, list[str]] = {}
        if marks.get("seed") != seeds:
            steps["seed"] = ["seed"]
        if marks.get("topics") != topics and self._administers_kafka():
            if self.kafka is not None:
                self.kafka.wait(self._child("kafka").process)
                tell(f"Apache Kafka answers on {self.kafka.bootstrap}.")
            steps["topics"] = ["topics"]
        if steps:
            self._steps(steps, environ)
            marks.put({"seed": seeds, "topics": topics})

    def _database_identity(self, environ: Mapping[str, str]) -> Any:
        if self.postgres is None:
            return [environ[f"{service.upper()}_DATABASE_URL"] for service in SERVICES]
        return (self.postgres.data / "PG_VERSION").stat().st_mtime_ns

    def _administers_kafka(self) -> bool:
        return self.settings.own_kafka or bool(self.environ.get("KAFKA_ADMIN_PASSWORD"))

    def _child(self, name: str) -> Child:
        return next(child for child in self.children if child.name == name)

    def _steps(self, steps: Mapping[str, list[str]], environ: Mapping[str, str]) -> None:
        """Run these commands of ours side by side; their output goes to logs/<name>.log."""
        tell(f"Running: {', '.join(steps)}.")
        running = {}
        for name, arguments in steps.items():
            process.rotate(self.home.log(name))
            with self.home.log(name).open("ab") as log:
                running[name] = subprocess.Popen(
                    [sys.executable, "-m", "services", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=ROOT,
                    env=dict(environ),
                    start_new_session=True,
                    preexec_fn=process.dies_with_parent(signal.SIGTERM),
                )
        try:
            for name, step in running.items():
                if step.wait(STEP_SECONDS):
                    raise StackError(f"The step {name} failed: {last_line(self.home.log(name))}")
        except subprocess.TimeoutExpired:
            raise StackError(f"The step {name} did not end; see {self.home.log(name)}") from None
        finally:
            for step in running.values():
                if step.poll() is None:
                    step.terminate()

    # -- staying -------------------------------------------------------------------------------

    def _stay(self) -> None:
        told_impatient, looked_at_logs = False, time.monotonic()
        poll = ReadyPoll([self.settings.url(service) for service in SERVICES])
        while True:
            for child in self.children:
                self._look_after(child)
            if not self.ready and poll.all_ready() and (not self.kafka or self.kafka.answers()):
                self._become_ready()
            waited = time.monotonic() - self.began
            if not self.ready and waited > IMPATIENT_SECONDS and not told_impatient:
                told_impatient = True
                waiting = ", ".join(poll.waiting()) or "Kafka"
                tell(f"Not ready yet: {waiting}; the logs are in {self.home.folder('logs')}")
            if self.player is not None and self.player.poll() is not None:
                self._after_play(self.player.returncode)
            if time.monotonic() - looked_at_logs > 60:
                looked_at_logs = time.monotonic()
                for child in self.children:
                    child.shorten_log()
            time.sleep(LOOK_SECONDS if self.ready else 0.05)

    def _look_after(self, child: Child) -> None:
        try:
            sentence = child.watch()
        except OSError as error:
            child.next_start_at = time.monotonic() + process.SLOWEST_RESTART_SECONDS
            sentence = f"{child.name} could not be started ({error.strerror}); trying again"
        if sentence:
            tell(sentence)

    def _become_ready(self) -> None:
        self.ready = True
        self.home.write("stack.json", self.description())
        tell(f"Everything is ready after {time.monotonic() - self.began:.1f} seconds.")
        if self.play:
            self.player = subprocess.Popen(
                [sys.executable, "-m", "services", "play"],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**self.environ, **self.settings.of_steps(self.postgres)},
                start_new_session=True,
                preexec_fn=process.dies_with_parent(signal.SIGTERM),
            )
        else:
            self._tell_where()

    def _after_play(self, code: int) -> None:
        self.player = None
        if code:
            tell(f"The play did not come to its end ({process.ending(code)}); all stays up.")
        self._tell_where()
        self._warm_up()

    def _warm_up(self) -> None:
        """Once on a machine, when the person has seen the play: make later starts quicker."""
        if self.kafka is not None and self.kafka.warm and not self.kafka.warm.exists():
            self.warmer = subprocess.Popen(
                [sys.executable, "-m", "services.stack.warm"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
                start_new_session=True,
                preexec_fn=process.dies_with_parent(signal.SIGKILL),
            )

    def description(self) -> dict[str, Any]:
        """What ``stack.json`` holds, so that scripts find everything."""
        from services.topics import connection_passwords, kafka_connections

        environ = {**self.environ, **self.settings.of_steps(self.postgres)}
        connections = kafka_connections(environ) if self.settings.own_kafka else []
        common = self.settings.common()
        everyone = identity.clients(self.home, samples_folder(self.environ))
        return {
            "services": {service: self.settings.url(service) for service in SERVICES},
            "token_url": f"{self.settings.url('routing')}/oauth/token",
            "kafka": {
                "bootstrap": self.settings.bootstrap,
                "security_protocol": common["KAFKA_SECURITY_PROTOCOL"],
                "mechanism": common["KAFKA_SASL_MECHANISM"],
                "connections": {
                    name: {"user": name, "password": password}
                    for name, password in connection_passwords(connections, environ).items()
                },
            },
            "clients": identity.shown_clients(everyone),
        }

    def _tell_where(self) -> None:
        say()
        for service in SERVICES:
            url = self.settings.url(service)
            say(f"  {service:<13} {url}   documents: {url}/docs")
        say(f"  {'Kafka':<13} {self.settings.bootstrap}")
        say(f"  {'secrets':<13} {self.home.path / 'stack.json'} (clients, Kafka passwords)")
        say(f"  {'logs':<13} {self.home.folder('logs')}")
        say("  A token:      .venv/bin/liandiao token o-330681-ct-0001")
        say("  Ctrl-C stops everything; the data stays.")
        say()

    # -- stopping ------------------------------------------------------------------------------

    def _stop(self) -> None:
        if self.lock is None:
            return
        if self.children:
            tell("Stopping.")
        if self.player is not None and self.player.poll() is None:
            self.player.terminate()
            self.player.wait(10)
        if self.warmer is not None and self.warmer.poll() is None:
            os.killpg(self.warmer.pid, signal.SIGKILL)
            self.warmer.wait()
        (self.home.path / "stack.json").unlink(missing_ok=True)
        services = [child for child in self.children if child.name in SERVICES]
        for child in services:
            child.ask_to_stop()
        for child in services:
            self._end(child, asked=True)
        for child in self.children:
            if child.name not in SERVICES:
                self._end(child, asked=False)
        if self.watcher is not None and self.watcher.stdin is not None:
            self.watcher.stdin.close()
            self.watcher.wait(10)
        if self.children:
            tell("Stopped.")
        self.lock.close()

    @staticmethod
    def _end(child: Child, *, asked: bool) -> None:
        if not child.stop(asked=asked):
            tell(f"{child.name} did not stop by itself and was killed.")


class ReadyPoll:
    """Asks ``/health/ready`` of each service, in the background, until each has said yes."""

    def __init__(self, urls: list[str]) -> None:
        self._left = dict.fromkeys(urls, True)
        self._asked: threading.Thread | None = None

    def all_ready(self) -> bool:
        """Whether each has answered 200 once; starts another round when the last is over."""
        if not self.waiting():
            return True
        if self._asked is None or not self._asked.is_alive():
            self._asked = threading.Thread(target=self._ask, daemon=True)
            self._asked.start()
        return False

    def waiting(self) -> list[str]:
        """The addresses that have not said yes."""
        return [url for url, left in self._left.items() if left]

    def _ask(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for url in self.waiting():
            try:
                with opener.open(f"{url}/health/ready", timeout=2) as answer:
                    self._left[url] = answer.status != 200
            except (OSError, ValueError):
                continue


class Marks:
    """What has been prepared already, by fingerprints of everything it was made from."""

    name = "prepared.json"

    def __init__(self, home: Home) -> None:
        self.home = home

    def get(self, name: str) -> str | None:
        """The fingerprint of what was last prepared under that name."""
        return (self.home.read(self.name) or {}).get(name)

    def put(self, values: Mapping[str, str]) -> None:
        """Remember these."""
        self.home.write(self.name, (self.home.read(self.name) or {}) | dict(values))


def fingerprint(*parts: str | bytes) -> str:
    """A short name of these contents."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]


async def is_migrated(environ: Mapping[str, str]) -> bool:
    """Whether every database is at the newest revision of this release (looked up quickly)."""
    import asyncpg

    for service in SERVICES:
        versions = ROOT / service / "migrations" / "versions"
        newest = max((path.stem.split("_")[0] for path in versions.glob("[0-9]*.py")), default="")
        connection = await asyncpg.connect(environ[f"{service.upper()}_MIGRATOR_DATABASE_URL"])
        try:
            if not await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
                return False
            if await connection.fetchval("SELECT version_num FROM alembic_version") != newest:
                return False
        finally:
            await connection.close()
    return True


def last_line(log: Path) -> str:
    """The last thing a step said, and where the rest is."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"{lines[-1].strip() if lines else 'it said nothing'} (see {log})"
