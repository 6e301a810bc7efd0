"""Which organ of the directory a matter goes to, and who belongs to the same agency. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Organs(Protocol):
    """What is asked of the directory here."""

    def all(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Every entry of one kind by its code."""

    def organisation(self, code: str) -> dict[str, Any] | None:
        """The organisation, or None."""

    def place_chain(self, code: str) -> list[str]:
        """The place and everything above it, from below."""


Test = Callable[[Mapping[str, Any]], bool]


def agency(directory: Organs, code: str) -> str:
    """The topmost organisation above this one: the head of its line; itself when it has none."""
    seen = {code}
    while True:
        parent = (directory.organisation(code) or {}).get("parent")
        if not isinstance(parent, str) or parent in seen:
            return code
        seen.add(parent)
        code = parent


def nearest(
    directory: Organs, place: str, wanted: Test, *, outside: str | None = None
) -> str | None:
    """The organisation that fits, of the place itself or of the closest place above it.

    ``outside`` is the head of a line whose every organisation is left out. Of several the first
    code.
    """
    chain = directory.place_chain(place)
    fitting = [
        (chain.index(entry["place"]), code)
        for code, entry in directory.all("organisation").items()
        if entry.get("place") in chain
        and wanted(entry)
        and (outside is None or agency(directory, code) != outside)
    ]
    return min(fitting)[1] if fitting else None


def of_kind(kind: str) -> Test:
    """An organisation of the kind."""
    return lambda entry: entry.get("kind") == kind


def with_role(role: str) -> Test:
    """An organisation with the role for its place."""
    return lambda entry: role in (entry.get("roles") or ())


def at_work(wanted: Test, today: str) -> Test:
    """The same, of those that are at work on the day and have no successor."""
    return lambda entry: (
        wanted(entry)
        and entry.get("active", True)
        and not entry.get("successor")
        and (entry.get("valid_from") or "") <= today <= (entry.get("valid_to") or "9999")
    )
