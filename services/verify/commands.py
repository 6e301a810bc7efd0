"""Every command that came in by Kafka was answered exactly once, to the connection that sent it."""

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import orjson
from aiokafka.structs import ConsumerRecord, TopicPartition

from services.verify.look import Look
from services.verify.report import Checked
from services.verify.run import NAMES

CHUNK: Final = 500
_ANSWERS: Final = """
SELECT c.command_id, c.event_id, o.key, o.data FROM command c
LEFT JOIN outbox o ON o.event_id = c.event_id AND o.type = 'liandiao.command.answered.v1'
WHERE c.connection = $1 AND c.command_id = ANY($2::text[])
"""


async def check(look: Look, done: Checked) -> None:
    """Each record of each ``in`` topic against the answers of all services."""
    for place, (begin, end) in look.places.items():
        if place.topic.startswith("agency.") and place.topic.endswith(".in"):
            connection = place.topic.removeprefix("agency.").removesuffix(".in")
            async for chunk in _chunks(look, place, begin, end):
                done.items += len(chunk)
                await _answered(look, done, connection, chunk)


async def _chunks(
    look: Look, place: TopicPartition, begin: int, end: int
) -> AsyncIterator[list[ConsumerRecord]]:
    chunk: list[ConsumerRecord] = []
    async for record in look.topics.records(place, begin, end):
        chunk.append(record)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def name(record: ConsumerRecord) -> str:
    """The sender's id, or the record's place when it has none that is a UUID."""
    given = next((value for key, value in record.headers if key == "ce_id"), None) or b""
    try:
        return str(UUID(given.decode())) if len(given) == 36 else _place(record)
    except (ValueError, UnicodeDecodeError):
        return _place(record)


def _place(record: ConsumerRecord) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"


async def _answered(
    look: Look, done: Checked, connection: str, records: list[ConsumerRecord]
) -> None:
    names = [name(record) for record in records]
    answers: dict[str, list[Any]] = {}
    for service in NAMES:
        for row in await look.databases.all(service, _ANSWERS, connection, names):
            answers.setdefault(row["command_id"], []).append((service, row))
    fed = {
        row["event_id"]
        for row in await look.databases.all(
            "notification",
            "SELECT event_id FROM feed_entry WHERE connection = $1 AND event_id = ANY($2::uuid[])",
            connection,
            [row["event_id"] for rows in answers.values() for _, row in rows],
        )
    }
    for record, command in zip(records, names, strict=True):
        where = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
        }
        given = answers.get(command, [])
        if len(given) != 1:
            if given or look.run.wait_seconds > 0:
                by = ", ".join(service for service, _ in given) or "nobody"
                done.found(
                    f"command {command} was answered {len(given)} times, by {by}",
                    "see the command consumers' lag and logs; answer the sender by hand",
                    **where,
                )
            continue
        service, row = given[0]
        where |= {"service": service, "event_id": row["event_id"], "case_id": row["key"]}
        if row["data"] is None:
            done.found(
                f"the answer to command {command} is not in the outbox",
                f"restore {service}'s database, then run `liandiao recover {service}`",
                **where,
            )
        elif (orjson.loads(row["data"]).get("command_id") or command) != command:
            done.found(
                f"the answer to command {command} is about another one",
                "find who changed the outbox row",
                **where,
            )
        elif row["event_id"] not in fed and look.run.wait_seconds > 0:
            done.found(
                f"the answer to command {command} is not in the feed of {connection}",
                "the sender never hears it: see notification's consumer and the parked cases",
                **where,
            )
