"""Fixtures of mediation's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.servers import PostgresServer
from tests.mediation.world import World, a_world


@pytest.fixture
async def world(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[World]:
    """Mediation on a database of its own."""
    async with a_world(postgres_server, tmp_path) as made:
        yield made
