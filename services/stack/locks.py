"""File locks that die with their holder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from services.stack.console import StackError

try:
    import fcntl
except ImportError:  # not on Windows; then nothing is locked
    fcntl = None  # type: ignore[assignment]


def hold(path: Path) -> IO[str] | None:
    """Take the lock and answer its open file, or None when somebody else holds it."""
    file = path.open("a+", encoding="utf-8")
    if fcntl is None:
        return file
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
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
