"""Exports on REST: ask for a copy, see how far it is, fetch it by a short link."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from intake import links
from intake.attachments import repository as attachments
from intake.attachments import sealed_files
from intake.attachments.endpoints import file_response
from intake.attachments.handlers import Giver
from intake.attachments.model import site
from intake.doors.mandates import NOTHING_UNMARKED
from intake.exports import repository, schemas
from intake.exports.collecting import require_copy
from intake.exports.making import MAKE, TABLE
from intake.keys import keys_of
from services.access import AgencyScope
from services.auth import Caller
from services.errors import (
    Gone,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from services.http import Reader, Unit, requires
from services.idempotency import Once
from services.ids import new_id
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
KEPT_HOURS = 24
_TYPES = {"pdf": ("application/pdf", "pdf"), "bundle": ("application/zip", "zip")}


@router.post(
    "/v1/cases/{case_id}/exports",
    status_code=202,
    response_model=schemas.ExportView,
    responses=problems(IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType),
    summary="Have the case file copied, as a PDF or as a bundle",
)
async def ask(
    case_id: UUID,
    body: schemas.ExportBody,
    caller: Annotated[Caller, requires("case:export")],
    uow: Unit,
    once: Once,
) -> Any:
    """Made in the background with what the caller may see; logged, and shown to the parties."""
    await AgencyScope(caller).require(uow, case_id)
    if once.replayed:
        return await _view(uow, UUID(once.resource_id), caller)
    export_id, keys = new_id(), keys_of(uow.runtime)
    sealed = keys.vault.seal(TABLE, export_id, {})
    await repository.add(
        uow,
        {
            "export_id": export_id,
            "case_id": case_id,
            "organisation": caller.organisation,
            "client": Giver.of(caller).client,
            "acted_by": caller.acted_by,
            "purpose": str(body.purpose),
            "format": body.format,
            "kek_id": sealed.kek_id,
            "wrapped_key": sealed.wrapped_key,
            "occurred_at": uow.now,
            "expires_at": uow.now + timedelta(hours=KEPT_HOURS),
        },
    )
    uow.enqueue(MAKE, {"export_id": str(export_id)})
    uow.audit(
        "case.exported",
        case_id=case_id,
        subject=str(export_id),
        purpose=str(body.purpose),
        detail={"parties": await attachments.party_ids(uow, case_id), "format": body.format},
    )
    await once.store(202, location=f"/v1/exports/{export_id}", resource_id=str(export_id))
    return await _view(uow, export_id, caller)


async def _own(uow: UnitOfWork, export_id: UUID, caller: Caller) -> Any:
    row = require_copy(await repository.one(uow, export_id), Giver.of(caller).client)
    await AgencyScope(caller).require(uow, row["case_id"])
    return row


async def _view(uow: UnitOfWork, export_id: UUID, caller: Caller) -> dict[str, Any]:
    row = await _own(uow, export_id, caller)
    url = None
    if row["state"] == "ready":
        until = uow.now + timedelta(seconds=site()["link_seconds"])
        client = Giver.of(caller).client
        link = links.Link(
            "export", str(export_id), row["format"], client, row["purpose"], int(until.timestamp())
        )
        url = f"/v1/exports/downloads/{links.make(keys_of(uow.runtime), link)}"
    return {**dict(row), "url": url}


@router.get(
    "/v1/exports/{export_id}",
    response_model=schemas.ExportView,
    responses=problems(),
    summary="How far a copy of a case file is",
)
async def read(
    export_id: UUID, caller: Annotated[Caller, requires("case:export")], uow: Reader
) -> Any:
    """With a short link as soon as it is ready; kept for a day."""
    return await _view(uow, export_id, caller)


@router.get(
    "/v1/exports/downloads/{link}",
    response_class=StreamingResponse,
    responses={
        **problems(Gone),
        200: {
            "content": {
                "application/pdf": {"schema": {"type": "string", "format": "binary"}},
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
            },
            "description": "The copy",
        },
    },
    summary="The copy of a case file",
)
async def download(
    link: str, caller: Annotated[Caller, requires("case:export")], uow: Unit
) -> Response:
    """For whom the link was made, while it lasts and while the caller takes part in the case."""
    keys = keys_of(uow.runtime)
    opened = links.open_(keys, link, Giver.of(caller).client, uow.now)
    if opened is None or opened.kind != "export":
        raise NotFound()
    row = await _own(uow, opened.id, caller)
    if row["state"] != "ready" or row["wrapped_key"] is None:
        raise Gone()
    uow.audit(
        "export.fetched", case_id=row["case_id"], subject=opened.file_id, purpose=opened.purpose
    )
    media_type, ending = _TYPES[row["format"]]
    key = keys.vault.data_key(TABLE, row["export_id"], row["kek_id"], row["wrapped_key"])
    chunks = sealed_files.read(
        sealed_files.root_of(uow.runtime),
        row["export_id"],
        key,
        [(row["file_name"], row["size_bytes"])],
    )
    name = f"{row['case_number']}.{ending}"
    return file_response(chunks, media_type, row["size_bytes"], name)
