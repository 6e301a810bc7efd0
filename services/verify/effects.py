"""One effect per consumer and event: positions, what each consumer handled, intake's timeline."""

from services.events import load_catalogue
from services.verify.databases import side_by_side
from services.verify.look import Look
from services.verify.report import Checked
from services.verify.run import NAMES

_HEADS = """
SELECT s.case_id::text AS case_id, s.last_sequence, o.event_id, o.partition, o."offset"
FROM case_stream s LEFT JOIN outbox o
  ON o.topic = $1 AND o.key = s.case_id::text AND o.sequence = s.last_sequence
WHERE s.last_sequence > 0 ORDER BY s.case_id
"""
_INBOX = """
SELECT case_id::text AS case_id, sequence, event_id FROM inbox
WHERE consumer = $1 AND source = $2 ORDER BY inbox.case_id
"""


async def check(look: Look, done: Checked) -> None:
    """What was handled is what was said: no event twice, none left out."""
    await _positions(look, done)
    await _parked(look, done)
    for source in NAMES:
        for consumer in NAMES:
            await _heads(look, done, source, consumer)
    await _timeline(look, done)


async def _positions(look: Look, done: Checked) -> None:
    run = look.run
    for name in NAMES:
        rows = await look.databases.all(
            name,
            """SELECT topic, partition, next_offset FROM position
               WHERE consumer = $1 AND generation = $2""",
            f"{name}.cases",
            run.generation,
        )
        at = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        for place, (begin, end) in look.places.items():
            if place.topic != run.cases_topic or end == begin:
                continue
            done.items += 1
            position = at.get((place.topic, place.partition), begin)
            where = {
                "service": name,
                "topic": place.topic,
                "partition": place.partition,
                "offset": position,
            }
            if position > end:
                done.found(
                    f"the position is behind the end of the partition ({end})",
                    "the topic was lost or replaced: see the runbook, `liandiao rebuild-topic`",
                    **where,
                )
            elif position < end and run.wait_seconds > 0:
                done.found(
                    f"{end - position} records have not been handled",
                    f"see `liandiao lag` and the log of {name}",
                    **where,
                )


async def _parked(look: Look, done: Checked) -> None:
    for name in NAMES:
        for row in await look.databases.all(
            name, "SELECT key, code, source FROM parked_case ORDER BY key LIMIT 1000"
        ):
            done.items += 1
            done.found(
                f"the case is parked ({row['code']}): its events have no effect",
                f"mend the cause, then `liandiao parked replay {name} {row['key']}`",
                service=name,
                case_id=row["key"],
            )


async def _heads(look: Look, done: Checked, source: str, consumer: str) -> None:
    """The last event of each stream against the last one that the consumer handled."""
    streams = {
        "said": look.databases.rows(source, _HEADS, look.run.cases_topic),
        "heard": look.databases.rows(consumer, _INBOX, f"{consumer}.cases", f"/{source}"),
    }
    async for case_id, group in side_by_side(streams, "case_id"):
        done.items += 1
        said, heard = group["said"], group["heard"]
        where = {"service": consumer, "case_id": case_id}
        if not said:
            done.found(
                f"events of {source} were handled that {source} does not have",
                f"restore {source}'s database, then run `liandiao recover {source}`",
                event_id=heard[0]["event_id"],
                **where,
            )
            continue
        where |= {"event_id": said[0]["event_id"]}
        where |= {"topic": look.run.cases_topic} if said[0]["offset"] is not None else {}
        where |= {"partition": said[0]["partition"], "offset": said[0]["offset"]}
        last = heard[0]["sequence"] if heard else 0
        if last > said[0]["last_sequence"]:
            done.found(
                f"{last} events of {source} were handled, it said {said[0]['last_sequence']}",
                f"restore {source}'s database, then run `liandiao recover {source}`",
                **where,
            )
        elif last < said[0]["last_sequence"]:
            if look.run.wait_seconds > 0:
                done.found(
                    f"{consumer} handled {source}'s events up to {last} of "
                    f"{said[0]['last_sequence']}",
                    "see whether the case is parked and whether the consumer runs",
                    **where,
                )
        elif heard[0]["event_id"] != said[0]["event_id"]:
            done.found(
                f"sequence {last} was handled as event {heard[0]['event_id']}",
                f"a fork: run `liandiao recover {source}`",
                **where,
            )


async def _timeline(look: Look, done: Checked) -> None:
    """Every event of the other services stands on intake's timeline, once and as it was said."""
    types: dict[str, list[str]] = {}
    for spec in load_catalogue().values():
        types.setdefault(spec.owner, []).append(spec.type)
    streams = {
        source: look.databases.rows(
            source,
            """SELECT event_id::text AS event_id, key, sequence, partition, "offset",
                 md5(convert_from(data, 'UTF8')::jsonb::text) AS digest
               FROM outbox WHERE topic = $1 AND type = ANY($2::text[]) ORDER BY outbox.event_id""",
            look.run.cases_topic,
            types[source],
        )
        for source in NAMES
        if source != "intake"
    }
    streams["intake"] = look.databases.rows(
        "intake",
        """SELECT event_id::text AS event_id, case_id::text AS key, sequence,
             md5(data::text) AS digest FROM timeline_entry ORDER BY timeline_entry.event_id""",
    )
    async for event_id, group in side_by_side(streams, "event_id"):
        done.items += 1
        entries = group.pop("intake")
        said = [row for rows in group.values() for row in rows]
        row = (said or entries)[0]
        where = {"service": "intake", "case_id": row["key"], "event_id": event_id}
        if said:
            where |= {"topic": look.run.cases_topic, "partition": row["partition"]}
            where |= {"offset": row["offset"]}
        if not said:
            done.found(
                "an entry of the timeline is about an event that nobody has",
                "a transaction was undone after its event left, or the outbox lost the row",
                **where,
            )
        elif len(entries) > 1:
            done.found(
                f"the event has {len(entries)} entries on the timeline",
                "handled twice: look how the inbox let it through; remove the later entry",
                **where,
            )
        elif not entries:
            if look.run.wait_seconds > 0:
                done.found(
                    "the event has no entry on the timeline",
                    "the event was counted as handled without its effect: replay it to intake",
                    **where,
                )
        elif entries[0]["digest"] != row["digest"]:
            done.found(
                "the timeline says something else than the event",
                "find who changed the entry; it is never rewritten",
                **where,
            )
