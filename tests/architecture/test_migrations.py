"""Migrations make exactly what tables.py declares, and say why they exist."""

import ast

import pytest

from tests.architecture.source import ROOT, SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_each_migration_is_numbered_and_says_why(service: str) -> None:
    paths = sorted((ROOT / service / "migrations/versions").glob("*.py"))

    assert paths
    assert [p.name for p in paths if not p.name[:4].isdigit()] == []
    assert [p.name for p in paths if not ast.get_docstring(ast.parse(p.read_text("utf-8")))] == []
