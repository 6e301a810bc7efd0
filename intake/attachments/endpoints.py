"""Papers on REST: handed in by tus 1.0 (core, creation, checksum, expiration)."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from intake import links
from intake.attachments import handlers, repository, schemas
from intake.attachments.handlers import Giver
from intake.attachments.model import site
from intake.doors import mandates
from intake.doors.mandates import NOTHING_UNMARKED, UnderMandate
from intake.handlers import fault
from intake.keys import keys_of
from intake.schemas import Purpose
from intake.tracking.follower import Oneself, WithEvidence
from services.access import AgencyScope
from services.auth import Caller, PartyCaller
from services.clock import SHANGHAI, wire
from services.errors import (
    ChecksumMismatch,
    Conflict,
    FieldError,
    Gone,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    Invalid,
    Malformed,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
    VersionMismatch,
)
from services.http import PART_TYPE, Reader, Unit, requires, runtime_of
from services.idempotency import OnceIfKeyed
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
_WRITES = (IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType)
_PARTS = (Conflict, Gone, VersionMismatch, UnsupportedMediaType, TooLarge, ChecksumMismatch)

TUS = {
    "Tus-Resumable": "1.0.0",
    "Tus-Version": "1.0.0",
    "Tus-Extension": "creation,checksum,expiration",
    "Tus-Checksum-Algorithm": "sha1,sha256",
    "Tus-Max-Size": str(site()["most_bytes"]),
}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "description": "The bytes, under the paper's own media type",
    }
}

Metadata = Annotated[
    str,
    Header(
        alias="Upload-Metadata",
        max_length=4000,
        description="tus 1.0: `filename`, and may be `sha256`, `sensitive`, `retention`; base64",
    ),
]
Length = Annotated[str | None, Header(alias="Upload-Length", description="Bytes of the whole")]
Offset = Annotated[
    str | None, Header(alias="Upload-Offset", description="Where the part begins: bytes so far")
]
Checksum = Annotated[
    str | None,
    Header(alias="Upload-Checksum", max_length=200, description="`sha256 <base64>` of the part"),
]
Resumable = Annotated[str | None, Header(alias="Tus-Resumable", description="1.0.0")]


def _require_version(version: str | None) -> None:
    if version not in (None, "1.0.0"):
        raise VersionMismatch("tus 1.0.0 is spoken here", headers={"Tus-Version": "1.0.0"})


def _tell(response: Response, row: Any) -> None:
    response.headers.update(
        {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(row["received_bytes"]),
            "Upload-Length": str(row["size_bytes"]),
            "Upload-Expires": row["expires_at"].strftime("%a, %d %b %Y %H:%M:%S GMT"),
        }
    )


@router.options("/v1/cases/{case_id}/attachments", include_in_schema=False)
@router.options("/v1/attachments/{attachment_id}", include_in_schema=False)
@router.options("/v1/party/attachments", include_in_schema=False)
@router.options("/v1/party/attachments/{attachment_id}", include_in_schema=False)
async def discover() -> Response:
    """What of tus is spoken here."""
    return Response(status_code=204, headers=TUS)


# -- an organisation's ---------------------------------------------------------------------------


@router.post(
    "/v1/cases/{case_id}/attachments",
    status_code=201,
    response_model=schemas.AttachmentView,
    responses=problems(Conflict, VersionMismatch, *_WRITES),
    summary="Announce a paper of the case; its bytes follow in parts",
)
async def announce(
    case_id: UUID,
    caller: Annotated[Caller, requires("attachment:write")],
    uow: Unit,
    once: OnceIfKeyed,
    response: Response,
    metadata: Metadata = "",
    length: Length = None,
    version: Resumable = None,
    mandate_id: UnderMandate = None,
) -> Any:
    """tus creation. A paper that is announced twice and uploaded once costs nothing: it expires."""
    roles = await AgencyScope(caller).require(uow, case_id, roles=("source", "handler", "linked"))
    given_as = next(role for role in ("handler", "source", "linked") if role in roles)
    made = (metadata, length, version)
    return await _announced(
        uow,
        case_id,
        Giver.of(caller),
        given_as,
        made,
        once,
        response,
        "/v1/attachments",
        mandate_id,
    )


async def _announced(
    uow: UnitOfWork,
    case_id: UUID,
    giver: Giver,
    given_as: str,
    made: tuple[str, str | None, str | None],
    once: OnceIfKeyed,
    response: Response,
    path: str,
    mandate_id: UUID | None = None,
) -> Any:
    metadata, length, version = made
    _require_version(version)
    if once.replayed:
        attachment_id = UUID(once.resource_id)
    else:
        paper, size = handlers.described_by(metadata, length)
        attachment_id = await handlers.announce(
            uow, case_id, giver, given_as, paper, size, mandate_id=mandate_id
        )
        location = f"{path}/{attachment_id}"
        await once.store(201, location=location, resource_id=str(attachment_id))
    row = await handlers.own_upload(uow, attachment_id, giver)
    _tell(response, row)
    return handlers.view(keys_of(uow.runtime), row, named=True)


@router.get(
    "/v1/cases/{case_id}/attachments",
    response_model=schemas.Attachments,
    responses=problems(),
    summary="The papers of the case that you may see",
)
async def list_attachments(
    case_id: UUID,
    caller: Annotated[Caller, requires("attachment:read")],
    uow: Unit,
    purpose: Annotated[
        Purpose | None, Query(description="State one to see the files' names; it is logged")
    ] = None,
) -> Any:
    """By role and by what was shared; sensitive papers only with a basis of their own."""
    await AgencyScope(caller).require(uow, case_id)
    rows = await repository.of_case(uow, case_id)
    if rows:
        standing = await handlers.viewer(uow, AgencyScope(caller), case_id, rows[0]["holder"])
        rows = [row for row in rows if handlers.sees(standing, row)]
    if purpose is not None:
        await _audit(uow, case_id, "attachments.listed", None, purpose)
    keys = keys_of(uow.runtime)
    return {"items": [handlers.view(keys, row, named=purpose is not None) for row in rows]}


async def _audit(
    uow: UnitOfWork, case_id: UUID, action: str, subject: str | None, purpose: str, form: str = ""
) -> None:
    detail: dict[str, Any] = {"parties": await repository.party_ids(uow, case_id)}
    if form:
        detail["form"] = form
    uow.audit(action, case_id=case_id, subject=subject, purpose=purpose, detail=detail)


@router.get(
    "/v1/attachments/{attachment_id}",
    response_model=schemas.AttachmentView,
    responses=problems(),
    summary="A paper and how far it has come",
)
async def read_attachment(
    attachment_id: UUID,
    caller: Annotated[Caller, requires("attachment:read")],
    uow: Reader,
    response: Response,
) -> Any:
    """State, hash, type; its name to whoever gave it."""
    row = await handlers.seen_by(uow, attachment_id, caller)
    _tell(response, row)
    own = row["client"] == Giver.of(caller).client
    return handlers.view(keys_of(uow.runtime), row, named=own)


@router.head("/v1/attachments/{attachment_id}", include_in_schema=False)
async def stand(
    attachment_id: UUID, caller: Annotated[Caller, requires("attachment:write")], uow: Reader
) -> Response:
    """tus core: where the upload stands."""
    return _stands(await handlers.own_upload(uow, attachment_id, Giver.of(caller)))


def _stands(row: Any) -> Response:
    response = Response(status_code=200 if row["state"] in ("uploading", "received") else 410)
    _tell(response, row)
    return response


@router.patch(
    "/v1/attachments/{attachment_id}",
    status_code=204,
    responses=problems(*_PARTS),
    summary="Send the next part of a paper",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {PART_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def take_part(
    attachment_id: UUID,
    caller: Annotated[Caller, requires("attachment:write")],
    request: Request,
    offset: Offset = None,
    checksum: Checksum = None,
    version: Resumable = None,
) -> Response:
    """tus core. What came before a connection broke counts; HEAD tells from where to go on."""
    made = (offset, checksum, version)
    return await _part_taken(request, attachment_id, Giver.of(caller), made)


async def _part_taken(
    request: Request,
    attachment_id: UUID,
    giver: Giver,
    made: tuple[str | None, str | None, str | None],
) -> Response:
    offset, checksum, version = made
    _require_version(version)
    if request.headers.get("content-type", "").split(";")[0].strip() != PART_TYPE:
        raise UnsupportedMediaType()
    if offset is None or not offset.isascii() or not offset.isdigit() or len(offset) > 15:
        raise Malformed(
            errors=[FieldError("#header/Upload-Offset", "required", "须为字节数。/ bytes, decimal")]
        )
    row = await handlers.take_part(
        runtime_of(request),
        attachment_id,
        giver,
        offset=int(offset),
        body=request.stream(),
        checksum=checksum,
    )
    response = Response(status_code=204)
    _tell(response, row)
    return response


@router.post(
    "/v1/attachments/{attachment_id}/downloads",
    status_code=201,
    response_model=schemas.LinkView,
    responses=problems(Conflict, Gone, TooLarge, UnsupportedMediaType),
    summary="Open a paper for a purpose",
)
async def open_attachment(
    attachment_id: UUID,
    body: schemas.DownloadBody,
    caller: Annotated[Caller, requires("attachment:read")],
    uow: Unit,
) -> Any:
    """A link for this caller and purpose, five minutes long; logged, and shown to the parties."""
    row = await handlers.seen_by(uow, attachment_id, caller)
    purpose, form = str(body.purpose), body.form
    link, until = handlers.link_for(uow, row, caller, purpose=purpose, form=form)
    await _audit(uow, row["case_id"], "attachment.read", str(attachment_id), purpose, form)
    return {"url": f"/v1/attachments/downloads/{link}", "expires_at": wire(until)}


@router.get(
    "/v1/attachments/downloads/{link}",
    response_class=StreamingResponse,
    responses={**problems(Conflict, Gone), **_BYTES},
    summary="The bytes of a paper that was opened",
)
async def download(
    link: str, caller: Annotated[Caller, requires("attachment:read")], uow: Unit
) -> Response:
    """For whom the link was made, while it lasts and while the caller may still see the paper."""
    return await _bytes(uow, link, caller)


async def _bytes(uow: UnitOfWork, text: str, who: Caller | PartyCaller) -> Response:
    giver = Giver.of(who)
    link = links.open_(keys_of(uow.runtime), text, giver.client, uow.now)
    if link is None or link.kind != "attachment":
        raise NotFound()
    row = await handlers.seen_by(uow, link.id, who)
    found = await handlers.content(uow, row, link.form)
    uow.audit(
        "attachment.fetched", case_id=row["case_id"], subject=link.file_id, purpose=link.purpose
    )
    return file_response(found.chunks, found.media_type, found.size, found.name)


def file_response(chunks: Any, media_type: str, size: int, name: str) -> Response:
    """Bytes to be saved, never shown in our origin's name: no script of theirs may run here."""
    plain = "".join(c if (c.isascii() and c.isalnum()) or c in "._-" else "_" for c in name)
    return StreamingResponse(
        chunks,
        media_type=media_type,
        headers={
            "Content-Length": str(size),
            "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''"
            + quote(name, safe=""),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "same-origin",
        },
    )


@router.post(
    "/v1/attachments/{attachment_id}/shares",
    status_code=201,
    response_model=schemas.ShareView,
    responses=problems(TooLarge, UnsupportedMediaType),
    summary="Let another body of the case see a paper",
)
async def share(
    attachment_id: UUID,
    body: schemas.ShareBody,
    caller: Annotated[Caller, requires("attachment:write")],
    uow: Unit,
    mandate_id: UnderMandate = None,
) -> Any:
    """By whoever gave it: with a party's separate consent, or on a legal basis. A repeat is one."""
    if body.basis is None:
        mandates.by_the_party_itself(mandate_id, "share")
    mandates.not_for_a_mandate(mandate_id)
    row = await handlers.seen_by(uow, attachment_id, caller)
    if row["given_by"] != caller.organisation:
        raise NotFound()
    return await handlers.share(
        uow,
        row,
        organisation=body.organisation,
        basis=_basis(body),
        party_id=body.party_id,
        told_by=caller.organisation,
        consented_on=body.consented_on,
    )


def _basis(body: schemas.ShareBody) -> str:
    """``consent`` with its party and day, or the statute; one of both."""
    if body.basis is not None:
        wrong: Sequence[tuple[str, Any]] = (
            ("/party_id", body.party_id),
            ("/consented_on", body.consented_on),
        )
        faults = [fault(pointer, "not_allowed_here") for pointer, value in wrong if value]
    else:
        needed = (("/party_id", body.party_id), ("/consented_on", body.consented_on))
        faults = [fault(pointer, "required") for pointer, value in needed if value is None]
    if faults:
        raise Invalid(errors=faults)
    return body.basis or "consent"


@router.post(
    "/v1/attachments/{attachment_id}/shares/{organisation}/withdrawals",
    response_model=schemas.ShareView,
    responses=problems(Conflict),
    summary="End another body's sight of a paper",
)
async def end_share(
    attachment_id: UUID,
    organisation: str,
    caller: Annotated[Caller, requires("attachment:write")],
    uow: Unit,
    mandate_id: UnderMandate = None,
) -> Any:
    """At once; a repeat answers the first result. Under a mandate only its party's own consent."""
    row = await handlers.seen_by(uow, attachment_id, caller)
    if row["given_by"] != caller.organisation:
        raise NotFound()
    ended = await handlers.end_share(uow, row, organisation, party_id=None, mandate_id=mandate_id)
    return dict(ended)


# -- a party's own -------------------------------------------------------------------------------


@router.post(
    "/v1/party/attachments",
    status_code=201,
    response_model=schemas.AttachmentView,
    responses=problems(Conflict, VersionMismatch, *_WRITES),
    summary="Announce a paper of your case; its bytes follow in parts",
)
async def announce_own(
    party: WithEvidence,
    uow: Unit,
    once: OnceIfKeyed,
    response: Response,
    metadata: Metadata = "",
    length: Length = None,
    version: Resumable = None,
) -> Any:
    """tus creation, for the party or its representative."""
    made = (metadata, length, version)
    giver = Giver.of(party)
    return await _announced(
        uow, party.case_id, giver, "party", made, once, response, "/v1/party/attachments"
    )


@router.get(
    "/v1/party/attachments",
    response_model=schemas.Attachments,
    responses=problems(),
    summary="The papers you handed in",
)
async def list_own(party: WithEvidence, uow: Reader) -> Any:
    """Their states, and who may see them beside the body that handles the case."""
    keys = keys_of(uow.runtime)
    rows = await repository.of_party(uow, party.case_id, party.party_id)
    return {"items": [handlers.view(keys, row, named=True) for row in rows]}


@router.get(
    "/v1/party/attachments/{attachment_id}",
    response_model=schemas.AttachmentView,
    responses=problems(),
    summary="A paper of yours and how far it has come",
)
async def read_own(
    attachment_id: UUID, party: WithEvidence, uow: Reader, response: Response
) -> Any:
    """State, hash, type and name."""
    row = await handlers.seen_by(uow, attachment_id, party)
    _tell(response, row)
    return handlers.view(keys_of(uow.runtime), row, named=True)


@router.head("/v1/party/attachments/{attachment_id}", include_in_schema=False)
async def own_stand(attachment_id: UUID, party: WithEvidence, uow: Reader) -> Response:
    """tus core: where the upload stands."""
    return _stands(await handlers.own_upload(uow, attachment_id, Giver.of(party)))


@router.patch(
    "/v1/party/attachments/{attachment_id}",
    status_code=204,
    responses=problems(*_PARTS),
    summary="Send the next part of your paper",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {PART_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def take_own_part(
    attachment_id: UUID,
    party: WithEvidence,
    request: Request,
    offset: Offset = None,
    checksum: Checksum = None,
    version: Resumable = None,
) -> Response:
    """tus core. What came before a connection broke counts; HEAD tells from where to go on."""
    made = (offset, checksum, version)
    return await _part_taken(request, attachment_id, Giver.of(party), made)


@router.post(
    "/v1/party/attachments/{attachment_id}/downloads",
    status_code=201,
    response_model=schemas.LinkView,
    responses=problems(Conflict, Gone, TooLarge, UnsupportedMediaType),
    summary="Get a paper of yours back",
)
async def open_own(
    attachment_id: UUID, body: schemas.OwnDownloadBody, party: WithEvidence, uow: Unit
) -> Any:
    """A link for the party alone, five minutes long."""
    row = await handlers.seen_by(uow, attachment_id, party)
    link, until = handlers.link_for(uow, row, party, purpose="access_request", form=body.form)
    return {"url": f"/v1/party/attachments/downloads/{link}", "expires_at": wire(until)}


@router.get(
    "/v1/party/attachments/downloads/{link}",
    response_class=StreamingResponse,
    responses={**problems(Conflict, Gone), **_BYTES},
    summary="The bytes of your paper",
)
async def download_own(link: str, party: WithEvidence, uow: Unit) -> Response:
    """For the party that the link was made for, while it lasts."""
    return await _bytes(uow, link, party)


@router.post(
    "/v1/party/attachments/{attachment_id}/shares",
    status_code=201,
    response_model=schemas.ShareView,
    responses=problems(TooLarge, UnsupportedMediaType),
    summary="Consent that a body of the case sees your paper",
)
async def share_own(
    attachment_id: UUID, body: schemas.OwnShareBody, party: Oneself, uow: Unit
) -> Any:
    """The separate consent that a sensitive paper needs; the party's own act."""
    row = await handlers.seen_by(uow, attachment_id, party)
    return await handlers.share(
        uow,
        row,
        organisation=body.organisation,
        basis="consent",
        party_id=party.party_id,
        told_by="party",
        consented_on=uow.now.astimezone(SHANGHAI).date(),
    )


@router.post(
    "/v1/party/attachments/{attachment_id}/shares/{organisation}/withdrawals",
    response_model=schemas.ShareView,
    responses=problems(),
    summary="Withdraw your consent",
)
async def end_own_share(attachment_id: UUID, organisation: str, party: Oneself, uow: Unit) -> Any:
    """At once; never refused. A repeat answers the first result."""
    row = await handlers.seen_by(uow, attachment_id, party)
    return dict(await handlers.end_share(uow, row, organisation, party_id=party.party_id))
