"""The world of routing for tests that need a database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.servers import Database, PostgresServer
from tests.routing.world import World, a_world, seeded_database


@pytest.fixture(scope="session")
def seeded(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Database, Path]:
    """A database with the demonstration county, made once, and the folder of its keys."""
    folder = tmp_path_factory.mktemp("routing")
    return asyncio.run(seeded_database(postgres_server, folder)), folder


@pytest.fixture
async def world(seeded: tuple[Database, Path]) -> AsyncIterator[World]:
    """Routing with the demonstration county, which the test leaves as it is."""
    async with a_world(*seeded) as found:
        yield found


@pytest.fixture
async def own_world(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[World]:
    """Routing whose directory the test changes."""
    database = await seeded_database(postgres_server, tmp_path)
    async with a_world(database, tmp_path) as found:
        yield found
    await postgres_server.drop(database)
