"""What a reconciliation does: holds the sender's list against ours and keeps what differs."""

import asyncio
import hashlib
import io
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from intake.adapters.messages import message
from intake.handlers import REFERRAL_TABLE
from intake.keys import keys_of
from intake.reconciliation import repository
from intake.reconciliation.model import Listed, ListError, listed
from intake.vault import Erased, Vault, canonical
from services.errors import FieldError, Invalid, TooLarge
from services.ids import new_id
from services.unit_of_work import UnitOfWork

FILE: Final = Path(__file__).parents[1] / "data" / "reconciliation.json"
LINE_BYTES: Final = 400
AT_ONCE: Final = 200


@lru_cache(1)
def suggestions() -> dict[str, dict[str, str]]:
    """How to mend each kind of difference, in Chinese and English."""
    found: dict[str, dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8"))["kinds"]
    return found


async def read_list(pieces: AsyncIterator[bytes], kind: str, at_most: int) -> list[Listed]:
    """The sender's list. Raises ``TooLarge``, ``Invalid`` when it cannot be read as a whole."""
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > at_most * LINE_BYTES:
            raise TooLarge("the list is larger than this site takes")
    try:
        found = await asyncio.to_thread(_parsed, bytes(body), kind)
    except ListError as error:
        raise Invalid(errors=[FieldError("", error.rule, message(error.rule))]) from None
    if len(found) > at_most:
        raise TooLarge("the list is longer than this site takes")
    return found


def _parsed(body: bytes, kind: str) -> list[Listed]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ListError("file_not_decodable") from None
    return list(listed(io.StringIO(text, newline=""), kind))


async def reconcile(
    uow: UnitOfWork,
    theirs: list[Listed],
    *,
    organisation: str,
    connection: str,
    received_from: datetime | None = None,
    received_until: datetime | None = None,
    drop_name: str | None = None,
) -> UUID:
    """Hold the list against the organisation's referrals; what differs, by kind.

    ``received_from`` and ``received_until`` (exclusive) bound what must be on the list. Nothing is
    changed but the record of it. Contents are compared by machine alone, in the audit.
    """
    reconciliation_id = new_id()
    begun = await repository.add(
        uow,
        reconciliation_id,
        organisation=organisation,
        connection=connection,
        received_from=received_from,
        received_until=received_until,
        lines=len(theirs),
        drop_name=drop_name,
    )
    if not begun:
        return reconciliation_id
    first: dict[str, Listed] = {}
    more: list[tuple[str, Listed, UUID | None]] = []
    for each in theirs:
        if each.normal is None:
            more.append(("line_broken", each, None))
        elif each.normal in first:
            more.append(("listed_twice", each, None))
        else:
            first[each.normal] = each
    counts = Counter(
        await repository.compare(
            uow,
            reconciliation_id,
            organisation,
            list(first.values()),
            received_from,
            received_until,
        )
    )
    more += await _other_contents(uow, organisation, first)
    if more:
        await repository.add_differences(uow, reconciliation_id, more)
    counts.update(kind for kind, _, _ in more)
    await repository.finish(uow, reconciliation_id, dict(counts))
    uow.audit(
        "reconciliation.made", subject=str(reconciliation_id), purpose="handling", detail=counts
    )
    return reconciliation_id


async def _other_contents(
    uow: UnitOfWork, organisation: str, theirs: dict[str, Listed]
) -> list[tuple[str, Listed, UUID | None]]:
    vault = keys_of(uow.runtime).vault
    hashed = [normal for normal, each in theirs.items() if each.content_hash]
    found: list[tuple[str, Listed, UUID | None]] = []
    for at in range(0, len(hashed), AT_ONCE):
        rows = await repository.documents(uow, organisation, hashed[at : at + AT_ONCE])
        ours = await asyncio.to_thread(_hashes, vault, rows)
        for row, own in zip(rows, ours, strict=True):
            each = theirs[row["normal_reference"]]
            if own is not None and each.content_hash != own:
                found.append(("other_content", each, row["referral_id"]))
    return found


def _hashes(vault: Vault, rows: list[Any]) -> list[str | None]:
    return [_hash(vault, row) for row in rows]


def _hash(vault: Vault, row: Any) -> str | None:
    """SHA-256 over the RFC 8785 form of the referral as it stands; none of one that was erased."""
    key = bytes(row["wrapped_key"])
    sealed: dict[str, bytes | None] = {"document": bytes(row["document"])}
    try:
        opened = vault.open(REFERRAL_TABLE, row["referral_id"], row["kek_id"], key, sealed)
    except Erased:
        return None
    return hashlib.sha256(canonical(opened["document"])).hexdigest()


def difference_view(row: Any) -> dict[str, Any]:
    """A difference as it is shown, with what mends it."""
    return {**dict(row), "suggestion": suggestions()[row["kind"]]}
