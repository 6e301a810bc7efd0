"""Waiting that ends early: when something woke us up, or when it is time to go."""

import asyncio
import contextlib
from collections.abc import Iterable
from uuid import UUID


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait ``seconds``, or until ``stop``."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def woken(event: asyncio.Event, seconds: float) -> None:
    """Wait until ``event`` is set, at most ``seconds``; the event is clear afterwards."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    event.clear()


class Waiters:
    """Who waits in this process for news of a case, or (``None``) for any news.

    Take the event first, then look whether the news is there, then wait: nothing is missed.
    """

    def __init__(self) -> None:
        self._events: dict[UUID | None, asyncio.Event] = {}

    def event(self, case_id: UUID | None) -> asyncio.Event:
        """What will be set at the next news."""
        return self._events.setdefault(case_id, asyncio.Event())

    async def wait(self, case_id: UUID | None, event: asyncio.Event, seconds: float) -> None:
        """Wait for the news, at most ``seconds``."""
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            if self._events.get(case_id) is event:
                del self._events[case_id]

    def waits_for(self, case_id: UUID) -> bool:
        """Whether somebody waits for news of this case."""
        return case_id in self._events

    def anybody(self) -> bool:
        """Whether somebody waits for anything."""
        return bool(self._events)

    def wake(self, case_ids: Iterable[UUID]) -> None:
        """There is news of these cases."""
        for case_id in (*case_ids, None):
            if event := self._events.pop(case_id, None):
                event.set()
