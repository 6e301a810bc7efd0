"""The only place that commits: state, outbox, audit and idempotent answer in one transaction."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import asyncpg
import orjson

from services.clock import wire
from services.errors import Conflict, NotFound, Unavailable
from services.events.envelope import Event, payload
from services.ids import new_id
from services.messaging.failpoints import failpoint
from services.telemetry import current_traceparent, request_id

if TYPE_CHECKING:
    from services.auth import Caller
    from services.messaging.inbox import Memory
    from services.runtime import Runtime

MAX_EVENT_BYTES = 64 * 1024
# Who speaks in ``cases``.
SOURCES: Final = ("/intake", "/routing", "/mediation", "/notification")


@dataclass
class CaseStream:
    """The head of this service's own stream of one case."""

    case_id: UUID
    case_number: str | None
    episode: int
    closed: bool
    last_sequence: int


@dataclass(frozen=True)
class EmittedEvent:
    """What an emitted event is called."""

    event_id: UUID
    sequence: int
    type: str


@dataclass(frozen=True)
class Actor:
    """Who stands behind a change: a client, a party, or the service itself."""

    name: str
    organisation: str | None = None
    acted_by: str | None = None


@dataclass
class _Pending:
    outbox: list[tuple[Any, ...]] = field(default_factory=list)
    audit: list[tuple[Any, ...]] = field(default_factory=list)
    jobs: list[tuple[Any, ...]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.outbox or self.audit or self.jobs)


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as columns; as many empty columns when there are none."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


# Everything that goes with a change, in one round trip: stream heads, outbox, audit, jobs.
_FLUSH: Final = """
WITH heads AS (
  INSERT INTO case_stream (case_id, case_number, episode, closed, last_sequence)
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bool[], $5::bigint[])
  ON CONFLICT (case_id) DO UPDATE SET episode = excluded.episode,
    closed = excluded.closed, last_sequence = excluded.last_sequence,
    case_number = coalesce(case_stream.case_number, excluded.case_number)
), events AS (
  INSERT INTO outbox (event_id, topic, key, sequence, type, headers, data, recorded_at, heard)
  SELECT event_id, topic, key, sequence, type, headers::jsonb, data, recorded_at,
    CASE WHEN hears IS NOT NULL THEN nullif(concat_ws(',', nullif(hears, ''),
      (SELECT string_agg(ltrim(i.source, '/') || '=' || i.sequence, ',') FROM inbox i
       WHERE i.consumer = $31 AND i.source = ANY($32::text[]) AND i.case_id = key::uuid)), '') END
  FROM unnest($6::uuid[], $7::text[], $8::text[], $9::bigint[], $10::text[], $11::text[],
    $12::bytea[], $13::timestamptz[], $14::text[])
    WITH ORDINALITY
    AS t(event_id, topic, key, sequence, type, headers, data, recorded_at, hears, n)
  ORDER BY n
), trail AS (
  INSERT INTO audit_entry (id, action, case_id, subject, actor, organisation, acted_by, purpose,
    correlation_id, detail, recorded_at)
  SELECT id, action, case_id, subject, actor, organisation, acted_by, purpose, correlation_id,
    detail::jsonb, recorded_at
  FROM unnest($15::uuid[], $16::text[], $17::uuid[], $18::text[], $19::text[], $20::text[],
    $21::text[], $22::text[], $23::text[], $24::text[], $25::timestamptz[])
    AS t(id, action, case_id, subject, actor, organisation, acted_by, purpose, correlation_id,
      detail, recorded_at)
)
INSERT INTO job (id, kind, key, payload, run_after)
SELECT id, kind, key, payload::jsonb, run_after
FROM unnest($26::uuid[], $27::text[], $28::text[], $29::text[], $30::timestamptz[])
  AS t(id, kind, key, payload, run_after)
ON CONFLICT (key) DO NOTHING
"""


class UnitOfWork:
    """One transaction and everything that must stand or fall with it."""

    def __init__(
        self,
        runtime: "Runtime",
        db: asyncpg.Connection,
        now: datetime,
        actor: Actor,
        *,
        caller: "Caller | None" = None,
        causation_id: UUID | str | None = None,
        correlation_id: str | None = None,
        traceparent: str | None = None,
    ) -> None:
        self.runtime = runtime
        self.db = db
        self.now = now
        self.actor = actor
        self.caller = caller
        self.purpose: str | None = None
        self.causation_id = causation_id
        self.correlation_id = correlation_id or request_id()
        self.traceparent = traceparent or current_traceparent()
        # In a consumer: the batch this event belongs to; what is noted there ends with it.
        self.batch: Memory | None = None
        self.streams: dict[UUID, CaseStream] = {}
        self.on_emit: Callable[[], None] | None = None
        self._touched: set[UUID] = set()
        self._new: set[UUID] = set()
        self._pending = _Pending()
        self.wrote_events = False
        self.wrote_jobs = False

    def answer(self, event_id: UUID, correlation_id: str | None, traceparent: str | None) -> None:
        """From now on what is written follows from this event: one unit may answer several."""
        self.causation_id = event_id
        self.correlation_id = correlation_id or str(event_id)
        self.traceparent = traceparent or current_traceparent()

    # -- the case's own stream ---------------------------------------------------------------

    async def lock_case(
        self,
        case_id: UUID,
        *,
        create: bool = False,
        case_number: str | None = None,
        episode: int = 1,
    ) -> CaseStream:
        """Lock the case row; with ``create`` make it when new. Raises ``NotFound``."""
        if case_id in self.streams:
            return self.streams[case_id]
        if create or (self.batch is not None and case_id in self.batch.turned):
            row = await self.db.fetchrow(
                """INSERT INTO case_stream (case_id, case_number, episode) VALUES ($1, $2, $3)
                   ON CONFLICT (case_id) DO UPDATE
                   SET case_number = coalesce(case_stream.case_number, excluded.case_number)
                   RETURNING case_number, episode, closed, last_sequence""",
                case_id,
                case_number,
                episode,
            )
        else:
            row = await self.db.fetchrow(
                """SELECT case_number, episode, closed, last_sequence FROM case_stream
                   WHERE case_id = $1 FOR UPDATE""",
                case_id,
            )
        if row is None:
            raise NotFound()
        stream = CaseStream(
            case_id, row["case_number"], row["episode"], row["closed"], row["last_sequence"]
        )
        self.streams[case_id] = stream
        self.take_turn(case_id)
        return stream

    async def lock_cases(self, episodes: Mapping[UUID, int]) -> None:
        """Lock several cases at once, in the order of their ids; new ones begin in that episode."""
        if not episodes:
            return
        for row in await self.db.fetch(
            """INSERT INTO case_stream AS s (case_id, episode)
               SELECT * FROM unnest($1::uuid[], $2::int[]) AS t(case_id, episode) ORDER BY case_id
               ON CONFLICT (case_id) DO UPDATE SET case_number = s.case_number
               RETURNING case_id, case_number, episode, closed, last_sequence""",
            list(episodes),
            list(episodes.values()),
        ):
            if row["case_id"] not in self.streams:
                self.streams[row["case_id"]] = CaseStream(*row)
                self.take_turn(row["case_id"])

    def adopt_new_case(self, case_id: UUID, case_number: str) -> CaseStream:
        """A case row that this transaction makes: inserted with the flush, nothing to lock."""
        stream = CaseStream(case_id, case_number, 1, False, 0)
        self.streams[case_id] = stream
        self._new.add(case_id)
        self._touched.add(case_id)
        self.take_turn(case_id)
        return stream

    def take_turn(self, case_id: UUID) -> None:
        """Take over the round that the batch has heard of, if any; written with the flush."""
        stream, batch = self.streams.get(case_id), self.batch
        if stream is None or batch is None or case_id not in batch.turned:
            return
        round_ = batch.rounds[case_id]
        stream.case_number = stream.case_number or batch.turned.pop(case_id)
        batch.turned.pop(case_id, None)
        stream.episode = max(stream.episode, round_.episode)
        stream.closed = round_.closed
        self._touched.add(case_id)

    def set_case(
        self, case_id: UUID, *, episode: int | None = None, closed: bool | None = None
    ) -> None:
        """Change this service's copy of the round or of open/closed; the row must be locked."""
        stream = self.streams[case_id]
        if episode is not None:
            stream.episode = episode
        if closed is not None:
            stream.closed = closed
        self._touched.add(case_id)

    def emit(self, event: Event, *, occurred_at: datetime | None = None) -> EmittedEvent:
        """Add an event to the outbox under the next sequence of its case.

        The case row must be locked. Raises ``Conflict`` when the payload exceeds 64 KiB.
        """
        stream = self.streams.get(event.case_id)
        if stream is None:
            raise RuntimeError("emit before lock_case")
        body = payload(event)
        if stream.case_number and "case_number" not in body:
            body["case_number"] = stream.case_number
        return self.emit_encoded(
            event.case_id, event.spec.type, orjson.dumps(body), occurred_at=occurred_at
        )

    def emit_encoded(
        self, case_id: UUID, type_: str, data: bytes, *, occurred_at: datetime | None = None
    ) -> EmittedEvent:
        """``emit`` of a payload that was checked and encoded elsewhere, its case number in it."""
        stream = self.streams.get(case_id)
        if stream is None:
            raise RuntimeError("emit before lock_case")
        if len(data) > MAX_EVENT_BYTES:
            raise Conflict("the event would exceed 64 KiB")
        stream.last_sequence += 1
        self._touched.add(case_id)
        event_id = new_id()
        key = str(case_id)
        headers = [
            ["content-type", "application/json; charset=utf-8"],
            ["ce_specversion", "1.0"],
            ["ce_id", str(event_id)],
            ["ce_source", self.runtime.service.source],
            ["ce_type", type_],
            ["ce_subject", key],
            ["ce_time", wire(occurred_at or self.now)],
            ["ce_recordedtime", wire(self.now)],
            ["ce_sequence", f"{stream.last_sequence:010d}"],
            ["ce_episode", str(stream.episode)],
            ["ce_dataschema", f"urn:liandiao:schema:{type_}"],
            ["ce_correlationid", self.correlation_id],
            ["ce_traceparent", self.traceparent],
        ]
        if self.causation_id:
            headers.append(["ce_causationid", str(self.causation_id)])
        self._pending.outbox.append(
            (
                event_id,
                self.runtime.settings.cases_topic,
                key,
                stream.last_sequence,
                type_,
                orjson.dumps(headers).decode(),
                data,
                self.now,
                self._heard_in_batch(case_id),
            )
        )
        if self.on_emit is not None:
            self.on_emit()
        return EmittedEvent(event_id, stream.last_sequence, type_)

    def _heard_in_batch(self, case_id: UUID) -> str | None:
        """How far the batch has come with each source of the case; None when nobody was heard.

        What stands in the inbox is added with the flush. A topic that was lost is filled again in
        this order (``recovery.fill_topic``).
        """
        if case_id in self._new:
            return None
        heads = self.batch.heads if self.batch is not None else {}
        return ",".join(
            f"{source[1:]}={heads[source, case_id].sequence}"
            for source in SOURCES
            if source != self.runtime.service.source and (source, case_id) in heads
        )

    # -- other things that stand or fall with the transaction --------------------------------

    def publish_directory(
        self, key: str, value: dict[str, Any] | None, *, version: int | None = None
    ) -> None:
        """Publish an entry of the compacted topic ``directory``; readers keep the highest version.

        ``version`` defaults to this transaction's instant in microseconds.
        """
        event_id = new_id()
        version = version or int(self.now.timestamp() * 1_000_000)
        headers = [
            ["content-type", "application/json; charset=utf-8"],
            ["ce_specversion", "1.0"],
            ["ce_id", str(event_id)],
            ["ce_source", self.runtime.service.source],
            ["ce_type", "liandiao.directory.published.v1"],
            ["ce_time", wire(self.now)],
        ]
        data = None if value is None else orjson.dumps({**value, "version": version})
        self._pending.outbox.append(
            (
                event_id,
                "directory",
                key,
                None,
                "directory",
                orjson.dumps(headers).decode(),
                data,
                self.now,
                None,
            )
        )

    def audit(
        self,
        action: str,
        *,
        case_id: UUID | None = None,
        subject: str | None = None,
        detail: dict[str, Any] | None = None,
        purpose: str | None = None,
    ) -> None:
        """Record who did what; ``detail`` holds codes and ids, never personal data."""
        self._pending.audit.append(
            (
                new_id(),
                action,
                case_id,
                subject,
                self.actor.name,
                self.actor.organisation,
                self.actor.acted_by,
                purpose or self.purpose,
                self.correlation_id,
                json.dumps(detail or {}),
                self.now,
            )
        )

    def enqueue(
        self,
        kind: str,
        payload_: dict[str, Any],
        *,
        run_after: datetime | None = None,
        key: str | None = None,
    ) -> UUID:
        """Add a job, at most once per ``key``; it starts after commit."""
        job_id = new_id()
        self._pending.jobs.append((job_id, kind, key, json.dumps(payload_), run_after or self.now))
        return job_id

    @property
    def sequences(self) -> dict[str, int]:
        """``{service: sequence}`` of the case this unit of work wrote, for ``Case-Sequence``."""
        touched = [self.streams[c] for c in self._touched if self.streams[c].last_sequence]
        if not touched:
            return {}
        return {self.runtime.service.name: max(s.last_sequence for s in touched)}

    async def flush(self) -> None:
        """Write outbox, stream heads, audit and jobs; called once, right before commit."""
        failpoint("unit_of_work.before_flush")
        pending, self._pending = self._pending, _Pending()
        if pending.outbox and not self.runtime.writes_allowed:
            raise Unavailable("writes wait for recovery")
        if self._touched or pending:
            rows = [self.streams[c] for c in self._touched]
            await self.db.execute(
                _FLUSH,
                [r.case_id for r in rows],
                [r.case_number for r in rows],
                [r.episode for r in rows],
                [r.closed for r in rows],
                [r.last_sequence for r in rows],
                *_columns(pending.outbox, 9),
                *_columns(pending.audit, 11),
                *_columns(pending.jobs, 5),
                f"{self.runtime.service.name}.cases",
                [source for source in SOURCES if source != self.runtime.service.source],
            )
            self.wrote_events |= bool(pending.outbox)
            self.wrote_jobs |= bool(pending.jobs)
        failpoint("unit_of_work.before_commit")


_BEGIN: Final = "SELECT now() AS now, set_config('liandiao.organisation', $1, true)"
# Statements that write are few and look rows up by key: planned once, not at each execution, which
# costs the largest of them a millisecond. Reads with many conditions keep plans of their own.
_BEGIN_TO_WRITE: Final = f"{_BEGIN}, set_config('plan_cache_mode', 'force_generic_plan', true)"
# What the transaction of a live request is called in pg_stat_activity, so that others give way.
LIVE: Final = "liandiao-request"
_LIVE: Final = f", set_config('application_name', '{LIVE}', true)"


async def begin(
    db: asyncpg.Connection,
    organisation: str,
    offset: timedelta,
    *,
    readonly: bool = False,
    live: bool = False,
) -> datetime:
    """Set the row-level-security variable of the open transaction and read its instant (UTC)."""
    statement = _BEGIN if readonly else _BEGIN_TO_WRITE
    row = await db.fetchrow(statement + _LIVE if live else statement, organisation)
    if row is None:
        raise Unavailable()
    now: datetime = row["now"]
    return now + offset


@asynccontextmanager
async def open_unit_of_work(
    runtime: "Runtime",
    *,
    actor: Actor,
    caller: "Caller | None" = None,
    organisation: str = "*",
    readonly: bool = False,
    live: bool = False,
    causation_id: str | None = None,
    correlation_id: str | None = None,
    traceparent: str | None = None,
) -> AsyncIterator[UnitOfWork]:
    """One transaction; commits when the body ends, rolls back when it raises.

    ``live``: for a request. It gets its connection in its turn; others give way to it where
    somebody waits for the answer, not where another service asks on its way.
    """
    awaited = live and not (caller is not None and caller.is_service)
    async with runtime.requests if live else nullcontext(), runtime.pool.acquire() as proxy:
        db = cast(asyncpg.Connection, proxy)
        async with db.transaction(readonly=readonly):
            now = await begin(
                db, organisation, runtime.clock.offset, readonly=readonly, live=awaited
            )
            uow = UnitOfWork(
                runtime,
                db,
                now,
                actor,
                caller=caller,
                causation_id=causation_id,
                correlation_id=correlation_id,
                traceparent=traceparent,
            )
            yield uow
            if not readonly:
                await uow.flush()
        failpoint("unit_of_work.after_commit")
    if not readonly:
        runtime.wake(events=uow.wrote_events, jobs=uow.wrote_jobs)
