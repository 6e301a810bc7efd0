"""A steady open-loop load of whole lifecycles over REST; writes the log that the checker reads.

It knows what a client knows: the small client of ``services.client`` and the play's steps.
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from aiokafka.errors import KafkaError

from services.client import Client, Refused, Stack, wait_for, waiting
from services.clock import SHANGHAI
from services.play import (
    COURT,
    POLICE,
    Play,
    fresh,
    read_answer,
    seal,
    send_command,
    wall_promises,
)
from tests.chaos.people import People

SAMPLES: Final = {COURT: "court_pre-loan-between-friends.json", POLICE: "police-boundary-wall.json"}
# How lives go, and how often.
WAYS: Final = {
    "agree": 42,
    "stream": 8,
    "return": 15,
    "leave": 10,
    "refuse": 7,
    "recall": 8,
    "correct": 10,
}
REPEATS: Final = 0.08


class Repeating(Client):
    """A client that now and then sends a request again under the same key, as a nervous one does.

    The second answer must name the same thing.
    """

    def __init__(self, stack: Stack, entry: dict[str, Any], chance: random.Random) -> None:
        super().__init__(stack, entry)
        self.chance = chance

    def request(self, method: str, service: str, path: str, **given: Any) -> httpx.Response:
        """One request; some writes twice."""
        answer = super().request(method, service, path, **given)
        if method == "POST" and answer.status_code < 300 and self.chance.random() < REPEATS:
            again = super().request(method, service, path, **given)
            if again.status_code < 300:
                named = [each.headers.get("Location") for each in (answer, again)]
                if named[0] != named[1]:
                    raise AssertionError(f"{path}: one key, two effects: {named}")
        return answer


class Lives(Play):
    """The play's steps for many cases at once; nothing is told on the terminal."""

    def __init__(self, stack: Stack, chance: random.Random, patience_seconds: float) -> None:
        self.stack = stack
        self.chance = chance
        self.patience_seconds = patience_seconds
        self.people = People()
        self._clients: dict[str, Client] = {}
        self._lock = threading.Lock()
        self.mark = datetime.now(UTC).strftime("%m%d%H%M%S")
        self._number = 0

    def client(self, organisation: str) -> Client:
        """One client per organisation, so that tokens are kept."""
        with self._lock:
            if organisation not in self._clients:
                entry = self.stack.client(organisation).entry
                self._clients[organisation] = Repeating(self.stack, entry, self.chance)
            return self._clients[organisation]

    def live(self, way: str) -> str:
        """One case, its way; answers how it ended. Raises ``Refused`` and ``TimeoutError``."""
        # Who returns a police case leaves it to be settled; a court's goes to the next body.
        senders = {"return": (COURT,), "stream": (POLICE,)}.get(way, (COURT, POLICE))
        sender = self.client(self.chance.choice(senders))
        case = self.submit(sender) if way == "stream" else self.post(sender)
        if way == "correct":
            self.correct(sender, case)
        offer = self.offered(sender, case["case_id"], 1)
        if way == "recall":
            return self.recall(sender, offer)
        handler = self.client(offer["organisation"])
        if way == "return":
            self.give_back(handler, offer, "no_mediator")
            offer = self.offered(sender, case["case_id"], 2)
            handler = self.client(offer["organisation"])
        mediation = self.accept(handler, offer)
        parties = handler.get("mediation", f"/v1/mediations/{mediation}")["parties"]
        leaves_after = self.chance.randrange(3) if way == "leave" else 3
        if leaves_after == 0:
            return self.leave(sender, case["case_id"], parties)
        mediator = self.appoint(handler, mediation)
        if way == "refuse":
            return self.refuse(handler, mediation, parties)
        self.consent(handler, mediation, parties)
        if leaves_after == 1:
            return self.leave(sender, case["case_id"], parties)
        self.hold(handler, mediation, parties)
        if leaves_after == 2:
            return self.leave(handler, case["case_id"], parties)
        self.agree(handler, mediation, mediator, parties, promises(parties))
        self.perform(handler, mediation)
        self.closed(sender, case["case_id"])
        return "closed"

    # -- the steps that the play has not -------------------------------------------------------

    def referral(self, sender: Client) -> dict[str, Any]:
        """A dispute of people who exist nowhere else, under a number nobody has used."""
        with self._lock:
            self._number += 1
            number = self._number
        if sender.organisation == COURT:
            year = datetime.now(SHANGHAI).year
            reference = f"（{year}）浙0681民诉前调{self.mark}{number}号"
        else:
            reference = f"J33068152{self.mark}{number:05d}"
        referral = fresh(SAMPLES[sender.organisation], sender.organisation, reference)
        self.people.into(referral)
        return referral

    def post(self, sender: Client) -> dict[str, Any]:
        """A referral by REST."""
        answer: dict[str, Any] = sender.post("intake", "/v1/referrals", self.referral(sender))
        return answer

    def submit(self, sender: Client) -> dict[str, Any]:
        """A sealed referral by Kafka; sent again, as another command, while nobody answers."""
        referral = self.referral(sender)
        key = sender.get("intake", "/v1/sealing-keys")["keys"][-1]
        sealed = seal(json.dumps(referral, ensure_ascii=False).encode(), key)
        source = referral["source"]
        data = {
            "organisation": source["organisation"],
            "reference": source["reference"],
            "sealed": sealed,
        }

        async def ask() -> dict[str, Any]:
            command = await send_command(self.stack, sender, "referral.submit", data)
            return await read_answer(self.stack, sender, command, seconds=30)

        away: Exception | None = None
        for _ in waiting(self.patience_seconds, every=1):
            try:
                answer = asyncio.run(ask())
                break
            except (KafkaError, OSError, TimeoutError) as error:
                away = error
        else:
            raise TimeoutError("the command was not answered") from away
        if answer["outcome"] != "accepted":
            raise RuntimeError(f"the command was refused: {answer['problem']['code']}")
        return {**answer, "case_id": answer.get("answered_case_id") or answer["case_id"]}

    def correct(self, sender: Client, case: dict[str, Any]) -> None:
        """The sender corrects the sum."""
        path = f"/v1/referrals/{case['referral_id']}"
        changes = [{"pointer": "/claim_fen", "value": self.chance.randrange(10_000, 9_000_000)}]
        body = {"reason": "原报金额有误", "changes": changes}
        sender.act(f"{path}/corrections", body, on=path, service="intake")

    def recall(self, sender: Client, offer: dict[str, Any]) -> str:
        """The source takes its referral back."""
        path = f"/v1/assignments/{offer['assignment_id']}/recalls"
        sender.post("routing", path, {"ground": "source-withdrew"})
        return "recalled"

    def leave(self, teller: Client, case_id: str, parties: list[dict[str, Any]]) -> str:
        """A party leaves; nobody can refuse it."""
        party = self.chance.choice(parties)["party_id"]
        path = f"/v1/cases/{case_id}/departures"
        # Intake may not have heard yet that the handler takes part: not yours, not there.
        wait_for(
            lambda: teller.post("intake", path, {"party_id": party}),
            seconds=self.patience_seconds,
            describe="the departure",
        )
        return "left"

    def refuse(self, handler: Client, mediation: str, parties: list[dict[str, Any]]) -> str:
        """A party does not want to mediate."""
        handler.post(
            "mediation",
            f"/v1/mediations/{mediation}/consents",
            {
                "party_id": self.chance.choice(parties)["party_id"],
                "step": "mediate",
                "state": "refused",
                "channel": "phone",
            },
        )
        return "refused"

    def schedule(
        self, handler: Client, mediation: str, invited: list[str], *, joint: bool
    ) -> dict[str, Any]:
        """A session somewhere in the next years, where nobody else meets."""
        for _ in range(5):
            begins = datetime.now(UTC).replace(microsecond=0)
            begins += timedelta(minutes=self.chance.randrange(5_000_000))
            body = {
                "form": "joint" if joint else "separate",
                "mode": "in_person",
                "parties": invited,
                "starts_at": begins.isoformat(),
                "ends_at": (begins + timedelta(minutes=1)).isoformat(),
            }
            try:
                return dict(handler.post("mediation", f"/v1/mediations/{mediation}/sessions", body))
            except Refused as refused:
                if refused.answer.status_code != 422:
                    raise
        raise TimeoutError("no free time was found")


def promises(parties: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One thing the respondent does for the applicant."""
    sides = {party["role"]: party["party_id"] for party in parties}
    due_on = (datetime.now(SHANGHAI) + timedelta(days=300)).date().isoformat()
    made = wall_promises(due_on)
    for promise in made:
        obligation = promise["obligation"]
        obligation["debtor"] = sides[obligation["debtor"]]
        obligation["creditor"] = sides[obligation["creditor"]]
    return made


@dataclass
class Load:
    """Lives begin at a rate, whatever becomes of those before; at most ``limit`` at a time."""

    lives: Lives
    per_second: float
    limit: int = 24
    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    started: int = 0

    def run(self, seconds: float, say: Callable[[str], None], stop: threading.Event) -> None:
        """Begin lives for so long, then wait for those under way."""
        end = time.monotonic() + seconds
        at = told = time.monotonic()
        room = threading.BoundedSemaphore(self.limit)
        pool = ThreadPoolExecutor(self.limit)
        try:
            while (now := time.monotonic()) < end and not stop.is_set():
                if now - told > 15:
                    told = now
                    say(f"load: {self.started} begun, {dict(self.ended)}")
                if at > now:
                    stop.wait(min(at - now, 0.5))
                    continue
                at += self.lives.chance.expovariate(self.per_second)
                if not room.acquire(blocking=False):
                    self.ended["not begun: too many at once"] += 1
                    continue
                self.started += 1
                pool.submit(self._one, self._way()).add_done_callback(lambda _: room.release())
            pool.shutdown(wait=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        say(f"load: {self.started} begun, {dict(self.ended)}")

    def _way(self) -> str:
        return self.lives.chance.choices(list(WAYS), list(WAYS.values()))[0]

    def _one(self, way: str) -> None:
        try:
            end = self.lives.live(way)
        except Refused as error:
            end = f"refused: {error.answer.status_code} {error.problem.get('code')}"
            self.faults.append(str(error))
        except (httpx.HTTPError, KafkaError, OSError, TimeoutError, RuntimeError) as error:
            end = type(error).__name__
            self.faults.append(f"{end} {error}")
        except AssertionError as error:
            end = "one key, two effects"
            self.faults.append(str(error))
        except Exception as error:  # the edge of a thread: whatever it was, the run is broken by it
            end = f"driver: {type(error).__name__}"
            self.faults.append(repr(error))
        self.ended[end] += 1
