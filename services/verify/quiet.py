"""Waiting until nothing is under way, and a cut through databases and topics at that moment."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from services.verify import databases, topics
from services.verify.databases import Databases
from services.verify.run import NAMES, Run
from services.verify.topics import Places, Topics

STEP_SECONDS = 0.5
TELL_SECONDS = 5.0

_WORK = """
SELECT (SELECT count(*) FROM outbox WHERE published_at IS NULL) AS unpublished,
       (SELECT count(*) FROM audit_entry WHERE chain_number IS NULL) AS unchained,
       (SELECT count(*) FROM job WHERE done_at IS NULL AND attempts = 0 AND run_after <= now())
         AS jobs
"""


async def under_way(run: Run, found: Databases, places: Places) -> dict[str, int]:
    """What is not done yet, by name; empty when all is quiet."""
    left: dict[str, int] = {}
    for name in NAMES:
        for row in await found.all(name, _WORK):
            left |= {f"{name} {what}": n for what, n in row.items() if n}
        behind = 0
        at = {
            row["partition"]: row["next_offset"]
            for row in await found.all(
                name,
                """SELECT partition, next_offset FROM position
                   WHERE consumer = $1 AND topic = $2 AND generation = $3""",
                f"{name}.cases",
                run.cases_topic,
                run.generation,
            )
        }
        for place, (begin, end) in places.items():
            if place.topic == run.cases_topic and end > begin:
                behind += max(0, end - at.get(place.partition, begin))
        ends = {(place.topic, place.partition): end for place, (_, end) in places.items()}
        for row in await found.all(
            name,
            """SELECT topic, partition, next_offset FROM position
               WHERE consumer = $1 AND generation = $2""",
            f"{name}.commands",
            run.generation,
        ):
            behind += max(0, ends.get((row["topic"], row["partition"]), 0) - row["next_offset"])
        if behind:
            left[f"{name} behind"] = behind
    topics_there = {place.topic for place in places}
    for row in await found.all(
        "notification",
        """SELECT connection, max(feed_sequence) - coalesce((SELECT d.feed_sequence
             FROM feed_delivery d WHERE d.connection = f.connection), 0) AS left
           FROM feed_entry f GROUP BY connection""",
    ):
        if row["left"] and f"agency.{row['connection']}.out" in topics_there:
            left[f"feed of {row['connection']}"] = row["left"]
    return left


@contextlib.asynccontextmanager
async def cut(
    run: Run, say: Callable[[str], None]
) -> AsyncIterator[tuple[Databases, Topics, Places, dict[str, int]]]:
    """Databases and topics of one moment, and what was still under way then.

    The ends of the topics are read before and after the snapshots: when they did not move and
    nothing was under way, the five belong together. Waits for that ``run.wait_seconds`` at most.
    """
    deadline = time.monotonic() + run.wait_seconds
    told = time.monotonic()
    prefixes = (run.cases_topic, "directory", "agency.")
    async with topics.opened(run.kafka) as stream:
        while True:
            before = await stream.places(*prefixes)
            async with databases.opened(run.databases) as found:
                left = await under_way(run, found, before)
                after = await stream.places(*prefixes)
                if not left and before != after:
                    left = {"topics are written": 1}
                if not left or time.monotonic() >= deadline:
                    yield found, stream, before, left
                    return
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                say("waiting: " + ", ".join(f"{name} {n}" for name, n in left.items()))
            await asyncio.sleep(STEP_SECONDS)
