"""Parked cases: listed, looked into, done again in order, an event let go."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import structlog

from services.errors import NotFound, Poison
from services.messaging.failpoints import failpoint
from services.messaging.handling import CaseEvents, Tally, error_code, error_place, is_transient
from services.messaging.inbox import Memory, Verdict, judge
from services.messaging.kafka import Incoming
from services.messaging.transaction import transaction
from services.unit_of_work import Actor, UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
GAP_SECONDS: Final = 60
CHUNK: Final = 50
# The id of an event that a person gave up before it came.
NEVER_CAME: Final = UUID(int=0)
# A gap younger than a minute is only being waited for.
SHOWN: Final = f"NOT (code = 'gap' AND parked_at > clock_timestamp() - interval '{GAP_SECONDS} s')"


@dataclass(frozen=True)
class Replayed:
    """What a replay did: events done, events still waiting, and why the first of them waits."""

    done: int
    left: int
    code: str | None = None


async def list_parked(
    runtime: "Runtime", *, limit: int = 200, waiting_too: bool = False
) -> list[dict[str, Any]]:
    """Parked cases, oldest first; young gaps only with ``waiting_too``."""
    rows = await runtime.pool.fetch(
        f"""SELECT key, source, code, reason, parked_at,
              (SELECT count(*) FROM parked_event e
               WHERE e.consumer = c.consumer AND e.key = c.key) AS events
            FROM parked_case c WHERE $1 OR {SHOWN} ORDER BY parked_at LIMIT $2""",
        waiting_too,
        limit,
    )
    return [dict(row) for row in rows]


async def count_parked(db: asyncpg.Connection | asyncpg.Pool) -> int:
    """How many cases are parked for good, young gaps left out."""
    return int(await db.fetchval(f"SELECT count(*) FROM parked_case WHERE {SHOWN}"))


async def show_parked(runtime: "Runtime", key: str) -> list[dict[str, Any]]:
    """The queue of one parked case, in order; headers, but never the data."""
    rows = await runtime.pool.fetch(
        """SELECT topic, partition, "offset", headers, length(data) AS bytes, reason, parked_at
           FROM parked_event WHERE consumer = $1 AND key = $2 ORDER BY id""",
        f"{runtime.service.name}.cases",
        key,
    )
    return [{**dict(row), "headers": dict(row["headers"])} for row in rows]


async def replay_parked(runtime: "Runtime", key: str) -> dict[str, Any]:
    """``replay`` for the command line."""
    return asdict(await replay(runtime, key))


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
            if done:
                log.info("case replayed", key=key, done=done, left=step.left, code=step.code)
            return Replayed(done, step.left, step.code)


async def _replay_some(runtime: "Runtime", events: CaseEvents, key: str, size: int) -> Replayed:
    async with transaction(runtime) as (db, _):
        await _lock(db, events.consumer, key)
        queue = await _queue(db, events.consumer, key)
        waiting = len(queue)
        memory, now = await events.remember(db, [record for _, record in queue])
        finished: list[int] = []
        code: str | None = None
        source: str | None = None  # of whom the next one is missing, or double
        while queue and len(finished) < size:
            turn = _whose_turn(memory.heads, queue)
            if turn is None:
                code, source = "gap", queue[0][1].envelope().source
                break
            id_, record = queue.pop(turn)
            envelope = record.envelope()
            head = memory.heads.get((envelope.source, envelope.case_id))
            verdict = judge(head, envelope.sequence, envelope.event_id)
            if verdict is Verdict.FORK:
                code, source = "fork", envelope.source
                break
            if verdict is Verdict.NEXT:
                await events.apply(db, memory, record, envelope, now, Tally())
            finished.append(id_)
        await memory.save()
        await db.execute("DELETE FROM parked_event WHERE id = ANY($1::bigint[])", finished)
        left = waiting - len(finished)
        if left == 0:
            await _unpark(db, events.consumer, key)
        elif code:
            await db.execute(
                """UPDATE parked_case SET code = $3, source = $4
                   WHERE consumer = $1 AND key = $2""",
                events.consumer,
                key,
                code,
                source,
            )
        failpoint("replay.before_commit")
    runtime.wake()
    return Replayed(len(finished), left, code)


def _whose_turn(heads: dict[Any, Any], queue: list[tuple[int, Incoming]]) -> int | None:
    """The first of the queue, or its missing predecessor; nothing when that has not come.

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


async def mend_gaps(runtime: "Runtime") -> int:
    """Replay cases whose missing events may have come. Answers how many ended."""
    keys = await runtime.pool.fetch(
        """SELECT key FROM parked_case WHERE consumer = $1 AND code = 'gap'
           ORDER BY parked_at LIMIT 100""",
        f"{runtime.service.name}.cases",
    )
    ended = 0
    for row in keys:
        try:
            ended += (await replay(runtime, row["key"])).left == 0
        except NotFound:
            continue
    return ended


async def _still_parked(
    runtime: "Runtime", events: CaseEvents, key: str, done: int, error: Exception
) -> Replayed:
    code = error_code(error)
    log.warning("case stays parked", key=key, code=code, place=error_place(error))
    async with transaction(runtime) as (db, _):
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


async def drop_parked(runtime: "Runtime", key: str, reason: str) -> dict[str, Any]:
    """Let go for good what keeps a case parked; what waits behind it waits for a replay.

    That is the event at which a replay stops. Where a replay waits for events that have not come,
    these are given up, and none of those that are there. Recorded in the audit trail. Raises
    ``NotFound`` when nothing is parked.
    """
    events = CaseEvents(runtime)
    async with transaction(runtime) as (db, now):
        await _lock(db, events.consumer, key)
        queue = await _queue(db, events.consumer, key)
        if not queue:
            raise NotFound()
        memory, _ = await events.remember(db, [record for _, record in queue])
        turn = _whose_turn_or_broken(memory.heads, queue)
        if turn is None:
            let_go = _give_up_missing(memory, queue)
        else:
            id_, record = queue.pop(turn)
            await db.execute("DELETE FROM parked_event WHERE id = $1", id_)
            let_go = _pass_over(memory, record)
        await memory.save()
        uow = UnitOfWork(runtime, db, now, Actor(runtime.service.name))
        uow.audit("event.dropped", subject=key, detail={**let_go, "reason": reason})
        await uow.flush()
        if not queue:
            await _unpark(db, events.consumer, key)
    runtime.wake()
    log.warning("parked event dropped", key=key, **let_go)
    return {**let_go, "left": len(queue)}


def _whose_turn_or_broken(heads: dict[Any, Any], queue: list[tuple[int, Incoming]]) -> int | None:
    try:
        return _whose_turn(heads, queue)
    except Poison:
        return 0


def _pass_over(memory: Memory, record: Incoming) -> dict[str, Any]:
    """Step the inbox over a dropped event, so that the one behind it is next; where it stood."""
    try:
        envelope = record.envelope()
    except Poison:
        pass  # its place in the source is unknown: the next one waits for it
    else:
        head = memory.heads.get((envelope.source, envelope.case_id))
        if head is None or head.sequence < envelope.sequence:
            memory.advance(envelope.source, envelope.case_id, envelope.sequence, envelope.event_id)
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}


def _give_up_missing(memory: Memory, queue: list[tuple[int, Incoming]]) -> dict[str, Any]:
    """Step the inbox to right before the lowest event that waits; which ones never came."""
    first = queue[0][1].envelope()
    head = memory.heads.get((first.source, first.case_id))
    handled = head.sequence if head else 0
    last = min(n for n in _sequences(first.source, queue) if n > handled) - 1
    memory.advance(first.source, first.case_id, last, NEVER_CAME)
    return {"source": first.source, "missing": {"first": handled + 1, "last": last}}


def _sequences(source: str, queue: list[tuple[int, Incoming]]) -> Iterator[int]:
    for _, record in queue:
        with contextlib.suppress(Poison):
            envelope = record.envelope()
            if envelope.source == source:
                yield envelope.sequence


async def _queue(db: asyncpg.Connection, consumer: str, key: str) -> list[tuple[int, Incoming]]:
    """What waits behind a parked key, in its order, with its ids."""
    rows = await db.fetch(
        """SELECT id, topic, partition, "offset", key, headers, data FROM parked_event
           WHERE consumer = $1 AND key = $2 ORDER BY id""",
        consumer,
        key,
    )
    return [(row["id"], _incoming(row)) for row in rows]


async def _lock(db: asyncpg.Connection, consumer: str, key: str) -> None:
    found = await db.fetchval(
        "SELECT 1 FROM parked_case WHERE consumer = $1 AND key = $2 FOR UPDATE", consumer, key
    )
    if not found:
        raise NotFound()


async def _unpark(db: asyncpg.Connection, consumer: str, key: str) -> None:
    await db.execute("DELETE FROM parked_case WHERE consumer = $1 AND key = $2", consumer, key)


def _incoming(row: "asyncpg.Record") -> Incoming:
    return Incoming(
        row["topic"],
        row["partition"],
        row["offset"],
        row["key"],
        row["headers"],
        row["data"] or b"",
    )
