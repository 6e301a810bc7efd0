"""Lists: opaque cursors bound to their filters (contracts section 9)."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
from fastapi import Depends, Query
from pydantic import BaseModel

from services.errors import CursorInvalid

T = TypeVar("T")
DEFAULT, MOST = 50, 200


class Items(BaseModel, Generic[T]):
    """One page of a list and the way to the next."""

    items: list[T]
    next: str | None = None


def _filters_mark(filters: dict[str, Any]) -> str:
    text = orjson.dumps(
        {k: v for k, v in filters.items() if v is not None},
        option=orjson.OPT_SORT_KEYS,
        default=str,
    )
    return hashlib.sha256(text).digest()[:8].hex()


@dataclass(frozen=True)
class Page:
    """What the caller asked of a list."""

    limit: int
    cursor: str | None

    @property
    def fetch(self) -> int:
        """Rows to fetch: one more than the page, to know whether there is a next one."""
        return self.limit + 1

    def after(self, filters: dict[str, Any], *, direction: str = "asc") -> list[Any] | None:
        """Sort keys of the last row seen. Raises ``CursorInvalid`` when filters differ."""
        if self.cursor is None:
            return None
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            data = orjson.loads(base64.urlsafe_b64decode(padded))
            version, keys, mark, way = data["v"], data["k"], data["f"], data["d"]
        except (ValueError, KeyError, TypeError):
            raise CursorInvalid() from None
        if version != 1 or mark != _filters_mark(filters) or way != direction:
            raise CursorInvalid("the filters of this list differ from those of the cursor")
        if not isinstance(keys, list):
            raise CursorInvalid()
        return keys

    def after_id(self, filters: dict[str, Any], *, direction: str = "asc") -> UUID | None:
        """The id of the last row seen, where the id alone sorts. Raises ``CursorInvalid``."""
        keys = self.after(filters, direction=direction)
        try:
            return None if keys is None else UUID(keys[0])
        except (ValueError, TypeError, AttributeError, IndexError):
            raise CursorInvalid() from None

    def after_number(self, filters: dict[str, Any]) -> int:
        """The number of the last row seen, where rows are numbered from 1; 0 before the first.

        Raises ``CursorInvalid``.
        """
        keys = self.after(filters)
        if keys is None:
            return 0
        if len(keys) != 1 or not isinstance(keys[0], int) or isinstance(keys[0], bool):
            raise CursorInvalid()
        return keys[0]

    def answer(
        self,
        rows: Sequence[Any],
        key: Callable[[Any], Sequence[Any]],
        view: Callable[[Any], Any],
        filters: dict[str, Any],
        *,
        direction: str = "asc",
        furthest: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        """The page: ``rows`` were fetched with ``fetch`` as their limit.

        ``furthest``: sort keys up to which was looked, where more may follow a page that is short.
        """
        shown = rows[: self.limit]
        following = None
        last = key(shown[-1]) if len(rows) > self.limit else furthest
        if last is not None:
            cursor = {
                "v": 1,
                "k": list(last),
                "f": _filters_mark(filters),
                "d": direction,
            }
            raw = orjson.dumps(cursor, default=str)
            following = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return {"items": [view(row) for row in shown], "next": following}


def _page(
    limit: Annotated[int, Query(ge=1, description="1 to 200; more is taken as 200")] = DEFAULT,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="`next` of the last page")
    ] = None,
) -> Page:
    return Page(min(limit, MOST), cursor)


Paging = Annotated[Page, Depends(_page)]
