"""What the person sees by number and secret: its matter, or its refusal."""

import hmac
from typing import TYPE_CHECKING, Any
from uuid import UUID

from intake import receipt
from intake.gates import handlers as gates
from intake.gates import repository as refusals
from intake.keys import keys_of
from intake.matters import repository
from intake.matters.handlers import TABLE
from intake.matters.model import kinds
from intake.matters.record import due_on
from intake.notices import repository as notices
from intake.receipts import guarded
from intake.records import repository as records
from services.unit_of_work import Actor, UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime


async def opened_record(runtime: "Runtime", number: str, secret: str, address: str) -> UUID:
    """The id of the matter or refusal whose receipt this is.

    Raises ``Unauthenticated``, ``TooManyRequests``.
    """
    row = await _guarded(runtime, number, secret, address)
    id_: UUID = row["matter_id"] if "matter_id" in row else row["refusal_id"]
    return id_


async def read(runtime: "Runtime", number: str, secret: str, address: str) -> dict[str, Any]:
    """The matter or refusal whose receipt this is; its notices to the party are proved by it.

    Raises ``Unauthenticated``, ``TooManyRequests``.
    """
    row = await _guarded(runtime, number, secret, address)
    id_ = row["matter_id"] if "matter_id" in row else row["refusal_id"]
    async with runtime.unit_of_work(actor=Actor(f"receipt:{id_}")) as uow:
        await notices.prove_all(uow, id_, "party", None, "electronic")
        uow.audit("receipt.used", subject=str(id_))
        found = await _matter(row, uow) if "matter_id" in row else _refusal(row, uow)
        return {**found, "erasures": await records.of_record(uow, id_)}


async def _guarded(runtime: "Runtime", number: str, secret: str, address: str) -> Any:
    key = keys_of(runtime).receipt

    async def its(db: Any, folded: str) -> Any:
        for find, id_ in ((repository.by_number, "matter_id"), (refusals.by_number, "refusal_id")):
            row = await find(db, folded)
            if row is not None:
                mark = receipt.secret_hash(key, row[id_], secret)
                return row if hmac.compare_digest(mark, bytes(row["receipt_hash"])) else None
        return None

    return await guarded(runtime, number, address, its)


def _refusal(row: Any, uow: UnitOfWork) -> dict[str, Any]:
    told = gates.told(row, uow.runtime.directory, None)
    return {**dict(row), **told, "kind": "refusal"}


async def _matter(row: Any, uow: UnitOfWork) -> dict[str, Any]:
    directory, kind = uow.runtime.directory, kinds()[row["kind"]]
    case_number = None
    if row["case_id"]:
        case_number = await repository.case_number(uow, row["case_id"])
    return {
        **dict(row),
        "case_number": case_number,
        "citation": kind.citation,
        "go_to": gates.named({"organisation": row["holder"]}, directory),
        "until": {
            "on": due_on(row),
            "source": kind.answer_within["source"],
            "zh": None,
            "en": None,
        },
        "steps": [
            {
                "what": step["step"],
                "organisation": step["to_organisation"] or step["organisation"],
                "name_zh": gates.named(
                    {"organisation": step["to_organisation"] or step["organisation"]}, directory
                )["name_zh"],
                "occurred_at": step["occurred_at"],
                "answer": opened(row, step, uow),
            }
            for step in await repository.steps(uow, row["matter_id"])
        ],
    }


def opened(row: Any, step: Any, uow: UnitOfWork) -> str | None:
    """The text of an answer, or None."""
    if step["text"] is None:
        return None
    text: str = keys_of(uow.runtime).vault.open(
        TABLE,
        row["matter_id"],
        row["kek_id"],
        row["wrapped_key"],
        {"answer": bytes(step["text"])},
    )["answer"]
    return text
