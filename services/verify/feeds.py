"""Feeds: numbers 1..n for each connection, and its topic the same entries as its table."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
from aiokafka.structs import ConsumerRecord, TopicPartition

from services.verify.databases import side_by_side
from services.verify.look import Look
from services.verify.report import Checked
from services.verify.run import NAMES

_NUMBERS = """
SELECT connection, count(*) AS n, count(DISTINCT feed_sequence) AS distinct_n,
  min(feed_sequence) AS least, max(feed_sequence) AS top,
  (SELECT h.feed_sequence FROM feed_head h WHERE h.connection = f.connection) AS head
FROM feed_entry f GROUP BY connection
"""
_MISSING = """
SELECT g FROM generate_series(1, $2::bigint) g WHERE NOT EXISTS
  (SELECT 1 FROM feed_entry WHERE connection = $1 AND feed_sequence = g) LIMIT 5
"""
_ENTRIES = """
SELECT feed_sequence, event_id, case_id, reference, read_after, event FROM feed_entry
WHERE connection = $1 AND feed_sequence >= $2 ORDER BY feed_sequence
"""
_ENTRY = """
SELECT feed_sequence, event_id, case_id, reference, read_after, event FROM feed_entry
WHERE connection = $1 AND feed_sequence = $2
"""
_TOLD = """
SELECT event_id::text AS event_id, connection, case_id::text AS key, feed_sequence,
  md5((event->'data')::text) AS digest
FROM feed_entry WHERE event->>'source' = $1 AND event ? 'sequence' ORDER BY feed_entry.event_id
"""
_SAID = """
SELECT event_id::text AS event_id, key, md5(convert_from(data, 'UTF8')::jsonb::text) AS digest
FROM outbox WHERE topic = $1 ORDER BY outbox.event_id
"""


async def check(look: Look, done: Checked) -> None:
    """Numbers, then each entry against its event, then each Kafka connection's topic."""
    found = look.databases
    for row in await found.all("notification", _NUMBERS):
        done.items += row["n"]
        if (row["n"], row["least"]) != (row["top"], 1) or row["distinct_n"] != row["n"]:
            gaps = [
                g["g"]
                for g in await found.all("notification", _MISSING, row["connection"], row["top"])
            ]
            done.found(
                f"the feed of {row['connection']} has {row['n']} entries and ends at number "
                f"{row['top']}; missing {gaps}",
                "a numbered entry was removed or changed: restore notification's database",
                service="notification",
            )
        if row["head"] != row["top"]:
            done.found(
                f"the head of the feed of {row['connection']} is {row['head']}, its last entry "
                f"{row['top']}",
                "the next number would be given twice or left out: put feed_head right",
                service="notification",
            )
    for source in NAMES:
        await _said(look, done, source)
    for place, (begin, end) in look.places.items():
        if place.topic.startswith("agency.") and place.topic.endswith(".out"):
            await _topic(look, done, place, begin, end)


async def _said(look: Look, done: Checked, source: str) -> None:
    """Each entry says what its event says, and there is such an event."""
    streams = {
        "said": look.databases.rows(source, _SAID, look.run.cases_topic),
        "told": look.databases.rows("notification", _TOLD, f"/{source}"),
    }
    async for event_id, group in side_by_side(streams, "event_id"):
        told: set[str] = set()
        for entry in group["told"]:
            wrong = None
            if not group["said"]:
                wrong = f"{source} has no such event"
            elif entry["digest"] != group["said"][0]["digest"]:
                wrong = "it says something else than the event"
            elif entry["connection"] in told:
                wrong = "the event stands there twice"
            told.add(entry["connection"])
            if wrong:
                done.found(
                    f"entry {entry['feed_sequence']} of {entry['connection']}: {wrong}",
                    "find who changed feed_entry or the outbox; neither is ever rewritten",
                    service="notification",
                    case_id=entry["key"],
                    event_id=event_id,
                )


async def _topic(look: Look, done: Checked, place: TopicPartition, begin: int, end: int) -> None:
    """The topic of a connection is its feed: in order, none left out, copies the same."""
    connection = place.topic.removeprefix("agency.").removesuffix(".out")
    entries: AsyncIterator[Any] | None = None
    expected = 0 if begin else 1
    copies = 0
    async for record in look.topics.records(place, begin, end):
        done.items += 1
        number = _number(record)
        where = {
            "service": "notification",
            "topic": place.topic,
            "partition": place.partition,
            "offset": record.offset,
            "case_id": (record.key or b"").decode("utf-8", "backslashreplace"),
            "event_id": _text(record, "ce_id"),
        }
        if expected == 0:
            expected = number
        if number > expected:
            done.found(
                f"number {number} follows {expected - 1}: entries were left out",
                "the reader must fetch them by REST; look at the feeder's log",
                **where,
            )
            entries, expected = None, number
        if number == expected:
            if entries is None:
                entries = look.databases.rows("notification", _ENTRIES, connection, number)
            row = await anext(entries, None)
            expected += 1
        else:
            copies += 1
            row = next(
                iter(await look.databases.all("notification", _ENTRY, connection, number)), None
            )
        if wrong := _differs(record, row, number):
            done.found(
                f"record {number} of {connection}: {wrong}",
                "find who writes to this topic; only notification may",
                **where,
            )
    if copies:
        done.note(f"{copies} copies on {place.topic} (at least once: no violation)")
    await _all_there(look, done, place, connection, expected - 1)


async def _all_there(
    look: Look, done: Checked, place: TopicPartition, connection: str, last: int
) -> None:
    top = await look.databases.one(
        "notification",
        "SELECT max(feed_sequence) FROM feed_entry WHERE connection = $1",
        connection,
    )
    if (top or 0) > max(last, 0) and look.run.wait_seconds > 0:
        done.found(
            f"the topic ends at number {last}, the feed of {connection} at {top}",
            "see whether notification's feeder runs",
            service="notification",
            topic=place.topic,
            partition=place.partition,
        )


def _text(record: ConsumerRecord, name: str) -> str:
    value = next((value for key, value in record.headers if key == name), b"") or b""
    return value.decode("utf-8", "backslashreplace")


def _number(record: ConsumerRecord) -> int:
    text = _text(record, "ld-feed-sequence")
    return int(text) if text.isdigit() else -1


def _differs(record: ConsumerRecord, row: Any, number: int) -> str | None:
    """What is not as in the table, or nothing."""
    if number < 1:
        return "it has no number"
    if row is None or row["feed_sequence"] != number:
        return "the table has no such entry"
    event = orjson.loads(row["event"])
    if (record.key or b"") != str(row["case_id"]).encode():
        return "its key is another case"
    try:
        data = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return "its data is no JSON"
    if data != event["data"]:
        return "its data differs"
    wanted = {f"ce_{n}": str(v) for n, v in event.items() if n not in ("data", "datacontenttype")}
    wanted |= {"content-type": "application/json; charset=utf-8"}
    wanted |= {"ld-feed-sequence": f"{number:010d}", "ld-read-after": row["read_after"]}
    if row["reference"] is not None:
        wanted["ld-reference"] = row["reference"]
    given = {
        name: (value or b"").decode("utf-8", "backslashreplace") for name, value in record.headers
    }
    return None if given == wanted else "its headers differ"
