"""A secret is made once, whoever comes first, and is for its owner alone."""

import os
import threading
from pathlib import Path

import pytest

from services.key_file import made_once


def test_a_secret_is_made_once_and_read_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.key"

    first = made_once(path, lambda: os.urandom(32))

    assert made_once(path, lambda: os.urandom(32)) == first == path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_those_who_come_together_agree(tmp_path: Path) -> None:
    path, gate, found = tmp_path / "a.key", threading.Barrier(8), []

    def make() -> bytes:
        gate.wait(10)
        return os.urandom(32)

    threads = [
        threading.Thread(target=lambda: found.append(made_once(path, make))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert set(found) == {path.read_bytes()}
    assert [each.name for each in tmp_path.iterdir()] == ["a.key"]


def test_nothing_is_left_when_making_fails(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise OSError("no entropy")

    with pytest.raises(OSError, match="no entropy"):
        made_once(tmp_path / "a.key", fail)

    assert list(tmp_path.iterdir()) == []
