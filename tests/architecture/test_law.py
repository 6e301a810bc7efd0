"""Every rule and every legal number has its source, and none hides in code."""

import ast
import csv
import json
import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, SERVICES, files, tree

DATA = ROOT / "services/events/data"
LEGAL = (ROOT / "docs/legal-sources.md").read_text(encoding="utf-8")
KNOWN_CODES = set(re.findall(r"^\| ([A-Z]{1,3}-\d{1,2}[a-z]?) \|", LEGAL, re.MULTILINE))
CODE = re.compile(r"(?<![A-Z-])(?<!DL-)\b([A-Z]{1,3}-\d{1,2})\b(?!-)")
# Technical lengths that are no legal number: (file, length) -> why.
TECHNICAL = {
    ("routing/clocks.py", "timedelta(days=3)"): "when we remind of an obligation; no right ends",
    ("mediation/session/rules.py", "timedelta(hours=12)"): "a longer session is a typing error",
}


def test_every_row_of_the_deadline_registry_is_cited() -> None:
    with (DATA / "deadlines.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert len({row["id"] for row in rows}) == len(rows)
    assert [r["id"] for r in rows if not r["rule"] or r["certainty"][:1] not in set("ABCMS")] == []
    assert [r["id"] for r in rows if not re.search(r"\d", r["n"])] == []


def _objects(node: object) -> list[dict[str, object]]:
    if isinstance(node, dict):
        return [node, *(inner for value in node.values() for inner in _objects(value))]
    if isinstance(node, list):
        return [inner for value in node for inner in _objects(value)]
    return []


@pytest.mark.parametrize("name", ["lanes.json", "remedies.json", "end_codes.json"])
def test_every_number_in_the_lane_data_has_a_source(name: str) -> None:
    document = json.loads((DATA / name).read_text(encoding="utf-8"))

    found = [
        item
        for item in _objects(document)
        if ("n" in item or "people" in item) and not (item.get("source") or item.get("deadline"))
    ]

    assert found == []


@pytest.mark.parametrize("path", sorted(DATA.iterdir()), ids=lambda p: p.name)
def test_every_legal_code_that_data_cites_is_explained(path: Path) -> None:
    cited = set(CODE.findall(path.read_text(encoding="utf-8").replace("DL-", "DL_")))

    assert sorted(code for code in cited if code not in KNOWN_CODES) == []


def test_every_routing_rule_and_preference_has_its_source() -> None:
    from routing import rules

    items = [*rules.RULES, *rules.ORDER]

    assert items
    assert [item.code for item in items if not item.source or not item.statement] == []


def _lengths(path: Path) -> list[str]:
    """Calls that write a length of days, weeks or hours into code."""
    found = []
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name == "timedelta":
            for keyword in node.keywords:
                if (
                    keyword.arg in ("days", "weeks", "hours")
                    and isinstance(keyword.value, ast.Constant)
                    and keyword.value.value not in (0, 1, -1)
                ):
                    found.append(ast.unparse(node))
            if node.args and isinstance(node.args[0], ast.Constant):
                found.append(ast.unparse(node))
        elif name in ("Length", "add", "Window", "Term"):
            constants = [
                a
                for a in (*node.args, *(k.value for k in node.keywords))
                if isinstance(a, ast.Constant)
            ]
            values = {c.value for c in constants}
            if values & {"day", "workday", "month", "year", "hour"} and any(
                type(value) is int for value in values
            ):
                found.append(ast.unparse(node))
    return found


def test_no_legal_number_hides_in_code() -> None:
    """A length in days belongs to deadlines.csv or lanes.json, with its citation."""
    found = [
        f"{path.relative_to(ROOT)}: {call}"
        for path in files(*SERVICES)
        for call in _lengths(path)
        if (str(path.relative_to(ROOT)), call) not in TECHNICAL
    ]

    assert found == []
