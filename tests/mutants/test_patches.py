"""Every seeded fault still applies, and every crash test has one."""

import ast

import pytest

from tests.mutants.table import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_and_is_python(mutant: Mutant) -> None:
    changed = mutant.mutated()

    assert changed != (ROOT / mutant.file).read_text("utf-8")
    ast.parse(changed)


def test_every_crash_test_has_a_mutant() -> None:
    there = {f"tests/crash/{path.name}" for path in (ROOT / "tests" / "crash").glob("test_*.py")}

    faulted = {mutant.test for mutant in MUTANTS if mutant.test.startswith("tests/crash/")}
    assert faulted == there
