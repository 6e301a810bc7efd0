"""Webhooks over REST: a connection's own, and nobody else's."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response

from notification.webhooks import handlers, repository
from notification.webhooks.model import Outcome, State
from notification.webhooks.rules import message_id
from notification.webhooks.schemas import (
    ReplayBody,
    ResumptionBody,
    SecretBody,
    WebhookAttemptView,
    WebhookBody,
    WebhookView,
    WebhookWithSecretView,
    view,
)
from services.auth import Caller
from services.errors import (
    Conflict,
    CursorInvalid,
    IdempotencyInProgress,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    NotFound,
)
from services.http import Reader, Unit, etag, requires
from services.idempotency import Once
from services.paging import Items, Paging
from services.problem import problems
from services.unit_of_work import UnitOfWork

router = APIRouter(prefix="/v1/webhooks")
Reading = Annotated[Caller, requires("webhook:read")]
Writing = Annotated[Caller, requires("webhook:write")]
KEYED = (Conflict, IdempotencyKeyMissing, IdempotencyKeyReused, IdempotencyInProgress)


async def _shown(
    uow: UnitOfWork, caller: Caller, webhook_id: UUID, response: Response, **more: Any
) -> dict[str, Any]:
    row = await repository.shown(uow.db, caller.connection, webhook_id)
    if row is None:
        raise NotFound()
    etag(response, row["version"])
    return view(row, **more)


@router.post(
    "",
    status_code=201,
    response_model=WebhookWithSecretView,
    responses=problems(*KEYED),
    summary="Have your feed brought to an address of yours",
)
async def register_webhook(
    body: WebhookBody, caller: Writing, uow: Unit, once: Once, response: Response
) -> Any:
    """The secret that signs is in this answer alone; the same request again answers it again."""
    if once.replayed:
        webhook_id = UUID(once.resource_id)
        secret = await handlers.secret_again(uow, caller.connection, webhook_id, 1)
    else:
        webhook_id, secret = await handlers.register(
            uow,
            caller.connection,
            url=body.url,
            types=body.types,
            after=None if body.after is None else int(body.after),
        )
        await once.store(201, location=f"/v1/webhooks/{webhook_id}", resource_id=str(webhook_id))
    return await _shown(uow, caller, webhook_id, response, secret=secret)


@router.get(
    "",
    response_model=Items[WebhookView],
    responses=problems(CursorInvalid),
    summary="Your webhooks, youngest first",
)
async def list_webhooks(
    caller: Reading, uow: Reader, page: Paging, state: State | None = None
) -> Any:
    """Those of the caller's connection, ended ones too."""
    filters = {"connection": caller.connection, "state": state}
    rows = await repository.page(
        uow.db,
        caller.connection,
        state=state,
        after=page.after_id(filters, direction="desc"),
        limit=page.fetch,
    )
    return page.answer(rows, lambda r: (r["webhook_id"],), view, filters, direction="desc")


@router.get(
    "/{webhook_id}", response_model=WebhookView, responses=problems(), summary="One webhook"
)
async def read_webhook(webhook_id: UUID, caller: Reading, uow: Reader, response: Response) -> Any:
    """How far it has come, what waits, why it stopped."""
    return await _shown(uow, caller, webhook_id, response)


@router.get(
    "/{webhook_id}/attempts",
    response_model=Items[WebhookAttemptView],
    responses=problems(CursorInvalid),
    summary="The tries at a webhook, youngest first",
)
async def list_attempts(
    webhook_id: UUID,
    caller: Reading,
    uow: Reader,
    page: Paging,
    outcome: Outcome | None = None,
) -> Any:
    """Status and reason of each; what the receiver said besides is not kept."""
    if await repository.shown(uow.db, caller.connection, webhook_id) is None:
        raise NotFound()
    filters = {"webhook_id": webhook_id, "outcome": outcome}
    rows = await repository.attempts(
        uow.db,
        webhook_id,
        outcome=outcome,
        after=page.after_id(filters, direction="desc"),
        limit=page.fetch,
    )

    def one(row: Any) -> dict[str, Any]:
        return {
            **row,
            "feed_sequence": f"{row['feed_sequence']:010d}",
            "message_id": message_id(row["event_id"], caller.connection),
        }

    return page.answer(rows, lambda r: (r["attempt_id"],), one, filters, direction="desc")


@router.post(
    "/{webhook_id}/pauses",
    response_model=WebhookView,
    responses=problems(Conflict),
    summary="Let a webhook rest",
)
async def pause_webhook(webhook_id: UUID, caller: Writing, uow: Unit, response: Response) -> Any:
    """What is new meanwhile is sent when it goes on; a repeat needs no Idempotency-Key."""
    await handlers.pause(uow, caller.connection, webhook_id)
    return await _shown(uow, caller, webhook_id, response)


@router.post(
    "/{webhook_id}/resumptions",
    response_model=WebhookView,
    responses=problems(Conflict),
    summary="Let a webhook go on",
)
async def resume_webhook(
    webhook_id: UUID, body: ResumptionBody, caller: Writing, uow: Unit, response: Response
) -> Any:
    """Where it stopped, or behind a number; a repeat needs no Idempotency-Key."""
    after = None if body.after is None else int(body.after)
    await handlers.resume(uow, caller.connection, webhook_id, after)
    return await _shown(uow, caller, webhook_id, response)


@router.post(
    "/{webhook_id}/endings",
    response_model=WebhookView,
    responses=problems(),
    summary="End a webhook for good",
)
async def end_webhook(webhook_id: UUID, caller: Writing, uow: Unit, response: Response) -> Any:
    """What waits is not sent; the feed still has it. A repeat needs no Idempotency-Key."""
    await handlers.end(uow, caller.connection, webhook_id)
    return await _shown(uow, caller, webhook_id, response)


@router.post(
    "/{webhook_id}/secrets",
    status_code=201,
    response_model=WebhookWithSecretView,
    responses=problems(*KEYED),
    summary="Change a webhook's secret",
)
async def change_secret(
    webhook_id: UUID,
    body: SecretBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    response: Response,
) -> Any:
    """Until ``previous_secret_until`` both sign; the new one is in this answer alone."""
    if once.replayed:
        version = int(once.resource_id)
        secret = await handlers.secret_again(uow, caller.connection, webhook_id, version)
    else:
        version, secret = await handlers.rotate(
            uow,
            caller.connection,
            webhook_id,
            previous_valid_seconds=body.previous_valid_seconds,
        )
        location = f"/v1/webhooks/{webhook_id}"
        await once.store(201, location=location, resource_id=str(version))
    return await _shown(uow, caller, webhook_id, response, secret=secret)


@router.post(
    "/{webhook_id}/replays",
    status_code=202,
    response_model=WebhookView,
    responses=problems(*KEYED),
    summary="Have entries brought once more",
)
async def replay_entries(
    webhook_id: UUID,
    body: ReplayBody,
    caller: Writing,
    uow: Unit,
    once: Once,
    response: Response,
) -> Any:
    """From one number to another, under their numbers and ids."""
    if not once.replayed:
        await handlers.replay(
            uow, caller.connection, webhook_id, first=int(body.from_), last=int(body.to)
        )
        await once.store(202, resource_id=str(webhook_id))
    return await _shown(uow, caller, webhook_id, response)


@router.post(
    "/{webhook_id}/pings",
    status_code=202,
    response_model=WebhookView,
    responses=problems(*KEYED),
    summary="Have one signed ping sent",
)
async def ping_webhook(
    webhook_id: UUID, caller: Writing, uow: Unit, once: Once, response: Response
) -> Any:
    """To a paused webhook too; what came of it stands among its tries. It is tried once."""
    if not once.replayed:
        await handlers.ping(uow, caller.connection, webhook_id)
        await once.store(202, resource_id=str(webhook_id))
    return await _shown(uow, caller, webhook_id, response)
