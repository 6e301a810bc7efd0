"""A place by its address, valid on the day; what is unknown goes to the county. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from intake.adapters.places import DirectoryFolder
from intake.validation import in_force


class Places(Protocol):
    """What is asked of the directory here."""

    def all(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Every entry of one kind by its code."""

    def place(self, code: str) -> dict[str, Any] | None:
        """The place, or None."""

    def place_chain(self, code: str) -> list[str]:
        """The place and everything above it, from below."""


@dataclass(frozen=True)
class Candidate:
    """A place that the address may mean; ``instead_of`` is the abolished code it stands for."""

    code: str
    name: str
    path: str
    instead_of: str | None


@dataclass(frozen=True)
class Suggestion:
    """The places found; ``place`` is the only one, or the county's desk when there is not one."""

    place: str
    county_desk: bool
    candidates: tuple[Candidate, ...]


def by_names(places: Places) -> DirectoryFolder:
    """The names of all places, made ready to be found."""
    return DirectoryFolder((), [{"code": c, **p} for c, p in places.all("place").items()])


def suggest(
    places: Places, names: DirectoryFolder, address: str, *, county: str, on: date
) -> Suggestion:
    """Places for an address on the day of the event; ``county`` (12 digits) is the desk's own.

    An address that begins below the county is read as one of that county. Several or none: the
    county's desk has it, so that nothing is lost.
    """
    text = "".join(address.split())
    codes = names.by_name(text, on)
    if not codes:
        codes = names.by_name(_path(places, county) + text, on)
        codes = [code for code in codes if code != county]
    found: dict[str, Candidate] = {}
    for code in codes:
        now = valid(places, code, on)
        was = code if now != code else None
        entry = places.place(now) or {}
        found.setdefault(now, Candidate(now, str(entry.get("name")), _path(places, now), was))
    candidates = tuple(found.values())[:20]
    if len(candidates) == 1:
        return Suggestion(candidates[0].code, False, candidates)
    return Suggestion(county, True, candidates)


def valid(places: Places, code: str, on: date) -> str:
    """The code itself while it is in force on the day, else its successor, and so on."""
    seen: set[str] = set()
    while code not in seen:
        seen.add(code)
        entry: Mapping[str, Any] = places.place(code) or {}
        successor = entry.get("successor")
        if in_force(dict(entry), on) or not isinstance(successor, str) or not successor:
            return code
        code = successor
    return code


def _path(places: Places, code: str) -> str:
    names = [str((places.place(c) or {}).get("name") or "") for c in places.place_chain(code)]
    return "".join(reversed(names[:-1] if len(names) > 1 else names))
