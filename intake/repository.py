"""All SQL of intake. Values are always bound; a read of case data goes through ``AgencyScope``."""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from intake.model import Referral
from intake.vault import Sealed
from services.access import AgencyScope
from services.ids import new_id
from services.unit_of_work import UnitOfWork

Row = asyncpg.Record
Database = Any  # asyncpg's connection or the pool's proxy of one

# The write path of every referral: one statement. The unique reference decides; when it is taken
# nothing else is written. Likely duplicates are looked for afterwards.
_REGISTER: Final = """
WITH taken AS (
  INSERT INTO referral (referral_id, case_id, organisation, connection, reference,
    normal_reference, fingerprint, channel, warnings, kek_id, wrapped_key, document, occurred_at,
    recorded_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
  ON CONFLICT (organisation, normal_reference) DO NOTHING RETURNING referral_id
), filed AS (
  INSERT INTO case_file (case_id, case_number, referral_id, organisation, lane, dispute_type,
    dispute_subtype, place, claim_fen, channel, legal_context, joint_sessions, requested_within,
    preferred_mode, holder, held_since, occurred_at, occurred_until, request_made_at, received_at,
    registered_at, recorded_at)
  SELECT $2, $15, $1, $3, $16, $17, $18, $19, $20, $8, $21, $22, $23, $24, $3, $14, $25, $26, $27,
    $13, $14, $14 FROM taken
), people AS (
  INSERT INTO party (party_id, case_id, referral_id, ref, role, kind, organisation, consent,
    consent_on, receipt_hash, recorded_at)
  SELECT p.party_id, $2, $1, p.ref, p.role, p.kind, p.organisation, p.consent, p.consent_on,
    p.receipt_hash, $14
  FROM taken, unnest($28::uuid[], $29::text[], $30::text[], $31::text[], $32::text[], $33::text[],
    $34::date[], $35::bytea[])
    AS p(party_id, ref, role, kind, organisation, consent, consent_on, receipt_hash)
), sealed AS (
  INSERT INTO party_vault (party_id, case_id, source, kek_id, wrapped_key, name, identity, phone,
    address, details, protected, identity_blind, recorded_at)
  SELECT v.party_id, $2, $3, $10, v.wrapped_key, v.name, v.identity, v.phone, v.address, v.details,
    v.protected::jsonb, v.identity_blind, $14
  FROM taken, unnest($28::uuid[], $36::bytea[], $37::bytea[], $38::bytea[], $39::bytea[],
    $40::bytea[], $41::bytea[], $42::text[], $43::bytea[])
    AS v(party_id, wrapped_key, name, identity, phone, address, details, protected, identity_blind)
), papers AS (
  INSERT INTO document (referral_id, ordinal, case_id, sha256, size_bytes, media_type, recorded_at)
  SELECT $1, d.ordinal, $2, d.sha256, d.size_bytes, d.media_type, $14
  FROM taken, unnest($44::text[], $45::bigint[], $46::text[]) WITH ORDINALITY
    AS d(sha256, size_bytes, media_type, ordinal)
), held AS (
  INSERT INTO holding (case_id, episode, holder, ground, occurred_at, recorded_at)
  SELECT $2, 1, $3, 'first_receiver', $14, $14 FROM taken
), takes_part AS (
  INSERT INTO participation (participation_id, case_id, episode, organisation, role, reference,
    joined_at)
  SELECT $1, $2, 1, $3, 'source', $5, $14 FROM taken
), to_compare AS (
  INSERT INTO duplicate_queue (referral_id, recorded_at) SELECT $1, $14 FROM taken
)
SELECT count(*) FROM taken
"""


async def register(
    uow: UnitOfWork,
    *,
    referral: Referral,
    referral_id: UUID,
    case_id: UUID,
    case_number: str,
    connection: str | None,
    fingerprint: bytes,
    warnings: list[dict[str, str]],
    document: Sealed,
    legal_context: dict[str, Any],
    parties: list[dict[str, Any]],
) -> bool:
    """Write referral, case, parties, vault, papers and suggestions; False: reference is taken."""

    def column(name: str) -> list[Any]:
        return [party[name] for party in parties]

    taken = await uow.db.fetchval(
        _REGISTER,
        referral_id,
        case_id,
        referral.organisation,
        connection,
        referral.reference,
        referral.normal_reference,
        fingerprint,
        referral.channel,
        warnings,
        document.kek_id,
        document.wrapped_key,
        document.fields["document"],
        referral.received_at,
        uow.now,
        case_number,
        referral.lane,
        referral.dispute_type,
        referral.dispute_subtype,
        referral.place,
        referral.claim_fen,
        legal_context,
        referral.joint_sessions,
        referral.requested_within,
        referral.preferred_mode,
        referral.occurred_at,
        referral.occurred_until,
        referral.request_made_at,
        column("party_id"),
        column("ref"),
        column("role"),
        column("kind"),
        column("organisation"),
        column("consent"),
        column("consent_on"),
        column("receipt_hash"),
        column("wrapped_key"),
        column("name"),
        column("identity"),
        column("phone"),
        column("address"),
        column("details"),
        column("protected"),
        column("identity_blind"),
        [paper["sha256"] for paper in referral.documents],
        [paper["size"] for paper in referral.documents],
        [paper["media_type"] for paper in referral.documents],
    )
    return bool(taken)


# -- referrals ---------------------------------------------------------------------------------

_REFERRAL: Final = """
SELECT r.referral_id, r.case_id, c.case_number, r.organisation, r.connection, r.reference,
  r.channel, r.warnings, r.version, r.fingerprint, r.kek_id, r.wrapped_key, r.document,
  r.occurred_at AS received_at, r.recorded_at, c.request_made_at, c.state, c.stage, c.lane, c.place
FROM referral r JOIN case_file c USING (case_id)
"""


async def referral_by_reference(
    uow: UnitOfWork, organisation: str, normal_reference: str
) -> Row | None:
    """A referral by its source's own number."""
    return await uow.db.fetchrow(
        f"{_REFERRAL} WHERE r.organisation = $1 AND r.normal_reference = $2",
        organisation,
        normal_reference,
    )


async def own_referral(
    uow: UnitOfWork, scope: AgencyScope, referral_id: UUID, *, lock: bool = False
) -> Row | None:
    """A referral of the caller's own organisation."""
    return await uow.db.fetchrow(
        f"{_REFERRAL} WHERE r.referral_id = $1 AND r.organisation = $2"
        + (" FOR UPDATE OF r" if lock else ""),
        referral_id,
        scope.organisation,
    )


async def own_referrals(
    uow: UnitOfWork,
    scope: AgencyScope,
    *,
    normal_reference: str | None,
    before: UUID | None,
    limit: int,
) -> list[Row]:
    """The caller's referrals, youngest first."""
    rows: list[Row] = await uow.db.fetch(
        f"""{_REFERRAL} WHERE r.organisation = $1
          AND r.referral_id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          {"AND r.normal_reference = $3" if normal_reference is not None else ""}
        ORDER BY r.referral_id DESC LIMIT {int(limit)}""",
        scope.organisation,
        before,
        *([] if normal_reference is None else [normal_reference]),
    )
    return rows


async def referral_of_case(uow: UnitOfWork, case_id: UUID) -> Any:
    """The referral that opened the case, for services that passed their own gate."""
    row: Any = await uow.db.fetchrow(
        f"{_REFERRAL} WHERE r.referral_id = (SELECT referral_id FROM case_file WHERE case_id = $1)",
        case_id,
    )
    return row


async def own_reference(uow: UnitOfWork, case_id: UUID, organisation: str) -> str | None:
    """The organisation's own number of a case."""
    found: str | None = await uow.db.fetchval(
        "SELECT reference FROM referral WHERE case_id = $1 AND organisation = $2 LIMIT 1",
        case_id,
        organisation,
    )
    return found


async def receipt_parties(
    uow: UnitOfWork, referral_id: UUID, *, first_only: bool = False
) -> list[Row]:
    """Party ids, refs and receipt versions of a referral, in its order.

    ``first_only`` leaves out the parties that a correction added.
    """
    rows: list[Row] = await uow.db.fetch(
        """SELECT p.party_id, p.ref, p.role, p.receipt_version FROM party p
           JOIN referral r USING (referral_id)
           WHERE p.referral_id = $1 AND (NOT $2 OR p.recorded_at = r.recorded_at)
           ORDER BY length(p.ref), p.ref""",
        referral_id,
        first_only,
    )
    return rows


async def replace_document(
    uow: UnitOfWork,
    row: Row,
    *,
    document: bytes,
    reason: bytes,
    changed: list[str],
    organisation: str,
    occurred_at: datetime,
    mandate_id: UUID | None = None,
) -> None:
    """The referral's next version; the one that stood is kept as history."""
    await uow.db.execute(
        """WITH old AS (INSERT INTO referral_version (referral_id, version, document, changed,
             reason, organisation, acted_by, occurred_at, recorded_at, mandate_id)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $11)), again AS (
             INSERT INTO duplicate_queue (referral_id, recorded_at) VALUES ($1, $9)
             ON CONFLICT DO NOTHING)
           UPDATE referral SET document = $10, version = $2 + 1 WHERE referral_id = $1""",
        row["referral_id"],
        row["version"],
        row["document"],
        changed,
        reason,
        organisation,
        uow.actor.acted_by,
        occurred_at,
        uow.now,
        document,
        mandate_id,
    )


async def referral_history(uow: UnitOfWork, referral_id: UUID) -> list[Row]:
    """Corrections of a referral, oldest first."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT version, changed, organisation, acted_by, mandate_id, occurred_at, recorded_at
           FROM referral_version WHERE referral_id = $1 ORDER BY version""",
        referral_id,
    )
    return rows


async def correct_case(
    uow: UnitOfWork,
    case_id: UUID,
    facts: Referral,
    legal_context: dict[str, Any],
    *,
    joint_sessions: bool,
) -> None:
    """Bring the case's own columns to the corrected referral."""
    await uow.db.execute(
        """UPDATE case_file SET dispute_type = $2, dispute_subtype = $3, place = $4, claim_fen = $5,
             joint_sessions = $6, requested_within = $7, preferred_mode = $8, occurred_at = $9,
             occurred_until = $10, legal_context = $11, version = version + 1
           WHERE case_id = $1""",
        case_id,
        facts.dispute_type,
        facts.dispute_subtype,
        facts.place,
        facts.claim_fen,
        joint_sessions,
        facts.requested_within,
        facts.preferred_mode,
        facts.occurred_at,
        facts.occurred_until,
        legal_context,
    )


async def correct_party(
    uow: UnitOfWork,
    party_id: UUID,
    *,
    organisation: str | None,
    consent: str,
    consent_on: date | None,
    sealed: dict[str, bytes | None],
    protected: dict[str, bool],
    identity_blind: bytes | None,
) -> None:
    """Replace what the vault and the party's row say."""
    await uow.db.execute(
        """WITH p AS (UPDATE party SET organisation = $2, consent = $3, consent_on = $4
             WHERE party_id = $1)
           UPDATE party_vault SET name = $5, identity = $6, phone = $7, address = $8, details = $9,
             protected = $10, identity_blind = $11 WHERE party_id = $1""",
        party_id,
        organisation,
        consent,
        consent_on,
        sealed["name"],
        sealed["identity"],
        sealed["phone"],
        sealed["address"],
        sealed["details"],
        protected,
        identity_blind,
    )


async def add_party(
    uow: UnitOfWork, case_id: UUID, referral_id: UUID, source: str, party: dict[str, Any]
) -> None:
    """A party named later (an unknown respondent became known)."""
    await uow.db.execute(
        """WITH p AS (INSERT INTO party (party_id, case_id, referral_id, ref, role, kind,
             organisation, consent, consent_on, receipt_hash, recorded_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11))
           INSERT INTO party_vault (party_id, case_id, source, kek_id, wrapped_key, name, identity,
             phone, address, details, protected, identity_blind, recorded_at)
           VALUES ($1, $2, $12, $13, $14, $15, $16, $17, $18, $19, $20::text::jsonb, $21, $11)""",
        party["party_id"],
        case_id,
        referral_id,
        party["ref"],
        party["role"],
        party["kind"],
        party["organisation"],
        party["consent"],
        party["consent_on"],
        party["receipt_hash"],
        uow.now,
        source,
        party["kek_id"],
        party["wrapped_key"],
        party["name"],
        party["identity"],
        party["phone"],
        party["address"],
        party["details"],
        party["protected"],
        party["identity_blind"],
    )


async def replace_documents(
    uow: UnitOfWork, case_id: UUID, referral_id: UUID, papers: list[dict[str, Any]]
) -> None:
    """The referral's list of papers as it stands now."""
    await uow.db.execute("DELETE FROM document WHERE referral_id = $1", referral_id)
    await uow.db.execute(
        """INSERT INTO document (referral_id, ordinal, case_id, sha256, size_bytes, media_type,
             recorded_at)
           SELECT $1, d.ordinal, $2, d.sha256, d.size_bytes, d.media_type, $6
           FROM unnest($3::text[], $4::bigint[], $5::text[]) WITH ORDINALITY
             AS d(sha256, size_bytes, media_type, ordinal)""",
        referral_id,
        case_id,
        [paper["sha256"] for paper in papers],
        [paper["size"] for paper in papers],
        [paper["media_type"] for paper in papers],
        uow.now,
    )


# -- cases -------------------------------------------------------------------------------------


async def case(uow: UnitOfWork, case_id: UUID) -> Row | None:
    """A case's row; the caller has passed the gate."""
    return await uow.db.fetchrow("SELECT * FROM case_file WHERE case_id = $1", case_id)


async def parties(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """The parties without names, in the referral's order."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT party_id, referral_id, ref, role, kind, organisation, consent, consent_on,
             receipt_version, left_at, left_told_by, left_recorded_at, left_mandate_id
           FROM party WHERE case_id = $1 ORDER BY length(ref), ref""",
        case_id,
    )
    return rows


async def sealed_parties(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """The vault's rows of a case; row-level security applies too."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT p.party_id, p.ref, p.role, p.kind, p.organisation, p.consent, p.consent_on,
             p.left_at, v.kek_id, v.wrapped_key, v.name, v.identity, v.phone, v.address, v.details,
             v.protected
           FROM party p JOIN party_vault v USING (party_id)
           WHERE p.case_id = $1 ORDER BY length(p.ref), p.ref""",
        case_id,
    )
    return rows


async def contacts(uow: UnitOfWork, party_ids: list[UUID]) -> list[Row]:
    """Vault rows of parties of any case, each with what its case says about safety."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT p.party_id, p.case_id, p.ref, p.role, p.kind, p.organisation, p.consent,
             p.consent_on, p.left_at, v.kek_id, v.wrapped_key, v.name, v.identity, v.phone,
             v.address, v.details, v.protected, c.case_number, c.joint_sessions
           FROM party p JOIN party_vault v USING (party_id)
           JOIN case_file c ON c.case_id = p.case_id
           WHERE p.party_id = ANY($1::uuid[])""",
        party_ids,
    )
    return rows


async def documents(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """The papers that referrals name, by hash, and since when the paper itself is here."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT d.referral_id, d.ordinal, d.sha256, d.size_bytes, d.media_type,
             (SELECT min(a.checked_at) FROM attachment a WHERE a.case_id = d.case_id
                AND a.sha256 = d.sha256 AND a.state IN ('clean', 'unscanned')) AS arrived_at
           FROM document d WHERE d.case_id = $1 ORDER BY d.referral_id, d.ordinal""",
        case_id,
    )
    return rows


async def assignments(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """The turns at a case, in order."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT assignment_id, episode, organisation, ordinal, state, ground, outcome, accept_by,
             occurred_at FROM assignment WHERE case_id = $1 ORDER BY episode, ordinal""",
        case_id,
    )
    return rows


async def deadlines(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """The clocks of a case, the next due first."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT clock_id, episode, kind, rule, citation, subject_id, state, due_at, due_on,
             original_due_at, projected
           FROM deadline WHERE case_id = $1 ORDER BY due_at, clock_id""",
        case_id,
    )
    return rows


async def holders(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """Everybody who has answered for the case, in order."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT holder, episode, ground, occurred_at, recorded_at FROM holding
           WHERE case_id = $1 ORDER BY id""",
        case_id,
    )
    return rows


async def as_of(uow: UnitOfWork, case_id: UUID) -> dict[str, int]:
    """How far each service has been heard about the case."""
    rows = await uow.db.fetch(
        """SELECT source, sequence FROM inbox WHERE consumer = 'intake.cases' AND case_id = $1
           UNION ALL SELECT '/intake', last_sequence FROM case_stream WHERE case_id = $1""",
        case_id,
    )
    found = {row["source"].lstrip("/"): int(row["sequence"]) for row in rows}
    return {name: found.get(name, 0) for name in ("intake", "routing", "mediation", "notification")}


async def parked(uow: UnitOfWork, case_id: UUID) -> bool:
    """Whether an event of the case could not be handled and others queue behind it."""
    return bool(
        await uow.db.fetchval(
            "SELECT EXISTS (SELECT 1 FROM parked_case WHERE key = $1)", str(case_id)
        )
    )


# The members of an event that name who acted, the first that is there.
ACTED_BY: Final = ("organisation", "decided_by", "convened_by", "asked_by", "holder")


async def timeline(
    uow: UnitOfWork,
    case_id: UUID,
    *,
    types: list[str],
    linked_as: str | None,
    before: list[Any] | None,
    limit: int,
    organisation: str | None = None,
    by: str = "recorded",
    from_: datetime | None = None,
    to: datetime | None = None,
) -> list[Row]:
    """What happened, of these types, youngest record first: heard from others, and our own outbox.

    ``linked_as`` narrows linkages to those that the organisation asked for or was asked for;
    ``from_`` (counts) and ``to`` (does not) bound the time ``by`` which they are asked for.
    """
    acted = ", ".join(f"data->>'{name}'" for name in ACTED_BY)
    time = "occurred_at" if by == "occurred" else "recorded_at"
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT * FROM (
             SELECT event_id, source, sequence, episode, type, data, occurred_at, recorded_at
             FROM timeline_entry WHERE case_id = $1 AND type = ANY($7)
             UNION ALL
             SELECT event_id, '/intake', sequence,
               (SELECT (h->>1)::int FROM jsonb_array_elements(headers) h
                WHERE h->>0 = 'ce_episode'),
               type, convert_from(data, 'UTF8')::jsonb,
               (SELECT (h->>1)::timestamptz FROM jsonb_array_elements(headers) h
                WHERE h->>0 = 'ce_time'), recorded_at
             FROM outbox WHERE topic = $5 AND key = $6 AND type = ANY($7)
           ) t
           WHERE ($2::timestamptz IS NULL OR (recorded_at, event_id) < ($2, $3))
             AND ($8::text IS NULL OR type NOT LIKE 'liandiao.linkage.%'
                  OR data->>'asked' = $8 OR data->>'asked_by' = $8)
             AND ($9::text IS NULL OR coalesce({acted}) = $9)
             AND ($10::timestamptz IS NULL OR {time} >= $10)
             AND ($11::timestamptz IS NULL OR {time} < $11)
           ORDER BY recorded_at DESC, event_id DESC LIMIT $4""",
        case_id,
        datetime.fromisoformat(before[0]) if before else None,
        UUID(before[1]) if before else None,
        limit,
        uow.runtime.settings.cases_topic,
        str(case_id),
        types,
        linked_as,
        organisation,
        from_,
        to,
    )
    return rows


async def change_lane(uow: UnitOfWork, case_id: UUID, lane: str) -> int:
    """The case runs in another lane; its new version."""
    return int(
        await uow.db.fetchval(
            """UPDATE case_file SET lane = $2, version = version + 1 WHERE case_id = $1
               RETURNING version""",
            case_id,
            lane,
        )
    )


async def close(uow: UnitOfWork, case_id: UUID, outcome: str, closed_at: datetime) -> bool:
    """The round is over; answers whether other cases are joined to this one."""
    return bool(
        await uow.db.fetchval(
            """UPDATE case_file SET state = 'closed', stage = 'closed', outcome = $2,
                 closed_at = $3, version = version + 1 WHERE case_id = $1
               RETURNING EXISTS (SELECT 1 FROM case_join j
                                 WHERE j.surviving_case_id = $1 AND j.undone_at IS NULL)""",
            case_id,
            outcome,
            closed_at,
        )
    )


async def reopen(uow: UnitOfWork, case_id: UUID, episode: int) -> None:
    """The next round begins; whoever left may be asked again."""
    await uow.db.execute(
        """WITH p AS (UPDATE party SET left_at = NULL, left_told_by = NULL, left_recorded_at = NULL,
             consent = 'unknown', consent_on = NULL WHERE case_id = $1)
           UPDATE case_file SET state = 'open', stage = 'registered', outcome = NULL,
             closed_at = NULL, episode = $2, version = version + 1 WHERE case_id = $1""",
        case_id,
        episode,
    )


async def leave(
    uow: UnitOfWork,
    party_id: UUID,
    left_at: datetime,
    told_by: str,
    mandate_id: UUID | None = None,
) -> bool:
    """Record that a party left; False when it had left before (the first result stands)."""
    status = await uow.db.execute(
        """UPDATE party SET left_at = $2, left_told_by = $3, left_recorded_at = $4,
             left_mandate_id = $5
           WHERE party_id = $1 AND left_at IS NULL""",
        party_id,
        left_at,
        told_by,
        uow.now,
        mandate_id,
    )
    return bool(status.endswith(" 1"))


# -- what the other services say -----------------------------------------------------------------


async def record_heard(db: Database, entries: list[tuple[Any, ...]]) -> None:
    """Timeline entries (event_id, case_id, source, sequence, episode, type, data, occurred_at,
    recorded_at), in the order in which they were heard; a repeat changes nothing."""
    columns = [list(column) for column in zip(*entries, strict=True)]
    await db.execute(
        """INSERT INTO timeline_entry (event_id, case_id, source, sequence, episode, type, data,
             occurred_at, recorded_at)
           SELECT event_id, case_id, source, sequence, episode, type, data::jsonb, occurred_at,
             recorded_at
           FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::int[], $6::text[],
             $7::text[], $8::timestamptz[], $9::timestamptz[]) WITH ORDINALITY
             AS t(event_id, case_id, source, sequence, episode, type, data, occurred_at,
                  recorded_at, n)
           ORDER BY n ON CONFLICT (event_id) DO NOTHING""",
        *columns,
    )


async def hold(
    uow: UnitOfWork, case_id: UUID, episode: int, holder: str, ground: str, at: datetime
) -> None:
    """Somebody else answers for the case from ``at`` on; the same holder again changes nothing.

    Never from before the holder before began: an act may tell of an earlier hour than one that was
    heard already, and nobody's time ends before it begins.
    """
    await uow.db.execute(
        """WITH h AS (UPDATE case_file SET holder = $3, held_since = greatest(held_since, $5)
             WHERE case_id = $1 AND holder <> $3 RETURNING held_since)
           INSERT INTO holding (case_id, episode, holder, ground, occurred_at, recorded_at)
           SELECT $1, $2, $3, $4, held_since, $6 FROM h""",
        case_id,
        episode,
        holder,
        ground,
        at,
        uow.now,
    )


async def set_stage(uow: UnitOfWork, case_id: UUID, stage: str) -> None:
    """How far the open case has come."""
    await uow.db.execute(
        "UPDATE case_file SET stage = $2 WHERE case_id = $1 AND state = 'open' AND stage <> $2",
        case_id,
        stage,
    )


async def offer(
    uow: UnitOfWork,
    *,
    assignment_id: UUID,
    case_id: UUID,
    episode: int,
    organisation: str,
    ordinal: int,
    accept_by: datetime,
    offered_at: datetime,
    teller: str,
    citations: tuple[str, str],
) -> None:
    """An organisation's turn begins, and both are told (双告知): a task each until it is proved.

    Written together, so that no turn stands whose party or receiver nobody tells. ``teller`` tells
    the parties. One without phone and address is owed nothing, nor is nobody (信访工作条例 23).
    A party's notice has the receiver's id with the end of the party's own: as old, and unique.
    """
    await uow.db.execute(
        """WITH turn AS (
             INSERT INTO assignment (assignment_id, case_id, episode, organisation, ordinal, state,
               accept_by, occurred_at, recorded_at)
             VALUES ($1, $2, $3, $4, $5, 'offered', $6, $7, $8) ON CONFLICT DO NOTHING
             RETURNING case_id
           ), owed AS (
             SELECT $9::uuid AS id, 'receiver' AS recipient, NULL::uuid AS party_id,
               $4::text AS organisation, 'task' AS state, $12::text AS citation FROM turn
             UNION ALL
             SELECT coalesce(overlay($9::text PLACING right(p.party_id::text, 12) FROM 25)::uuid,
                 $10::uuid), 'party', p.party_id, $11::text,
               CASE WHEN coalesce(v.phone, v.address) IS NULL THEN 'not_owed' ELSE 'task' END,
               $13::text
             FROM turn LEFT JOIN party p ON p.case_id = turn.case_id AND p.left_at IS NULL
               LEFT JOIN party_vault v ON v.party_id = p.party_id
           ), told AS (
             INSERT INTO notice (notice_id, subject_kind, subject_id, case_id, party_id,
               to_organisation, about, recipient, organisation, state, citation, due_at,
               recorded_at)
             SELECT id, 'turn', $1, $2, party_id, $4, 'offered', recipient, organisation, state,
               citation, $6, $8 FROM owed)
           UPDATE case_file SET stage = 'offered'
           WHERE case_id = $2 AND state = 'open' AND stage <> 'offered'""",
        assignment_id,
        case_id,
        episode,
        organisation,
        ordinal,
        accept_by,
        offered_at,
        uow.now,
        new_id(),
        new_id(),
        teller,
        citations[1],
        citations[0],
    )


async def set_assignment(
    uow: UnitOfWork,
    assignment_id: UUID,
    state: str,
    at: datetime,
    *,
    ground: str | None = None,
    outcome: str | None = None,
    failed: bool = False,
    seen: bool = False,
) -> Row | None:
    """The turn's next state; a turn that is over stays over. Answers the row as it stands.

    ``seen``: the organisation answered by itself, so it has been told.
    """
    return await uow.db.fetchrow(
        """WITH told AS (
             UPDATE notice SET state = 'proved', means = 'note_taken', proved_at = $3
             WHERE $7::boolean AND subject_id = $1 AND recipient = 'receiver' AND state = 'task')
           UPDATE assignment SET
             state = CASE WHEN state IN ('returned', 'ended') THEN state ELSE $2 END,
             occurred_at = CASE WHEN state IN ('returned', 'ended') THEN occurred_at ELSE $3 END,
             ground = coalesce($4, ground), outcome = coalesce($5, outcome),
             failed_end = failed_end OR $6
           WHERE assignment_id = $1 RETURNING *""",
        assignment_id,
        state,
        at,
        ground,
        outcome,
        failed,
        seen,
    )


async def set_mediation_end(
    uow: UnitOfWork, assignment_id: UUID, outcome: str, succeeded: bool, handover_built: bool
) -> Row | None:
    """How the proceeding ended, and whether its hand-over package stands."""
    return await uow.db.fetchrow(
        """UPDATE assignment SET outcome = $2, succeeded = $3,
             handover_built = handover_built OR $4 WHERE assignment_id = $1 RETURNING *""",
        assignment_id,
        outcome,
        succeeded,
        handover_built,
    )


async def open_assignment(uow: UnitOfWork, case_id: UUID, episode: int) -> Row | None:
    """The turn that is running, if any."""
    return await uow.db.fetchrow(
        """SELECT assignment_id, organisation, state FROM assignment
           WHERE case_id = $1 AND episode = $2 AND state NOT IN ('returned', 'ended')
           ORDER BY ordinal DESC LIMIT 1""",
        case_id,
        episode,
    )


async def assignment(uow: UnitOfWork, assignment_id: UUID) -> Row | None:
    """A turn by its id."""
    return await uow.db.fetchrow("SELECT * FROM assignment WHERE assignment_id = $1", assignment_id)


async def set_deadlines(db: Database, clocks: list[tuple[Any, ...]]) -> None:
    """Clocks as routing last told them, each once: (clock_id, case_id, episode, kind, rule,
    citation, subject_id, state, due_at, due_on, original_due_at, projected, occurred_at)."""
    columns = [list(column) for column in zip(*clocks, strict=True)]
    await db.execute(
        """INSERT INTO deadline (clock_id, case_id, episode, kind, rule, citation, subject_id,
             state, due_at, due_on, original_due_at, projected, occurred_at)
           SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[],
             $6::text[], $7::uuid[], $8::text[], $9::timestamptz[], $10::text[],
             $11::timestamptz[], $12::bool[], $13::timestamptz[])
           ON CONFLICT (clock_id) DO UPDATE SET state = excluded.state, due_at = excluded.due_at,
             due_on = excluded.due_on, projected = excluded.projected, rule = excluded.rule,
             citation = excluded.citation, occurred_at = excluded.occurred_at""",
        *columns,
    )


# -- the access log ------------------------------------------------------------------------------

ACCESS_ACTIONS: Final = (
    "duplicate.notice",
    "parties.read",
    "party_sheet.read",
    "contact.read",
    "referral.read",
    "receipt.replaced",
    "representations.read",
    "screening.read",
    "alert.read",
    "receipt.unlocked",
    "representative.admitted",
    "representative.revoked",
    "correction-requests.read",
    "copy.made",
    "receipt.read",
    "sharing.consented",
    "publication.consented",
    "publication.withdrawn",
    "attachments.listed",
    "attachment.read",
    "attachment.shared",
    "case.exported",
)


async def access_log(
    uow: UnitOfWork, case_id: UUID, *, party_id: UUID | None, before: list[Any] | None, limit: int
) -> list[Row]:
    """Who opened the file of a case (or of one party in it), or acted under a party's mandate.

    Youngest first.
    """
    rows: list[Row] = await uow.db.fetch(
        """SELECT id, action, organisation, actor, acted_by, purpose, recorded_at, chain_number,
             detail FROM audit_entry
           WHERE case_id = $1 AND (action = ANY($2) OR detail ? 'mandate_id')
             AND ($3::text IS NULL OR detail->'parties' ? $3)
             AND ($4::timestamptz IS NULL OR (recorded_at, id) < ($4, $5))
           ORDER BY recorded_at DESC, id DESC LIMIT $6""",
        case_id,
        list(ACCESS_ACTIONS),
        str(party_id) if party_id else None,
        datetime.fromisoformat(before[0]) if before else None,
        UUID(before[1]) if before else None,
        limit,
    )
    return rows


# -- receipts ------------------------------------------------------------------------------------


async def parties_by_number(db: Database, case_number: str) -> list[Row]:
    """Receipt hashes of the parties of a case number."""
    rows: list[Row] = await db.fetch(
        """SELECT p.party_id, p.case_id, p.receipt_hash FROM party p
           JOIN case_file c USING (case_id) WHERE c.case_number = $1""",
        case_number,
    )
    return rows


async def replace_receipt(
    uow: UnitOfWork, party_id: UUID, version: int, receipt_hash: bytes
) -> None:
    """Another secret opens the party's view from now on; the one before opens nothing."""
    await uow.db.execute(
        "UPDATE party SET receipt_version = $2, receipt_hash = $3 WHERE party_id = $1",
        party_id,
        version,
        receipt_hash,
    )


async def count_try(
    db: Database, number: str, address: str, *, window_seconds: int
) -> tuple[int, int]:
    """Count one try before it is judged: tries in this window, seconds until the window ends.

    Real time: a lock must not open because a test clock moved.
    """
    row = await db.fetchrow(
        """INSERT INTO receipt_try (number, address, tries, since) VALUES ($1, $2, 1, now())
           ON CONFLICT (number, address) DO UPDATE SET
             tries = CASE WHEN receipt_try.since < now() - make_interval(secs => $3) THEN 1
                          ELSE receipt_try.tries + 1 END,
             since = CASE WHEN receipt_try.since < now() - make_interval(secs => $3) THEN now()
                          ELSE receipt_try.since END
           RETURNING tries, ceil(extract(epoch FROM since + make_interval(secs => $3) - now()))::int
             AS left""",
        number,
        address,
        window_seconds,
    )
    return row["tries"], max(1, row["left"])


async def start_lock(db: Database, number: str, address: str) -> None:
    """The lock's time counts from the last try that was judged."""
    await db.execute(
        "UPDATE receipt_try SET since = now() WHERE number = $1 AND address = $2", number, address
    )


async def forget_tries(db: Database, number: str, address: str) -> None:
    """A right secret wipes the count."""
    await db.execute("DELETE FROM receipt_try WHERE number = $1 AND address = $2", number, address)


async def purge_tries(db: Database, *, window_seconds: int) -> int:
    """Delete counts whose window is over."""
    status = await db.execute(
        "DELETE FROM receipt_try WHERE since < now() - make_interval(secs => $1)", window_seconds
    )
    return int(status.split()[-1])


async def take_serials(db: Database, county: str, year: int, count: int) -> int:
    """Reserve a block of serials; answers the first."""
    return int(
        await db.fetchval(
            """INSERT INTO case_serial (county, year, next_serial) VALUES ($1, $2, $3 + 1)
               ON CONFLICT (county, year) DO UPDATE SET next_serial = case_serial.next_serial + $3
               RETURNING next_serial - $3""",
            county,
            year,
            count,
        )
    )


async def wrongs(db: Database) -> dict[str, int]:
    """Counts of invariants that do not hold; all are 0 in a healthy installation."""
    row = await db.fetchrow(
        """SELECT
             (SELECT count(*) FROM case_file c WHERE c.state = 'open'
                AND c.recorded_at < now() - interval '1 minute' AND c.stage <> 'undecided'
                AND NOT EXISTS (
                  SELECT 1 FROM deadline d WHERE d.case_id = c.case_id
                  AND d.state IN ('running', 'paused', 'missed'))) AS open_without_clock,
             (SELECT count(*) FROM case_file c JOIN case_stream s USING (case_id)
                WHERE (c.state = 'closed') <> s.closed OR c.episode <> s.episode) AS round_differs,
             (SELECT count(*) FROM party p LEFT JOIN party_vault v USING (party_id)
                WHERE v.party_id IS NULL) AS party_without_vault"""
    )
    return {name: int(count) for name, count in row.items()}
