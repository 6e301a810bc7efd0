"""Parked cases: listing them, looking into them, doing them again in order, letting one event go."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import structlog

from services.errors import NotFound, Poison
from services.messaging.failpoints import failpoint
from services.messaging.handling import CaseEvents, Tally, error_code, is_transient
from services.messaging.inbox import Verdict, judge
from services.messaging.kafka import Incoming

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
GAP_SECONDS: Final = 60
CHUNK: Final = 50
# A gap younger than a minute is only being waited for.
SHOWN: Final = f"NOT (code = 'gap' AND parked_at > clock_timestamp() - interval '{GAP_SECONDS} s')"


@dataclass(frozen=True)
class ParkedCase:
    """A case whose events wait, and why."""

    consumer: str
    key: str
    source: str | None
    code: str
    reason: str
    parked_at: datetime
    events: int


@dataclass(frozen=True)
class ParkedEvent:
    """One waiting event: where it stood and what it said of itself; never its data."""

    id: int
    topic: str
    partition: int
    offset: int
    headers: dict[str, str]
    bytes: int
    reason: str
    parked_at: datetime


@dataclass(frozen=True)
class Replayed:
    """What a replay did: events done, events still waiting, and why the first of them waits."""

    done: int
    left: int
    code: str | None = None


async def list_parked(
    db: asyncpg.Connection, *, limit: int = 200, waiting_too: bool = False
) -> list[ParkedCase]:
    """Parked cases, oldest first; young gaps only with ``waiting_too``."""
    rows = await db.fetch(
        f"""SELECT consumer, key, source, code, reason, parked_at,
              (SELECT count(*) FROM parked_event e
               WHERE e.consumer = c.consumer AND e.key = c.key) AS events
            FROM parked_case c WHERE $1 OR {SHOWN} ORDER BY parked_at LIMIT $2""",
        waiting_too,
        limit,
    )
    return [ParkedCase(**row) for row in rows]


async def count_parked(db: asyncpg.Connection) -> int:
    """How many cases are parked for good, young gaps left out."""
    return int(await db.fetchval(f"SELECT count(*) FROM parked_case WHERE {SHOWN}"))


async def is_parked(db: asyncpg.Connection, key: str) -> bool:
    """Whether events of this case wait in this service."""
    return bool(
        await db.fetchval(
            f"SELECT EXISTS (SELECT 1 FROM parked_case WHERE key = $1 AND {SHOWN})", key
        )
    )


async def show_parked(db: asyncpg.Connection, consumer: str, key: str) -> list[ParkedEvent]:
    """The queue of one parked case, in order."""
    rows = await db.fetch(
        """SELECT id, topic, partition, "offset", headers, length(data) AS bytes, reason, parked_at
           FROM parked_event WHERE consumer = $1 AND key = $2 ORDER BY id""",
        consumer,
        key,
    )
    return [
        ParkedEvent(**{**row, "headers": dict(row["headers"]), "bytes": row["bytes"] or 0})
        for row in rows
    ]


async def replay(runtime: "Runtime", key: str) -> Replayed:
    """Do the waiting events of a case again, in order, and un-park it when none is left.

    The parked row is locked all the while: a record that comes in meanwhile queues behind, or is
    handled after the un-parking, and never overtakes. Raises ``NotFound`` when nothing is parked.
    """
    events = CaseEvents(runtime)
    done, size = 0, CHUNK
    while True:
        try:
            step = await _replay_some(runtime, events, key, size)
        except Exception as error:
            if is_transient(error):
                raise
            if size > 1:
                size = 1
                continue
            return await _still_parked(runtime, events, key, done, error)
        done += step.done
        if step.left == 0 or step.code:
            log.info("case replayed", key=key, done=done, left=step.left, code=step.code)
            return Replayed(done, step.left, step.code)


async def _replay_some(
    runtime: "Runtime", events: CaseEvents, key: str, size: int
) -> Replayed:
    async with runtime.pool.acquire() as db, db.transaction():
        now = await events.begin(db)
        await _lock(db, events.consumer, key)
        rows = await db.fetch(
            """SELECT id, topic, partition, "offset", key, headers, data FROM parked_event
               WHERE consumer = $1 AND key = $2 ORDER BY id""",
            events.consumer,
            key,
        )
        queue = [(row["id"], _incoming(row)) for row in rows]
        memory = await events.remember(db, [record for _, record in queue])
        finished: list[int] = []
        code: str | None = None
        while queue and len(finished) < size:
            turn = _whose_turn(memory.heads, queue)
            if turn is None:
                code = "gap"
                break
            id_, record = queue.pop(turn)
            envelope = record.envelope()
            head = memory.heads.get((envelope.source, envelope.case_id))
            verdict = judge(head, envelope.sequence, envelope.event_id)
            if verdict is Verdict.FORK:
                code = "fork"
                break
            if verdict is Verdict.NEXT:
                await events.apply(db, memory, record, envelope, now, Tally())
            finished.append(id_)
        await memory.save()
        await db.execute("DELETE FROM parked_event WHERE id = ANY($1::bigint[])", finished)
        left = len(rows) - len(finished)
        if left == 0:
            await _unpark(db, events.consumer, key)
        elif code:
            await db.execute(
                "UPDATE parked_case SET code = $3 WHERE consumer = $1 AND key = $2",
                events.consumer,
                key,
                code,
            )
        failpoint("replay.before_commit")
    runtime.wake()
    return Replayed(len(finished), left, code)


def _whose_turn(heads: dict[Any, Any], queue: list[tuple[int, Incoming]]) -> int | None:
    """The first of the queue, or the one that its missing predecessor is; nothing when it is not there.

    Raises ``Poison`` for a record whose headers are broken.
    """
    first = queue[0][1].envelope()
    head = heads.get((first.source, first.case_id))
    if judge(head, first.sequence, first.event_id) is not Verdict.GAP:
        return 0
    wanted = (head.sequence if head else 0) + 1
    for index, (_, record) in enumerate(queue):
        try:
            envelope = record.envelope()
        except Poison:
            return None
        if (envelope.source, envelope.sequence) == (first.source, wanted):
            return index
    return None


async def _still_parked(
    runtime: "Runtime", events: CaseEvents, key: str, done: int, error: Exception
) -> Replayed:
    code = error_code(error)
    log.warning("case stays parked", key=key, code=code, exc_info=error)
    async with runtime.pool.acquire() as db, db.transaction():
        await events.begin(db)
        await _lock(db, events.consumer, key)
        await db.execute(
            """UPDATE parked_case SET code = $3, reason = $4 WHERE consumer = $1 AND key = $2""",
            events.consumer,
            key,
            code,
            f"the handler failed: {code}",
        )
        left = await db.fetchval(
            "SELECT count(*) FROM parked_event WHERE consumer = $1 AND key = $2",
            events.consumer,
            key,
        )
    return Replayed(done, int(left), code)


async def drop_first(runtime: "Runtime", key: str) -> ParkedEvent:
    """Let the first waiting event of a case go for good; those behind it wait for a replay.

    Recorded in the audit trail. Raises ``NotFound`` when nothing is parked.
    """
    events = CaseEvents(runtime)
    async with runtime.pool.acquire() as db, db.transaction():
        now = await events.begin(db)
        await _lock(db, events.consumer, key)
        queue = await show_parked(db, events.consumer, key)
        if not queue:
            await _unpark(db, events.consumer, key)
            raise NotFound()
        first = queue[0]
        row = await db.fetchrow(
            """DELETE FROM parked_event WHERE id = $1
               RETURNING topic, partition, "offset", key, headers, data""",
            first.id,
        )
        record = _incoming(row)
        try:
            envelope = record.envelope()
        except Poison:
            case_id = None
        else:
            case_id = envelope.case_id
            memory = await events.remember(db, [record])
            head = memory.heads.get((envelope.source, envelope.case_id))
            if head is None or head.sequence <= envelope.sequence:
                memory.advance(
                    envelope.source, envelope.case_id, envelope.sequence, envelope.event_id
                )
                await memory.save()
        uow = events.unit_of_work(db, now)
        place = {"topic": first.topic, "partition": first.partition, "offset": first.offset}
        uow.audit("event.dropped", case_id=case_id, subject=key, detail=place)
        await uow.flush()
        if len(queue) == 1:
            await _unpark(db, events.consumer, key)
    runtime.wake()
    log.warning("parked event dropped", key=key, **place)
    return first


async def _lock(db: asyncpg.Connection, consumer: str, key: str) -> None:
    found = await db.fetchval(
        "SELECT 1 FROM parked_case WHERE consumer = $1 AND key = $2 FOR UPDATE", consumer, key
    )
    if not found:
        raise NotFound()


async def _unpark(db: asyncpg.Connection, consumer: str, key: str) -> None:
    await db.execute("DELETE FROM parked_case WHERE consumer = $1 AND key = $2", consumer, key)


def _incoming(row: asyncpg.Record) -> Incoming:
    return Incoming(
        row["topic"],
        row["partition"],
        row["offset"],
        row["key"],
        row["headers"],
        row["data"] or b"",
    )
