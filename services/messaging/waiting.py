"""Waiting that ends early: when something woke us up, or when it is time to go."""

import asyncio
import contextlib


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait ``seconds``, or until ``stop``."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def woken(event: asyncio.Event, seconds: float) -> None:
    """Wait until ``event`` is set, at most ``seconds``; the event is clear afterwards."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    event.clear()
