"""Bringing feeds to webhooks: in the order of each case, signed, again until it is taken."""

import asyncio
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import orjson
import structlog
from cryptography.exceptions import InvalidTag

from notification.rules import numbered, structured
from notification.settings import NotificationSettings
from notification.webhooks import handlers, repository
from notification.webhooks.model import (
    AWAY_CASES,
    PING,
    PING_SEQUENCE,
    SLOW_SECONDS,
    Answer,
    wait_seconds,
)
from notification.webhooks.post import Poster, Resolve, look_up
from notification.webhooks.repository import Tried
from notification.webhooks.rules import message_id, read_url, signatures
from services.clock import wire
from services.messaging.failpoints import failpoint
from services.telemetry import WEBHOOK_ATTEMPTS

if TYPE_CHECKING:
    from services.runtime import Runtime

log = structlog.get_logger(__name__)
LOOK_SECONDS: Final = 0.2
# After one try is over, others are waited for so long, to be recorded with it.
GATHER_SECONDS: Final = 0.01
PURGE_SECONDS: Final = 600.0


class WebhookSender:
    """One round after another: take entries up, post what is due, record what was answered.

    Runs under a lease. At least once: what was posted and not recorded is posted again under the
    same ``webhook-id``. The first entry of a case goes alone, and the next one only when it was
    taken; cases go side by side. A webhook at which many cases fail, or that answers slowly, gets
    one at a time.
    """

    def __init__(self, runtime: "Runtime", resolve: Resolve = look_up) -> None:
        assert isinstance(runtime.settings, NotificationSettings)  # noqa: S101
        self.runtime = runtime
        self.settings = settings = runtime.settings
        self.policy = handlers.policy(settings)
        self.seal = handlers.seal(settings)
        self.poster = Poster(
            self.policy,
            seconds=settings.webhook_seconds,
            at_once=settings.webhooks_at_once,
            ca_file=settings.webhook_ca_file,
            resolve=resolve,
        )
        self._running: dict[asyncio.Task[Tried], tuple[UUID, UUID]] = {}
        self._over: list[Tried] = []
        self._slow: set[UUID] = set()
        self._purged_at = time.monotonic()

    async def step(self) -> int:
        """One round; a slow receiver does not hold it up. Answers how much was done."""
        if not self.runtime.writes_allowed:
            return 0
        pool = self.runtime.pool
        taken = await repository.take_up(
            pool, each=self.settings.webhook_room, room=self.settings.webhook_room
        )
        await self._start()
        if self._running:
            try:
                await asyncio.wait(
                    self._running, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                await asyncio.wait(self._running, timeout=GATHER_SECONDS)
            except asyncio.CancelledError:
                await self.close()
                raise
        for task in [task for task in self._running if task.done()]:
            del self._running[task]
            self._over.append(task.result())
        done = len(self._over)
        if self._over:
            await self._settle(list(self._over))
            self._over.clear()
        due = time.monotonic() - self._purged_at > PURGE_SECONDS
        if due and not await repository.purge(pool, self.settings.webhook_attempts_days):
            self._purged_at = time.monotonic()
        return taken + done

    async def close(self) -> None:
        """Give up what is under way; it is posted again by whoever goes on."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()
        await self.poster.close()

    async def _start(self) -> None:
        free = self.settings.webhooks_at_once - len(self._running)
        if free <= 0:
            return
        busy = [
            *self._running.values(),
            *((t.row["webhook_id"], t.row["case_id"]) for t in self._over),
        ]
        rows = await repository.due(
            self.runtime.pool,
            silent=[
                name
                for name, entry in self.runtime.directory.all("connection").items()
                if not entry.get("active", True)
            ],
            busy=busy,
            each=self.settings.webhook_at_once,
            now=self.runtime.clock.now(),
        )
        at: dict[UUID, int] = {}
        for webhook_id, _ in busy:
            at[webhook_id] = at.get(webhook_id, 0) + 1
        for row in rows:
            alone = row["failing"] >= AWAY_CASES or row["webhook_id"] in self._slow
            most = 1 if alone else self.settings.webhook_at_once
            if free <= 0 or at.get(row["webhook_id"], 0) >= most:
                continue
            free -= 1
            at[row["webhook_id"]] = at.get(row["webhook_id"], 0) + 1
            task = asyncio.create_task(self._try(row))
            self._running[task] = (row["webhook_id"], row["case_id"])

    async def _try(self, row: asyncpg.Record) -> Tried:
        """One try; ends within its time and never raises but when cancelled."""
        started = time.monotonic()
        failpoint("webhooks.before_send")
        answer = await self._post(row)
        failpoint("webhooks.after_answer")
        retry = None
        if answer.outcome == "failed" and row["feed_sequence"] != PING_SEQUENCE:
            retry = wait_seconds(
                row["tries"] + 1,
                self.settings.webhook_retry_seconds,
                answer.retry_after_seconds,
                random.random(),  # noqa: S311 - spreads tries, guards nothing
            )
        return Tried(row, answer, int(1000 * (time.monotonic() - started)), retry)

    async def _post(self, row: asyncpg.Record) -> Answer:
        target = read_url(row["url"], self.policy)
        if isinstance(target, str):
            return Answer("failed", reason="url_refused")  # the site has become stricter since
        body = orjson.dumps(numbered(self._entry(row)))
        try:
            headers = self._headers(row, body)
        except (InvalidTag, ValueError):
            return Answer("failed", reason="secret_unreadable")
        return await self.poster.post(target, headers, body)

    def _entry(self, row: asyncpg.Record) -> Any:
        if row["feed_sequence"] != PING_SEQUENCE:
            return row
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": str(row["event_id"]),
            "ce_source": "/notification",
            "ce_type": PING,
            "ce_subject": str(row["webhook_id"]),
            "ce_time": wire(self.runtime.clock.now()),
        }
        return {
            "feed_sequence": PING_SEQUENCE,
            "reference": None,
            "read_after": "notification=0000000000",
            "event": structured(attributes, {"webhook_id": str(row["webhook_id"])}),
        }

    def _headers(self, row: asyncpg.Record, body: bytes) -> dict[str, str]:
        """Signed anew at each try, with real time: the receiver's clock knows no test clock."""
        message, now = message_id(row["event_id"], row["connection"]), int(time.time())
        version = row["secret_version"]
        sealed = [(row["secret"], version), (row["previous_secret"], version - 1)]
        secrets = [
            self.seal.open(each, handlers.bound_to(row["webhook_id"], number))
            for each, number in sealed
            if each is not None
        ]
        return {
            "webhook-id": message,
            "webhook-timestamp": str(now),
            "webhook-signature": signatures(secrets, message, now, body),
        }

    async def _settle(self, tries: list[Tried]) -> None:
        """Record tries; stop the webhooks that want no more or have not answered for too long."""
        longest = timedelta(hours=self.settings.webhook_give_up_hours)
        gone = {t.row["webhook_id"] for t in tries if t.answer.outcome == "gone"}
        failing = {
            t.row["webhook_id"]
            for t in tries
            if t.retry_seconds is not None and (t.row["failing_for"] or timedelta()) >= longest
        }
        async with self.runtime.unit_of_work() as uow:
            await repository.settle(uow.db, tries)
            for webhook_id in sorted(gone):
                await handlers.stop(uow, webhook_id, "ended", "gone")
            for webhook_id in sorted(failing - gone):
                await handlers.stop(uow, webhook_id, "paused", "failing")
        for each in tries:
            answer = each.answer
            slow = each.duration_ms > 1000 * SLOW_SECONDS
            (self._slow.add if slow else self._slow.discard)(each.row["webhook_id"])
            WEBHOOK_ATTEMPTS.labels(answer.outcome, answer.reason or "none").inc()
            if answer.outcome != "delivered":
                log.info(
                    "webhook not taken",
                    webhook_id=str(each.row["webhook_id"]),
                    connection=each.row["connection"],
                    feed_sequence=each.row["feed_sequence"],
                    reason=answer.reason,
                    status=answer.status,
                    tries=each.row["tries"] + 1,
                )


async def bring(runtime: "Runtime") -> int:
    """One round of this process's webhook sender; run under a lease."""
    if "webhooks" not in runtime.state:
        runtime.state["webhooks"] = WebhookSender(runtime)
    sender: WebhookSender = runtime.state["webhooks"]
    return await sender.step()
