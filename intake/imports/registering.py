"""Many referrals in one statement: what ``repository.register`` writes, one INSERT a table.

Which reference is taken is decided by the unique reference, as for one; a test holds what an import
writes against what a POST writes, column by column. Rows and events are made ready where they are
judged (``filed``); only the case number and the instant of registering are added here.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from intake.handlers import Prepared, audit_submitted, told
from intake.parties import repository as representations
from intake.parties.handlers import rows_of_named
from intake.vault import Vault
from services.clock import wire
from services.events.envelope import Event
from services.events.intake import CaseRegistered, ReferralReceived
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


class Filed(NamedTuple):
    """A referral as rows and events, without what only its registration knows."""

    referral_id: UUID
    case_id: UUID
    county: str
    fingerprint: bytes
    received_at: datetime
    columns: tuple[Any, ...]
    parties: list[tuple[Any, ...]]
    papers: list[tuple[Any, ...]]
    representations: list[dict[str, Any]]
    received: bytes
    registered: bytes


def filed(made: Prepared, connection: str, vault: Vault) -> Filed:
    """The rows and events of a referral that may be registered."""
    facts = made.referral
    ids = {party["ref"]: party["party_id"] for party in made.parties}
    columns = (
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
    received, registered = told(made, None, connection, _NEVER)
    return Filed(
        made.referral_id,
        made.case_id,
        facts.county,
        made.fingerprint,
        facts.received_at,
        columns,
        [tuple([party[name] for name in _PARTY]) for party in made.parties],
        [
            (ordinal, paper["sha256"], paper["size"], paper["media_type"])
            for ordinal, paper in enumerate(facts.documents, 1)
        ],
        rows_of_named(vault, made.case_id, facts, ids),
        _open(received),
        _open(registered),
    )


_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_LATER: Final = {"case_id", "case_number", "registered_at"}


def _open(event: Event) -> bytes:
    """The members of its payload, but for the case and the instant of registering."""
    return event.model_dump_json(exclude_none=True, exclude=_LATER).encode()[1:-1]


async def register_many(
    uow: UnitOfWork, made: Sequence[tuple[Filed, str]], connection: str
) -> set[UUID]:
    """Write these referrals with their case numbers; answers those whose reference was free."""
    parties = [(each.referral_id, *row) for each, _ in made for row in each.parties]
    papers = [(each.referral_id, *row) for each, _ in made for row in each.papers]
    rows = await uow.db.fetch(
        _REGISTER,
        *_turned([(each.referral_id, each.case_id, n, *each.columns) for each, n in made], 25),
        connection,
        uow.now,
        *_turned(parties, 1 + len(_PARTY)),
        *_turned(papers, 5),
    )
    ours = {row["referral_id"] for row in rows}
    acting = [row for each, _ in made if each.referral_id in ours for row in each.representations]
    if acting:
        await representations.add(uow, acting)
    return ours


def _turned(rows: list[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Rows as columns; as many empty columns when there are none."""
    return list(zip(*rows, strict=True)) if rows else [()] * width


def announce_filed(uow: UnitOfWork, made: Filed, number: str) -> None:
    """Say that a registered referral was received and its case opened; audited."""
    uow.adopt_new_case(made.case_id, number)
    head = f'{{"case_id":"{made.case_id}","case_number":"{number}",'.encode()
    tail = f',"registered_at":"{wire(uow.now)}"}}'.encode()
    uow.emit_encoded(
        made.case_id,
        ReferralReceived.spec.type,
        head + made.received + b"}",
        occurred_at=made.received_at,
    )
    uow.emit_encoded(made.case_id, CaseRegistered.spec.type, head + made.registered + tail)
    audit_submitted(uow, made.case_id, made.referral_id)
