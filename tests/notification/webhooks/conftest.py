"""A notification whose webhooks may lead to this machine, and who registers them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from notification.webhooks import handlers
from notification.webhooks.sender import WebhookSender
from services.runtime import Runtime
from tests.notification.builders import COURT, a_referral, a_registration, joined
from tests.notification.conftest import Case

Sender = Callable[..., Awaitable[WebhookSender]]


@pytest.fixture
def near(runtime: Runtime) -> Runtime:
    """Loopback may be reached."""
    settings = {"webhook_loopback": True, "webhook_seconds": 2.0, "test_installation": True}
    runtime.settings = runtime.settings.model_copy(update=settings)
    return runtime


@pytest.fixture
async def sender(near: Runtime) -> AsyncIterator[WebhookSender]:
    """The sender of this process."""
    made = WebhookSender(near)
    yield made
    await made.close()


async def registered(runtime: Runtime, url: str, **more: Any) -> tuple[UUID, str]:
    """A webhook of the court's connection."""
    more = {"types": None, "after": None, **more}
    async with runtime.unit_of_work() as uow:
        return await handlers.register(uow, "o-court", url=url, **more)


async def some_case(runtime: Runtime) -> Case:
    """A case with four entries in the court's feed."""
    case = Case(runtime)
    await case.hear(a_referral(case.case_id))
    await case.hear(a_registration(case.case_id))
    await case.hear(joined(case.case_id, COURT, "source"))
    return case


async def until(sender: WebhookSender, done: Callable[[], bool], rounds: int = 100) -> None:
    """Rounds until it is so, and what is under way has been recorded."""
    for _ in range(rounds):
        busy = await sender.step()
        if done() and not busy and not sender._running:
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not come to that")


async def rounds(sender: WebhookSender, count: int = 5) -> None:
    """Some rounds in which nothing is expected."""
    for _ in range(count):
        await sender.step()


async def hurry(runtime: Runtime) -> None:
    """Time passes: every next try is due."""
    await runtime.pool.execute("UPDATE webhook_waiting SET next_attempt_at = now()")


async def of(runtime: Runtime, webhook_id: UUID) -> Any:
    """The webhook's row."""
    return await runtime.pool.fetchrow("SELECT * FROM webhook WHERE webhook_id = $1", webhook_id)


async def feed_of(runtime: Runtime) -> list[Any]:
    """The court's feed."""
    return list(
        await runtime.pool.fetch(
            """SELECT feed_sequence, type, event, case_id FROM feed_entry
               WHERE connection = 'o-court' ORDER BY 1"""
        )
    )
