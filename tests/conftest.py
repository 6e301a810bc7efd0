"""Order of the whole suite: what needs nothing first, then servers, then the whole stack."""

import os

import pytest

pytest_plugins = ["tests.fixtures.servers"]

_ORDER = ("postgres", "kafka", "stack")


def _place(item: pytest.Item) -> int:
    return max((_ORDER.index(m) + 1 for m in _ORDER if item.get_closest_marker(m)), default=0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort by what a test needs; a failure that needs no server shows within seconds."""
    if os.environ.get("LIANDIAO_CRASH") != "long":
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=_place)
