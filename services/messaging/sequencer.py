"""The sequencer: the audit chain, given after commit by one process per service.

A chain inside business transactions is a hot row; here one writer numbers what is already
committed. The lease row is locked in each transaction, so two sequencers cannot number at once.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import orjson
import structlog

from services.messaging.failpoints import failpoint
from services.messaging.lease import Lease
from services.messaging.transaction import transaction
from services.messaging.waiting import pause, woken

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
BATCH: Final = 500
IDLE_SECONDS: Final = 0.5
# Under load a round numbers what came meanwhile, instead of a round for every commit.
GATHER_SECONDS: Final = 0.02
GENESIS: Final = b"\0" * 32
CONTENT: Final = (
    "id",
    "action",
    "case_id",
    "subject",
    "actor",
    "organisation",
    "acted_by",
    "purpose",
    "correlation_id",
    "detail",
    "recorded_at",
)


def chain_hash(previous: bytes, number: int, entry: Mapping[str, Any]) -> bytes:
    """SHA-256 over the previous hash and the entry's canonical content (sorted JSON)."""
    content = {name: entry[name] for name in CONTENT}
    content["recorded_at"] = entry["recorded_at"].astimezone(UTC).isoformat()
    content["chain_number"] = number
    text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(previous + text).digest()


def first_broken(entries: Iterable[Mapping[str, Any]], previous: bytes = GENESIS) -> int | None:
    """The first number at which a chain does not hold, or nothing."""
    expected: int | None = None
    for entry in entries:
        number = entry["chain_number"]
        if expected is not None and number != expected:
            return expected
        if chain_hash(previous, number, entry) != entry["chain_hash"]:
            return int(number)
        previous, expected = entry["chain_hash"], number + 1
    return None


class Sequencer:
    """Numbers and hashes the audit entries of a service."""

    def __init__(self, runtime: "Runtime") -> None:
        self.runtime = runtime
        self.lease = Lease(runtime, "sequencer")

    async def run(self, stop: asyncio.Event) -> None:
        """Number until told to stop; idle rounds wait for the next commit."""
        try:
            while not stop.is_set():
                if not await self.lease.renew():
                    await pause(stop, 1)
                elif (numbered := await self.step()) == 0:
                    await woken(self.runtime.sequencer_wakeup, IDLE_SECONDS)
                elif numbered < BATCH:
                    await pause(stop, GATHER_SECONDS)
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self.lease.release(), 2)

    async def step(self) -> int:
        """Chain what has been committed since the last round. Answers how many entries."""
        if not await self.runtime.pool.fetchval(
            "SELECT EXISTS (SELECT 1 FROM audit_entry WHERE chain_number IS NULL)"
        ):
            return 0
        async with transaction(self.runtime) as (db, _):
            if not await self.lease.fence(db):
                return 0
            entries = await db.fetch(
                """SELECT * FROM audit_entry WHERE chain_number IS NULL ORDER BY id LIMIT $1""",
                BATCH,
            )
            if entries:
                await self._write_chain(db, entries)
            failpoint("sequencer.before_commit")
        failpoint("sequencer.after_commit")
        return len(entries)

    async def _write_chain(self, db: asyncpg.Connection, entries: list[Any]) -> None:
        head = await db.fetchrow(
            """SELECT chain_number, chain_hash FROM audit_entry WHERE chain_number IS NOT NULL
               ORDER BY chain_number DESC LIMIT 1"""
        )
        number, previous = (head["chain_number"], head["chain_hash"]) if head else (0, GENESIS)
        hashes = []
        for place, entry in enumerate(entries, start=number + 1):
            previous = chain_hash(previous, place, entry)
            hashes.append(previous)
        await db.execute(
            """UPDATE audit_entry a SET chain_number = c.number, chain_hash = c.hash
               FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS c(id, number, hash)
               WHERE a.id = c.id""",
            [entry["id"] for entry in entries],
            list(range(number + 1, number + 1 + len(entries))),
            hashes,
        )


async def verify_chain(db: asyncpg.Connection | asyncpg.Pool) -> int | None:
    """The first audit entry that was changed, removed or put in, or nothing when all is well."""
    previous, after = GENESIS, 0
    while True:
        rows = await db.fetch(
            """SELECT * FROM audit_entry WHERE chain_number > $1
               ORDER BY chain_number LIMIT 5000""",
            after,
        )
        if not rows:
            return None
        if rows[0]["chain_number"] != after + 1:
            return after + 1
        broken = first_broken([dict(row) for row in rows], previous)
        if broken is not None:
            return broken
        previous, after = rows[-1]["chain_hash"], rows[-1]["chain_number"]


async def run_sequencer(runtime: "Runtime", stop: asyncio.Event) -> None:
    """Run this process's sequencer; it waits for the lease while another process holds it."""
    await Sequencer(runtime).run(stop)
