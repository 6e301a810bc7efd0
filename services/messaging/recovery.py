"""Recovery: after a database was restored, and after Kafka was lost."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.errors import Poison
from services.messaging import kafka
from services.messaging.causal import Said, in_order, read_heard
from services.messaging.group import Positions
from services.messaging.kafka import Envelope, Incoming
from services.messaging.transaction import transaction
from services.messaging.waiting import pause
from services.settings import ServiceSettings

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
MARK: Final = "recovery-needed"
REBUILD_BATCH: Final = 2_000


@dataclass
class Recovered:
    """What a recovery found and did."""

    read: int = 0
    adopted: int = 0
    conflicts: int = 0
    raised_cases: int = 0
    told_elsewhere: int = 0


# -- after a database was restored ----------------------------------------------------------------


async def needs_recovery(db: asyncpg.Connection | asyncpg.Pool) -> bool:
    """Whether a start has found events of this service in the topic that its outbox lacks."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT 1 FROM lease WHERE name = $1)", MARK))


async def check(runtime: "Runtime") -> int:
    """Count what this service has told and its database lacks; any refuses writes until recover.

    Own events in the topic's tail, and what else the service publishes (``Service.restored``).

    The tail begins where the restored database stopped: behind its last stamped row and its
    consumer's position, whichever is later. On an ordinary start that is next to nothing.
    """
    missing = 0
    async for records in _tail(runtime):
        missing += len(await _unknown(runtime.pool, records))
    if restored := runtime.service.restored:
        missing += await restored.missing(runtime)
    if missing:
        await runtime.pool.execute(
            """INSERT INTO lease (name, holder, expires_at) VALUES ($1, 'recover', 'infinity')
               ON CONFLICT (name) DO NOTHING""",
            MARK,
        )
        log.critical("the topic knows more than this database: run recover", events=missing)
    return missing


async def recover(runtime: "Runtime") -> dict[str, int]:
    """Adopt own events that the outbox lacks and raise stream heads, then allow writes again.

    No sequence is used twice afterwards. What the lost transactions changed in other tables is
    not made again: the adopted events are logged for whoever puts that right.
    """
    done = Recovered()
    async for records in _tail(runtime):
        done.read += len(records)
        unknown = await _unknown(runtime.pool, records)
        for record, envelope in records:
            if envelope.event_id in unknown:
                await _adopt(runtime, record, envelope, done)
    if restored := runtime.service.restored:
        done.told_elsewhere = await restored.adopt(runtime)
    await runtime.pool.execute("DELETE FROM lease WHERE name = $1", MARK)
    runtime.writes_allowed = True
    log.warning("recovered", **asdict(done))
    return asdict(done)


async def _tail(runtime: "Runtime") -> AsyncIterator[list[tuple[Incoming, Envelope]]]:
    """Own events from where the database stopped to where the topic ends, in chunks."""
    topic, source = runtime.settings.cases_topic, runtime.service.source
    client = kafka.new_consumer(runtime.settings, f"{runtime.service.name}.recovery")
    try:
        await asyncio.wait_for(client.start(), 30)
        stretches = await _stretches(runtime, client, topic)
        async for records in kafka.read_through(client, stretches):
            own = []
            for raw in records:
                if dict(raw.headers).get("ce_source") == source.encode():
                    record = Incoming.of(raw)
                    try:
                        own.append((record, record.envelope()))
                    except Poison:
                        log.error("own event cannot be read", offset=raw.offset)
            if own:
                yield own
    finally:
        await kafka.close(client)


async def _stretches(
    runtime: "Runtime", client: AIOKafkaConsumer, topic: str
) -> dict[TopicPartition, tuple[int, int]]:
    places = [
        TopicPartition(topic, p) for p in (await kafka.partitions_there(client)).get(topic, ())
    ]
    if not places:
        return {}
    ends = await asyncio.wait_for(client.end_offsets(places), kafka.CALL_SECONDS)
    begins = await asyncio.wait_for(client.beginning_offsets(places), kafka.CALL_SECONDS)
    positions = Positions(f"{runtime.service.name}.cases", runtime.settings.generation)
    consumed = await positions.read(runtime.pool, topic)
    stamped = {
        row["partition"]: row["last"] + 1
        for row in await runtime.pool.fetch(
            """SELECT p AS partition, (
                 SELECT max("offset") FROM outbox WHERE topic = $1 AND partition = p) AS last
               FROM unnest($2::int[]) AS p""",
            topic,
            [place.partition for place in places],
        )
        if row["last"] is not None
    }
    # A generation of the topic that is younger than the stamps has smaller offsets.
    return {
        place: (
            max(
                begins[place],
                consumed.get(place.partition, 0),
                stamped.get(place.partition, 0)
                if stamped.get(place.partition, 0) <= ends[place]
                else 0,
            ),
            ends[place],
        )
        for place in places
    }


async def _unknown(db: asyncpg.Pool, records: list[tuple[Incoming, Envelope]]) -> set[UUID]:
    rows = await db.fetch(
        """SELECT id FROM unnest($1::uuid[]) AS t(id)
           WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.event_id = t.id)""",
        [envelope.event_id for _, envelope in records],
    )
    return {row["id"] for row in rows}


async def _adopt(runtime: "Runtime", record: Incoming, envelope: Envelope, done: Recovered) -> None:
    async with transaction(runtime) as (db, _):
        fork = await db.fetchrow(
            """UPDATE outbox SET held_reason = 'fork', sequence = NULL
               WHERE topic = $1 AND key = $2 AND sequence = $3 AND event_id <> $4
               RETURNING id, published_at""",
            record.topic,
            record.key,
            envelope.sequence,
            envelope.event_id,
        )
        if fork is not None:
            done.conflicts += 1
            log.error(
                "two events under one sequence",
                key=record.key,
                sequence=envelope.sequence,
                outbox_id=fork["id"],
                published=fork["published_at"] is not None,
            )
        adopted = await db.fetchval(
            """INSERT INTO outbox (event_id, topic, key, sequence, type, headers, data,
                 recorded_at, published_at, partition, "offset")
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp(), $9, $10)
               ON CONFLICT DO NOTHING RETURNING id""",
            envelope.event_id,
            record.topic,
            record.key,
            envelope.sequence,
            envelope.type,
            record.headers,
            record.data,
            envelope.recorded_at,
            record.partition,
            record.offset,
        )
        raised = await db.fetchval(
            """INSERT INTO case_stream AS c (case_id, episode, last_sequence)
               VALUES ($1, $2, $3)
               ON CONFLICT (case_id) DO UPDATE SET last_sequence = excluded.last_sequence,
                 episode = greatest(c.episode, excluded.episode)
               WHERE c.last_sequence < excluded.last_sequence RETURNING true""",
            envelope.case_id,
            envelope.episode,
            envelope.sequence,
        )
    done.adopted += adopted is not None
    done.raised_cases += raised is not None
    log.warning(
        "event adopted",
        type=envelope.type,
        key=record.key,
        sequence=envelope.sequence,
        event_id=str(envelope.event_id),
    )


async def guard(runtime: "Runtime", stop: asyncio.Event, checked: asyncio.Event) -> None:
    """Check once, then follow the mark; ``checked`` opens relay and consumers.

    Without Kafka nothing can be compared: writes are allowed after a few seconds, since they wait
    in the outbox, and the check comes before any of them is sent.
    """
    runtime.writes_allowed = False
    patience = asyncio.get_running_loop().time() + 5
    while not stop.is_set() and not checked.is_set():
        try:
            await check(runtime)
        except kafka.AWAY as error:
            if asyncio.get_running_loop().time() > patience and not runtime.writes_allowed:
                log.warning("the topic could not be compared", code=type(error).__name__)
                runtime.writes_allowed = not await needs_recovery(runtime.pool)
            await pause(stop, 0.5)
        else:
            runtime.writes_allowed = not await needs_recovery(runtime.pool)
            if runtime.writes_allowed:
                checked.set()
            else:
                await pause(stop, 2)
    await follow_mark(runtime, stop)


async def follow_mark(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Keep ``writes_allowed`` as the mark in the database says."""
    while not stop.is_set():
        runtime.writes_allowed = not await needs_recovery(runtime.pool)
        await pause(stop, 2)


# -- after Kafka was lost -------------------------------------------------------------------------


_NOT_YET: Final = """held_reason IS NULL
  AND (published_at IS NULL OR (partition, "offset") > ($5::int, $6::bigint))"""
_COLUMNS: Final = 'o.id, event_id, o.key, sequence, headers, data, heard, partition, "offset"'


def _said(name: str, row: asyncpg.Record) -> Said:
    """A row of the outbox of the service with this name."""
    cause = dict(row["headers"]).get("ce_causationid")
    try:
        cause_id = UUID(cause) if cause else None
    except ValueError:
        cause_id = None
    heard = read_heard(row["heard"])
    return Said(name, row["event_id"], row["key"], row["sequence"], cause_id, heard, row)


async def _stamped_rows(
    name: str, pool: asyncpg.Pool, topic: str
) -> AsyncIterator[tuple[int, int, str, asyncpg.Record]]:
    """Published rows of one outbox in the order in which they stood in the topic."""
    async with pool.acquire() as db, db.transaction(readonly=True):
        cursor = db.cursor(
            f"""SELECT {_COLUMNS} FROM outbox o
               WHERE topic = $1 AND published_at IS NOT NULL
               ORDER BY partition, "offset", id""",
            topic,
            prefetch=1_000,
        )
        async for row in cursor:
            yield row["partition"], row["offset"], name, row


async def _merged(
    pools: Mapping[str, asyncpg.Pool], topic: str
) -> AsyncIterator[tuple[str, asyncpg.Record]]:
    """The rows of all outboxes, partition by partition, in their original order."""
    sources = {name: _stamped_rows(name, pool, topic) for name, pool in pools.items()}
    heap: list[tuple[int, int, str, Any]] = []
    for source in sources.values():
        async for item in source:
            heapq.heappush(heap, item)
            break
    while heap:
        _, _, name, row = heapq.heappop(heap)
        yield name, row
        async for item in sources[name]:
            heapq.heappush(heap, item)
            break


async def _in_causal_order(
    pools: Mapping[str, asyncpg.Pool], topic: str
) -> AsyncIterator[list[Said]]:
    """The rows of all outboxes in batches, nothing before what it followed from."""
    taken: set[UUID] = set()
    batch: list[Said] = []

    async def arranged() -> list[Said]:
        last = batch[-1].row["partition"], batch[-1].row["offset"]
        later = [s for s in await _later(pools, topic, batch, last) if s.event_id not in taken]
        ordered = in_order(batch, later)
        taken.update(said.event_id for said in ordered)
        taken.difference_update(said.event_id for said in batch)
        return ordered

    async for name, row in _merged(pools, topic):
        if row["event_id"] in taken:
            taken.remove(row["event_id"])
            continue
        batch.append(_said(name, row))
        if len(batch) >= REBUILD_BATCH:
            yield await arranged()
            batch = []
    if batch:
        yield await arranged()


async def _later(
    pools: Mapping[str, asyncpg.Pool], topic: str, batch: list[Said], last: tuple[int, int]
) -> list[Said]:
    """What the batch followed from, directly or not, and that stands behind it or nowhere."""
    found: list[Said] = []
    known = {said.event_id for said in batch}
    news = batch
    while news:
        upto: dict[str, dict[str, int]] = {name: {} for name in pools}
        for said in news:
            for source, sequence in said.needs().items():
                wanted = upto.get(source, {})
                wanted[said.key] = max(wanted.get(said.key, 0), sequence)
        causes = [said.cause for said in news if said.cause]
        news = []
        for name, pool in pools.items():
            rows = await pool.fetch(
                f"""SELECT {_COLUMNS} FROM outbox o
                      JOIN unnest($2::text[], $3::bigint[]) AS w(key, upto)
                        ON o.key = w.key AND o.sequence <= w.upto
                    WHERE o.topic = $1 AND {_NOT_YET}
                    UNION ALL
                    SELECT {_COLUMNS} FROM outbox o
                    WHERE o.topic = $1 AND event_id = ANY($4::uuid[]) AND {_NOT_YET}""",
                topic,
                list(upto[name]),
                list(upto[name].values()),
                causes,
                *last,
            )
            for row in rows:
                if row["event_id"] not in known:
                    known.add(row["event_id"])
                    news.append(_said(name, row))
        found += news
    return found


async def rebuild_topic() -> dict[str, int]:
    """``fill_topic`` with the databases of all four services, as their settings say."""
    from services.runtime import Runtime
    from services.service import NAMES, load

    runtimes = [await Runtime.open(load(name)) for name in NAMES]
    try:
        settings = runtimes[0].settings
        pools = {runtime.service.name: runtime.pool for runtime in runtimes}
        events = await fill_topic(settings, pools)
    finally:
        for runtime in runtimes:
            await runtime.close()
    return {"events": events, "next_generation": settings.generation + 1}


async def fill_topic(
    settings: ServiceSettings, pools: Mapping[str, asyncpg.Pool], *, topic: str | None = None
) -> int:
    """Fill an empty ``cases`` from the outboxes of all services, in its original order.

    No event comes before one that its service had heard when it said it, nor before an earlier one
    of its own stream, whatever the stamps say (``causal.in_order``).

    Run with the services stopped; start them with the next generation afterwards, so that every
    consumer begins at the beginning and drops what its inbox knows. Answers how many events.
    Raises ``RuntimeError`` when the topic holds anything.
    """
    topic = topic or settings.cases_topic
    await _require_empty(settings, topic)
    producer = kafka.new_producer(settings, "rebuild")
    done = 0
    try:
        await asyncio.wait_for(producer.start(), 30)
        partitions = len(await producer.partitions_for(topic))
        async for batch in _in_causal_order(pools, topic):
            sent = []
            for said in batch:
                partition = said.row["partition"]
                future = await producer.send(
                    topic,
                    key=said.key.encode(),
                    value=said.row["data"],
                    headers=kafka.headers_for_kafka(said.row["headers"]),
                    partition=partition
                    if partition is not None and partition < partitions
                    else None,
                )
                sent.append((said.source, said.row, future))
            done += await _stamp_again(pools, sent)
    finally:
        await kafka.close(producer)
    log.warning("topic rebuilt", topic=topic, events=done)
    return done


async def _stamp_again(
    pools: Mapping[str, asyncpg.Pool],
    batch: list[tuple[str, asyncpg.Record, "asyncio.Future[Any]"]],
) -> int:
    async with asyncio.timeout(60):
        places = await asyncio.gather(*(future for _, _, future in batch))
    for name, pool in pools.items():
        mine = [
            (row["id"], place.partition, place.offset)
            for (owner, row, _), place in zip(batch, places, strict=True)
            if owner == name
        ]
        if mine:
            await pool.execute(
                """UPDATE outbox o SET partition = s.partition, "offset" = s."offset",
                     published_at = coalesce(o.published_at, clock_timestamp())
                   FROM unnest($1::bigint[], $2::int[], $3::bigint[])
                     AS s(id, partition, "offset") WHERE o.id = s.id""",
                *[list(column) for column in zip(*mine, strict=True)],
            )
    return len(batch)


async def _require_empty(settings: ServiceSettings, topic: str) -> None:
    client = kafka.new_consumer(settings, "rebuild")
    try:
        await asyncio.wait_for(client.start(), 30)
        there = await kafka.partitions_there(client)
        places = [TopicPartition(topic, p) for p in there.get(topic, ())]
        if not places:
            raise RuntimeError(f"the topic {topic} is not there: make it first")
        ends = await asyncio.wait_for(client.end_offsets(places), kafka.CALL_SECONDS)
        if any(ends.values()):
            raise RuntimeError(f"the topic {topic} is not empty: delete and make it first")
    finally:
        await kafka.close(client)
