"""Every statement notification sends to its database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from notification.letters import Draft
from notification.model import CaseCopy
from notification.rules import Part
from services.access import AgencyScope
from services.events import load_catalogue
from services.ids import new_id
from services.service import Received
from services.unit_of_work import UnitOfWork

Database = asyncpg.Connection | asyncpg.Pool


# -- hearing -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """What is known of a case when an event comes in."""

    copy: CaseCopy
    parts: tuple[Part, ...]
    references: Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """A feed entry to be written."""

    connection: str
    event_id: UUID
    type: str
    reference: str | None
    read_after: str
    event: Mapping[str, Any]


@dataclass
class Effect:
    """All that one event changes here, written in one statement."""

    copy: CaseCopy | None = None
    entries: list[Entry] = field(default_factory=list)
    stands: tuple[str, ...] = ()
    drafts: list[Draft] = field(default_factory=list)


async def known(db: Database, case_id: UUID) -> Known:
    """The copy of a case, who takes part in it now, and each source's own number.

    A source that routing has not joined yet, but whose referral was heard, takes part already.
    """
    (row,) = await db.fetch(
        """SELECT c.*,
             (SELECT jsonb_agg(jsonb_build_array(p.organisation, p.role)
                               ORDER BY p.joined_at, p.participation_id)
              FROM participation p WHERE p.case_id = k.case_id AND p.left_at IS NULL) AS parts,
             (SELECT jsonb_agg(jsonb_build_array(r.organisation, r.reference, r.left_at IS NULL)
                               ORDER BY r.recorded_at)
              FROM case_reference r WHERE r.case_id = k.case_id) AS refs
           FROM (SELECT $1::uuid AS case_id) k LEFT JOIN case_copy c ON c.case_id = k.case_id""",
        case_id,
    )
    parts = [Part(organisation, role) for organisation, role in row["parts"] or ()]
    references: dict[str, str] = {}
    for organisation, reference, still in row["refs"] or ():
        references.setdefault(organisation, reference)
        if still and Part(organisation, "source") not in parts:
            parts.append(Part(organisation, "source"))
    if row["case_id"] is None:
        return Known(CaseCopy(case_id), tuple(parts), references)
    copy = CaseCopy(
        case_id=case_id,
        case_number=row["case_number"],
        episode=row["episode"],
        closed=row["closed"],
        state=row["state"],
        lane=row["lane"],
        dispute_type=row["dispute_type"],
        place=row["place"],
        first_receiver=row["first_receiver"],
        holder=row["holder"],
        parties=tuple(row["parties"]),
        facts=row["facts"],
    )
    return Known(copy, tuple(parts), references)


async def add_reference(
    uow: UnitOfWork,
    received: Received[Any],
    *,
    organisation: str,
    referral_id: UUID,
    reference: str,
) -> None:
    """Remember a source's own number."""
    await uow.db.execute(
        """INSERT INTO case_reference
             (case_id, organisation, referral_id, reference, episode, occurred_at)
           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING""",
        received.case_id,
        organisation,
        referral_id,
        reference,
        received.episode,
        received.occurred_at,
    )


async def source_left(
    uow: UnitOfWork, case_id: UUID, organisation: str, left_at: datetime | None
) -> None:
    """A source's part ended (or, with None, began anew with a reopening)."""
    await uow.db.execute(
        "UPDATE case_reference SET left_at = $3 WHERE case_id = $1 AND organisation = $2",
        case_id,
        organisation,
        left_at,
    )


async def write(uow: UnitOfWork, received: Received[Any], effect: Effect) -> None:
    """Write copy, standing facts, feed entries and messages of one event, in one round trip.

    Repeats change nothing: entries are unique by connection and event, messages by recipient,
    event and purpose.
    """
    copy, entries, drafts = effect.copy, effect.entries, effect.drafts
    await uow.db.execute(
        """WITH copied AS (
             INSERT INTO case_copy (case_id, case_number, episode, closed, state, lane,
               dispute_type, place, first_receiver, holder, parties, facts, occurred_at)
             SELECT $1, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $3 WHERE $6
             ON CONFLICT (case_id) DO UPDATE SET case_number = excluded.case_number,
               episode = excluded.episode, closed = excluded.closed, state = excluded.state,
               lane = excluded.lane, dispute_type = excluded.dispute_type,
               place = excluded.place, first_receiver = excluded.first_receiver,
               holder = excluded.holder, parties = excluded.parties, facts = excluded.facts,
               occurred_at = excluded.occurred_at, recorded_at = now()),
           stood AS (
             INSERT INTO standing_fact (case_id, fact, event_id, occurred_at)
             SELECT $1, fact, $2, $3 FROM unnest($5::text[]) AS t(fact)
             ON CONFLICT (case_id, fact) DO UPDATE SET event_id = excluded.event_id,
               occurred_at = excluded.occurred_at, recorded_at = now()),
           fed AS (
             INSERT INTO feed_entry (connection, event_id, case_id, episode, type, reference,
               read_after, event, occurred_at)
             SELECT connection, event_id, $1, $4, type, reference, read_after, event, $3
             FROM unnest($18::text[], $19::uuid[], $20::text[], $21::text[], $22::text[],
                         $23::jsonb[])
               WITH ORDINALITY AS t(connection, event_id, type, reference, read_after, event, n)
             ORDER BY n
             ON CONFLICT (connection, event_id) DO NOTHING)
           INSERT INTO message (id, recipient, recipient_kind, party_id, organisation, event_id,
             event_type, purpose, template_version, statutory, case_id, episode, facts, stands,
             valid_until, next_attempt_at, correlation_id, traceparent, occurred_at)
           SELECT id, kind || ':' || target, kind,
             CASE WHEN kind = 'party' THEN target::uuid END,
             CASE WHEN kind = 'organisation' THEN target END,
             $2, $24, purpose, version, statutory, $1, $4, facts,
             string_to_array(stands, ' '), valid_until, now(), $25, $26, $3
           FROM unnest($27::uuid[], $28::text[], $29::text[], $30::text[], $31::int[],
                       $32::bool[], $33::jsonb[], $34::text[], $35::timestamptz[])
             AS t(id, kind, target, purpose, version, statutory, facts, stands, valid_until)
           ON CONFLICT ON CONSTRAINT uq_message_once_per_fact DO NOTHING""",
        received.case_id,
        received.event_id,
        received.occurred_at,
        received.episode,
        list(effect.stands),
        copy is not None,
        copy.case_number if copy else None,
        copy.episode if copy else 1,
        copy.closed if copy else False,
        copy.state if copy else None,
        copy.lane if copy else None,
        copy.dispute_type if copy else None,
        copy.place if copy else None,
        copy.first_receiver if copy else None,
        copy.holder if copy else None,
        list(copy.parties) if copy else [],
        dict(copy.facts) if copy else {},
        [e.connection for e in entries],
        [e.event_id for e in entries],
        [e.type for e in entries],
        [e.reference for e in entries],
        [e.read_after for e in entries],
        [dict(e.event) for e in entries],
        received.type,
        received.correlation_id,
        received.traceparent,
        [new_id() for _ in drafts],
        [d.recipient.kind for d in drafts],
        [d.recipient.id for d in drafts],
        [d.template for d in drafts],
        [d.version for d in drafts],
        [d.statutory for d in drafts],
        [dict(d.facts) for d in drafts],
        [" ".join(d.stands) for d in drafts],
        [d.valid_until for d in drafts],
    )


# -- feeds ---------------------------------------------------------------------------------------


async def feed(db: Database, connection: str, after: int, limit: int) -> list[asyncpg.Record]:
    """Numbered entries of a connection after a number, in order."""
    rows: list[asyncpg.Record] = await db.fetch(
        """SELECT feed_sequence, reference, read_after, event FROM feed_entry
           WHERE connection = $1 AND feed_sequence > $2 ORDER BY feed_sequence LIMIT $3""",
        connection,
        after,
        limit,
    )
    return rows


async def oldest_kept(db: Database, connection: str) -> int | None:
    """The lowest number still kept of a connection's feed, or None when it is empty."""
    number: int | None = await db.fetchval(
        """SELECT feed_sequence FROM feed_entry
           WHERE connection = $1 AND feed_sequence IS NOT NULL ORDER BY feed_sequence LIMIT 1""",
        connection,
    )
    return number


async def undelivered(db: Database, connections: Sequence[str], each: int) -> list[asyncpg.Record]:
    """The next numbered entries that each connection's topic has not acknowledged, in order."""
    rows: list[asyncpg.Record] = await db.fetch(
        """SELECT e.connection, e.feed_sequence, e.case_id, e.reference, e.read_after, e.event
           FROM unnest($1::text[]) AS k(connection)
           LEFT JOIN feed_delivery d ON d.connection = k.connection
           CROSS JOIN LATERAL (
             SELECT * FROM feed_entry f
             WHERE f.connection = k.connection
               AND f.feed_sequence > coalesce(d.feed_sequence, 0)
             ORDER BY f.feed_sequence LIMIT $2) e
           ORDER BY e.connection, e.feed_sequence""",
        list(connections),
        each,
    )
    return rows


async def stamp_delivered(
    db: Database, connection: str, sequence: int, partition: int, offset: int
) -> None:
    """Remember how far a connection's topic has acknowledged; never goes back."""
    await db.execute(
        """INSERT INTO feed_delivery AS d (connection, feed_sequence, partition, "offset")
           VALUES ($1, $2, $3, $4)
           ON CONFLICT (connection) DO UPDATE SET feed_sequence = excluded.feed_sequence,
             partition = excluded.partition, "offset" = excluded."offset",
             stamped_at = clock_timestamp()
           WHERE d.feed_sequence < excluded.feed_sequence""",
        connection,
        sequence,
        partition,
        offset,
    )


# -- sending -------------------------------------------------------------------------------------


async def claim(
    db: asyncpg.Connection, now: datetime, limit: int, *, statutory_only: bool = False
) -> list[asyncpg.Record]:
    """Take due messages for sending and open an attempt for each; call it in a transaction."""
    rows: list[asyncpg.Record] = await db.fetch(
        """WITH due AS (
             SELECT id FROM message WHERE state = 'waiting' AND next_attempt_at <= now()
               AND (statutory OR NOT $3)
             ORDER BY next_attempt_at, id LIMIT $2 FOR UPDATE SKIP LOCKED),
           taken AS (
             UPDATE message m SET state = 'sending', attempts = attempts + 1, claimed_at = now()
             FROM due WHERE m.id = due.id RETURNING m.*),
           tried AS (
             INSERT INTO attempt (message_id, ordinal, occurred_at)
             SELECT id, attempts, $1 FROM taken)
           SELECT * FROM taken ORDER BY id""",
        now,
        limit,
        statutory_only,
    )
    return rows


async def abandoned(db: Database, seconds: int) -> list[asyncpg.Record]:
    """Messages whose sender disappeared between sending and recording."""
    rows: list[asyncpg.Record] = await db.fetch(
        """SELECT m.*, a.channel FROM message m
           JOIN attempt a ON a.message_id = m.id AND a.ordinal = m.attempts
           WHERE m.state = 'sending' AND m.claimed_at < now() - $1 * interval '1 second'
           ORDER BY m.id LIMIT 100""",
        seconds,
    )
    return rows


async def note_channel(
    db: Database,
    message_id: UUID,
    ordinal: int,
    *,
    channel: str,
    address_hash: str | None,
    address_masked: str | None,
    neutral: bool,
) -> None:
    """Before handing over: by which channel, to which address (a hash and a mask, no more)."""
    await db.execute(
        """UPDATE attempt SET channel = $3, address_hash = $4, address_masked = $5, neutral = $6
           WHERE message_id = $1 AND ordinal = $2""",
        message_id,
        ordinal,
        channel,
        address_hash,
        address_masked,
        neutral,
    )


async def latest_words(db: Database, case_id: UUID, facts: Sequence[str]) -> dict[str, UUID]:
    """Fact -> the event that is its latest word."""
    rows = await db.fetch(
        "SELECT fact, event_id FROM standing_fact WHERE case_id = $1 AND fact = ANY($2::text[])",
        case_id,
        list(facts),
    )
    return {row["fact"]: row["event_id"] for row in rows}


async def settle(
    db: asyncpg.Connection,
    message_id: UUID,
    ordinal: int,
    *,
    state: str,
    outcome: str,
    now: datetime,
    reason: str | None = None,
    receipt: str | None = None,
    locale: str | None = None,
    retry_seconds: int | None = None,
) -> bool:
    """End an attempt and move its message on; False when another sender has moved it already."""
    moved = await db.fetchval(
        """WITH moved AS (
             UPDATE message SET state = $3, reason = $5, locale = coalesce($7, locale),
               next_attempt_at = now() + coalesce($8, 0) * interval '1 second',
               settled_at = CASE WHEN $3 IN ('delivered', 'failed', 'unknown', 'dropped')
                                 THEN $9::timestamptz END
             WHERE id = $1 AND attempts = $2 AND state = 'sending' RETURNING id)
           UPDATE attempt SET outcome = $4, reason = $5, provider_receipt = $6, ended_at = $9
           FROM moved WHERE message_id = moved.id AND ordinal = $2 RETURNING 1""",
        message_id,
        ordinal,
        state,
        outcome,
        reason,
        receipt,
        locale,
        retry_seconds,
        now,
    )
    return moved is not None


async def unknown(db: asyncpg.Connection, message_id: UUID) -> asyncpg.Record | None:
    """A message nobody can account for and nobody was told about, locked."""
    return await db.fetchrow(
        """SELECT m.*, a.channel FROM message m
           JOIN attempt a ON a.message_id = m.id AND a.ordinal = m.attempts
           WHERE m.id = $1 AND m.state = 'unknown' AND m.reason IS DISTINCT FROM 'told'
           FOR UPDATE OF m""",
        message_id,
    )


async def found_delivered(
    db: asyncpg.Connection, message_id: UUID, receipt: str, now: datetime
) -> None:
    """The channel had it after all."""
    await db.execute(
        """WITH found AS (
             UPDATE message SET state = 'delivered', reason = NULL, settled_at = $3
             WHERE id = $1 RETURNING id, attempts)
           UPDATE attempt a SET outcome = 'delivered', provider_receipt = $2, ended_at = $3
           FROM found WHERE a.message_id = found.id AND a.ordinal = found.attempts""",
        message_id,
        receipt,
        now,
    )


async def told_unknown(db: asyncpg.Connection, message_id: UUID) -> None:
    """The desk is told that nobody knows; said once."""
    await db.execute("UPDATE message SET reason = 'told' WHERE id = $1", message_id)


# -- reading -------------------------------------------------------------------------------------

_MESSAGE_COLUMNS = """m.id, m.case_id, c.case_number, m.episode, m.recipient_kind, m.party_id,
  m.organisation, m.event_id, m.event_type, m.purpose, m.template_version, m.statutory, m.state,
  m.reason, m.attempts, m.locale, m.occurred_at, m.recorded_at, m.settled_at"""


_SEEN = """(m.organisation = $1 OR EXISTS (SELECT 1 FROM participation p
  WHERE p.case_id = m.case_id AND p.organisation = $1 AND p.left_at IS NULL
    AND (p.role = 'handler' OR (p.role = 'source' AND m.event_type = ANY($2::text[])))))"""


class Messages:
    """Reads of messages an organisation may see.

    Its own; as handler, all of the case; as source, those about events that a source hears: it
    sees nothing of sessions.
    """

    def __init__(self, db: asyncpg.Connection, scope: AgencyScope) -> None:
        self._db = db
        self._organisation = scope.organisation
        self._source_hears = sorted(
            t for t, s in load_catalogue().items() if "source" in s.audience
        )

    async def page(
        self,
        *,
        case_id: UUID | None,
        state: str | None,
        after: Sequence[Any] | None,
        limit: int,
    ) -> list[asyncpg.Record]:
        """Messages, newest first."""
        rows: list[asyncpg.Record] = await self._db.fetch(
            f"""SELECT {_MESSAGE_COLUMNS} FROM message m JOIN case_copy c USING (case_id)
                WHERE {_SEEN}
                  AND ($3::uuid IS NULL OR m.case_id = $3)
                  AND ($4::text IS NULL OR m.state = $4)
                  AND ($5::uuid IS NULL OR m.id < $5)
                ORDER BY m.id DESC LIMIT $6""",
            self._organisation,
            self._source_hears,
            case_id,
            state,
            UUID(str(after[0])) if after else None,
            limit,
        )
        return rows

    async def one(self, message_id: UUID) -> asyncpg.Record | None:
        """One message, or None when it is not there or not the organisation's."""
        return await self._db.fetchrow(
            f"""SELECT {_MESSAGE_COLUMNS} FROM message m JOIN case_copy c USING (case_id)
                WHERE m.id = $3 AND {_SEEN}""",
            self._organisation,
            self._source_hears,
            message_id,
        )

    async def attempts(self, message_id: UUID) -> list[asyncpg.Record]:
        """All tries of a message with their proof."""
        rows: list[asyncpg.Record] = await self._db.fetch(
            """SELECT ordinal, channel, outcome, reason, provider_receipt, address_hash,
                 address_masked, occurred_at, ended_at
               FROM attempt WHERE message_id = $1 ORDER BY ordinal""",
            message_id,
        )
        return rows


async def figures(pool: asyncpg.Pool) -> asyncpg.Record:
    """Waiting and oldest, for readiness and metrics."""
    (row,) = await pool.fetch(
        """SELECT count(*) AS waiting,
             coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0) AS oldest
           FROM message WHERE state IN ('waiting', 'sending')"""
    )
    return row


async def unnumbered(pool: asyncpg.Pool) -> int:
    """Feed entries that wait for their number."""
    count: int = await pool.fetchval("SELECT count(*) FROM feed_entry WHERE feed_sequence IS NULL")
    return count


async def findings(pool: asyncpg.Pool) -> list[str]:
    """Invariants that do not hold, each with what to do."""
    found: list[str] = []
    for row in await pool.fetch(
        """SELECT connection, count(*) AS entries, max(feed_sequence) AS last FROM feed_entry
           WHERE feed_sequence IS NOT NULL GROUP BY connection
           HAVING count(*) <> max(feed_sequence) - min(feed_sequence) + 1"""
    ):
        found.append(
            f"the feed of {row['connection']} has a gap below {row['last']:010d}: "
            "restore notification's database from its last backup and run recover"
        )
    for row in await pool.fetch(
        "SELECT id, reason FROM message WHERE state = 'unknown' ORDER BY id LIMIT 50"
    ):
        found.append(
            f"nobody can say whether message {row['id']} was delivered: "
            "ask the recipient, then record it at the desk; it is not sent again by itself"
        )
    for row in await pool.fetch(
        """SELECT id FROM message WHERE state IN ('waiting', 'sending')
             AND recorded_at < clock_timestamp() - interval '1 day' ORDER BY id LIMIT 50"""
    ):
        found.append(
            f"message {row['id']} has waited for more than a day: "
            "look at `reason` in GET /v1/messages and at intake's and the channel's health"
        )
    return found
