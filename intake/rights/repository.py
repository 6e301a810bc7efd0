"""All SQL of a person's rights: requests, consents, holds, retention, erasure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from services.unit_of_work import UnitOfWork

Row = dict[str, Any]
Record = asyncpg.Record


async def insert(uow: UnitOfWork, table: str, row: dict[str, Any]) -> None:
    """A row of one of this room's tables."""
    names = ", ".join(f'"{name}"' for name in row)
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await uow.db.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *row.values())


async def one(uow: UnitOfWork, table: str, id_: UUID) -> Row | None:
    """A row by its id, as row-level security lets it be seen."""
    row = await uow.db.fetchrow(f"SELECT * FROM {table} WHERE {_KEYS[table]} = $1", id_)
    return None if row is None else dict(row)


async def of_case(
    uow: UnitOfWork, table: str, case_id: UUID, party_id: UUID | None = None
) -> list[Row]:
    """The rows of a case, or of one party in it, in order."""
    rows = await uow.db.fetch(
        f"""SELECT * FROM {table} WHERE case_id = $1
            {"" if party_id is None else "AND party_id = $2"}
            ORDER BY recorded_at, {_KEYS[table]}""",
        case_id,
        *([] if party_id is None else [party_id]),
    )
    return [dict(row) for row in rows]


_KEYS: Final = {
    "correction_request": "request_id",
    "sharing_consent": "consent_id",
    "legal_hold": "hold_id",
    "erasure": "erasure_id",
    "limitation_record": "party_id",
    "retention": "case_id",
}


# -- requests and consents -----------------------------------------------------------------------


async def decide_request(
    uow: UnitOfWork, request_id: UUID, state: str, answer: bytes | None
) -> None:
    """The sender of the referral has decided."""
    await uow.db.execute(
        """UPDATE correction_request SET state = $2, answer = $3, organisation = $4, acted_by = $5,
             decided_at = $6 WHERE request_id = $1""",
        request_id,
        state,
        answer,
        uow.caller.organisation if uow.caller else None,
        uow.actor.acted_by,
        uow.now,
    )


async def withdraw_consent(uow: UnitOfWork, consent_id: UUID) -> None:
    """From now on the papers may not be used; the first withdrawal stands."""
    await uow.db.execute(
        """UPDATE sharing_consent SET withdrawn_at = $2
           WHERE consent_id = $1 AND withdrawn_at IS NULL""",
        consent_id,
        uow.now,
    )


async def may_use(
    uow: UnitOfWork, case_id: UUID, agency: str, sha256: str, purpose: str
) -> UUID | None:
    """The consent on which the agency may use the paper for this purpose now, if any."""
    found: UUID | None = await uow.db.fetchval(
        """SELECT consent_id FROM sharing_consent
           WHERE case_id = $1 AND agency = $2 AND $3 = ANY(papers) AND purpose = $4
             AND withdrawn_at IS NULL AND occurred_at <= $5 AND valid_until > $5
           ORDER BY recorded_at DESC LIMIT 1""",
        case_id,
        agency,
        sha256,
        purpose,
        uow.now,
    )
    return found


# -- holds and retention -------------------------------------------------------------------------


async def held(uow: UnitOfWork, case_id: UUID) -> bool:
    """Whether a legal hold stands."""
    return bool(
        await uow.db.fetchval(
            "SELECT EXISTS (SELECT 1 FROM legal_hold WHERE case_id = $1 AND lifted_at IS NULL)",
            case_id,
        )
    )


async def lift_hold(uow: UnitOfWork, hold_id: UUID) -> None:
    """The hold is over; the first lifting stands."""
    await uow.db.execute(
        """UPDATE legal_hold SET lifted_at = $2, lifted_by = $3
           WHERE hold_id = $1 AND lifted_at IS NULL""",
        hold_id,
        uow.now,
        uow.actor.acted_by,
    )


async def set_retention(
    uow: UnitOfWork,
    case_id: UUID,
    class_: str,
    keep_until: datetime | None,
    ground: str,
    *,
    by_hand: bool,
) -> None:
    """How long the file is kept; a class that somebody set is not replaced by the usual one."""
    await uow.db.execute(
        """INSERT INTO retention (case_id, class, ground, keep_until, organisation, acted_by,
             recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
           ON CONFLICT (case_id) DO UPDATE SET class = excluded.class, ground = excluded.ground,
             keep_until = excluded.keep_until, proposed = false,
             organisation = excluded.organisation, acted_by = excluded.acted_by""",
        case_id,
        class_,
        ground,
        keep_until,
        uow.caller.organisation if by_hand and uow.caller else None,
        uow.actor.acted_by if by_hand else None,
        uow.now,
    )


async def open_again(uow: UnitOfWork, case_id: UUID) -> None:
    """A reopened case is kept while it is open; its class stays."""
    await uow.db.execute("UPDATE retention SET keep_until = NULL WHERE case_id = $1", case_id)


async def due(uow: UnitOfWork, limit: int) -> list[UUID]:
    """Closed files whose time has come, that nobody has proposed to erase: marked as proposed."""
    rows = await uow.db.fetch(
        """UPDATE retention SET proposed = true WHERE case_id IN (
             SELECT r.case_id FROM retention r WHERE NOT r.proposed AND r.keep_until <= $1
               AND NOT EXISTS (SELECT 1 FROM legal_hold h
                               WHERE h.case_id = r.case_id AND h.lifted_at IS NULL)
             ORDER BY r.keep_until LIMIT $2 FOR UPDATE SKIP LOCKED)
           RETURNING case_id""",
        uow.now,
        limit,
    )
    return [row["case_id"] for row in rows]


# -- erasure -------------------------------------------------------------------------------------


async def decide_erasure(
    uow: UnitOfWork,
    erasure_id: UUID,
    state: str,
    refusal: str | None,
    parties: list[UUID],
    stays: Sequence[str],
) -> None:
    """A second person has decided; ``stays``: what the certificate says is kept."""
    await uow.db.execute(
        """UPDATE erasure SET state = $2, refusal = $3, parties = $4, decided_by = $5,
             decided_acted_by = $6, decided_at = $7, stays = $8 WHERE erasure_id = $1""",
        erasure_id,
        state,
        refusal,
        parties,
        uow.caller.organisation if uow.caller else None,
        uow.actor.acted_by,
        uow.now,
        list(stays),
    )


async def erased_at_service(
    uow: UnitOfWork, erasure_id: UUID, service: str, removed: int, services: tuple[str, ...]
) -> None:
    """One service has obeyed; with the last of them the erasure is certified."""
    await uow.db.execute(
        """UPDATE erasure e SET done = n.done,
             state = CASE WHEN n.done ?& $4::text[] THEN 'certified' ELSE state END,
             certified_at = CASE WHEN n.done ?& $4::text[] THEN coalesce(certified_at, $5) END
           FROM (SELECT erasure_id, done || jsonb_build_object($2::text,
                   jsonb_build_object('removed', $3::int, 'at', to_jsonb($5::timestamptz))) AS done
                 FROM erasure WHERE erasure_id = $1) n
           WHERE e.erasure_id = n.erasure_id AND NOT e.done ? $2""",
        erasure_id,
        service,
        removed,
        list(services),
        uow.now,
    )


# What of a person stands in a table: key column, the columns that are emptied.
SHREDDED: Final[dict[str, tuple[str, str]]] = {
    "party_vault": (
        "party_id",
        "name = '', identity = NULL, phone = NULL, address = NULL, details = NULL,"
        " protected = '{}', identity_blind = NULL",
    ),
    "representation": ("representation_id", "person = CASE WHEN person IS NULL THEN NULL ELSE"
                       " ''::bytea END"),
    "screening": ("screening_id", "answers = '', safe_contact = NULL"),
    "alert": ("alert_id", "ground = ''"),
    "correction_request": ("request_id", "wish = '', answer = NULL"),
    "mandate": ("mandate_id", "agent = ''"),
}  # fmt: skip


async def shred(uow: UnitOfWork, table: str, party_ids: list[UUID]) -> list[bytes]:
    """Empty what a table says of these parties; answers the wrapped data keys that stood there."""
    _, emptied = SHREDDED[table]
    rows = await uow.db.fetch(
        f"""WITH old AS (SELECT {SHREDDED[table][0]} AS id, wrapped_key FROM {table}
              WHERE party_id = ANY($1::uuid[]) FOR UPDATE),
            new AS (UPDATE {table} SET {emptied},
                wrapped_key = CASE WHEN wrapped_key IS NULL THEN NULL ELSE ''::bytea END
              WHERE party_id = ANY($1::uuid[]))
            SELECT wrapped_key FROM old""",
        party_ids,
    )
    return [bytes(row["wrapped_key"]) for row in rows if row["wrapped_key"]]


async def close_receipts(uow: UnitOfWork, party_ids: list[UUID]) -> None:
    """The secrets of these parties' receipts, and of who follows for them, open nothing more."""
    await uow.db.execute(
        """WITH followers AS (UPDATE representative_receipt SET
             revoked_at = coalesce(revoked_at, $2), revoked_by = coalesce(revoked_by, 'erasure')
             WHERE party_id = ANY($1::uuid[]))
           UPDATE party SET receipt_hash = '' WHERE party_id = ANY($1::uuid[])""",
        party_ids,
        uow.now,
    )


async def referrals(uow: UnitOfWork, case_id: UUID) -> list[Record]:
    """The sealed referrals of a case."""
    rows: list[Record] = await uow.db.fetch(
        """SELECT referral_id, kek_id, wrapped_key, document FROM referral
           WHERE case_id = $1 FOR UPDATE""",
        case_id,
    )
    return rows


async def referral_versions(uow: UnitOfWork, referral_id: UUID) -> list[Record]:
    """What stood before each correction, sealed."""
    rows: list[Record] = await uow.db.fetch(
        "SELECT version, document, reason FROM referral_version WHERE referral_id = $1",
        referral_id,
    )
    return rows


async def replace_referral(
    uow: UnitOfWork, referral_id: UUID, kek_id: str, wrapped_key: bytes, document: bytes
) -> None:
    """The referral under another data key, or emptied."""
    await uow.db.execute(
        """UPDATE referral SET kek_id = $2, wrapped_key = $3, document = $4, fingerprint = $5
           WHERE referral_id = $1""",
        referral_id,
        kek_id,
        wrapped_key,
        document,
        b"",
    )


async def replace_version(
    uow: UnitOfWork, referral_id: UUID, version: int, document: bytes, reason: bytes
) -> None:
    """One former version under another data key, or emptied."""
    await uow.db.execute(
        """UPDATE referral_version SET document = $3, reason = $4
           WHERE referral_id = $1 AND version = $2""",
        referral_id,
        version,
        document,
        reason,
    )


async def forget_limitation(uow: UnitOfWork, limit: int) -> list[bytes]:
    """Remove limitation records whose time has ended; answers their wrapped data keys."""
    rows = await uow.db.fetch(
        """DELETE FROM limitation_record WHERE party_id IN (
             SELECT party_id FROM limitation_record WHERE keep_until <= $1
             ORDER BY keep_until LIMIT $2)
           RETURNING wrapped_key""",
        uow.now,
        limit,
    )
    return [bytes(row["wrapped_key"]) for row in rows]
