"""Many referrals in one statement: what ``repository.register`` writes, one INSERT a table.

Which reference is taken is decided by the unique reference, as for one; a test holds what an import
writes against what a POST writes, column by column.
"""

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from intake.handlers import Prepared
from services.unit_of_work import UnitOfWork

_REGISTER: Final = """
WITH incoming AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::bytea[], $8::text[], $9::text[], $10::text[], $11::bytea[], $12::bytea[],
    $13::timestamptz[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bigint[],
    $19::text[], $20::bool[], $21::text[], $22::text[], $23::timestamptz[], $24::timestamptz[],
    $25::timestamptz[])
  WITH ORDINALITY AS t(referral_id, case_id, case_number, organisation, reference,
    normal_reference, fingerprint, channel, warnings, kek_id, wrapped_key, document, received_at,
    lane, dispute_type, dispute_subtype, place, claim_fen, legal_context, joint_sessions,
    requested_within, preferred_mode, occurred_at, occurred_until, request_made_at, n)
), taken AS (
  INSERT INTO referral (referral_id, case_id, organisation, connection, reference,
    normal_reference, fingerprint, channel, warnings, kek_id, wrapped_key, document, occurred_at,
    recorded_at)
  SELECT referral_id, case_id, organisation, $26, reference, normal_reference, fingerprint, channel,
    warnings::jsonb, kek_id, wrapped_key, document, received_at, $27
  FROM incoming ORDER BY n
  ON CONFLICT (organisation, normal_reference) DO NOTHING RETURNING referral_id
), ours AS MATERIALIZED (
  SELECT incoming.* FROM incoming JOIN taken USING (referral_id)
), filed AS (
  INSERT INTO case_file (case_id, case_number, referral_id, organisation, lane, dispute_type,
    dispute_subtype, place, claim_fen, channel, legal_context, joint_sessions, requested_within,
    preferred_mode, holder, held_since, occurred_at, occurred_until, request_made_at, received_at,
    registered_at, recorded_at)
  SELECT case_id, case_number, referral_id, organisation, lane, dispute_type, dispute_subtype,
    place, claim_fen, channel, legal_context::jsonb, joint_sessions, requested_within::jsonb,
    preferred_mode, organisation, $27, occurred_at, occurred_until, request_made_at, received_at,
    $27, $27 FROM ours
), humans AS MATERIALIZED (
  SELECT p.*, ours.case_id, ours.organisation AS source, ours.n FROM ours JOIN unnest($28::uuid[],
    $29::uuid[], $30::text[], $31::text[], $32::text[], $33::text[], $34::text[], $35::date[],
    $36::bytea[], $37::text[], $38::bytea[], $39::bytea[], $40::bytea[], $41::bytea[],
    $42::bytea[], $43::bytea[], $44::text[], $45::bytea[])
    AS p(referral_id, party_id, ref, role, kind, organisation, consent, consent_on, receipt_hash,
      kek_id, wrapped_key, name, identity, phone, address, details, protected, identity_blind)
    USING (referral_id)
), people AS (
  INSERT INTO party (party_id, case_id, referral_id, ref, role, kind, organisation, consent,
    consent_on, receipt_hash, recorded_at)
  SELECT party_id, case_id, referral_id, ref, role, kind, organisation, consent, consent_on,
    receipt_hash, $27 FROM humans
), sealed AS (
  INSERT INTO party_vault (party_id, case_id, source, kek_id, wrapped_key, name, identity, phone,
    address, details, protected, identity_blind, recorded_at)
  SELECT party_id, case_id, source, kek_id, wrapped_key, name, identity, phone, address, details,
    protected::jsonb, identity_blind, $27 FROM humans
), papers AS (
  INSERT INTO document (referral_id, ordinal, case_id, sha256, size_bytes, media_type, recorded_at)
  SELECT d.referral_id, d.ordinal, ours.case_id, d.sha256, d.size_bytes, d.media_type, $27
  FROM ours JOIN unnest($46::uuid[], $47::int[], $48::text[], $49::bigint[], $50::text[])
    AS d(referral_id, ordinal, sha256, size_bytes, media_type) USING (referral_id)
), held AS (
  INSERT INTO holding (case_id, episode, holder, ground, occurred_at, recorded_at)
  SELECT case_id, 1, organisation, 'first_receiver', $27, $27 FROM ours
), takes_part AS (
  INSERT INTO participation (participation_id, case_id, episode, organisation, role, reference,
    joined_at)
  SELECT referral_id, case_id, 1, organisation, 'source', reference, $27 FROM ours
), to_compare AS (
  INSERT INTO duplicate_queue (referral_id, recorded_at) SELECT referral_id, $27 FROM ours
)
SELECT referral_id FROM taken
"""
_PARTY: Final = (
    "party_id", "ref", "role", "kind", "organisation", "consent", "consent_on", "receipt_hash",
    "kek_id", "wrapped_key", "name", "identity", "phone", "address", "details", "protected",
    "identity_blind",
)  # fmt: skip
_KNOWN: Final = """
SELECT r.organisation, r.normal_reference, r.fingerprint, r.referral_id
FROM unnest($1::text[], $2::text[]) AS k(organisation, normal_reference)
JOIN referral r USING (organisation, normal_reference)
"""


async def known(
    uow: UnitOfWork, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[bytes, UUID]]:
    """Fingerprint and id of the referrals that have these references."""
    rows = await uow.db.fetch(_KNOWN, [o for o, _ in keys], [n for _, n in keys])
    return {
        (r["organisation"], r["normal_reference"]): (bytes(r["fingerprint"]), r["referral_id"])
        for r in rows
    }


async def register_many(
    uow: UnitOfWork, made: Sequence[tuple[Prepared, str]], connection: str
) -> set[UUID]:
    """Write these referrals with their case numbers; answers those whose reference was free."""
    parties = [(each, party) for each, _ in made for party in each.parties]
    papers = [
        (each.referral_id, ordinal, paper)
        for each, _ in made
        for ordinal, paper in enumerate(each.referral.documents, 1)
    ]
    rows = await uow.db.fetch(
        _REGISTER,
        *(list(column) for column in zip(*(_columns(*each) for each in made), strict=True)),
        connection,
        uow.now,
        [each.referral_id for each, _ in parties],
        *([party[name] for _, party in parties] for name in _PARTY),
        [referral_id for referral_id, _, _ in papers],
        [ordinal for _, ordinal, _ in papers],
        [paper["sha256"] for _, _, paper in papers],
        [paper["size"] for _, _, paper in papers],
        [paper["media_type"] for _, _, paper in papers],
    )
    return {row["referral_id"] for row in rows}


def _columns(made: Prepared, case_number: str) -> tuple[Any, ...]:
    facts = made.referral
    return (
        made.referral_id,
        made.case_id,
        case_number,
        facts.organisation,
        facts.reference,
        facts.normal_reference,
        made.fingerprint,
        facts.channel,
        json.dumps(made.warnings, ensure_ascii=False),
        made.document.kek_id,
        made.document.wrapped_key,
        made.document.fields["document"],
        facts.received_at,
        facts.lane,
        facts.dispute_type,
        facts.dispute_subtype,
        facts.place,
        facts.claim_fen,
        orjson.dumps(made.legal_context, default=str).decode(),
        facts.joint_sessions,
        None if facts.requested_within is None else json.dumps(facts.requested_within),
        facts.preferred_mode,
        facts.occurred_at,
        facts.occurred_until,
        facts.request_made_at,
    )
