"""Every line of the intake checklist is tested, and its document names the tests."""

import pytest

from tests.architecture import checklist


def test_the_document_has_every_line_once() -> None:
    rows = checklist.ROW.findall(checklist.PAGE.read_text(encoding="utf-8"))

    assert [int(row[0]) for row in rows] == list(checklist.LINES)


@pytest.mark.parametrize("line", checklist.LINES)
def test_a_line_has_tests_and_the_document_names_them(line: int) -> None:
    paths = checklist.naming().get(line, [])

    assert paths, f"no test names checklist 1.{line}"
    assert checklist.written()[line] == checklist.cell(paths), (
        "run python -m tests.architecture.checklist"
    )
