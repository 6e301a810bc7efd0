"""One service for all tests of the doors: each uses references of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.fixtures.servers import PostgresServer
from tests.intake.world import Intake, intake_on


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def desk(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Intake]:
    """Intake on one database, shared by the package's tests."""
    database = await postgres_server.fresh_database("intake")
    keys = tmp_path_factory.mktemp("keys")
    async with intake_on(database.url, keys) as (runtime, http):
        yield Intake(runtime, http, database.superuser_url)
    await postgres_server.drop(database)
