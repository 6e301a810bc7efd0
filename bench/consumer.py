"""A process of its own: our consumer against one that writes the same rows and remembers nothing.

Both read the same records and insert one row per event, batch by batch in a transaction. Ours also
keeps the fence, the inbox and the order. Reads its task as JSON from standard input and prints
seconds per round as JSON.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import orjson
import uvloop
from aiokafka import TopicPartition

from bench.topic import make_topic

TOPIC: Final = "bench.cases"
PARTITIONS: Final = 12
EVENTS_A_CASE: Final = 10
TABLE: Final = "bench_effect"
INSERT: Final = f"INSERT INTO {TABLE} (event_id, case_id, sequence, data) VALUES ($1, $2, $3, $4)"


async def _prepare(db: asyncpg.Connection) -> None:
    await db.execute(
        f"""CREATE TABLE IF NOT EXISTS {TABLE} (event_id uuid PRIMARY KEY, case_id uuid NOT NULL,
              sequence bigint NOT NULL, data bytea NOT NULL)"""
    )
    await db.execute(f"GRANT SELECT, INSERT ON {TABLE} TO intake_app")


async def _fill(settings: Any, cases: int) -> int:
    """Whole cases of small events, as another service would send them."""
    from services.clock import wire
    from services.events.envelope import payload
    from services.events.intake import PartyChanged
    from services.ids import new_id
    from services.messaging import kafka

    producer = kafka.new_producer(settings, "bench.fill")
    await producer.start()
    waiting = []
    try:
        for _ in range(cases):
            case_id = new_id()
            now = datetime.now(UTC)
            for sequence in range(1, EVENTS_A_CASE + 1):
                event = PartyChanged(
                    case_id=case_id, party_id=new_id(), changed=("phone",), changed_at=now
                )
                headers = [
                    ["ce_id", str(new_id())],
                    ["ce_source", "/mediation"],
                    ["ce_type", event.spec.type],
                    ["ce_subject", str(case_id)],
                    ["ce_time", wire(now)],
                    ["ce_recordedtime", wire(now)],
                    ["ce_sequence", f"{sequence:010d}"],
                    ["ce_episode", "1"],
                    ["ce_correlationid", str(new_id())],
                    ["ce_traceparent", f"00-{'1' * 32}-{'2' * 16}-01"],
                ]
                waiting.append(
                    await producer.send(
                        TOPIC,
                        key=str(case_id).encode(),
                        value=orjson.dumps(payload(event)),
                        headers=kafka.headers_for_kafka(headers),
                    )
                )
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    return len(waiting)


async def _ours(runtime: Any, db: asyncpg.Connection, events: int) -> float:
    """The consumer as it runs in a service, from its first batch on."""
    from services.messaging.consumer import CaseConsumer

    await db.execute(f"TRUNCATE {TABLE}, inbox, position")
    consumer = CaseConsumer(runtime)
    stop = asyncio.Event()
    running = asyncio.create_task(consumer.run(stop, [TOPIC]))
    started = 0.0
    try:
        while True:
            done = sum(consumer.expected.values())
            if not started and done:
                started, first = time.perf_counter(), done
            if done >= events:
                return (time.perf_counter() - started) * events / max(1, events - first)
            if running.done():
                await running
            await asyncio.sleep(0.002)
    finally:
        stop.set()
        await asyncio.wait([running], timeout=10)


async def _raw(runtime: Any, db: asyncpg.Connection, events: int) -> float:
    """The same rows by a consumer that trusts Kafka's offsets: no fence, no inbox, no order."""
    from services.events.intake import PartyChanged
    from services.messaging import kafka
    from services.messaging.group import FETCH_RECORDS

    await db.execute(f"TRUNCATE {TABLE}")
    client = kafka.new_consumer(runtime.settings, "bench.raw", group="bench.raw", instance="0")
    await client.start()
    try:
        places = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
        client.assign(places)
        for place in places:
            client.seek(place, 0)
        done, started = 0, 0.0
        while done < events:
            batches = await client.getmany(timeout_ms=500, max_records=FETCH_RECORDS)
            if not batches:
                continue
            started = started or time.perf_counter()
            async with runtime.pool.acquire() as connection, connection.transaction():
                for records in batches.values():
                    for record in records:
                        found = dict(record.headers)
                        event = PartyChanged.model_validate_json(record.value)
                        await connection.execute(
                            INSERT,
                            found["ce_id"].decode(),
                            event.case_id,
                            int(found["ce_sequence"]),
                            record.value,
                        )
                        done += 1
        return time.perf_counter() - started
    finally:
        await client.stop()


async def measure(task: dict[str, Any]) -> dict[str, Any]:
    """ABBA rounds of raw and ours."""
    from dataclasses import replace

    from services.events.intake import PartyChanged
    from services.runtime import Runtime
    from services.service import Received, load, on
    from services.unit_of_work import UnitOfWork

    async def effect(received: Received[PartyChanged], uow: UnitOfWork) -> None:
        await uow.db.execute(
            INSERT, received.event_id, received.case_id, received.sequence, received.record.data
        )

    service = replace(
        load("intake"), name="bench", routers=tuple, consumes=(on(PartyChanged, effect),)
    )
    runtime = await Runtime.open(service)
    db = await asyncpg.connect(task["admin_url"])
    answer: dict[str, Any] = {"raw": [], "ours": []}
    try:
        await _prepare(db)
        await make_topic(runtime.settings, TOPIC, PARTITIONS)
        answer["events"] = await _fill(runtime.settings, int(task["cases"]))
        for who in task["order"]:
            measured = _raw if who == "raw" else _ours
            answer[who].append(await measured(runtime, db, answer["events"]))
    finally:
        await db.execute(f"DROP TABLE {TABLE}")
        await db.close()
        await runtime.close()
    return answer


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(json.load(sys.stdin)))))
