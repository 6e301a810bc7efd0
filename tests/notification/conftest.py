"""A running notification over a database of its own."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey
from pydantic import SecretStr

from notification.settings import NotificationSettings
from notification.wiring import NOTIFICATION
from services.app import create_app
from services.auth import sign
from services.events.envelope import Event
from services.messaging import failpoints
from services.runtime import Runtime
from services.service import Received
from tests.fixtures.servers import PostgresServer
from tests.notification.builders import CENTRE, COMMITTEE, COURT, POLICE, Stream

CONNECTIONS = {
    "o-court": {"organisations": [COURT], "kafka": True},
    "o-centre": {"organisations": [CENTRE], "kafka": False},
    "o-committee": {"organisations": [COMMITTEE], "kafka": False},
    "o-police": {"organisations": [POLICE], "kafka": True},
}


def fill_directory(runtime: Runtime) -> None:
    """Four organisations, each with its own connection."""
    for name, value in CONNECTIONS.items():
        runtime.directory.put(f"connection:{name}", 1, {"name": name, "active": True, **value})
    for code, name_zh in {COURT: "示范法院", CENTRE: "示范中心"}.items():
        value = {"code": code, "name_zh": name_zh, "contact": {"phone": "0571-1"}}
        runtime.directory.put(f"organisation:{code}", 1, value)


@pytest.fixture
async def runtime(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[Runtime]:
    """A process of notification, not working by itself."""
    database = await postgres_server.fresh_database("notification")
    settings = NotificationSettings(
        database_url=SecretStr(database.url),
        spool_dir=tmp_path / "spool",
        keys_dir=tmp_path / "keys",
        kafka_bootstrap_servers="127.0.0.1:9",
        quiet_from_hour=0,
        quiet_until_hour=0,
    )
    made = await Runtime.open(NOTIFICATION, settings)
    fill_directory(made)
    made.state["migrator_url"] = database.migrator_url
    try:
        yield made
    finally:
        failpoints.disarm()
        await made.close()
        await postgres_server.drop(database)


Client = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def client_of(runtime: Runtime) -> AsyncIterator[Client]:
    """Clients of the API, each as one connection and its organisation."""
    key = ECKey.generate_key("P-256", {"kid": "test-key"})
    public = {**key.as_dict(private=False), "kid": "test-key"}
    runtime.directory.put("key:test-key", 1, {"use": "token", "jwk": public})
    app = create_app(NOTIFICATION, runtime=runtime)
    app.state.runtime = runtime
    made: list[httpx.AsyncClient] = []

    def client(
        connection: str,
        organisation: str,
        scopes: str = "feed:read message:read",
        organisations: list[str] | None = None,
    ) -> httpx.AsyncClient:
        claims = {
            "sub": f"c-{connection}",
            "connection": connection,
            "organisations": organisations or [organisation],
            "scopes": scopes,
        }
        made.append(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://notification",
                headers={"Authorization": f"Bearer {sign(key, claims)}"},
            )
        )
        return made[-1]

    yield client
    for each in made:
        await each.aclose()


class Case:
    """Feeds events of one case to a running notification, one transaction each."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.stream = Stream()

    @property
    def case_id(self) -> Any:
        return self.stream.case_id

    async def hear(self, event: Event, *, episode: int = 1) -> Received[Any]:
        """Every handler of the event, in the order of the service's appetite."""
        received = self.stream.heard(event, episode=episode)
        await self.again(received)
        return received

    async def again(self, received: Received[Any]) -> None:
        """The same event handled (once more)."""
        async with self.runtime.unit_of_work() as uow:
            await uow.lock_case(received.case_id, create=True)
            for subscription in NOTIFICATION.consumes:
                if subscription.event is type(received.data):
                    await subscription.handler(received, uow)


@pytest.fixture
def case(runtime: Runtime) -> Case:
    """A case nobody has heard of."""
    return Case(runtime)


async def feed_types(runtime: Runtime, connection: str) -> list[str]:
    """The short names of a connection's entries in their order."""
    rows = await runtime.pool.fetch(
        "SELECT type FROM feed_entry WHERE connection = $1 ORDER BY id", connection
    )
    return [row["type"].removeprefix("liandiao.").removesuffix(".v1") for row in rows]
