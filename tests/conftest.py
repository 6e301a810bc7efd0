"""Order of the whole suite: what needs nothing first, then servers, then the whole stack."""

import pytest

pytest_plugins = ["tests.fixtures.servers"]

_ORDER = ("postgres", "kafka", "stack")


def _place(item: pytest.Item) -> int:
    return max((_ORDER.index(m) + 1 for m in _ORDER if item.get_closest_marker(m)), default=0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by what a test needs; a failure that needs no server shows within seconds."""
    items.sort(key=_place)
