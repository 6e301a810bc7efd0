"""Which tests name which line of the intake checklist; run it to write them into the document."""

import re
from collections import defaultdict
from typing import Final

from tests.architecture.source import ROOT

PAGE: Final = ROOT / "docs/intake-checklist.md"
LINES: Final = range(1, 34)
# "checklist 1.5, 1.29", "Checklist 1.10 (K-01)": one line of the list or several.
NAMED: Final = re.compile(r"[Cc]hecklist (1\.\d+(?:(?:,| and) 1\.\d+)*)")
ROW: Final = re.compile(r"^\| 1\.(\d+) \| (.+?) \| (.*?) \| (.*?) \|$", re.MULTILINE)


def naming() -> dict[int, list[str]]:
    """Line -> the test files that name it, as paths from the root."""
    found = defaultdict(set)
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = " ".join(path.read_text(encoding="utf-8").split())
        for names in NAMED.findall(text):
            for number in re.findall(r"1\.(\d+)", names):
                found[int(number)].add(path.relative_to(ROOT).as_posix())
    return {number: sorted(paths) for number, paths in found.items()}


def cell(paths: list[str]) -> str:
    """The files as links from the document."""
    return ", ".join(f"[{path.removeprefix('tests/')}](../{path})" for path in paths)


def written() -> dict[int, str]:
    """Line -> what the document says tests it."""
    return {int(row[0]): row[2] for row in ROW.findall(PAGE.read_text(encoding="utf-8"))}


def write() -> None:
    """Put the tests' names into the document."""
    names = naming()
    text = ROW.sub(
        lambda row: f"| 1.{row[1]} | {row[2]} | {cell(names[int(row[1])])} | {row[4]} |",
        PAGE.read_text(encoding="utf-8"),
    )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
