"""Intake on a database of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.servers import PostgresServer
from tests.intake.world import Intake, intake_on


@pytest.fixture
async def intake(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[Intake]:
    """The service in this process on a fresh database, without Kafka."""
    database = await postgres_server.fresh_database("intake")
    async with intake_on(database.url, tmp_path / "keys") as (runtime, http):
        yield Intake(runtime, http, database.superuser_url)
    await postgres_server.drop(database)
