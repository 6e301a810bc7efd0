"""The README's ten-minute walk, run literally against the whole stack."""

import os
import re
import shutil
import subprocess
from pathlib import Path

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


def _walked(script: str, running: RunningStack, folder: Path) -> str:
    """What the script says; it must end well."""
    done = subprocess.run(
        ["bash", "-c", "set -euo pipefail\n" + script],
        cwd=ROOT,
        env={**os.environ, "LIANDIAO_HOME": str(running.home), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.stack
def test_the_walk_works_as_it_is_written(running: RunningStack, tmp_path: Path) -> None:
    """As the court, with its export; over Kafka where a client is installed."""
    blocks = _blocks("README.md")
    if shutil.which("kcat") is None:
        blocks = [block for block in blocks if "kcat" not in block]

    said = _walked("\n".join(blocks), running, tmp_path)

    for told in (
        "case.registered",
        "assignment.offered",
        "assignment.accepted",
        "agreement.effective",
        "obligation.performed",
        "case.closed",
    ):
        assert f"liandiao.{told}.v1" in said, said
    if shutil.which("kcat"):
        assert '"outcome":"accepted"' in said, said


@pytest.mark.stack
def test_the_walks_through_the_doors_work_as_they_are_written(
    running: RunningStack, tmp_path: Path
) -> None:
    """A police station's, a hotline's and a counter clerk's, each by what it is shown."""
    setting, station, refused, hotline, clerk = _blocks("docs/intake-doors.md")

    def walk(block: str) -> list[str]:
        return _walked(setting + block, running, tmp_path).splitlines()

    place, civil_before, civil_after, barred, citation = walk(station + refused)
    assert place.startswith("330681109")
    assert (civil_before, civil_after) == ("True", "False")
    assert barred.startswith("雇凶伤害他人的，不适用调解")
    assert citation == "公安机关办理行政案件程序规定 179"
    version, added, organ, seen_by_the_accused = walk(hotline)
    assert (version, added, seen_by_the_accused) == ("2", "repeat_call", "404")
    assert "纪律检查委员会" in organ
    over, state, _, answer = walk(clerk)
    assert over.startswith("信访工作条例")
    assert (state, answer) == ("answered", "请到一楼三号窗口")
