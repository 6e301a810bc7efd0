"""Every statement notification sends to its database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import orjson

from notification.letters import Draft
from notification.model import CaseCopy
from notification.rules import Part
from services.access import AgencyScope
from services.events import load_catalogue
from services.ids import new_id
from services.service import Received

if TYPE_CHECKING:
    from notification.sender import Outcome, Try

Database = asyncpg.Connection | asyncpg.Pool


# -- hearing -------------------------------------------------------------------------------------


@dataclass
class Known:
    """What is known of a case when an event comes in: its copy, who takes part, own numbers.

    ``by_id`` are the participations that last, and under the organisation's code what a referral
    alone makes.
    """

    copy: CaseCopy
    by_id: dict[str, Part]
    references: dict[str, str]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Who takes part and as what, each once."""
        return tuple(dict.fromkeys(self.by_id.values()))


@dataclass(frozen=True)
class Entry:
    """A feed entry to be written."""

    connection: str
    event_id: UUID
    type: str
    reference: str | None
    read_after: str
    event: Mapping[str, Any]


async def known(db: asyncpg.Connection, case_ids: Iterable[UUID]) -> dict[UUID, Known]:
    """The copy of each case, who takes part in it now, and each source's own number.

    A source that routing has not joined yet, but whose referral was heard, takes part already.
    """
    rows = await db.fetch(
        """SELECT k.case_id AS id, c.*,
             (SELECT jsonb_agg(jsonb_build_array(p.participation_id, p.organisation, p.role)
                               ORDER BY p.joined_at, p.participation_id)
              FROM participation p WHERE p.case_id = k.case_id AND p.left_at IS NULL) AS parts,
             (SELECT jsonb_agg(jsonb_build_array(r.organisation, r.reference, r.left_at IS NULL)
                               ORDER BY r.recorded_at)
              FROM case_reference r WHERE r.case_id = k.case_id) AS refs
           FROM unnest($1::uuid[]) AS k(case_id) LEFT JOIN case_copy c ON c.case_id = k.case_id""",
        list(case_ids),
    )
    return {row["id"]: _known(row) for row in rows}


def _known(row: asyncpg.Record) -> Known:
    by_id = {id_: Part(organisation, role) for id_, organisation, role in row["parts"] or ()}
    references: dict[str, str] = {}
    for organisation, reference, still in row["refs"] or ():
        references.setdefault(organisation, reference)
        if still:
            by_id[organisation] = Part(organisation, "source")
    if row["case_id"] is None:
        return Known(CaseCopy(row["id"]), by_id, references)
    copy = CaseCopy(
        case_id=row["id"],
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
    return Known(copy, by_id, references)


async def add_references(db: asyncpg.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Remember sources' own numbers."""
    await db.execute(
        """INSERT INTO case_reference
             (case_id, organisation, referral_id, reference, episode, occurred_at)
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::int[],
                                $6::timestamptz[])
           ON CONFLICT DO NOTHING""",
        *_columns(rows, 6),
    )


async def set_left(
    db: asyncpg.Connection, leavings: Mapping[tuple[UUID, str], datetime | None]
) -> None:
    """Sources' parts ended (or, with None, began anew with a joining or a reopening)."""
    rows = [(case_id, organisation, at) for (case_id, organisation), at in leavings.items()]
    await db.execute(
        """UPDATE case_reference r SET left_at = l.left_at
           FROM unnest($1::uuid[], $2::text[], $3::timestamptz[])
             AS l(case_id, organisation, left_at)
           WHERE r.case_id = l.case_id AND r.organisation = l.organisation
             AND r.left_at IS DISTINCT FROM l.left_at""",
        *_columns(rows, 3),
    )


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    """Rows as columns, for ``unnest``; empty columns when there is no row."""
    return [list(c) for c in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


async def write(
    db: asyncpg.Connection,
    copies: Mapping[UUID, tuple[CaseCopy, datetime]],
    stands: Mapping[tuple[UUID, str], tuple[UUID, datetime]],
    entries: Sequence[tuple[Received[Any], Entry]],
    drafts: Sequence[tuple[Received[Any], Draft]],
) -> None:
    """Write copies, standing facts, feed entries (in this order) and messages in one round trip.

    Entries get the next numbers of their feed, whose head stays locked from here to the commit:
    numbers come in the order of commits and have no gap. Repeats change nothing: entries are unique
    by connection and event, messages by recipient, event and purpose.
    """
    copied = [
        (
            c.case_id,
            c.case_number,
            c.episode,
            c.closed,
            c.state,
            c.lane,
            c.dispute_type,
            c.place,
            c.first_receiver,
            c.holder,
            _json(c.parties),
            _json(c.facts),
            at,
        )
        for c, at in copies.values()
    ]
    stood = [(case_id, fact, *last) for (case_id, fact), last in stands.items()]
    fed = [
        (
            e.connection,
            e.event_id,
            r.case_id,
            r.episode,
            e.type,
            e.reference,
            e.read_after,
            _json(e.event),
            r.occurred_at,
        )
        for r, e in entries
    ]
    told = [
        (
            new_id(),
            d.recipient.kind,
            d.recipient.id,
            r.event_id,
            r.type,
            d.template,
            d.version,
            d.statutory,
            r.case_id,
            r.episode,
            _json(d.facts),
            " ".join(d.stands),
            d.valid_until,
            r.correlation_id,
            r.traceparent,
            r.occurred_at,
        )
        for r, d in drafts
    ]
    await db.execute(
        _WRITE, *_columns(copied, 13), *_columns(stood, 4), *_columns(fed, 9), *_columns(told, 16)
    )


_WRITE: Final = """
WITH copied AS (
  INSERT INTO case_copy (case_id, case_number, episode, closed, state, lane, dispute_type, place,
    first_receiver, holder, parties, facts, occurred_at)
  SELECT case_id, case_number, episode, closed, state, lane, dispute_type, place, first_receiver,
    holder, parties::jsonb, facts::jsonb, occurred_at
  FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bool[], $5::text[], $6::text[], $7::text[],
              $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[])
    AS t(case_id, case_number, episode, closed, state, lane, dispute_type, place, first_receiver,
         holder, parties, facts, occurred_at)
  ON CONFLICT (case_id) DO UPDATE SET case_number = excluded.case_number,
    episode = excluded.episode, closed = excluded.closed, state = excluded.state,
    lane = excluded.lane, dispute_type = excluded.dispute_type, place = excluded.place,
    first_receiver = excluded.first_receiver, holder = excluded.holder,
    parties = excluded.parties, facts = excluded.facts, occurred_at = excluded.occurred_at,
    recorded_at = now()),
stood AS (
  INSERT INTO standing_fact (case_id, fact, event_id, occurred_at)
  SELECT * FROM unnest($14::uuid[], $15::text[], $16::uuid[], $17::timestamptz[])
  ON CONFLICT (case_id, fact) DO UPDATE SET event_id = excluded.event_id,
    occurred_at = excluded.occurred_at, recorded_at = now()),
fresh AS (
  SELECT t.*, row_number() OVER (PARTITION BY connection ORDER BY n) AS place
  FROM unnest($18::text[], $19::uuid[], $20::uuid[], $21::int[], $22::text[], $23::text[],
              $24::text[], $25::text[], $26::timestamptz[])
    WITH ORDINALITY AS t(connection, event_id, case_id, episode, type, reference, read_after,
                         event, occurred_at, n)
  WHERE NOT EXISTS (SELECT 1 FROM feed_entry f
                    WHERE f.connection = t.connection AND f.event_id = t.event_id)),
head AS (
  INSERT INTO feed_head AS h (connection, feed_sequence)
  SELECT connection, count(*) FROM fresh GROUP BY connection ORDER BY connection
  ON CONFLICT (connection) DO UPDATE SET feed_sequence = h.feed_sequence + excluded.feed_sequence
  RETURNING connection, feed_sequence),
fed AS (
  INSERT INTO feed_entry (connection, feed_sequence, event_id, case_id, episode, type, reference,
    read_after, event, occurred_at)
  SELECT connection, head.feed_sequence - count(*) OVER (PARTITION BY connection) + place,
    event_id, case_id, episode, type, reference, read_after, event::jsonb, occurred_at
  FROM fresh JOIN head USING (connection) ORDER BY connection, place)
INSERT INTO message (id, recipient, recipient_kind, party_id, organisation, event_id, event_type,
  purpose, template_version, statutory, case_id, episode, facts, stands, valid_until,
  next_attempt_at, correlation_id, traceparent, occurred_at)
SELECT id, kind || ':' || target, kind, CASE WHEN kind = 'party' THEN target::uuid END,
  CASE WHEN kind = 'organisation' THEN target END, event_id, event_type, purpose, version,
  statutory, case_id, episode, facts::jsonb, string_to_array(stands, ' '), valid_until, now(),
  correlation_id, traceparent, occurred_at
FROM unnest($27::uuid[], $28::text[], $29::text[], $30::uuid[], $31::text[], $32::text[],
            $33::int[], $34::bool[], $35::uuid[], $36::int[], $37::text[], $38::text[],
            $39::timestamptz[], $40::text[], $41::text[], $42::timestamptz[])
  AS t(id, kind, target, event_id, event_type, purpose, version, statutory, case_id, episode,
       facts, stands, valid_until, correlation_id, traceparent, occurred_at)
ON CONFLICT ON CONSTRAINT uq_message_once_per_fact DO NOTHING
"""


# -- feeds ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """A numbered entry as it stands in a connection's topic."""

    connection: str
    feed_sequence: int
    event_id: UUID
    case_id: UUID
    episode: int
    type: str
    reference: str | None
    read_after: str
    event: Mapping[str, Any]
    occurred_at: datetime
    partition: int
    offset: int


async def heads(db: Database, connections: Sequence[str]) -> dict[str, int]:
    """The last number of each feed; none for a feed without an entry."""
    rows = await db.fetch(
        "SELECT connection, feed_sequence FROM feed_head WHERE connection = ANY($1)",
        list(connections),
    )
    return {row["connection"]: row["feed_sequence"] for row in rows}


async def newest_entry_at(db: Database) -> datetime | None:
    """When the youngest entry of all feeds was recorded."""
    found: datetime | None = await db.fetchval(
        "SELECT recorded_at FROM feed_entry ORDER BY id DESC LIMIT 1"
    )
    return found


async def take_back(db: asyncpg.Connection, entry: Published) -> None:
    """Write an entry under the number it was published with, and move the feed's end to it.

    Raises ``RuntimeError`` when the feed does not end right before it.
    """
    moved = await db.fetchval(
        """INSERT INTO feed_head AS h (connection, feed_sequence)
           SELECT $1, 1 WHERE $2::bigint = 1
             OR EXISTS (SELECT 1 FROM feed_head WHERE connection = $1)
           ON CONFLICT (connection) DO UPDATE SET feed_sequence = $2
             WHERE h.feed_sequence = $2 - 1
           RETURNING true""",
        entry.connection,
        entry.feed_sequence,
    )
    if not moved:
        raise RuntimeError(f"feed {entry.connection} does not go on with {entry.feed_sequence}")
    await db.execute(
        """INSERT INTO feed_entry (connection, feed_sequence, event_id, case_id, episode, type,
             reference, read_after, event, occurred_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
        entry.connection,
        entry.feed_sequence,
        entry.event_id,
        entry.case_id,
        entry.episode,
        entry.type,
        entry.reference,
        entry.read_after,
        entry.event,
        entry.occurred_at,
    )
    await stamp_delivered(db, entry.connection, entry.feed_sequence, entry.partition, entry.offset)


async def add_entry(
    db: asyncpg.Connection, entry: Entry, *, subject: UUID, occurred_at: datetime
) -> None:
    """Write an entry that no event of a case stands behind, under the feed's next number.

    ``subject`` stands in the place of the case.
    """
    await db.execute(
        """WITH head AS (
             INSERT INTO feed_head AS h (connection, feed_sequence) VALUES ($1, 1)
             ON CONFLICT (connection) DO UPDATE SET feed_sequence = h.feed_sequence + 1
             RETURNING feed_sequence)
           INSERT INTO feed_entry (connection, feed_sequence, event_id, case_id, episode, type,
             reference, read_after, event, occurred_at)
           SELECT $1, feed_sequence, $2, $3, 1, $4, $5, $6, $7, $8 FROM head""",
        entry.connection,
        entry.event_id,
        subject,
        entry.type,
        entry.reference,
        entry.read_after,
        entry.event,
        occurred_at,
    )


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
           WHERE connection = $1 ORDER BY feed_sequence LIMIT 1""",
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


async def note_channels(db: Database, tries: "Sequence[Try]") -> None:
    """Before handing over: by which channel, to which address (a hash and a mask, no more)."""
    await db.execute(
        """UPDATE attempt a SET channel = t.channel, address_hash = t.address_hash,
             address_masked = t.address_masked, neutral = t.neutral
           FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::bool[])
             AS t(message_id, ordinal, channel, address_hash, address_masked, neutral)
           WHERE a.message_id = t.message_id AND a.ordinal = t.ordinal""",
        *_columns(
            [
                (
                    t.row["id"],
                    t.row["attempts"],
                    t.channel.name,
                    t.address_hash,
                    t.letter.address.masked(),
                    t.neutral,
                )
                for t in tries
            ],
            6,
        ),
    )


async def latest_words(
    db: Database, messages: Sequence[asyncpg.Record]
) -> dict[tuple[UUID, str], UUID]:
    """(case, fact) -> the event that is its latest word, for the facts the messages stand on."""
    pairs = list({(row["case_id"], fact) for row in messages for fact in row["stands"]})
    rows = await db.fetch(
        """SELECT s.case_id, s.fact, s.event_id FROM standing_fact s
           JOIN unnest($1::uuid[], $2::text[]) AS w(case_id, fact) USING (case_id, fact)""",
        *_columns(pairs, 2),
    )
    return {(row["case_id"], row["fact"]): row["event_id"] for row in rows}


async def settle(
    db: asyncpg.Connection, outcomes: "Sequence[Outcome]", *, now: datetime
) -> set[UUID]:
    """End attempts and move their messages on.

    Answers which were moved; the others another sender has moved already.
    """
    rows = await db.fetch(
        """WITH given AS (
             SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[],
                                  $6::text[], $7::int[])
               AS g(id, ordinal, state, reason, receipt, locale, retry_seconds)),
           moved AS (
             UPDATE message m SET state = g.state, reason = g.reason,
               locale = coalesce(g.locale, m.locale),
               next_attempt_at = now() + coalesce(g.retry_seconds, 0) * interval '1 second',
               settled_at = CASE WHEN g.state IN ('delivered', 'failed', 'unknown', 'dropped')
                                 THEN $8::timestamptz END
             FROM given g
             WHERE m.id = g.id AND m.attempts = g.ordinal AND m.state = 'sending'
             RETURNING m.id)
           UPDATE attempt a SET ended_at = $8, reason = g.reason, provider_receipt = g.receipt,
             outcome = CASE g.state WHEN 'waiting' THEN 'failed' ELSE g.state END
           FROM moved JOIN given g USING (id)
           WHERE a.message_id = g.id AND a.ordinal = g.ordinal RETURNING a.message_id""",
        *_columns(
            [
                (
                    o.row["id"],
                    o.row["attempts"],
                    o.state,
                    o.reason,
                    o.receipt.reference if o.receipt else None,
                    o.locale,
                    o.retry_seconds,
                )
                for o in outcomes
            ],
            7,
        ),
        now,
    )
    return {row["message_id"] for row in rows}


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
        after: UUID | None,
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
            after,
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


async def findings(pool: asyncpg.Pool) -> list[str]:
    """Invariants that do not hold, each with what to do."""
    found: list[str] = []
    for row in await pool.fetch(
        """SELECT connection, count(*) AS entries, max(feed_sequence) AS last FROM feed_entry
           GROUP BY connection
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
