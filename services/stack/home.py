"""Where the stack keeps things: data beside the clone, downloads outside it, as root or not."""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.stack.console import StackError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Person:
    """The unprivileged user that server processes become when we are root."""

    name: str
    uid: int
    gid: int

    def popen(self) -> dict[str, Any]:
        """Arguments of ``subprocess`` that drop to this person."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def unprivileged(environ: Mapping[str, str] = os.environ) -> Person | None:
    """Nobody (or ``LIANDIAO_SERVER_USER``) when we are root, else None."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    name = environ.get("LIANDIAO_SERVER_USER", "nobody")
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise StackError(
            f"PostgreSQL does not run as root and there is no user {name}: "
            "name another with LIANDIAO_SERVER_USER."
        ) from None
    if entry.pw_uid == 0:
        raise StackError("LIANDIAO_SERVER_USER must not be root: PostgreSQL refuses it.")
    return Person(name, entry.pw_uid, entry.pw_gid)


def passable(folder: Path, person: Person) -> bool:
    """Whether that person may pass every existing folder down to this one."""
    for each in (folder, *folder.parents):
        if not each.exists():
            continue
        status = each.stat()
        if status.st_uid == person.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == person.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True


@dataclass(frozen=True)
class Home:
    """The data folder of one installation and what is found in it."""

    path: Path

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> "Home":
        """``LIANDIAO_HOME`` or ``.liandiao`` of the clone; made when it is not there."""
        given = environ.get("LIANDIAO_HOME")
        home = cls(Path(given).expanduser().resolve() if given else ROOT / ".liandiao")
        home.make()
        return home

    def make(self) -> None:
        """Make the folders: ours alone, though as root others may pass to their own part."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            os.chmod(self.path, 0o711 if unprivileged() else 0o700)
            for name in ("logs", "run", "keys", "spool"):
                self.folder(name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"The data folder {self.path} cannot be used ({error.strerror}): "
                "it belongs to somebody else or is not writable; choose one with LIANDIAO_HOME."
            ) from None

    def folder(self, name: str) -> Path:
        """A folder of ours inside the data folder."""
        return self.path / name

    def log(self, name: str) -> Path:
        """The log file of a child process."""
        return self.path / "logs" / f"{name}.log"

    @property
    def tag(self) -> str:
        """A short name of this data folder for things kept elsewhere."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:12]

    def server_folder(self, name: str) -> Path:
        """A folder for a server that may not run as root; outside when nobody could pass here."""
        person = unprivileged()
        if person is None or passable(self.path, person):
            return self.path / name
        return Path("/var/lib/liandiao") / self.tag / name

    def read(self, name: str) -> Any:
        """A JSON file of this folder, or None."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            raise StackError(
                f"{self.path / name} is damaged: restore it from a copy, or move the whole data "
                "folder away to begin anew."
            ) from None

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file that only we may read, whole or not at all."""
        write_private(self.path / name, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600 by an atomic rename."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where downloads are kept, outside the clone: ``LIANDIAO_CACHE`` or the system's place."""
    given = environ.get("LIANDIAO_CACHE")
    if given:
        folder = Path(given).expanduser().resolve()
    elif unprivileged(environ):
        folder = Path("/var/cache/liandiao")
    elif environ.get("XDG_CACHE_HOME"):
        folder = Path(environ["XDG_CACHE_HOME"]) / "liandiao"
    else:
        folder = Path.home() / ".cache" / "liandiao"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"The download folder {folder} cannot be made ({error.strerror}): "
            "choose one with LIANDIAO_CACHE."
        ) from None
    return folder


def check_disk(folder: Path, megabytes: int) -> None:
    """Refuse when the disk below a folder has less than that left."""
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < megabytes:
        raise StackError(
            f"The disk of {folder} has {free} MB left and Liandiao needs {megabytes} MB: "
            "make room, or choose another place with LIANDIAO_HOME and LIANDIAO_CACHE."
        )
