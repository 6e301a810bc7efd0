"""REST of imports and layouts: translate, authorise, delegate."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from intake.adapters.layout import Layout
from intake.doors.mandates import NOTHING_UNMARKED
from intake.handlers import parsed
from intake.imports import handlers, repository, schemas
from intake.imports.model import ANY_FORMAT, MEDIA_TYPES
from intake.imports.refusals import MEDIA_TYPE
from intake.schemas import Purpose
from services.access import AgencyScope
from services.auth import Caller
from services.errors import (
    Conflict,
    CursorInvalid,
    Gone,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    Malformed,
    NotFound,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from services.http import Reader, Unit, requires, runtime_of
from services.idempotency import KeyHeader, OnceState, fingerprint, read_key
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import Actor, UnitOfWork

router = APIRouter(dependencies=[NOTHING_UNMARKED])
SILENT_SECONDS: Final = 60
_ANY_FILE: Final = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in (*MEDIA_TYPES, ANY_FORMAT)
        },
    }
}


def media_type(request: Request) -> str:
    """The body's media type. Raises ``UnsupportedMediaType`` for what no layout can be of."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in (*MEDIA_TYPES, ANY_FORMAT):
        raise UnsupportedMediaType()
    return kind


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises ``Malformed`` when nothing comes for a minute."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                piece = await anext(stream, None)
        except TimeoutError:
            raise Malformed("nothing came for a minute") from None
        if piece is None:
            return
        yield piece


@router.post(
    "/v1/imports",
    status_code=202,
    response_model=schemas.ImportView,
    responses=problems(IdempotencyInProgress, IdempotencyKeyReused, TooLarge, UnsupportedMediaType),
    summary="Upload your own export",
    openapi_extra=_ANY_FILE,
)
async def upload(
    request: Request,
    response: Response,
    caller: Annotated[Caller, requires("referral:write")],
    mode: Annotated[
        Literal["dry_run", "run"], Query(description="`dry_run` registers nothing")
    ] = "dry_run",
    layout: Annotated[
        str | None, Query(max_length=60, description="By name; else the only one that fits")
    ] = None,
    version: Annotated[
        int | None, Query(ge=1, description="Of the layout; else the newest")
    ] = None,
    idempotency_key: KeyHeader = None,
) -> Any:
    """Take a file of any size in, sealed as it comes, and read it row by row in the background.

    A row whose reference is used is `repeated` when its content is the same: a file sent again has
    no effect. Rows may be of any organisation that the connection speaks for.
    """
    runtime = runtime_of(request)
    if not runtime.writes_allowed:
        raise Unavailable("writes wait for recovery", retry_after_seconds=5)
    kind = media_type(request)
    key = None if idempotency_key is None else read_key(idempotency_key)
    chosen = await _chosen(runtime.pool, caller, layout, version)
    await handlers.may_wait(runtime, caller.organisation)
    hashed = _Hashed(pieces(request))
    file_id = await handlers.take_in(runtime, hashed.pieces(), kind)
    async with runtime.unit_of_work(
        actor=Actor(caller.client_id, caller.organisation, caller.acted_by),
        organisation=caller.organisation,
        caller=caller,
    ) as uow:
        once = OnceState(uow, response)
        if key is not None:
            asked = f"{request.url.path}?{request.url.query}"
            scope = (caller.client_id, "POST", "/v1/imports", key)
            await once.look_up(scope, fingerprint(asked, hashed.digest()))
        if once.replayed:
            import_id = UUID(once.resource_id)
        else:
            import_id = await handlers.start(uow, file_id, layout=chosen, dry=mode == "dry_run")
            await once.store(202, location=f"/v1/imports/{import_id}", resource_id=str(import_id))
        return handlers.view(await _own(uow, caller, import_id))


class _Hashed:
    """Pieces, and the hash of those that went by."""

    def __init__(self, found: AsyncIterator[bytes]) -> None:
        self._found = found
        self._hash = hashlib.sha256()

    async def pieces(self) -> AsyncIterator[bytes]:
        async for piece in self._found:
            self._hash.update(piece)
            yield piece

    def digest(self) -> bytes:
        return self._hash.hexdigest().encode()


async def _chosen(db: Any, caller: Caller, name: str | None, version: int | None) -> Layout | None:
    if name is None:
        return None
    return (await handlers.find_layout(db, caller.connection, name, version))[0]


async def _own(
    uow: UnitOfWork, caller: Caller, import_id: UUID, *, lock: bool = False
) -> repository.Row:
    found = await repository.own_run(uow, AgencyScope(caller), import_id, lock=lock)
    if found is None:
        raise NotFound()
    return found


@router.get(
    "/v1/imports",
    response_model=Items[schemas.ImportView],
    responses=problems(CursorInvalid),
    summary="Your imports, youngest first",
)
async def list_imports(
    caller: Annotated[Caller, requires("referral:read")], uow: Reader, page: Paging
) -> Any:
    """Dry runs and runs of the organisation."""
    before = page.after_id({}, direction="desc")
    rows = await repository.own_runs(uow, AgencyScope(caller), before=before, limit=page.fetch)
    return page.answer(rows, lambda r: [r["import_id"]], handlers.view, {}, direction="desc")


@router.get(
    "/v1/imports/{import_id}",
    response_model=schemas.ImportView,
    responses=problems(),
    summary="How far an import has come",
)
async def read_import(
    import_id: UUID, caller: Annotated[Caller, requires("referral:read")], uow: Reader
) -> Any:
    """State and figures."""
    return handlers.view(await _own(uow, caller, import_id))


@router.get(
    "/v1/imports/{import_id}/rows",
    response_model=Items[schemas.RowView],
    responses=problems(CursorInvalid),
    summary="What became of each row",
)
async def list_rows(
    import_id: UUID,
    caller: Annotated[Caller, requires("referral:read")],
    uow: Reader,
    page: Paging,
    outcome: Annotated[schemas.RowOutcome | None, Query()] = None,
) -> Any:
    """In the order of the file; never with a value of it."""
    await _own(uow, caller, import_id)
    filters = {"import_id": str(import_id), "outcome": outcome}
    rows = await repository.rows(
        uow.db, import_id, outcome=outcome, after=page.after_number(filters), limit=page.fetch
    )
    return page.answer(rows, lambda row: [row["row"]], handlers.row_view, filters)


@router.get(
    "/v1/imports/{import_id}/refused",
    response_class=StreamingResponse,
    responses={
        **problems(Conflict, Gone),
        200: {
            "description": "The refused rows in your own layout, with a column of reasons",
            "content": {kind: {} for kind in MEDIA_TYPES},
        },
    },
    summary="The refused rows, as a file to mend",
)
async def read_refused(
    import_id: UUID,
    purpose: Purpose,
    request: Request,
    caller: Annotated[Caller, requires("referral:write")],
    uow: Unit,
) -> StreamingResponse:
    """Personal data: for a purpose, logged. Mended, it can be sent again with its reasons."""
    found = await _own(uow, caller, import_id)
    if found["layout"] is None:
        raise Conflict("no layout was found to fit")
    if found["wrapped_key"] is None:
        raise Gone("the file is deleted")
    uow.audit("import.refused_read", subject=str(import_id), purpose=purpose)
    kind = json.loads(found["layout"])["format"]["kind"]
    return StreamingResponse(
        handlers.refused_file(runtime_of(request), found),
        media_type=MEDIA_TYPE[kind],
        headers={"Content-Disposition": f'attachment; filename="refused-{import_id}.{kind}"'},
    )


@router.post(
    "/v1/imports/{import_id}/runs",
    status_code=202,
    response_model=schemas.ImportView,
    responses=problems(Conflict, Gone),
    summary="Run what a dry run tried",
)
async def make_real(
    import_id: UUID,
    caller: Annotated[Caller, requires("referral:write")],
    uow: Unit,
    response: Response,
) -> Any:
    """The same file by the same layout, for real; a repeat answers the one run there is."""
    found = await _own(uow, caller, import_id, lock=True)
    run_id = await handlers.make_real(uow, found)
    response.headers["Location"] = f"/v1/imports/{run_id}"
    return handlers.view(await _own(uow, caller, run_id))


@router.post(
    "/v1/imports/{import_id}/cancellations",
    status_code=201,
    response_model=schemas.ImportView,
    responses=problems(Conflict),
    summary="Stop an import",
)
async def cancel(
    import_id: UUID, caller: Annotated[Caller, requires("referral:write")], uow: Unit
) -> Any:
    """Nothing more is registered; what was registered stays, each under its own number."""
    await handlers.cancel(uow, await _own(uow, caller, import_id, lock=True))
    return handlers.view(await _own(uow, caller, import_id))


# -- layouts ---------------------------------------------------------------------------------------


@router.get(
    "/v1/layouts",
    response_model=Items[schemas.LayoutName],
    responses=problems(),
    summary="The layouts you may use",
)
async def list_layouts(caller: Annotated[Caller, requires("referral:read")], uow: Reader) -> Any:
    """Those of this release and the connection's own, newest versions."""
    return {"items": await handlers.layouts(uow, caller.connection), "next": None}


@router.get(
    "/v1/layouts/{name}",
    response_model=schemas.LayoutView,
    responses=problems(),
    summary="One layout",
)
async def read_layout(
    name: str,
    caller: Annotated[Caller, requires("referral:read")],
    uow: Reader,
    version: Annotated[int | None, Query(ge=1)] = None,
) -> Any:
    """The connection's own before one of this release; every version of an own one is kept."""
    layout, own = await handlers.find_layout(uow.db, caller.connection, name, version)
    return handlers.layout_view(layout, own=own)


async def _mapping(request: Request) -> Any:
    return parsed(await request.body())


@router.put(
    "/v1/layouts/{name}",
    response_model=schemas.LayoutView,
    responses=problems(Conflict, TooLarge, UnsupportedMediaType),
    summary="Keep a version of your own layout",
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}
    },
)
async def put_layout(
    name: str,
    caller: Annotated[Caller, requires("referral:write")],
    definition: Annotated[Any, Depends(_mapping)],
    uow: Unit,
) -> Any:
    """Checked whole; a higher `version` than before. Its version guards it, so no `If-Match`."""
    layout = await handlers.put_layout(uow, caller.connection, name, definition)
    return handlers.layout_view(layout, own=True)
