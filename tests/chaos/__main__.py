"""``make chaos MINUTES=n``: load, random faults, healing, and what the outside checker says.

    python -m tests.chaos --minutes 5 [--seed N] [--rate 1.0] [--home FOLDER]

Needs nothing that runs: it starts an embedded stack of its own on free ports, as a test
installation, and stops it. The exit code is the checker's: 0 all holds, 1 broken, 2 not known.
"""

import argparse
import asyncio
import contextlib
import random
import secrets
import shutil
import sys
import tempfile
import threading
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx

from services.client import Stack, wait_for
from services.verify import CannotLook, Report, Run, examine
from tests.chaos.driver import Lives, Load
from tests.chaos.faults import Faults
from tests.chaos.proxy import Proxies
from tests.chaos.stack import ProxiedStack
from tests.e2e.running import free_base
from tests.fixtures.servers import free_ports

QUIET_SECONDS = 240.0


def say(line: str) -> None:
    """A line with the time."""
    print(f"{datetime.now(UTC):%H:%M:%S}  {line}", flush=True)


def asked() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="how long faults are done")
    parser.add_argument("--seed", type=int, default=None, help="repeat the choices of a run")
    parser.add_argument("--rate", type=float, default=0.8, help="cases begun a second")
    parser.add_argument("--home", type=Path, default=None, help="data folder; kept afterwards")
    return parser.parse_args()


def save_metrics(client: Stack, folder: Path) -> None:
    """The metrics pages as files, for the search for canaries."""
    for name, url in client.description["services"].items():
        page = httpx.get(f"{url}/metrics", timeout=20, trust_env=False)
        (folder / f"metrics-{name}.txt").write_text(page.text, encoding="utf-8")


def play(stack: ProxiedStack, proxies: Proxies, given: argparse.Namespace) -> Report:
    """The whole run, the stack's start included; answers the checker's report."""
    places = {name: proxies.open(port, target) for name, (port, target) in stack.places.items()}
    stack.start()
    home = stack.home
    client = Stack(home / "stack.json", http_log=home / "logs" / "http-chaos.jsonl")
    # Two sources of chance, so that the load's threads do not change the faults of a seed.
    lives = Lives(client, random.Random(given.seed + 1), patience_seconds=120)
    lives.people.write_canaries(home / "canaries.txt")
    run = Run.of_home(home, {}, canaries=tuple((home / "canaries.txt").read_text().split()))
    superuser = run.databases["intake"].rsplit("/", 1)[0] + "/postgres"
    log = home / "faults.jsonl"
    faults = Faults(stack, proxies, places, superuser, random.Random(given.seed), log, say)
    load, stop, seconds = Load(lives, given.rate), threading.Event(), given.minutes * 60
    worker = threading.Thread(target=faults.run, args=(seconds, stop))
    worker.start()
    try:
        load.run(seconds, say, stop)
    finally:
        stop.set()
        worker.join()
    say(
        f"faults: {faults.counts}; connections passed: "
        + str({name: proxy.connections for name, proxy in places.items()})
    )
    for line in load.faults[:40]:
        say(f"a life that did not go its way: {line}")
    wait_for_health(client)
    save_metrics(client, home / "logs")
    client.close()
    run = replace(Run.of_home(home, {}, canaries=run.canaries), wait_seconds=QUIET_SECONDS)
    return asyncio.run(examine(run, say))


def wait_for_health(client: Stack, seconds: float = 120) -> None:
    """Wait until every service says that it is ready, each at most so long; says who is not."""

    def ready(url: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"{url}/health/ready", timeout=5, trust_env=False)
            return answer.status_code == 200
        return False

    for name, url in client.description["services"].items():
        try:
            wait_for(partial(ready, url), seconds=seconds, describe=name)
        except TimeoutError:
            say(f"{name} is not ready {seconds:.0f} s after the last fault")


def main() -> int:
    """One run; the folder stays when something is broken."""
    given = asked()
    given.seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    home = given.home or Path(tempfile.mkdtemp(prefix="liandiao-chaos-"))
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    say(f"seed {given.seed}: {given.minutes} minutes, {given.rate} cases a second, in {home}")
    proxies = Proxies()
    stack = ProxiedStack(home, free_base(), free_ports(2))
    try:
        report = play(stack, proxies, given)
    except CannotLook as error:
        say(f"could not look: {error}")
        return 2
    finally:
        stack.stop()
        proxies.close()
    (home / "report.json").write_text(report.json(), encoding="utf-8")
    for line in report.lines():
        print(line)
    say(f"seed {given.seed}: {'everything holds' if report.holds else f'BROKEN, see {home}'}")
    if report.holds and given.home is None:
        shutil.rmtree(home, ignore_errors=True)
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
