"""A short run of chaos on every change: the long ones are ``make chaos MINUTES=n``."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder that an unprivileged server may pass."""
    folder = Path(tempfile.mkdtemp(prefix="liandiao-chaos-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.stack
@pytest.mark.long
@pytest.mark.timeout(570)
def test_every_promise_is_kept_under_half_a_minute_of_random_faults(home: Path) -> None:
    asked = ["--minutes", "0.5", "--seed", "6", "--home", str(home)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    faults = [json.loads(line) for line in (home / "faults.jsonl").read_text().splitlines()]
    assert faults[-1]["fault"] == "heal"
    assert len(faults) > 2
    report = json.loads((home / "report.json").read_text())
    assert report["holds"]
    assert all(each["items"] for each in report["invariants"])
