"""One run: an installation of its own, the load generator, and what was found."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from bench import machine
from bench.installation import ROOT, Installation, twin_url
from bench.referrals import CENTRE, COURT
from bench.report import Report
from services.stack.layout import free_base

CLIENTS = 16
# Tokens live for 900 seconds; a load that begins with one must end before that.
TOKEN_SECONDS = 300


class Run:
    """What every part is given."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.quick: bool = options.quick
        self.folder = _folder(options)
        self.installation = Installation(
            self.folder / "home", options.port_base or free_base(21000)
        )
        memory = machine.is_memory(self.folder)
        self.report = Report(
            machine.description(),
            "PostgreSQL and Kafka on tmpfs (CPU mode)" if memory else "on disk (durable mode)",
        )
        self._start = int(time.time()) % 1_000_000 * 1000
        self._tokens: dict[str, tuple[str, float]] = {}
        # What parts hand to later ones: pgbench's rate, and the cases a second that came through.
        self.three_tps: list[float] = []
        self.sustained = 0.0

    def seconds(self, whole: float) -> float:
        """A measurement's length: a third of it with ``--quick``."""
        return whole / 3 if self.quick else whole

    def order(self, pairs: int) -> str:
        """Interleaved pairs, ours and theirs by turns first: ``abbaab…``; half with ``--quick``."""
        return ("abba" * pairs)[: 2 * max(1, pairs // 2 if self.quick else pairs)]

    def measure(self, parts: Mapping[str, "Part"]) -> Report:
        """Every part; one that fails is noted and the next goes on."""
        began, steal = time.monotonic(), machine.Steal()
        try:
            for name, part in parts.items():
                print(f"{name} ({time.monotonic() - began:.0f} s)", flush=True)
                try:
                    part(self)
                except (Exception, SystemExit) as error:
                    if name == "start":
                        raise
                    traceback.print_exc()
                    self.report.notes.append(f"{name} was not measured: {type(error).__name__}")
        finally:
            self.installation.stop()
            if not self.options.keep:
                shutil.rmtree(self.folder, ignore_errors=True)
        self.report.steal_percent = steal.percent()
        self.report.seconds = time.monotonic() - began
        return self.report

    def token(self, organisation: str) -> str:
        """An access token of an organisation's client, good for one load."""
        token, since = self._tokens.get(organisation, ("", float("-inf")))
        if time.monotonic() - since > TOKEN_SECONDS:
            client = self.installation.client(organisation)
            answer = httpx.post(
                self.installation.description["token_url"],
                data={"grant_type": "client_credentials"},
                auth=(client["id"], client["secret"]),
                trust_env=False,
            )
            answer.raise_for_status()
            token = answer.json()["access_token"]
            self._tokens[organisation] = token, time.monotonic()
        return token

    def load(self, kind: str, *, by: str | None = None, **given: Any) -> dict[str, Any]:
        """Run the load generator; each call with references that were never used.

        ``by``: the organisation whose client asks; the court where none is named.
        """
        if by is not None:
            given |= {"token": self.token(by), "organisation": by}
        services = self.installation.description["services"]
        task = {
            "kind": kind,
            "start": self._start,
            "intake": services["intake"],
            "mediation": services["mediation"],
            "court_token": self.token(COURT),
            "centre_token": self.token(CENTRE),
            "connection": self.installation.client(COURT)["connection"],
            "intake_url": self.installation.database("liandiao_intake"),
            "mediation_url": self.installation.database("liandiao_mediation"),
            "notification": services["notification"],
            "notification_url": self.installation.database("liandiao_notification"),
            **given,
        }
        # People come again after two million cases: no load may reach that far.
        self._start += 25_000 + int(float(given.get("rate", 0)) * float(given["seconds"]))
        result = module("bench.load", task, dict(os.environ))
        if result["failures"]:
            self.report.notes.append(f"{kind}: refused answers {result['failures']}")
            print(f"  refused: {result['failures']}", flush=True)
        return result

    def as_administrator(self) -> dict[str, str]:
        """The environment of a part that works on the twin with all rights on Kafka."""
        installation = self.installation
        return (
            os.environ
            | installation.settings
            | {
                "INTAKE_DATABASE_URL": twin_url(installation),
                "INTAKE_KAFKA_USER": installation.settings["KAFKA_ADMIN_USER"],
                "INTAKE_KAFKA_PASSWORD": installation.settings["KAFKA_ADMIN_PASSWORD"],
                "LIANDIAO_LOG_LEVEL": "WARNING",
            }
        )


Part = Callable[[Run], None]


def module(name: str, task: dict[str, Any], environ: dict[str, str]) -> dict[str, Any]:
    """Run a module of the bench in a process of its own. Raises ``RuntimeError`` if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", name],
        input=json.dumps(task),
        text=True,
        capture_output=True,
        cwd=ROOT,
        env=environ,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-1500:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _folder(options: argparse.Namespace) -> Path:
    """A fresh folder: in memory when there is room, so that the disk's moods stay out."""
    if options.folder:
        parent = Path(options.folder)
    elif not options.disk and machine.is_memory(Path("/dev/shm")) and _room(options.cases):
        parent = Path("/dev/shm")
    else:
        parent = Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="liandiao-bench-", dir=parent))
    folder.chmod(0o755)
    return folder


def _room(cases: int) -> bool:
    """Whether memory can hold the data: a loaded case takes 22 kB with the log of writing it."""
    return shutil.disk_usage("/dev/shm").free > max(4e9, cases * 30_000)
