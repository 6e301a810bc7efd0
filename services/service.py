"""A service as a value: what it serves, hears, runs and owns."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from fastapi import APIRouter

from services.events.envelope import Event
from services.settings import ServiceSettings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from services.runtime import Runtime
    from services.unit_of_work import UnitOfWork

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Received(Generic[E]):
    """An event as it was heard, with its envelope."""

    data: E
    event_id: UUID
    type: str
    source: str
    case_id: UUID
    sequence: int
    episode: int
    occurred_at: datetime
    recorded_at: datetime
    causation_id: str | None
    correlation_id: str | None
    traceparent: str | None
    topic: str
    partition: int
    offset: int
    headers: tuple[tuple[str, str], ...]
    # The data as it came, with members that only a newer release knows; passed on as it is.
    raw: bytes = b""


Handler = Callable[[Received[Any], "UnitOfWork"], Awaitable[None]]


@dataclass(frozen=True)
class Subscription:
    """One event class and who handles it."""

    event: type[Event]
    handler: Handler
    even_when_closed: bool = False


def on(event: type[E], handler: Handler, *, even_when_closed: bool = False) -> Subscription:
    """Subscribe; events of an older episode or a closed case reach only ``even_when_closed``."""
    return Subscription(event, handler, even_when_closed)


@dataclass(frozen=True)
class Command:
    """A command from an agency's ``in`` topic, its bytes already JSON and its id a UUID."""

    connection: str
    command_id: UUID
    type: str
    subject: str | None
    data: dict[str, Any]
    traceparent: str | None
    topic: str
    partition: int
    offset: int


CommandHandler = Callable[[Command, "UnitOfWork"], Awaitable[dict[str, Any]]]
JobHandler = Callable[[UUID, dict[str, Any], "Runtime"], Awaitable[None]]


@dataclass(frozen=True)
class Loop:
    """Periodic work: ``run`` answers how much it did; idle rounds wait ``idle_seconds``.

    A busy round waits ``gather_seconds``, so that the next one finds more than one thing to do.
    """

    name: str
    run: Callable[["Runtime"], Awaitable[int]]
    idle_seconds: float = 1.0
    gather_seconds: float = 0.0
    lease: bool = True


@dataclass(frozen=True)
class Schema:
    """A service's tables, and what SQLAlchemy cannot declare of them."""

    metadata: "sa.MetaData"
    extra_ddl: tuple[str, ...] = ()


@dataclass(frozen=True)
class Restored:
    """What else than events a service tells, compared and taken back after a restore."""

    missing: Callable[["Runtime"], Awaitable[int]]
    adopt: Callable[["Runtime"], Awaitable[int]]


@dataclass(frozen=True)
class Service:
    """One of the four services, complete."""

    name: str
    title: str
    description: str
    router: Callable[[], APIRouter]
    settings: type[ServiceSettings]
    # Only migrations and checks need it: a running service imports no SQLAlchemy.
    schema: Callable[[], Schema]
    # After a batch of events the consumer waits so long for more; latency against cost.
    gather_seconds: float = 0.0
    consumes: tuple[Subscription, ...] = ()
    commands: Mapping[str, CommandHandler] = field(default_factory=dict)
    answers_unknown_commands: bool = False
    jobs: Mapping[str, JobHandler] = field(default_factory=dict)
    loops: tuple[Loop, ...] = ()
    on_start: Callable[["Runtime"], Awaitable[None]] | None = None
    doctor: Callable[["Runtime"], Awaitable[list[str]]] | None = None
    restored: Restored | None = None
    # Figures for /health/ready and /metrics: name -> async function of the runtime.
    figures: Mapping[str, Callable[["Runtime"], Awaitable[float]]] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """``ce_source`` of this service's events."""
        return f"/{self.name}"


NAMES = ("intake", "routing", "mediation", "notification")


def load(name: str) -> Service:
    """The service of that name, imported alone."""
    if name not in NAMES:
        raise SystemExit(f"there is no service of that name; choose one of {', '.join(NAMES)}")
    import importlib

    service = getattr(importlib.import_module(f"{name}.wiring"), name.upper())
    if not isinstance(service, Service):
        raise TypeError(f"{name}.wiring does not hold a Service")
    return service
