"""The API of notification: feeds, messages, templates."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from notification import repository, templates
from notification.rules import numbered
from notification.schemas import (
    FeedView,
    MessageView,
    MessageWithAttemptsView,
    State,
    TemplatesView,
    TemplateView,
)
from services.access import AgencyScope
from services.auth import Caller
from services.errors import CursorInvalid, Gone, NotFound
from services.http import Reader, requires, runtime_of
from services.paging import Items, Paging
from services.problem import problems

POLL_SECONDS = 0.25


router = APIRouter(prefix="/v1")


@router.get("/feeds/{connection}", response_model=FeedView, responses=problems(Gone))
async def read_feed(
    request: Request,
    response: Response,
    connection: Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{2,31}$")],
    caller: Annotated[Caller, requires("feed:read")],
    after: Annotated[str, Query(pattern=r"^[0-9]{10}$")] = "0000000000",
    limit: Annotated[int, Query(ge=1, description="1 to 200; more is taken as 200")] = 50,
    wait_seconds: Annotated[int, Query(ge=0, le=30)] = 0,
) -> dict[str, Any]:
    """Read the caller's own feed behind a number; waits for news up to ``wait_seconds``.

    The numbers of a connection have no gaps. An entry may be read as often as one likes. A 410
    says that the number is older than what is kept, or was given before a restore.
    """
    if caller.connection != connection:
        raise NotFound()
    runtime = runtime_of(request)
    number = int(after)
    rows = await repository.feed(runtime.pool, connection, number, min(limit, 200))
    if rows and rows[0]["feed_sequence"] > number + 1:
        oldest = await repository.oldest_kept(runtime.pool, connection)
        raise Gone(f"the oldest entry kept is {oldest:010d}")
    if not rows and number > (await repository.heads(runtime.pool, [connection])).get(
        connection, 0
    ):
        raise Gone("the feed ends before this number: its database was restored; read it anew")
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_seconds
    while not rows and (left := end - loop.time()) > 0:
        news = runtime.consumed.event(None)
        rows = await repository.feed(runtime.pool, connection, number, min(limit, 200))
        if rows or await request.is_disconnected():
            break
        await runtime.consumed.wait(None, news, min(left, POLL_SECONDS))
    if rows:
        response.headers["Case-Sequence"] = rows[-1]["read_after"]
    return {
        "items": [numbered(dict(row)) for row in rows],
        "next": f"{rows[-1]['feed_sequence']:010d}" if rows else after,
    }


@router.get("/messages", response_model=Items[MessageView], responses=problems(CursorInvalid))
async def list_messages(
    caller: Annotated[Caller, requires("message:read")],
    uow: Reader,
    page: Paging,
    case_id: UUID | None = None,
    state: State | None = None,
) -> dict[str, Any]:
    """List messages of the caller's cases, newest first: as source only of what a source hears."""
    filters = {"case_id": case_id, "state": state}
    rows = await repository.Messages(uow.db, AgencyScope(caller)).page(
        case_id=case_id,
        state=state,
        after=page.after_id(filters, direction="desc"),
        limit=page.fetch,
    )
    return page.answer(rows, lambda r: (r["id"],), dict, filters, direction="desc")


@router.get("/messages/{message_id}", response_model=MessageWithAttemptsView, responses=problems())
async def read_message(
    message_id: UUID, caller: Annotated[Caller, requires("message:read")], uow: Reader
) -> dict[str, Any]:
    """Read one message with every try and its proof."""
    messages = repository.Messages(uow.db, AgencyScope(caller))
    row = await messages.one(message_id)
    if row is None:
        raise NotFound()
    return {**row, "tries": [dict(a) for a in await messages.attempts(message_id)]}


@router.get("/templates", response_model=TemplatesView, responses=problems())
async def list_templates(caller: Annotated[Caller, requires("message:read")]) -> dict[str, Any]:
    """List all templates with the law each rests on."""
    return {"items": [asdict(t) for t in templates.load().values()]}


@router.get("/templates/{code}", response_model=TemplateView, responses=problems())
async def read_template(
    code: Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,63}$")],
    caller: Annotated[Caller, requires("message:read")],
) -> dict[str, Any]:
    """Read one template."""
    template = templates.load().get(code)
    if template is None:
        raise NotFound()
    return asdict(template)
