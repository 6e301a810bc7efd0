"""One whole stack for all end-to-end tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.client import Stack
from tests.e2e.running import RunningStack, free_base


@pytest.fixture(scope="session")
def running() -> Iterator[RunningStack]:
    """A running stack with the demonstration county in it."""
    home = Path(tempfile.mkdtemp(prefix="liandiao e2e "))
    home.chmod(0o755)
    stack = RunningStack(home, free_base())
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def stack(running: RunningStack) -> Iterator[Stack]:
    """A client of the running stack."""
    client = running.client()
    yield client
    client.close()
