"""Outbox against topic: the same events, byte for byte, each row where its stamp says it is."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiokafka.structs import ConsumerRecord, TopicPartition

from services.verify.databases import Databases
from services.verify.look import Look
from services.verify.report import Checked
from services.verify.run import NAMES

CHUNK: Final = 500
RECOVER = "restore from backup, then run `liandiao recover`"

_ROWS = """
SELECT event_id, key, sequence, headers, sha256(data) AS digest, "offset" FROM outbox
WHERE topic = $1 AND partition = $2 AND published_at IS NOT NULL ORDER BY "offset"
"""
_BY_ID = """
SELECT event_id, key, sequence, headers, sha256(data) AS digest FROM outbox
WHERE event_id::text = ANY($1::text[])
"""


@dataclass(frozen=True)
class Seen:
    """What is kept of a record until its row is found."""

    offset: int
    key: str
    headers: tuple[tuple[str, bytes], ...]
    digest: bytes

    @classmethod
    def of(cls, record: ConsumerRecord) -> "Seen":
        """The record without its body."""
        key = (record.key or b"").decode("utf-8", "backslashreplace")
        digest = hashlib.sha256(record.value or b"").digest()
        return cls(record.offset, key, tuple(record.headers), digest)

    def header(self, name: str) -> str:
        """A header as text; empty when it is not there."""
        value = next((value for key, value in self.headers if key == name), b"") or b""
        return value.decode("utf-8", "backslashreplace")

    @property
    def event_id(self) -> str:
        """``ce_id``."""
        return self.header("ce_id")

    def differs(self, row: Any) -> str | None:
        """What is not as in the row, or nothing."""
        if self.digest != row["digest"]:
            return "the payload"
        if self.key != row["key"]:
            return "the key"
        if tuple((k, v.encode()) for k, v in orjson.loads(row["headers"])) != self.headers:
            return "the headers"
        return None


@dataclass
class Pass:
    """The three results that one reading of the topic gives, and what a partition needs."""

    published: Checked
    untrue: Checked
    sequences: Checked
    copies: int = 0
    expired: int = 0
    heads: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)


async def check(look: Look, published: Checked, untrue: Checked, sequences: Checked) -> None:
    """Read ``cases`` once, partition by partition, beside the rows stamped with it."""
    done = Pass(published, untrue, sequences)
    for place, (begin, end) in look.places.items():
        if place.topic == look.run.cases_topic:
            done.heads.clear()
            await _partition(look, done, place, begin, end)
    await _unpublished(look, published)
    published.note(f"{done.copies} copies on the topic (at least once: no violation)")
    if done.expired:
        published.note(f"{done.expired} rows are older than what the topic keeps: not compared")


async def _partition(look: Look, done: Pass, place: TopicPartition, begin: int, end: int) -> None:
    rows = _by_offset(look.databases, place)
    row = await anext(rows, None)
    strangers: list[Seen] = []
    async for record in look.topics.records(place, begin, end):
        look.events += 1
        done.untrue.items += 1
        seen = Seen.of(record)
        look.scanner.record(record)
        while row is not None and row["offset"] < record.offset:
            _no_record(done, place, begin, row)
            row = await anext(rows, None)
        matched = row is not None and row["offset"] == record.offset
        if row is not None and matched:
            matched = _compare(done, place, row, seen)
            row = await anext(rows, None)
        if not matched:
            strangers.append(seen)
        _in_sequence(done, place, begin, seen)
        if len(strangers) >= CHUNK:
            await _copies(look.databases, done, place, strangers)
            strangers = []
    await _copies(look.databases, done, place, strangers)
    while row is not None:
        _no_record(done, place, begin, row)
        row = await anext(rows, None)


async def _by_offset(databases: Databases, place: TopicPartition) -> AsyncIterator[Any]:
    """The rows of all four services that are stamped with this partition, by offset."""
    streams = {name: databases.rows(name, _ROWS, place.topic, place.partition) for name in NAMES}
    heads: dict[str, Any] = {name: await anext(s, None) for name, s in streams.items()}
    while waiting := [name for name, row in heads.items() if row is not None]:
        name = min(waiting, key=lambda each: heads[each]["offset"])
        yield heads[name]
        heads[name] = await anext(streams[name], None)


def _no_record(done: Pass, place: TopicPartition, begin: int, row: Any) -> None:
    if row["offset"] < begin:
        done.expired += 1
        return
    done.published.items += 1
    done.published.found(
        "an event is stamped as published, and no record stands at its place",
        "compare with `liandiao rebuild-topic`; consumers have not heard it",
        event_id=row["event_id"],
        case_id=row["key"],
        topic=place.topic,
        partition=place.partition,
        offset=row["offset"],
    )


def _compare(done: Pass, place: TopicPartition, row: Any, seen: Seen) -> bool:
    """Row and record at one place; False when the record is another event altogether."""
    done.published.items += 1
    where = {"topic": place.topic, "partition": place.partition, "offset": seen.offset}
    if seen.event_id != str(row["event_id"]):
        done.published.found(
            f"the place of the event holds another one ({seen.event_id})",
            "the stamp or the topic was changed: " + RECOVER,
            event_id=row["event_id"],
            case_id=row["key"],
            **where,
        )
        return False
    if wrong := seen.differs(row):
        done.published.found(
            f"{wrong} of the record differs from its outbox row",
            "find who changed it: rows and records never change; " + RECOVER,
            event_id=row["event_id"],
            case_id=row["key"],
            **where,
        )
        done.untrue.found(
            f"{wrong} of the record was never committed like this",
            "tell the readers of this event; " + RECOVER,
            event_id=row["event_id"],
            case_id=row["key"],
            **where,
        )
    return True


def _in_sequence(done: Pass, place: TopicPartition, begin: int, seen: Seen) -> None:
    """First appearances of one source's events of one case come as 1, 2, 3 …"""
    text = seen.header("ce_sequence")
    source = seen.header("ce_source").lstrip("/")
    if not text.isdigit():
        return
    sequence, subject = int(text), (source, seen.key)
    last, last_id = done.heads.get(subject, (0, ""))
    where = {
        "service": source,
        "case_id": seen.key,
        "event_id": seen.event_id,
        "topic": place.topic,
        "partition": place.partition,
        "offset": seen.offset,
    }
    if sequence == last and seen.event_id != last_id:
        done.sequences.found(
            f"a fork on the topic: sequence {sequence} was {last_id} before",
            "the sender's database was restored: " + RECOVER,
            **where,
        )
    elif sequence > last + 1 and not (begin and not last):
        done.sequences.found(
            f"a gap on the topic: sequence {sequence} follows {last}",
            "the relay broke its order, or the topic lost a record: consumers have parked the case",
            **where,
        )
    if sequence > last:
        done.heads[subject] = (sequence, seen.event_id)


async def _copies(
    databases: Databases, done: Pass, place: TopicPartition, strangers: list[Seen]
) -> None:
    """Records at no row's place: copies of a published event, or of nothing that was committed."""
    by_source: dict[str, list[Seen]] = {}
    for seen in strangers:
        by_source.setdefault(seen.header("ce_source").lstrip("/"), []).append(seen)
    for source, records in by_source.items():
        ids = [seen.event_id for seen in records]
        found = (
            {str(row["event_id"]): row for row in await databases.all(source, _BY_ID, ids)}
            if source in NAMES
            else {}
        )
        for seen in records:
            row = found.get(seen.event_id)
            wrong = seen.differs(row) if row is not None else None
            if row is not None and wrong is None:
                done.copies += 1
                continue
            done.untrue.found(
                "no service has committed this event"
                if row is None
                else f"{wrong} of a copy differs from its outbox row",
                "somebody else writes to the topic, or a transaction was undone after its event "
                "left: look for the sender, tell the readers",
                service=source,
                case_id=seen.key,
                event_id=seen.event_id,
                topic=place.topic,
                partition=place.partition,
                offset=seen.offset,
            )


async def _unpublished(look: Look, published: Checked) -> None:
    for name in NAMES:
        count = 0
        async for row in look.databases.rows(
            name,
            """SELECT event_id, key, held_reason FROM outbox
               WHERE topic = $1 AND published_at IS NULL ORDER BY id""",
            look.run.cases_topic,
        ):
            count += 1
            if look.run.wait_seconds > 0:
                held = row["held_reason"]
                published.items += 1
                published.found(
                    f"a committed event is not on the topic{f' (held: {held})' if held else ''}",
                    f"see `liandiao outbox {name}` and whether its relay runs",
                    service=name,
                    case_id=row["key"],
                    event_id=row["event_id"],
                )
        if count and look.run.wait_seconds <= 0:
            published.note(f"{name}: {count} events are on their way")
