"""The outside checker: what an installation promised, against what lies in its stores.

It reads HTTP logs, the four databases and Kafka, and nothing else: no service's API, no service's
code, no memory of a process.
"""

import time
from collections.abc import Callable
from typing import Final

from services.verify import (
    acknowledged,
    audit,
    canaries,
    commands,
    effects,
    feeds,
    folds,
    sequences,
    stream,
)
from services.verify.canaries import Scanner
from services.verify.look import Look
from services.verify.patterns import Canaries
from services.verify.quiet import cut
from services.verify.report import CannotLook, Checked, Report, Violation
from services.verify.run import Run

__all__ = ["CannotLook", "Report", "Run", "Violation", "examine", "verify"]

TITLES: Final = {
    "quiet": "all work comes to rest",
    "acknowledged": "no acknowledged write is lost; one key, one effect",
    "effects": "one effect per consumer and event; positions equal effects",
    "sequences": "sequences 1..n per service and case, no gap, no fork",
    "published": "every outbox row is on the topic, byte for byte",
    "untrue": "every record on the topic was committed like this",
    "folds": "state is the fold of the events",
    "feeds": "feeds are numbered 1..n; topic and table are the same",
    "holders": "exactly one holder at every instant",
    "commands": "every command by Kafka is answered exactly once",
    "audit": "the audit chain holds; one entry per act",
    "canaries": "no personal data outside its places",
}


def _silent(line: str) -> None:
    """Say nothing."""


async def verify(run: Run, say: Callable[[str], None] = _silent) -> list[Violation]:
    """Everything that is broken; empty when all holds. Raises ``CannotLook``."""
    return (await examine(run, say)).violations


async def examine(run: Run, say: Callable[[str], None] = _silent) -> Report:
    """Wait until all is quiet, then check every invariant. Raises ``CannotLook``."""
    done = {name: Checked(name, title) for name, title in TITLES.items()}
    started = time.monotonic()
    async with cut(run, say) as (databases, topics, places, left):
        quiet = done["quiet"]
        quiet.items = 1
        quiet.seconds = time.monotonic() - started
        told = ", ".join(f"{name} {n}" for name, n in left.items()) or "nothing under way"
        if left and run.wait_seconds > 0:
            quiet.found(
                f"not quiet after {run.wait_seconds:.0f} s: {told}",
                "see `liandiao lag`, `liandiao outbox` and the logs of these services",
            )
        scanner = Scanner(Canaries(run.canaries), done["canaries"])
        look = Look(run, databases, topics, places, scanner)
        began = time.monotonic()
        for names, check in (
            (("published", "untrue", "sequences"), stream.check),
            (("sequences",), sequences.check),
            (("effects",), effects.check),
            (("folds", "holders"), folds.check),
            (("feeds",), feeds.check),
            (("commands",), commands.check),
            (("audit",), audit.check),
            (("acknowledged",), acknowledged.check),
            (("canaries",), canaries.check),
        ):
            # The records of `cases` are searched for canaries while they are compared.
            also = {"canaries"} if check is stream.check else set()
            if run.only and run.only.isdisjoint({*names, *also}):
                continue
            say(f"looking: {', '.join(names)}")
            before = time.monotonic()
            await check(look, *(done[name] for name in names))
            done[names[0]].seconds += time.monotonic() - before
    if run.only:
        done = {name: each for name, each in done.items() if name in run.only}
    for each in done.values():
        if not each.items and each.name not in run.allow_empty:
            each.found(
                "there was nothing to look at, so nothing is known",
                f"run some cases first, or say --allow-empty {each.name}",
            )
    return Report(list(done.values()), told, look.events, time.monotonic() - began)
