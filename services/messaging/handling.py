"""One event of a case, from headers to effect: the same road for the consumer and for a replay."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import orjson
from pydantic import ValidationError

from services import telemetry
from services.errors import Poison, Problem, Transient
from services.messaging.failpoints import failpoint
from services.messaging.inbox import Fence, Memory, Round, Verdict, judge
from services.messaging.kafka import Envelope, Incoming
from services.service import Received, Service, Subscription
from services.unit_of_work import Actor, UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

OWNER_OF_CASES: Final = "/intake"
REGISTERED: Final = "liandiao.case.registered.v1"
CLOSED: Final = "liandiao.case.closed.v1"


def is_transient(error: BaseException) -> bool:
    """True for a failure that time mends; everything else is the event's fault or the handler's."""
    if isinstance(error, asyncpg.InterfaceError):
        return any(word in str(error) for word in ("closed", "released", "lost", "in progress"))
    if isinstance(error, Problem):
        return error.retryable and error.status == 503
    return isinstance(
        error,
        Transient
        | OSError
        | TimeoutError
        | asyncpg.PostgresConnectionError
        # A connection that died in the middle of a call: the client says so of its own state.
        | asyncpg.InternalClientError
        | asyncpg.exceptions.OperatorInterventionError
        | asyncpg.exceptions.InsufficientResourcesError
        | asyncpg.exceptions.TransactionRollbackError
        | asyncpg.exceptions.LockNotAvailableError
        | asyncpg.exceptions.IdleInTransactionSessionTimeoutError
        | asyncpg.exceptions.ReadOnlySQLTransactionError,
    )


def error_code(error: BaseException) -> str:
    """A short name for what went wrong, without any value of the event."""
    return error.code if isinstance(error, Poison) else type(error).__name__


def error_place(error: BaseException) -> str:
    """Where it went wrong, as file:line; what drivers say quotes values and stays out of logs."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


@dataclass
class Tally:
    """What became of the records of a batch."""

    handled: int = 0
    skipped: int = 0
    duplicates: int = 0
    queued: int = 0
    gaps: int = 0
    forks: int = 0
    last_source: str = ""
    mended: set[str] = field(default_factory=set)


class CaseEvents:
    """Handles events of ``cases`` for one service, inside a transaction that somebody else owns."""

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self.service: Service = runtime.service
        self.consumer = f"{self.service.name}.cases"
        self.generation = runtime.settings.generation
        self._subscriptions: dict[str, list[Subscription]] = {}
        for subscription in self.service.consumes:
            type_ = subscription.event.spec.type
            self._subscriptions.setdefault(type_, []).append(subscription)

    def hears(self, type_: str) -> bool:
        """Whether the service does anything with events of this type."""
        return type_ in self._subscriptions

    async def remember(
        self, db: asyncpg.Connection, records: list[Incoming], fence: Fence | None = None
    ) -> tuple[Memory, datetime]:
        """Begin a batch in the open transaction: what its records need to be judged, and now.

        Raises ``Moved`` when a position row is not where the batch begins.
        """
        subjects = []
        for record in records:
            try:
                envelope = record.envelope()
            except Poison:
                continue
            subjects.append((envelope.source, envelope.case_id))
        memory = Memory(db, self.consumer)
        now = await memory.load((record.key for record in records), subjects, fence)
        return memory, now + self.runtime.clock.offset

    async def take(
        self, db: asyncpg.Connection, memory: Memory, record: Incoming, now: datetime, tally: Tally
    ) -> None:
        """Do, drop, queue or hold one record from the topic. Raises what the handler raises."""
        waiting = memory.parked.get(record.key)
        try:
            envelope = record.envelope()
        except Poison:
            if not waiting:
                raise
            await self.queue(db, record, "behind")
            tally.queued += 1
            return
        head = memory.heads.get((envelope.source, envelope.case_id))
        verdict = judge(head, envelope.sequence, envelope.event_id)
        if verdict is Verdict.DUPLICATE:
            tally.duplicates += 1
        elif waiting and not (waiting == ("gap", envelope.source) and verdict is Verdict.NEXT):
            await self.queue(db, record, "behind")
            tally.queued += 1
        elif verdict is Verdict.NEXT:
            await self.apply(db, memory, record, envelope, now, tally)
            if waiting:
                tally.mended.add(record.key)
        else:
            await self.park(db, record, verdict.value, envelope.source)
            memory.parked[record.key] = (verdict.value, envelope.source)
            tally.gaps += verdict is Verdict.GAP
            tally.forks += verdict is Verdict.FORK

    async def apply(
        self,
        db: asyncpg.Connection,
        memory: Memory,
        record: Incoming,
        envelope: Envelope,
        now: datetime,
        tally: Tally,
    ) -> None:
        """The effect of an event whose turn it is, and the step of the inbox, together."""
        round_ = self._keep_round(memory, record, envelope)
        over = (
            round_ is not None
            and envelope.source != self.service.source
            and round_.is_over_for(envelope.episode)
        )
        subscriptions = [
            s for s in self._subscriptions.get(envelope.type, ()) if s.even_when_closed or not over
        ]
        if subscriptions:
            telemetry.bind(
                envelope.correlation_id or str(envelope.event_id),
                envelope.traceparent or telemetry.new_traceparent(),
            )
        for subscription in subscriptions:
            uow = self._unit(db, memory, now)
            uow.answer(envelope.event_id, envelope.correlation_id, envelope.traceparent)
            await subscription.handler(self._received(record, envelope, subscription), uow)
            failpoint("consumer.after_effect")
            stream = uow.streams.get(envelope.case_id)
            if stream:
                memory.rounds[envelope.case_id] = Round(stream.episode, stream.closed)
        memory.advance(envelope.source, envelope.case_id, envelope.sequence, envelope.event_id)
        tally.last_source = envelope.source
        if subscriptions:
            tally.handled += 1
        else:
            tally.skipped += 1

    def _keep_round(self, memory: Memory, record: Incoming, envelope: Envelope) -> Round | None:
        """Follow intake, who owns the case: made, next episode, closed.

        Answers the round as it was before a closing, so that the closing itself is handled.
        """
        before = memory.rounds.get(envelope.case_id)
        if envelope.source != OWNER_OF_CASES or self.service.source == OWNER_OF_CASES:
            return before
        after: Round | None = None
        number: str | None = None
        if envelope.type == REGISTERED:
            number = _member(record.data, "case_number")
            after = Round(envelope.episode, False)
        elif before is None:
            return None
        elif envelope.episode > before.episode:
            after = before = Round(envelope.episode, False)
        if envelope.type == CLOSED and before and envelope.episode >= before.episode:
            after = Round(envelope.episode, True)
        if after is None:
            return before
        memory.turn(envelope.case_id, after, number)
        return after if envelope.type == REGISTERED else before

    def _unit(self, db: asyncpg.Connection, memory: Memory, now: datetime) -> UnitOfWork:
        """The batch's unit of work; the memory flushes it, whoever owns the transaction commits."""
        if memory.unit is None:
            memory.unit = UnitOfWork(self.runtime, db, now, Actor(self.service.name))
            memory.unit.batch = memory
        return memory.unit

    def _received(
        self, record: Incoming, envelope: Envelope, subscription: Subscription
    ) -> Received[Any]:
        try:
            data = subscription.event.model_validate_json(record.data)
        except ValidationError as error:
            raise Poison("the data does not fit its schema") from error
        return Received(data, envelope, record)

    # -- parking -----------------------------------------------------------------------------

    async def park(
        self, db: asyncpg.Connection, record: Incoming, code: str, source: str | None = None
    ) -> None:
        """Park the record's key and put the record first in its queue."""
        await db.execute(
            """INSERT INTO parked_case (consumer, key, source, code, reason, parked_at)
               VALUES ($1, $2, $3, $4, $5, clock_timestamp())
               ON CONFLICT (consumer, key) DO NOTHING""",
            self.consumer,
            record.key,
            source,
            code,
            REASONS.get(code, f"the handler failed: {code}"),
        )
        await self.queue(db, record, code)
        failpoint("consumer.after_park")

    async def queue(self, db: asyncpg.Connection, record: Incoming, reason: str) -> None:
        """Add the record to the queue of its parked key."""
        await db.execute(
            """INSERT INTO parked_event
                 (consumer, key, topic, generation, partition, "offset", headers, data, reason,
                  parked_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp())
               ON CONFLICT ON CONSTRAINT uq_parked_event_record DO NOTHING""",
            self.consumer,
            record.key,
            record.topic,
            self.generation,
            record.partition,
            record.offset,
            record.headers,
            record.data,
            reason,
        )


REASONS: Final = {
    "gap": "events before this one have not come",
    "fork": "the same sequence came with another id: the sender's database was restored",
}


def _member(data: bytes, name: str) -> str | None:
    try:
        value = orjson.loads(data).get(name)
    except (ValueError, AttributeError) as error:
        raise Poison("the data is no JSON object") from error
    return value if isinstance(value, str) else None
