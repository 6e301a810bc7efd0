"""The world of routing for tests that need a database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.servers import PostgresServer
from tests.routing.world import World, a_world, seeded_database


@pytest.fixture(scope="session")
def seeded(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A database with the demonstration county, made once, and the folder of its keys."""
    folder = tmp_path_factory.mktemp("routing")
    return asyncio.run(seeded_database(postgres_server, folder)), folder


@pytest.fixture
async def world(postgres_server: PostgresServer, seeded: tuple[str, Path]) -> AsyncIterator[World]:
    """Routing with the demonstration county."""
    async with a_world(postgres_server, *seeded) as found:
        yield found
