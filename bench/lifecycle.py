"""A handler's desk as a program: takes offers from the queue and brings each case to its end."""

import asyncio
import itertools
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from bench.wire import Answer, Wire


class Refused(Exception):
    """A step was not taken."""


class Desk:
    """The centre's desk over REST, nothing else: what it knows it has been answered."""

    def __init__(self, centre: Wire, failed: Callable[[Answer], None]) -> None:
        self.centre = centre
        self.failed = failed
        self.completed = 0
        self.finished = 0
        self.requests = 0
        self._mediators: list[str] = []
        self._turn = itertools.count()
        self._taken: set[str] = set()
        self._after: str | None = None
        self._waiting: list[dict[str, Any]] = []
        self._looking = asyncio.Lock()
        self._took: dict[str, list[float]] = defaultdict(list)
        # Far from each other, so that no round meets the bookings of another.
        days = 2 + random.randrange(20_000)
        self._first_hour = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)

    async def prepare(self) -> None:
        """Who can be appointed, and what lies in the queue from before and is left there."""
        answer = await self.centre.request("GET", "/v1/mediators?limit=200")
        self._mediators = [m["mediator_id"] for m in answer.json()["items"]]
        while True:
            await self._look()
            if not self._waiting:
                return
            self._waiting.clear()

    async def next_item(self) -> dict[str, Any] | None:
        """The next offer, or nothing."""
        async with self._looking:
            if not self._waiting:
                await self._look()
            return self._waiting.pop() if self._waiting else None

    async def _look(self) -> None:
        """Read on from the last page that was full: offers come in the order of their due day."""
        while not self._waiting:
            self.requests += 1
            after = f"&cursor={self._after}" if self._after else ""
            answer = await self.centre.request("GET", f"/v1/queue?state=offered&limit=200{after}")
            page = answer.json()
            for item in page["items"]:
                if item["assignment_id"] not in self._taken:
                    self._taken.add(item["assignment_id"])
                    self._waiting.append(item)
            if page["next"] is None:
                return
            self._after = page["next"]

    async def complete(self, item: dict[str, Any]) -> None:
        """Accept, appoint, consents, session, agreement: the case closes by it."""
        try:
            await self._steps(item)
            self.completed += 1
        except Refused:
            pass
        finally:
            self.finished += 1

    async def _steps(self, item: dict[str, Any]) -> None:
        accepted = await self._post(
            "accept", f"/v1/queue/{item['assignment_id']}/accept", {}, version=item["version"]
        )
        mediation = f"/v1/mediations/{accepted['mediation_id']}"
        place = next(self._turn)
        appointed = await self._post(
            "appoint",
            f"{mediation}/mediators",
            {"mediator_id": self._mediators[place % len(self._mediators)]},
            version=1,
        )
        parties = [party["party_id"] for party in appointed["parties"]]
        for party in parties:
            await self._post(
                "consent",
                f"{mediation}/consents",
                {"party_id": party, "step": "mediate", "state": "given", "channel": "phone"},
            )
        starts_at = self._first_hour + timedelta(hours=place // len(self._mediators))
        session = await self._post(
            "session",
            f"{mediation}/sessions",
            {
                "mode": "online",
                "form": "joint" if appointed["joint_sessions"] else "separate",
                "parties": parties if appointed["joint_sessions"] else parties[:1],
                "starts_at": starts_at.isoformat(),
                "ends_at": (starts_at + timedelta(minutes=50)).isoformat(),
            },
        )
        await self._post(
            "held",
            f"/v1/sessions/{session['session_id']}/held",
            {
                "attended": session["parties"],
                "rights_told": True,
                "identity_checked": True,
                "false_mediation_warned": True,
            },
            version=session["version"],
        )
        agreement = await self._post(
            "agree",
            f"{mediation}/agreements",
            {
                "form": "paper",
                "parties": parties,
                "clauses": [{"kind": "waiver", "text": "双方再无其他争议。"}],
            },
        )
        signed_at = datetime.now(UTC) - timedelta(seconds=1)
        for party in parties:
            await self._post(
                "sign",
                f"/v1/agreements/{agreement['agreement_id']}/signatures",
                {
                    "signer_kind": "party",
                    "signer": party,
                    "signed_at": signed_at.isoformat(),
                    "text_sha256": agreement["text_sha256"],
                },
            )

    async def _post(
        self, step: str, path: str, body: dict[str, Any], version: int | None = None
    ) -> Any:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        before = time.perf_counter()
        answer = await self.centre.request("POST", path, orjson.dumps(body), headers)
        self.requests += 1
        self._took[step].append(time.perf_counter() - before)
        if answer.status >= 300:
            self.failed(answer)
            raise Refused
        return answer.json()

    def mean_step_ms(self) -> dict[str, float]:
        """Mean milliseconds of each step."""
        return {k: 1000 * sum(v) / len(v) for k, v in self._took.items()}
