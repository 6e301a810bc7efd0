"""Fixtures of the crash tests."""

from collections.abc import AsyncIterator

import pytest

from tests.crash.checks import Pair, a_pair
from tests.fixtures.servers import KafkaServer, PostgresServer


@pytest.fixture
async def pair(postgres_server: PostgresServer, kafka_server: KafkaServer) -> AsyncIterator[Pair]:
    """A sender, a hearer and a topic between them."""
    async with a_pair(postgres_server, kafka_server) as made:
        yield made
