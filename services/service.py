"""A service as a value: what it serves, hears, runs and owns."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from fastapi import APIRouter

from services.events.envelope import Event
from services.settings import ServiceSettings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from services.messaging.kafka import Envelope, Incoming
    from services.runtime import Runtime
    from services.unit_of_work import UnitOfWork

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Received(Generic[E]):
    """An event as it was heard: its data, what its headers say, and the record as it came.

    The record's data may have members that only a newer release knows; they are passed on.
    """

    data: E
    envelope: "Envelope"
    record: "Incoming"

    @property
    def event_id(self) -> UUID:
        """``ce_id``."""
        return self.envelope.event_id

    @property
    def type(self) -> str:
        """``ce_type``."""
        return self.envelope.type

    @property
    def source(self) -> str:
        """``ce_source``: a slash and the service."""
        return self.envelope.source

    @property
    def case_id(self) -> UUID:
        """``ce_subject``."""
        return self.envelope.case_id

    @property
    def sequence(self) -> int:
        """Its place among its source's events of the case."""
        return self.envelope.sequence

    @property
    def episode(self) -> int:
        """The round of the case."""
        return self.envelope.episode

    @property
    def occurred_at(self) -> datetime:
        """When the fact happened."""
        return self.envelope.occurred_at

    @property
    def recorded_at(self) -> datetime:
        """When its owner wrote it down."""
        return self.envelope.recorded_at

    @property
    def correlation_id(self) -> str | None:
        """The request that it goes back to."""
        return self.envelope.correlation_id

    @property
    def traceparent(self) -> str | None:
        """The trace it belongs to (W3C)."""
        return self.envelope.traceparent


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
    routers: Callable[[], Iterable[APIRouter]]
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
    # Paths whose bodies an endpoint reads piece by piece, within its own limits and media types.
    streams: re.Pattern[str] | None = None
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
