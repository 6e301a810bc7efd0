"""What a running process of a service holds: pool, clock, directory copy, tokens, wake-ups."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import orjson

from services.auth import TokenVerifier
from services.clock import Clock
from services.directory import DirectoryCopy
from services.ids import new_id
from services.messaging.waiting import Waiters
from services.service import Service
from services.settings import ServiceSettings
from services.unit_of_work import Actor, UnitOfWork, open_unit_of_work


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value, default=str).decode(),
        decoder=orjson.loads,
    )


async def _nothing_to_reset(connection: asyncpg.Connection) -> None:
    """Instead of asyncpg's four statements each time a connection goes back to the pool.

    Whatever we set is local to a transaction (``set_config(..., true)``), locks too, and an open
    transaction has been rolled back before this is called.
    """


# Connections that requests leave to consumer, relay, jobs and loops.
BEHIND_THE_REQUESTS: Final = 3


class Runtime:
    """One process of one service."""

    def __init__(self, service: Service, settings: ServiceSettings, pool: asyncpg.Pool) -> None:
        self.service = service
        self.settings = settings
        self.pool = pool
        # The pool lets whoever comes just now pass those who wait: in a crowd of requests the
        # consumer waited for 17 seconds. So requests stand in a line of their own, in order.
        self.requests = asyncio.Semaphore(max(1, settings.pool_size - BEHIND_THE_REQUESTS))
        self.clock = Clock()
        self.directory = DirectoryCopy()
        self.tokens = TokenVerifier(self)
        self.http = httpx.AsyncClient(timeout=10, trust_env=False)
        self.instance = f"{service.name}-{new_id()}"
        self.outbox_wakeup = asyncio.Event()
        self.sequencer_wakeup = asyncio.Event()
        self.jobs_wakeup = asyncio.Event()
        self.consumed = Waiters()
        self.writes_allowed = True
        self.progress: dict[str, Any] = {}
        self.worker_alive = False
        self.last_consumed_monotonic = time.monotonic()
        self.state: dict[str, Any] = {}
        self._service_token: tuple[float, str] | None = None

    @classmethod
    async def open(cls, service: Service, settings: ServiceSettings | None = None) -> "Runtime":
        """Connect to the database and take over the directory copy."""
        settings = settings or service.settings()
        pool = await asyncpg.create_pool(
            settings.database_url.get_secret_value(),
            min_size=1,
            max_size=settings.pool_size,
            init=_prepare,
            reset=_nothing_to_reset,
            command_timeout=30,
            server_settings={"application_name": f"liandiao-{service.name}"},
        )
        runtime = cls(service, settings, pool)
        await runtime.refresh_directory()
        return runtime

    async def close(self) -> None:
        """Give everything back."""
        await self.http.aclose()
        await asyncio.wait_for(self.pool.close(), 10)

    async def refresh_directory(self) -> None:
        """Load directory entries and set the test clock from them."""
        await self.directory.load(self.pool)
        self.directory_changed()

    def directory_changed(self) -> None:
        """Take over what depends on the directory; called by the directory reader too."""
        if self.settings.test_installation:
            self.clock.advance_to_offset(self.directory.clock_offset_seconds())

    def unit_of_work(
        self,
        *,
        actor: Actor | None = None,
        organisation: str = "*",
        readonly: bool = False,
        **context: Any,
    ) -> AbstractAsyncContextManager[UnitOfWork]:
        """One transaction, by default as the service itself."""
        return open_unit_of_work(
            self,
            actor=actor or Actor(self.service.name),
            organisation=organisation,
            readonly=readonly,
            **context,
        )

    def wake(self, *, events: bool = True, jobs: bool = True) -> None:
        """After a commit: tell those of this process for whom it wrote something."""
        if events:
            self.outbox_wakeup.set()
        if jobs:
            self.jobs_wakeup.set()
        if events and jobs:
            self.sequencer_wakeup.set()

    def notify_consumed(self, case_ids: Iterable[UUID]) -> None:
        """After a consumer's commit: wake requests that wait for one of these cases."""
        self.last_consumed_monotonic = time.monotonic()
        self.consumed.wake(case_ids)

    def progress_age_seconds(self) -> float:
        """Seconds for which this service may not have heard everything; 0 when it is level."""
        lag = self.progress.get("lag_records", 0)
        return time.monotonic() - self.last_consumed_monotonic if lag else 0.0

    async def service_token(self) -> str:
        """An access token for this service itself (client credentials), renewed in time."""
        if self._service_token and self._service_token[0] > time.time():
            return self._service_token[1]
        answer = await self.http.post(
            f"{self.settings.routing_url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(self.settings.client_id, self.settings.client_secret.get_secret_value()),
        )
        answer.raise_for_status()
        body = answer.json()
        self._service_token = (time.time() + body["expires_in"] * 0.8, body["access_token"])
        return str(body["access_token"])
