"""A process of its own: our relay's drain against the bare client sending the same bytes.

Reads its task as JSON from standard input and prints seconds per round as JSON.
"""

import asyncio
import json
import sys
import time
from typing import Any

import asyncpg
import uvloop

from bench.topic import make_topic

TOPIC = "bench.relay"
PARTITIONS = 24
# What routing tells of a new case.
EVENTS_A_CASE = 4


async def _fill(db: asyncpg.Connection, rows: int) -> None:
    """Outbox rows of ordinary size, all waiting: copies of one that was really written."""
    await db.execute("CREATE TEMP TABLE IF NOT EXISTS one AS SELECT * FROM outbox LIMIT 1")
    await db.execute("TRUNCATE outbox")
    await db.execute(
        """INSERT INTO outbox (event_id, topic, key, sequence, type, headers, data, recorded_at)
           SELECT gen_random_uuid(), $1, case_id::text, n, type, headers, data, now()
           FROM one, generate_series(1, $3::int) AS n,
             (SELECT gen_random_uuid() AS case_id FROM generate_series(1, $2::int / $3::int)) AS c
           ORDER BY case_id, n""",
        TOPIC,
        rows,
        EVENTS_A_CASE,
    )
    await db.execute("VACUUM ANALYZE outbox")


async def _raw(settings: Any, rows: list[asyncpg.Record]) -> float:
    """Every record sent without waiting, then one wait for all: what the client can do."""
    from services.messaging import kafka

    producer = kafka.new_producer(settings, "bench.raw")
    await producer.start()
    try:
        await producer.partitions_for(TOPIC)
        ready = [
            (r["key"].encode(), r["data"], kafka.headers_for_kafka(json.loads(r["headers"])))
            for r in rows
        ]
        started = time.perf_counter()
        waiting = [
            await producer.send(TOPIC, key=key, value=data, headers=headers)
            for key, data, headers in ready
        ]
        await asyncio.gather(*waiting)
        return time.perf_counter() - started
    finally:
        await producer.stop()


async def _ours(runtime: Any, expected: int) -> float:
    """The relay as it runs in a service, from the first row to the last stamp."""
    from services.messaging.relay import Relay

    relay = Relay(runtime)
    await relay.lease.renew()
    await relay._running_producer()
    relay._republish_at = time.monotonic() + 3600
    done = 0
    started = time.perf_counter()
    while done < expected:
        done += await relay.step()
    took = time.perf_counter() - started
    await relay._drop_producer()
    await relay.lease.release()
    return took


async def measure(task: dict[str, Any]) -> dict[str, Any]:
    """ABBA rounds of raw and ours."""
    from services.runtime import Runtime
    from services.service import load

    service = load("intake")
    runtime = await Runtime.open(service)
    db = await asyncpg.connect(task["admin_url"])
    rows = int(task["rows"])
    answer: dict[str, Any] = {"raw": [], "ours": [], "rows": rows}
    try:
        await make_topic(runtime.settings, TOPIC, PARTITIONS)
        for who in task["order"]:
            await _fill(db, rows)
            if who == "raw":
                records = await db.fetch("SELECT key, headers::text AS headers, data FROM outbox")
                answer["raw"].append(await _raw(runtime.settings, records))
            else:
                answer["ours"].append(await _ours(runtime, rows))
        answer["bytes"] = await db.fetchval(
            "SELECT avg(length(data) + length(headers::text))::int FROM outbox"
        )
    finally:
        await db.close()
        await runtime.close()
    return answer


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(json.load(sys.stdin)))))
