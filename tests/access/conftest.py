"""One installation with its scenes for all tests of access; it is made once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from intake.attachments import model as attachments
from tests.access.installation import KINDS, Installation, an_installation
from tests.access.scenes import Maker, Scene
from tests.fixtures.servers import PostgresServer


@dataclass
class Place:
    """The installation and, of each kind, a case at work and one that is over."""

    it: Installation
    open: dict[str, Scene]
    closed: dict[str, Scene]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def place(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    """Four services and two cases of every kind."""
    # Links outlive the matrix, however slow the machine: they are made with the scenes.
    attachments.site()["link_seconds"] = 86_400
    async with an_installation(postgres_server, tmp_path_factory.mktemp("access")) as it:
        maker = Maker(it)
        open_ = {kind: await maker.open_scene(kind) for kind in KINDS}
        closed = {kind: await maker.closed_scene(kind) for kind in KINDS}
        for kind in KINDS:
            await maker.join(open_[kind], closed[kind])
        yield Place(it, open_, closed)
