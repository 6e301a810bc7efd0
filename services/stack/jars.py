"""Kafka's published jars: fetched once, resumed when cut, checked against hashes we commit."""

import csv
import hashlib
import os
import shutil
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.stack.console import StackError, say
from services.stack.locks import locked

if TYPE_CHECKING:
    import httpx

LIST = Path(__file__).with_name("kafka-jars.csv")
ATTEMPTS = 3
AT_ONCE = 4


@dataclass(frozen=True)
class Jar:
    """One published file with its length and hash."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Where a repository in Maven's layout keeps it."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"

    def is_whole(self, file: Path) -> bool:
        """Whether the file is exactly this jar."""
        try:
            if file.stat().st_size != self.size:
                return False
        except FileNotFoundError:
            return False
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest() == self.sha256


def wanted(path: Path = LIST) -> list[Jar]:
    """The committed list."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Jar(row["group"], row["artifact"], row["version"], int(row["bytes"]), row["sha256"])
            for row in csv.DictReader(file)
        ]


def mirror(environ: Mapping[str, str] = os.environ) -> str:
    """The repository: ``LIANDIAO_MAVEN_MIRROR`` (an address or a folder) or the public one."""
    given = environ.get("LIANDIAO_MAVEN_MIRROR", "").strip()
    if given:
        return given.rstrip("/")
    from jgo.constants import MAVEN_CENTRAL_URL

    return str(MAVEN_CENTRAL_URL).rstrip("/")


class Progress:
    """Counts bytes of many threads; a bar on a terminal, a line each tenth elsewhere."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self._lock = threading.Lock()
        self._said = done * 10 // max(total, 1)
        self._bar = None
        if sys.stdout.isatty():
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TransferSpeedColumn,
            )

            self._bar = Progress(
                TextColumn("Fetching Apache Kafka"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
            )
            self._task = self._bar.add_task("jars", total=total, completed=done)
            self._bar.start()
        else:
            say(f"Fetching Apache Kafka: {(total - done) / 1e6:.0f} MB in all.")

    def add(self, count: int) -> None:
        """So many more bytes have come (or, negative, were thrown away)."""
        with self._lock:
            self.done += count
            if self._bar is not None:
                self._bar.update(self._task, completed=self.done)
            elif (tenth := self.done * 10 // self.total) > self._said:
                self._said = tenth
                say(f"Fetching Apache Kafka: {self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB.")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


class _Refused(Exception):
    """The repository does not have the file as we know it; trying again is no use."""


def _fetch_local(folder: Path, jar: Jar, part: Path, add: Callable[[int], None]) -> None:
    try:
        shutil.copyfile(folder / jar.path, part)
    except FileNotFoundError:
        raise _Refused(f"{folder / jar.path} is not there") from None
    add(part.stat().st_size)


def _fetch_http(
    client: "httpx.Client", base: str, jar: Jar, part: Path, add: Callable[[int], None]
) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have >= jar.size:
        add(-have)
        part.unlink()
        have = 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", f"{base}/{jar.path}", headers=headers) as answer:
        if answer.status_code in (400, 401, 403, 404, 410, 416):
            part.unlink(missing_ok=True)
            raise _Refused(f"the answer for {jar.name} was {answer.status_code}")
        answer.raise_for_status()
        resumed = answer.status_code == 206
        if have and not resumed:
            add(-have)
        with part.open("ab" if resumed else "wb") as file:
            for piece in answer.iter_raw():
                file.write(piece)
                add(len(piece))


def _fetch(client: "httpx.Client", base: str, jar: Jar, folder: Path, progress: Progress) -> None:
    target, part = folder / jar.name, folder / f"{jar.name}.part"
    import httpx

    local = _local_folder(base)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if local is not None:
                _fetch_local(local, jar, part, progress.add)
            else:
                _fetch_http(client, base, jar, part, progress.add)
        except httpx.HTTPError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(attempt)
            continue
        if jar.is_whole(part):
            os.chmod(part, 0o644)
            os.replace(part, target)
            return
        progress.add(-part.stat().st_size)
        part.unlink()
    raise _Refused(f"{jar.name} does not have the hash in {LIST.name}")


def _local_folder(base: str) -> Path | None:
    if base.startswith("file:"):
        return Path(urllib.parse.unquote(urllib.parse.urlsplit(base).path))
    return None if "://" in base else Path(base).expanduser()


def ensure(cache: Path, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Every jar, whole, in the cache; fetches what is missing. Answers their paths.

    Raises ``StackError`` with one sentence when the network, the disk or a hash is wrong.
    """
    jars = wanted()
    folder = cache / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    if _missing(jars, folder):
        with locked(folder / ".lock"):
            if missing := _missing(jars, folder):
                _fetch_all(missing, folder, mirror(environ))
    return [folder / jar.name for jar in jars]


def _missing(jars: list[Jar], folder: Path) -> list[Jar]:
    return [jar for jar in jars if not jar.is_whole(folder / jar.name)]


def _fetch_all(missing: list[Jar], folder: Path, base: str) -> None:
    import httpx  # only here: later starts fetch nothing

    total = sum(jar.size for jar in missing)
    parts = (folder / f"{jar.name}.part" for jar in missing)
    progress = Progress(total, sum(part.stat().st_size for part in parts if part.exists()))
    timeout = httpx.Timeout(30, connect=10)
    limits = httpx.Limits(max_connections=AT_ONCE)
    try:
        with (
            httpx.Client(timeout=timeout, limits=limits, follow_redirects=True) as client,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            tasks = [pool.submit(_fetch, client, base, jar, folder, progress) for jar in missing]
            try:
                for task in as_completed(tasks):
                    task.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except _Refused as refusal:
        raise StackError(
            f"Apache Kafka could not be fetched: {refusal} (the repository is set with "
            "LIANDIAO_MAVEN_MIRROR)."
        ) from None
    except httpx.HTTPError as error:
        why = f"the network does not reach the Maven repository ({type(error).__name__})"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            why = (
                "nobody trusted here vouches for the Maven repository's certificate "
                "(SSL_CERT_FILE names the certificates of your network)"
            )
        raise StackError(
            f"Apache Kafka could not be fetched: {why}; what has come is kept, a mirror is set "
            "with LIANDIAO_MAVEN_MIRROR."
        ) from None
    except OSError as error:
        raise StackError(
            f"Apache Kafka could not be stored in {folder}: {error.strerror or error}."
        ) from None
    finally:
        progress.close()
