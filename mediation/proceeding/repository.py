"""Mediations, appointments, consents, party sheets and hand-over packages as rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from mediation.repository import Row, insert, many
from services.ids import new_id


async def open_mediation(
    db: asyncpg.Connection, mediation_id: UUID, assignment: Row, started_at: datetime
) -> Row:
    """Open the proceeding of an accepted assignment, in the case's lane of now."""
    row = await db.fetchrow(
        """INSERT INTO mediation (mediation_id, assignment_id, case_id, case_number, episode,
             organisation, lane, lanes, state, remedies, started_at)
           SELECT $1, $2, case_id, case_number, $3, $4, lane,
             jsonb_build_array(jsonb_build_object('lane', lane, 'since', $5::timestamptz)),
             'open', '[]', $5
           FROM case_copy WHERE case_id = $6 RETURNING *""",
        mediation_id,
        assignment["assignment_id"],
        assignment["episode"],
        assignment["organisation"],
        started_at,
        assignment["case_id"],
    )
    if row is None:
        raise LookupError("a row that must be there is gone")
    return row


async def case_copy(db: asyncpg.Connection, case_id: UUID) -> Row:
    """What is known of the case and who is missing from its round of now.

    ``departed``: parties that left; ``declined``: those whose last word on mediating is no.
    """
    row = await db.fetchrow(
        """SELECT k.*,
             ARRAY (SELECT d.party_id FROM departure d JOIN case_stream s
               USING (case_id, episode) WHERE d.case_id = k.case_id) AS departed,
             ARRAY (SELECT c.party_id FROM consent c
               JOIN mediation m ON m.mediation_id = c.mediation_id AND m.state <> 'ended'
               JOIN case_stream s ON s.case_id = m.case_id AND s.episode = m.episode
               WHERE c.case_id = k.case_id AND NOT c.superseded
                 AND c.step = 'mediate' AND c.state <> 'given') AS declined
           FROM case_copy k WHERE k.case_id = $1""",
        case_id,
    )
    if row is None:
        raise LookupError("a row that must be there is gone")
    return row


async def add_party(db: asyncpg.Connection, case_id: UUID, party: Mapping[str, Any]) -> None:
    """Add a party to the copy of a case; once."""
    await db.execute(
        """UPDATE case_copy SET parties = parties || jsonb_build_array($2::jsonb)
           WHERE case_id = $1
             AND NOT parties @> jsonb_build_array(jsonb_build_object('party_id', $3::text))""",
        case_id,
        party,
        party["party_id"],
    )


async def known(db: asyncpg.Connection, case_id: UUID) -> UUID | None:
    """The case's id when an offer has told of it."""
    found: UUID | None = await db.fetchval(
        "SELECT case_id FROM case_copy WHERE case_id = $1", case_id
    )
    return found


async def depart(
    db: asyncpg.Connection, case_id: UUID, episode: int, party_id: UUID, left_at: datetime
) -> None:
    """A party has left a round; the first record stands."""
    await db.execute(
        """INSERT INTO departure (case_id, episode, party_id, left_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING""",
        case_id,
        episode,
        party_id,
        left_at,
    )


async def assignment_of(db: asyncpg.Connection, mediation: Row) -> Row:
    """The turn a mediation belongs to."""
    row = await db.fetchrow(
        "SELECT * FROM assignment WHERE assignment_id = $1", mediation["assignment_id"]
    )
    if row is None:
        raise LookupError("a row that must be there is gone")
    return row


async def mediations_of(db: asyncpg.Connection, case_id: UUID, episode: int) -> list[Row]:
    """The mediations of one round of a case that have not ended."""
    return await db.fetch(
        """SELECT * FROM mediation WHERE case_id = $1 AND episode = $2 AND state <> 'ended'""",
        case_id,
        episode,
    )


async def page(
    db: asyncpg.Connection,
    organisation: str,
    *,
    state: str | None,
    lane: str | None,
    after: UUID | None,
    limit: int,
) -> list[Row]:
    """One page of an organisation's mediations, newest first."""
    return await db.fetch(
        """SELECT * FROM mediation WHERE organisation = $1
             AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR lane = $3)
             AND ($4::uuid IS NULL OR mediation_id < $4)
           ORDER BY mediation_id DESC LIMIT $5""",
        organisation,
        state,
        lane,
        after,
        limit,
    )


async def parts(db: asyncpg.Connection, mediation_id: UUID, case_id: UUID) -> Row:
    """Everything that belongs to a mediation, in one query; lists as JSON."""
    row = await db.fetchrow(
        """SELECT k.parties, k.joint_sessions, a.terms,
             (SELECT coalesce(jsonb_object_agg(d.party_id, d.left_at), '{}') FROM departure d
              WHERE d.case_id = m.case_id AND d.episode = m.episode) AS departures,
             (SELECT coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('consent_id', c.id)
                                        ORDER BY c.recorded_at, c.id), '[]')
              FROM consent c WHERE c.mediation_id = m.mediation_id AND NOT c.superseded)
               AS consents,
             (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.recorded_at), '[]')
              FROM appointment p WHERE p.mediation_id = m.mediation_id) AS appointments,
             (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.starts_at, s.session_id), '[]')
              FROM session s WHERE s.mediation_id = m.mediation_id) AS sessions,
             (SELECT to_jsonb(g) - 'sealed' FROM agreement g
              WHERE g.mediation_id = m.mediation_id AND g.state <> 'void') AS agreement,
             (SELECT coalesce(jsonb_agg(to_jsonb(o) ORDER BY o.ordinal), '[]')
              FROM obligation o WHERE o.case_id = m.case_id
                AND o.mediation_id = m.mediation_id AND o.state <> 'superseded') AS obligations
           FROM mediation m
           JOIN assignment a USING (assignment_id)
           JOIN case_copy k ON k.case_id = m.case_id
           WHERE m.mediation_id = $1 AND m.case_id = $2""",
        mediation_id,
        case_id,
    )
    if row is None:
        raise LookupError("a row that must be there is gone")
    return row


async def next_facts(db: asyncpg.Connection, mediation_ids: list[UUID]) -> list[Row]:
    """What decides the next act of each mediation, all in one query."""
    return await db.fetch(
        """SELECT m.mediation_id, m.state AS mediation_state, m.mediator_id, k.parties,
             a.state, a.organisation, a.source_organisation, a.accept_by, a.terms,
             (SELECT min(s.starts_at) FROM session s
              WHERE s.mediation_id = m.mediation_id AND s.state = 'scheduled') AS next_session_at,
             g.state = 'draft' AS drafts, g.confirm_by,
             (SELECT c.court FROM confirmation c
              WHERE c.mediation_id = m.mediation_id AND c.state = 'applied') AS court,
             g.state = 'effective' AND g.to_be_confirmed AND NOT EXISTS (
               SELECT 1 FROM confirmation c WHERE c.agreement_id = g.agreement_id)
               AS to_be_confirmed,
             ARRAY (SELECT c.party_id FROM consent c
                    WHERE c.mediation_id = m.mediation_id AND NOT c.superseded
                      AND c.step = 'mediate') AS answered,
             ARRAY (SELECT d.party_id FROM departure d
                    WHERE d.case_id = m.case_id AND d.episode = m.episode) AS departed,
             o.open, o.breached, o.first_due_at
           FROM mediation m
           JOIN assignment a USING (assignment_id)
           JOIN case_copy k ON k.case_id = m.case_id
           LEFT JOIN agreement g ON g.mediation_id = m.mediation_id AND g.state <> 'void'
           LEFT JOIN LATERAL (
             SELECT bool_or(state = 'open') AS open, bool_or(state = 'breached') AS breached,
               min(due_at) FILTER (WHERE state = 'open') AS first_due_at
             FROM obligation WHERE obligation.case_id = m.case_id
               AND obligation.mediation_id = m.mediation_id) AS o ON true
           WHERE m.mediation_id = ANY($1)""",
        mediation_ids,
    )


# -- consents ----------------------------------------------------------------------------------


async def current_consents(db: asyncpg.Connection, mediation_id: UUID) -> list[Row]:
    """Every party's latest word on every step."""
    return await db.fetch(
        "SELECT * FROM consent WHERE mediation_id = $1 AND NOT superseded ORDER BY recorded_at, id",
        mediation_id,
    )


async def current_consent(
    db: asyncpg.Connection, mediation_id: UUID, party_id: UUID, step: str, subject: str
) -> Row | None:
    """One party's latest word on one step."""
    return await db.fetchrow(
        """SELECT * FROM consent WHERE mediation_id = $1 AND party_id = $2 AND step = $3
             AND subject = $4 AND NOT superseded""",
        mediation_id,
        party_id,
        step,
        subject,
    )


async def put_consent(db: asyncpg.Connection, former: Row | None, values: Mapping[str, Any]) -> Row:
    """Add a word to the ledger; the former one stays readable but no longer counts."""
    if former is not None:
        await db.execute("UPDATE consent SET superseded = true WHERE id = $1", former["id"])
    return await insert(db, "consent", {"id": new_id(), **values})


# -- appointments ------------------------------------------------------------------------------


async def put_appointment(db: asyncpg.Connection, values: Mapping[str, Any]) -> Row:
    """Add an appointment to the mediation's list."""
    return await insert(db, "appointment", {"id": new_id(), **values})


async def appointments(db: asyncpg.Connection, mediation_id: UUID) -> list[Row]:
    """Who has mediated, in order."""
    return await many(db, "appointment", "mediation_id", mediation_id)


# -- party sheet -------------------------------------------------------------------------------


async def put_party_sheet(
    db: asyncpg.Connection, assignment: Row, sealed: bytes, fetched_at: datetime
) -> None:
    """Keep or renew the sealed party sheet of an assignment."""
    await db.execute(
        """INSERT INTO party_sheet (assignment_id, case_id, organisation, sealed, fetched_at)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (assignment_id) DO UPDATE
           SET sealed = excluded.sealed, fetched_at = excluded.fetched_at""",
        assignment["assignment_id"],
        assignment["case_id"],
        assignment["organisation"],
        sealed,
        fetched_at,
    )


async def party_sheet(db: asyncpg.Connection, assignment_id: UUID) -> Row | None:
    """The sealed party sheet of an assignment, as row-level security lets it be seen."""
    return await db.fetchrow("SELECT * FROM party_sheet WHERE assignment_id = $1", assignment_id)


async def drop_party_sheet(db: asyncpg.Connection, assignment_id: UUID) -> None:
    """Whose turn is over needs names and contacts no longer."""
    await db.execute("DELETE FROM party_sheet WHERE assignment_id = $1", assignment_id)


# -- hand-over ---------------------------------------------------------------------------------


async def put_hand_over(db: asyncpg.Connection, values: Mapping[str, Any]) -> bool:
    """Store the package once; answers whether it is new."""
    names = list(values)
    marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    return (
        await db.fetchval(
            f"""INSERT INTO hand_over ({", ".join(names)}) VALUES ({marks})
                ON CONFLICT (mediation_id) DO NOTHING RETURNING mediation_id""",
            *values.values(),
        )
        is not None
    )


async def hand_over(db: asyncpg.Connection, mediation_id: UUID) -> Row | None:
    """The stored package of a mediation."""
    return await db.fetchrow("SELECT * FROM hand_over WHERE mediation_id = $1", mediation_id)


async def held_sessions(db: asyncpg.Connection, mediation_id: UUID) -> int:
    """How many sessions were held."""
    return int(
        await db.fetchval(
            "SELECT count(*) FROM session WHERE mediation_id = $1 AND state = 'held'", mediation_id
        )
    )
