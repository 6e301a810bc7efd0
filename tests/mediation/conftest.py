"""Fixtures of mediation's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.fixtures.servers import PostgresServer
from tests.mediation.world import World, a_world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world(
    postgres_server: PostgresServer, tmp_path_factory: object
) -> AsyncIterator[World]:
    """Mediation on a database of the module's own."""
    keys: Path = tmp_path_factory.mktemp("keys")  # type: ignore[attr-defined]
    async with a_world(postgres_server, keys) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared_world: World) -> World:
    """The same with nothing in it but the roster."""
    await shared_world.begin_anew()
    return shared_world
