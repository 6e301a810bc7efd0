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


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where every run finds the same keys."""
    return tmp_path_factory.mktemp("mortals")


@pytest.fixture(scope="session")
def known():
    """What undisturbed runs of a service left behind, for every test that compares with it."""
    return {}
