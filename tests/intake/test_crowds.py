"""A crowd of requests leaves connections to those who work behind it."""

import asyncio

import pytest

from services.runtime import BEHIND_THE_REQUESTS
from services.unit_of_work import Actor
from tests.intake.world import Intake

pytestmark = pytest.mark.postgres


async def test_consumer_and_loops_have_connections_though_more_requests_wait_than_the_pool_has(
    intake: Intake,
) -> None:
    """Checklist 1.33: what was accepted goes on while ten times as much is asked."""
    runtime = intake.runtime
    size = runtime.settings.pool_size
    begun, over = 0, asyncio.Event()

    async def request() -> None:
        nonlocal begun
        async with runtime.unit_of_work(actor=Actor("c", None, None), live=True, readonly=True):
            begun += 1
            await over.wait()

    crowd = [asyncio.create_task(request()) for _ in range(3 * size)]
    try:
        async with asyncio.timeout(20):
            while begun < size - BEHIND_THE_REQUESTS:
                await asyncio.sleep(0.01)
            async with runtime.unit_of_work(), runtime.unit_of_work():
                assert begun == size - BEHIND_THE_REQUESTS
    finally:
        over.set()
        await asyncio.gather(*crowd)
    assert begun == 3 * size
