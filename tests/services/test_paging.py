"""A cursor is what was given, or it is refused."""

import base64
import json
from typing import Any
from uuid import UUID

import pytest

from services.errors import CursorInvalid
from services.ids import new_id
from services.paging import Page

FILTERS = {"state": "open"}


def _next(page: Page, rows: list[UUID], **given: Any) -> str | None:
    """The cursor of a page with these ids."""
    following: str | None = page.answer(
        rows, lambda r: [r], str, FILTERS, direction="desc", **given
    )["next"]
    return following


def test_the_next_page_begins_after_the_last_row_shown() -> None:
    rows = [new_id() for _ in range(3)]

    cursor = _next(Page(2, None), rows)

    assert Page(2, cursor).after_id(FILTERS, direction="desc") == rows[1]


def test_a_short_page_goes_on_from_where_was_looked_and_a_full_one_from_its_last_row() -> None:
    rows, furthest = [new_id() for _ in range(3)], new_id()

    short = _next(Page(5, None), rows, furthest=[furthest])
    full = _next(Page(2, None), rows, furthest=[furthest])

    assert Page(5, short).after_id(FILTERS, direction="desc") == furthest
    assert Page(2, full).after_id(FILTERS, direction="desc") == rows[1]
    assert _next(Page(5, None), rows) is None


@pytest.mark.parametrize("keys", [[], [7], [None], ["no id"], [["x"]], "x"])
def test_a_cursor_whose_key_is_no_id_is_refused(keys: Any) -> None:
    cursor = _next(Page(1, None), [new_id(), new_id()])
    assert cursor is not None
    inside = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps({**inside, "k": keys}).encode()).decode()

    with pytest.raises(CursorInvalid):
        Page(1, forged.rstrip("=")).after_id(FILTERS, direction="desc")


def test_rows_that_are_numbered_go_on_behind_a_number_and_behind_nothing_else() -> None:
    def numbered(row: int | str) -> str | None:
        following: str | None = Page(1, None).answer([row, row], lambda r: [r], str, {})["next"]
        return following

    assert Page(1, None).after_number({}) == 0
    assert Page(1, numbered(17)).after_number({}) == 17
    with pytest.raises(CursorInvalid):
        Page(1, numbered("17")).after_number({})
