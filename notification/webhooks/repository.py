"""Every statement about webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from notification.webhooks.model import AWAY_CASES as AWAY
from notification.webhooks.model import PING_SEQUENCE, Answer
from services.ids import new_id

Database = asyncpg.Connection | asyncpg.Pool


# -- the owner's side ----------------------------------------------------------------------------

_SHOWN: Final = """w.webhook_id, w.connection, w.url, w.types, w.state, w.reason, w.position,
  w.version, w.secret_version, w.previous_secret_until, w.created_at, w.changed_at,
  (SELECT count(*) FROM webhook_waiting d WHERE d.webhook_id = w.webhook_id) AS waiting,
  (SELECT min(d.failing_since) FROM webhook_waiting d
   WHERE d.webhook_id = w.webhook_id) AS failing_since"""


async def add(db: asyncpg.Connection, row: dict[str, Any]) -> None:
    """A new webhook; names of ``row`` are those of the table."""
    names = list(row)
    marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    await db.execute(f"INSERT INTO webhook ({', '.join(names)}) VALUES ({marks})", *row.values())


async def lasting(db: asyncpg.Connection, connection: str) -> int:
    """How many webhooks of a connection have not ended; others of it wait until the commit."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", connection)
    count: int = await db.fetchval(
        "SELECT count(*) FROM webhook WHERE connection = $1 AND state <> 'ended'", connection
    )
    return count


async def shown(db: asyncpg.Connection, connection: str, webhook_id: UUID) -> asyncpg.Record | None:
    """One webhook of a connection as its owner sees it; without any secret."""
    return await db.fetchrow(
        f"SELECT {_SHOWN} FROM webhook w WHERE w.webhook_id = $1 AND w.connection = $2",
        webhook_id,
        connection,
    )


async def page(
    db: asyncpg.Connection,
    connection: str,
    *,
    state: str | None,
    after: UUID | None,
    limit: int,
) -> list[asyncpg.Record]:
    """Webhooks of a connection, youngest first."""
    rows: list[asyncpg.Record] = await db.fetch(
        f"""SELECT {_SHOWN} FROM webhook w
            WHERE w.connection = $1 AND ($2::text IS NULL OR w.state = $2)
              AND ($3::uuid IS NULL OR w.webhook_id < $3)
            ORDER BY w.webhook_id DESC LIMIT $4""",
        connection,
        state,
        after,
        limit,
    )
    return rows


async def attempts(
    db: asyncpg.Connection,
    webhook_id: UUID,
    *,
    outcome: str | None,
    after: UUID | None,
    limit: int,
) -> list[asyncpg.Record]:
    """Tries at a webhook, youngest first."""
    rows: list[asyncpg.Record] = await db.fetch(
        """SELECT attempt_id, feed_sequence, event_id, outcome, status, reason, duration_ms,
             recorded_at
           FROM webhook_attempt
           WHERE webhook_id = $1 AND ($2::text IS NULL OR outcome = $2)
             AND ($3::uuid IS NULL OR attempt_id < $3)
           ORDER BY attempt_id DESC LIMIT $4""",
        webhook_id,
        outcome,
        after,
        limit,
    )
    return rows


async def locked(
    db: asyncpg.Connection, webhook_id: UUID, connection: str | None = None
) -> asyncpg.Record | None:
    """A webhook with its sealed secrets, locked; of any connection when none is named."""
    return await db.fetchrow(
        """SELECT * FROM webhook WHERE webhook_id = $1 AND ($2::text IS NULL OR connection = $2)
           FOR UPDATE""",
        webhook_id,
        connection,
    )


async def set_state(
    db: asyncpg.Connection, webhook_id: UUID, state: str, reason: str | None, now: datetime
) -> None:
    """Move a locked webhook on."""
    await db.execute(
        """UPDATE webhook SET state = $2, reason = $3, changed_at = $4, version = version + 1
           WHERE webhook_id = $1""",
        webhook_id,
        state,
        reason,
        now,
    )


async def set_position(db: asyncpg.Connection, webhook_id: UUID, position: int) -> None:
    """Go on behind another number: what waits up to it is not sent."""
    await db.execute(
        """WITH dropped AS (
             DELETE FROM webhook_waiting WHERE webhook_id = $1 AND feed_sequence <= $2)
           UPDATE webhook SET position = $2 WHERE webhook_id = $1""",
        webhook_id,
        position,
    )


async def try_all_now(db: asyncpg.Connection, webhook_id: UUID) -> None:
    """Whatever waits is due, as if nothing had failed."""
    await db.execute(
        """UPDATE webhook_waiting SET tries = 0, failing_since = NULL, next_attempt_at = now()
           WHERE webhook_id = $1""",
        webhook_id,
    )


async def drop_all(db: asyncpg.Connection, webhook_id: UUID) -> None:
    """Nothing waits any more; the feed still has it."""
    await db.execute("DELETE FROM webhook_waiting WHERE webhook_id = $1", webhook_id)


async def set_secret(
    db: asyncpg.Connection,
    webhook_id: UUID,
    *,
    secret: bytes,
    previous: bytes | None,
    until: datetime | None,
    now: datetime,
) -> None:
    """A new sealed secret under the next number; the one before it signs too until then."""
    await db.execute(
        """UPDATE webhook SET secret = $2, secret_version = secret_version + 1,
             previous_secret = $3, previous_secret_until = $4, changed_at = $5,
             version = version + 1
           WHERE webhook_id = $1""",
        webhook_id,
        secret,
        previous,
        until,
        now,
    )


async def wait_again(db: asyncpg.Connection, webhook_id: UUID, first: int, last: int) -> int:
    """Entries of the feed that its webhook wants wait once more. Answers how many."""
    status: str = await db.execute(
        """INSERT INTO webhook_waiting (webhook_id, feed_sequence, case_id, event_id)
           SELECT w.webhook_id, f.feed_sequence, f.case_id, f.event_id
           FROM webhook w JOIN feed_entry f USING (connection)
           WHERE w.webhook_id = $1 AND f.feed_sequence BETWEEN $2 AND least($3, w.position)
             AND (w.types IS NULL OR f.type = ANY(w.types))
           ORDER BY f.feed_sequence
           ON CONFLICT DO NOTHING""",
        webhook_id,
        first,
        last,
    )
    return int(status.split()[-1])


async def add_ping(db: asyncpg.Connection, webhook_id: UUID) -> None:
    """A ping waits, unless one does already."""
    await db.execute(
        """INSERT INTO webhook_waiting (webhook_id, feed_sequence, case_id, event_id)
           VALUES ($1, $2, $1, $3) ON CONFLICT DO NOTHING""",
        webhook_id,
        PING_SEQUENCE,
        new_id(),
    )


# -- the sender's side ---------------------------------------------------------------------------


async def take_up(db: Database, *, each: int, room: int) -> int:
    """Let new entries wait for their webhooks, in order. Answers how many were looked at.

    No more than ``room`` wait for one webhook; the rest stays in the feed until there is room.
    """
    taken: int = await db.fetchval(
        """WITH open AS (
             SELECT w.webhook_id, w.connection, w.position, w.types,
               least($1, $2 - (SELECT count(*) FROM webhook_waiting d
                               WHERE d.webhook_id = w.webhook_id)) AS room
             FROM webhook w JOIN feed_head h USING (connection)
             WHERE w.state = 'active' AND w.position < h.feed_sequence
             FOR UPDATE OF w SKIP LOCKED),
           next AS (
             SELECT o.webhook_id, o.types, e.* FROM open o CROSS JOIN LATERAL (
               SELECT f.feed_sequence, f.case_id, f.event_id, f.type FROM feed_entry f
               WHERE f.connection = o.connection AND f.feed_sequence > o.position
               ORDER BY f.feed_sequence LIMIT greatest(o.room, 0)) e),
           moved AS (
             UPDATE webhook w SET position = n.last
             FROM (SELECT webhook_id, max(feed_sequence) AS last FROM next GROUP BY 1) n
             WHERE w.webhook_id = n.webhook_id),
           kept AS (
             INSERT INTO webhook_waiting (webhook_id, feed_sequence, case_id, event_id)
             SELECT webhook_id, feed_sequence, case_id, event_id FROM next
             WHERE types IS NULL OR type = ANY(types)
             ON CONFLICT DO NOTHING)
           SELECT count(*) FROM next""",
        each,
        room,
    )
    return taken


async def due(
    db: Database,
    *,
    silent: Sequence[str],
    busy: Sequence[tuple[UUID, UUID]],
    each: int,
    now: datetime,
) -> list[asyncpg.Record]:
    """The first entry of each case that is due, a few for each webhook, with its feed entry.

    A case whose first entry is not due yet waits with all that follows. ``silent`` are connections
    that nothing is sent to, ``busy`` the cases (webhook, case) at which a try is under way.
    ``failing`` says how many cases of the webhook wait after a try that failed, ``failing_for`` how
    long this entry has. ``now`` decides whether a previous secret still signs.
    """
    rows: list[asyncpg.Record] = await db.fetch(
        """WITH first AS (
             SELECT DISTINCT ON (d.webhook_id, d.case_id) d.*
             FROM webhook_waiting d JOIN webhook w USING (webhook_id)
             WHERE (w.state = 'active' OR (w.state = 'paused' AND d.feed_sequence = 0))
               AND w.connection <> ALL($1::text[])
             ORDER BY d.webhook_id, d.case_id, d.feed_sequence),
           counted AS (
             SELECT *, count(*) FILTER (WHERE tries > 0) OVER (PARTITION BY webhook_id) AS failing
             FROM first),
           placed AS (
             SELECT *, row_number() OVER (
               PARTITION BY webhook_id ORDER BY next_attempt_at, feed_sequence) AS place
             FROM counted c
             WHERE next_attempt_at <= now() AND (failing < $4 OR tries > 0 OR feed_sequence = 0)
               AND NOT EXISTS (
                 SELECT 1 FROM unnest($2::uuid[], $3::uuid[]) AS b(webhook_id, case_id)
                 WHERE b.webhook_id = c.webhook_id AND b.case_id = c.case_id))
           SELECT p.webhook_id, p.feed_sequence, p.case_id, p.event_id, p.tries, p.failing,
             now() - p.failing_since AS failing_for,
             w.connection, w.url, w.secret, w.secret_version,
             CASE WHEN w.previous_secret_until > $6 THEN w.previous_secret END
               AS previous_secret,
             f.reference, f.read_after, f.event
           FROM placed p JOIN webhook w USING (webhook_id)
           LEFT JOIN feed_entry f
             ON f.connection = w.connection AND f.feed_sequence = p.feed_sequence
           WHERE p.place <= $5 ORDER BY p.next_attempt_at, p.feed_sequence""",
        list(silent),
        [webhook_id for webhook_id, _ in busy],
        [case_id for _, case_id in busy],
        AWAY,
        each,
        now,
    )
    return rows


@dataclass(frozen=True)
class Tried:
    """A try that is over."""

    row: asyncpg.Record
    answer: Answer
    duration_ms: int
    # Until the next try; None when there is none: it was delivered, was a ping, or is given up.
    retry_seconds: float | None


async def settle(db: asyncpg.Connection, tries: Sequence[Tried]) -> None:
    """Record tries: what was delivered waits no more, the rest until its next try.

    A webhook that was taken to be away and has taken something is tried with everything at once.
    """
    done = [t for t in tries if t.retry_seconds is None]
    again = [t for t in tries if t.retry_seconds is not None]
    back = {
        t.row["webhook_id"]
        for t in tries
        if t.answer.outcome == "delivered" and t.row["failing"] >= AWAY
    }
    await db.execute(
        """WITH gone AS (
             DELETE FROM webhook_waiting d
             USING unnest($1::uuid[], $2::bigint[]) AS t(webhook_id, feed_sequence)
             WHERE d.webhook_id = t.webhook_id AND d.feed_sequence = t.feed_sequence),
           later AS (
             UPDATE webhook_waiting d SET tries = d.tries + 1,
               failing_since = coalesce(d.failing_since, now()),
               next_attempt_at = now() + t.seconds * interval '1 second'
             FROM unnest($3::uuid[], $4::bigint[], $5::float8[])
               AS t(webhook_id, feed_sequence, seconds)
             WHERE d.webhook_id = t.webhook_id AND d.feed_sequence = t.feed_sequence)
           INSERT INTO webhook_attempt
             (attempt_id, webhook_id, feed_sequence, event_id, outcome, status, reason, duration_ms)
           SELECT * FROM unnest($6::uuid[], $7::uuid[], $8::bigint[], $9::uuid[], $10::text[],
                                $11::int[], $12::text[], $13::int[])""",
        [t.row["webhook_id"] for t in done],
        [t.row["feed_sequence"] for t in done],
        [t.row["webhook_id"] for t in again],
        [t.row["feed_sequence"] for t in again],
        [t.retry_seconds for t in again],
        [new_id() for _ in tries],
        [t.row["webhook_id"] for t in tries],
        [t.row["feed_sequence"] for t in tries],
        [t.row["event_id"] for t in tries],
        [t.answer.outcome for t in tries],
        [t.answer.status for t in tries],
        [t.answer.reason for t in tries],
        [t.duration_ms for t in tries],
    )
    if back:
        await db.execute(
            """UPDATE webhook_waiting SET next_attempt_at = now()
               WHERE webhook_id = ANY($1::uuid[]) AND tries > 0""",
            list(back),
        )


async def purge(db: Database, days: int) -> int:
    """Forget tries that are older, a thousand at a time. Answers how many."""
    status: str = await db.execute(
        """DELETE FROM webhook_attempt WHERE attempt_id IN (
             SELECT attempt_id FROM webhook_attempt
             WHERE recorded_at < now() - $1 * interval '1 day' LIMIT 1000)""",
        days,
    )
    return int(status.split()[-1])


# -- figures and findings ------------------------------------------------------------------------


async def figures(db: Database) -> asyncpg.Record:
    """Entries that active webhooks have not got, the age of the oldest, and how many failed."""
    (row,) = await db.fetch(
        """WITH active AS (
             SELECT w.webhook_id, w.connection, w.position, h.feed_sequence AS head
             FROM webhook w LEFT JOIN feed_head h USING (connection) WHERE w.state = 'active'),
           oldest AS (
             SELECT min(d.recorded_at) AS at, count(*) AS n
             FROM webhook_waiting d JOIN active USING (webhook_id)
             UNION ALL
             SELECT min(f.recorded_at), sum(a.head - a.position)
             FROM active a JOIN feed_entry f
               ON f.connection = a.connection AND f.feed_sequence = a.position + 1)
           SELECT coalesce(sum(n), 0)::bigint AS entries,
             coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0)::float8 AS seconds,
             (SELECT count(*) FROM webhook
              WHERE state = 'paused' AND reason = 'failing') AS failing
           FROM oldest"""
    )
    return row


async def stopped(db: Database) -> list[asyncpg.Record]:
    """Webhooks that were paused because nobody took what was sent."""
    rows: list[asyncpg.Record] = await db.fetch(
        """SELECT webhook_id, connection, changed_at FROM webhook
           WHERE state = 'paused' AND reason = 'failing' ORDER BY changed_at LIMIT 50"""
    )
    return rows
