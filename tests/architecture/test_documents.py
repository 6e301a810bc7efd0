"""The documents are there, short where they must be, and their links lead somewhere."""

import re

import pytest

from tests.architecture.source import ROOT, SERVICES

LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)(?:#[^)]*)?\)")
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "deploy").rglob("*.md"),
    *(ROOT / service / "README.md" for service in SERVICES),
]
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_a_readme(service: str) -> None:
    assert (ROOT / service / "README.md").exists()


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.exists()], ids=lambda p: str(p.relative_to(ROOT))
)
def test_links_lead_somewhere(page) -> None:
    found = [
        link
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]

    assert found == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda p: p.stem)
def test_a_decision_is_short_and_names_the_check_that_enforces_it(page) -> None:
    text = page.read_text(encoding="utf-8")

    named = re.search(r"^Enforced by: (.+)$", text, re.MULTILINE)

    assert len(text.split()) <= 400
    assert named
    for path in re.findall(r"`((?:tests|services|deploy|docs)/[^`:]+|pyproject\.toml)", named[1]):
        assert (ROOT / path).exists(), path


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(page.name[:4]) for page in DECISIONS]

    assert numbers == list(range(1, len(numbers) + 1))
