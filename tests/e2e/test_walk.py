"""The README's ten-minute walk, run literally against the whole stack."""

import os
import re
import shutil
import subprocess

import pytest

from tests.architecture.source import ROOT
from tests.e2e.running import RunningStack

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(name: str) -> list[str]:
    return BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))


def test_both_languages_walk_alike() -> None:
    """Comments may be translated; commands may not differ."""
    english, chinese = (
        [re.sub(r"(^|\s)#\s.*$", "", block, flags=re.MULTILINE) for block in _blocks(name)]
        for name in ("README.md", "README.zh.md")
    )

    assert english
    assert english == chinese


@pytest.mark.stack
def test_the_walk_works_as_it_is_written(running: RunningStack, tmp_path) -> None:
    blocks = _blocks("README.md")
    if shutil.which("kcat") is None:
        blocks = [block for block in blocks if "kcat" not in block]
    script = "set -euo pipefail\n" + "\n".join(blocks)

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, "LIANDIAO_HOME": str(running.home), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for told in (
        "case.registered",
        "assignment.offered",
        "assignment.accepted",
        "agreement.effective",
        "obligation.performed",
        "case.closed",
    ):
        assert f"liandiao.{told}.v1" in done.stdout, done.stdout + done.stderr
    if shutil.which("kcat"):
        assert '"outcome":"accepted"' in done.stdout, done.stdout + done.stderr
