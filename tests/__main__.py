"""``python -m tests``: all tests. First what needs no server, then two lanes side by side.

Most of the tests with servers wait for a server, so one core would idle. Each lane starts servers
of its own on free ports. The output of the second lane is shown when it is done. Arguments go to
both.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile

ROOT = Path(__file__).resolve().parent.parent
NEEDS = "postgres or kafka or stack"
# What runs whole stacks, kills and attacks; everything else with servers is the first lane.
SECOND = ("tests/access", "tests/chaos", "tests/crash", "tests/e2e", "tests/verify")
NOTHING_COLLECTED = 5


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", *arguments]


def main(arguments: list[str]) -> int:
    """Run everything; the exit status of the first part that failed, else 0."""
    began = time.monotonic()
    fast = subprocess.run(_pytest("-m", f"not ({NEEDS})", *arguments), cwd=ROOT).returncode
    if fast not in (0, NOTHING_COLLECTED):
        return fast
    with TemporaryFile("w+", encoding="utf-8") as kept:
        second = subprocess.Popen(
            _pytest("-m", NEEDS, *arguments, *SECOND),
            cwd=ROOT,
            stdout=kept,
            stderr=subprocess.STDOUT,
        )
        try:
            first = subprocess.run(
                _pytest("-m", NEEDS, *arguments, *(f"--ignore={each}" for each in SECOND)),
                cwd=ROOT,
            ).returncode
            status = second.wait()
        finally:
            if second.poll() is None:
                second.terminate()
                second.wait(60)
        kept.seek(0)
        print(f"\nThe second lane ({', '.join(SECOND)}):\n{kept.read()}", flush=True)
    print(f"All tests together took {time.monotonic() - began:.0f} s.", flush=True)
    return next((s for s in (first, status) if s not in (0, NOTHING_COLLECTED)), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
