"""What can go wrong at any moment, done at random: each fault is logged, ended and healed."""

import asyncio
import contextlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.chaos.proxy import Proxies, Proxy
from tests.chaos.stack import ProxiedStack

SERVICES: Final = ("intake", "routing", "mediation", "notification")
KILLED: Final = (*SERVICES, "kafka", "postgres")
STOPPED: Final = (*SERVICES, "kafka")
# Between two faults; shorter, and hardly a case goes on.
PAUSE_SECONDS: Final = (2.0, 12.0)


class Faults:
    """One fault after the other, a pause between them, all by one seed."""

    def __init__(
        self,
        stack: ProxiedStack,
        proxies: Proxies,
        places: dict[str, Proxy],
        superuser_url: str,
        chance: random.Random,
        log: Path,
        say: Callable[[str], None],
    ) -> None:
        self.stack = stack
        self.proxies = proxies
        self.places = places
        self.superuser_url = superuser_url
        self.chance = chance
        self.say = say
        self.counts: dict[str, int] = {}
        self._log = log.open("a", encoding="utf-8", buffering=1)
        self._stopped: set[int] = set()
        # Fault -> how often it comes, relative to the others.
        self.kinds: dict[str, tuple[int, Callable[[threading.Event], str]]] = {
            "kill": (6, self._kill),
            "stop": (4, self._stop),
            "cut": (3, self._cut),
            "hold": (3, self._hold),
            "terminate": (3, self._terminate),
            "advance": (1, self._advance),
        }

    def run(self, seconds: float, stop: threading.Event) -> None:
        """Do faults for so long, then heal everything."""
        end = time.monotonic() + seconds
        names, weights = list(self.kinds), [weight for weight, _ in self.kinds.values()]
        try:
            while time.monotonic() < end and not stop.wait(self.chance.uniform(*PAUSE_SECONDS)):
                name = self.chance.choices(names, weights)[0]
                self.counts[name] = self.counts.get(name, 0) + 1
                try:
                    done = self.kinds[name][1](stop)
                except (OSError, ValueError, asyncpg.PostgresError, TimeoutError) as error:
                    done = f"could not be done now: {type(error).__name__}"
                self.tell(name, done)
        finally:
            self.heal()

    def tell(self, name: str, done: str) -> None:
        """Write a fault down."""
        line = {"at": datetime.now(UTC).isoformat(), "fault": name, "what": done}
        self._log.write(json.dumps(line) + "\n")
        self.say(f"fault: {name} {done}")

    def heal(self) -> None:
        """Let everything run and pass again."""
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()
        for proxy in self.places.values():
            self.proxies.call(proxy.release)
        self.tell("heal", "everything")

    # -- the faults ----------------------------------------------------------------------------

    def _kill(self, stop: threading.Event) -> str:
        name = self.chance.choice(KILLED)
        self.stack.kill(name)
        return f"-9 {name}"

    def _stop(self, stop: threading.Event) -> str:
        name, seconds = self.chance.choice(STOPPED), self.chance.uniform(1, 30)
        pid = self.stack.pid(name)
        os.kill(pid, signal.SIGSTOP)
        self._stopped.add(pid)
        self.say(f"fault: stop {name} for {seconds:.0f} s")
        stop.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        self._stopped.discard(pid)
        return f"{name} went on after {seconds:.0f} s"

    def _cut(self, stop: threading.Event) -> str:
        name = self.chance.choice(list(self.places))
        return f"{self.proxies.call(self.places[name].cut)} connections to {name}"

    def _hold(self, stop: threading.Event) -> str:
        name, seconds = self.chance.choice(list(self.places)), self.chance.uniform(1, 15)
        proxy = self.places[name]
        self.proxies.call(proxy.hold)
        self.say(f"fault: hold everything to {name} for {seconds:.0f} s")
        stop.wait(seconds)
        cut = self.chance.random() < 0.5
        if cut:
            self.proxies.call(proxy.cut)
        self.proxies.call(proxy.release)
        return f"{name} for {seconds:.0f} s{', then cut' if cut else ''}"

    def _terminate(self, stop: threading.Event) -> str:
        name = self.chance.choice(SERVICES)

        async def do() -> Any:
            db = await asyncpg.connect(self.superuser_url, timeout=3)
            try:
                return await db.fetchval(
                    """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE usename = $1 AND random() < 0.6""",
                    f"{name}_app",
                    timeout=3,
                )
            finally:
                await db.close(timeout=3)

        return f"{asyncio.run(do())} sessions of {name} in PostgreSQL"

    def _advance(self, stop: threading.Event) -> str:
        hours = self.chance.choice((1, 5, 26, 50))
        done = self.stack.command("clock", "advance", "--hours", str(hours))
        return f"the clock by {hours} h" if done.returncode == 0 else "the clock: not now"
