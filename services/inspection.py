"""What an operator sees of a service: streams, outbox, lag, broken invariants."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from services.runtime import Runtime


async def case_in(runtime: "Runtime", case_id: UUID) -> dict[str, Any] | None:
    """One case as this service knows it."""
    stream = await runtime.pool.fetchrow("SELECT * FROM case_stream WHERE case_id = $1", case_id)
    if stream is None:
        return None
    heard = await runtime.pool.fetch(
        "SELECT source, sequence, event_id, at FROM inbox WHERE case_id = $1 ORDER BY source",
        case_id,
    )
    parts = await runtime.pool.fetch(
        """SELECT organisation, role, joined_at, left_at FROM participation
           WHERE case_id = $1 ORDER BY joined_at""",
        case_id,
    )
    parked = await runtime.pool.fetch(
        "SELECT consumer, code, parked_at FROM parked_case WHERE key = $1", str(case_id)
    )
    return {
        "stream": dict(stream),
        "heard": [dict(r) for r in heard],
        "participations": [dict(r) for r in parts],
        "parked": [dict(r) for r in parked],
    }


async def events_of(runtime: "Runtime", case_id: UUID) -> list[dict[str, Any]]:
    """This service's own events of a case."""
    rows = await runtime.pool.fetch(
        """SELECT sequence, type, recorded_at, published_at FROM outbox
           WHERE topic = $1 AND key = $2 ORDER BY sequence""",
        runtime.settings.cases_topic,
        str(case_id),
    )
    return [{"service": runtime.service.name, **dict(row)} for row in rows]


async def unpublished(runtime: "Runtime", limit: int) -> list[dict[str, Any]]:
    """Outbox rows without acknowledgement, oldest first."""
    rows = await runtime.pool.fetch(
        """SELECT id, key, sequence, type, recorded_at, held_reason FROM outbox
           WHERE published_at IS NULL ORDER BY id LIMIT $1""",
        limit,
    )
    return [dict(row) for row in rows]


async def consumer_lag(runtime: "Runtime") -> dict[str, Any]:
    """Positions and, per consumer, how many records are left (from Kafka's end offsets)."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    rows = await runtime.pool.fetch(
        "SELECT consumer, topic, partition, next_offset FROM position ORDER BY 1, 2, 3"
    )
    consumer = AIOKafkaConsumer(**runtime.settings.kafka_client())
    await consumer.start()
    try:
        ends = await consumer.end_offsets(
            list({TopicPartition(r["topic"], r["partition"]) for r in rows})
        )
    finally:
        await consumer.stop()
    answer: dict[str, Any] = {}
    for row in rows:
        left = ends[TopicPartition(row["topic"], row["partition"])] - row["next_offset"]
        entry = answer.setdefault(row["consumer"], {"records": 0, "partitions_behind": 0})
        entry["records"] += left
        entry["partitions_behind"] += 1 if left else 0
    return answer


async def chassis_doctor(runtime: "Runtime") -> list[str]:
    """Invariants every service must hold, with what to do when one does not."""
    found: list[str] = []
    gaps = await runtime.pool.fetch(
        """SELECT key, count(*) AS n, max(sequence) AS top FROM outbox
           WHERE sequence IS NOT NULL GROUP BY key HAVING count(*) <> max(sequence) LIMIT 50"""
    )
    found += [
        f"case {r['key']}: {r['n']} events up to sequence {r['top']}: run `recover`" for r in gaps
    ]
    heads = await runtime.pool.fetch(
        """SELECT s.case_id FROM case_stream s WHERE s.last_sequence <>
             coalesce((SELECT max(sequence) FROM outbox o WHERE o.key = s.case_id::text), 0)
           LIMIT 50"""
    )
    found += [f"case {r['case_id']}: stream head differs from outbox: run `recover`" for r in heads]
    parked = await runtime.pool.fetch("SELECT consumer, key, code FROM parked_case LIMIT 50")
    found += [
        f"case {r['key']} is parked at {r['consumer']} ({r['code']}): mend, then `parked replay`"
        for r in parked
    ]
    held = await runtime.pool.fetch(
        """SELECT DISTINCT key, held_reason FROM outbox
           WHERE held_reason IS NOT NULL AND published_at IS NULL LIMIT 50"""
    )
    found += [f"case {r['key']}: the relay holds its events ({r['held_reason']})" for r in held]
    stuck = await runtime.pool.fetch(
        """SELECT kind, count(*) AS n FROM job WHERE done_at IS NULL AND attempts >= 5
           GROUP BY kind LIMIT 50"""
    )
    found += [f"{r['n']} jobs of kind {r['kind']} keep failing: see the log" for r in stuck]
    return found
