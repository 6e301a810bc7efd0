"""File locks that die with their holder."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from services.stack.console import StackError


def hold(path: Path) -> IO[str] | None:
    """Take the lock and answer its open file, or None when somebody else holds it."""
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock and hold it inside the block."""
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StackError(f"{path} cannot be written ({error.strerror}).") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
