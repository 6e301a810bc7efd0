"""Organisations and places of a directory folder, and places by name. Pure after reading."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake.validation import in_force

_ABOVE_COUNTY: Final = ("country", "province", "city")
_NAMED: Final = (*_ABOVE_COUNTY, "county", "town", "village")
_ENDINGS: Final = ("村民委员会", "居民委员会", "居委会", "委会", "委员会")


class DirectoryFolder:
    """``directory.json`` and ``places.csv`` as ``liandiao directory import`` takes them."""

    def __init__(self, organisations: Iterable[dict[str, Any]], places: Iterable[dict[str, Any]]):
        self._organisations = {each["code"]: each for each in organisations}
        self._places = {each["code"]: each for each in places}
        # The same names come again and again in an export.
        self._explaining = lru_cache(1024)(self._explained)
        # Below each place (None: the top) its children by their names' first character, and those
        # above the county, whose names an address may leave out.
        self._named: dict[tuple[str | None, str], list[tuple[str, str]]] = defaultdict(list)
        self._above: dict[str | None, list[str]] = defaultdict(list)
        for code, place in self._places.items():
            if place.get("level") in _NAMED and place.get("name"):
                parent = place.get("parent")
                for name in _names(place["name"]):
                    self._named[parent, name[0]].append((name, code))
                if place["level"] in _ABOVE_COUNTY:
                    self._above[parent].append(code)

    @classmethod
    def read(cls, folder: Path) -> "DirectoryFolder":
        """Read the folder. Raises ``OSError``, ``ValueError`` or ``KeyError``."""
        raw = json.loads((folder / "directory.json").read_text(encoding="utf-8"))
        with (folder / "places.csv").open(encoding="utf-8", newline="") as file:
            places = [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]
        return cls(raw["organisations"], places)

    def organisation(self, code: str) -> dict[str, Any] | None:
        """An organisation by its code."""
        return self._organisations.get(code)

    def organisations_named(self, text: str) -> list[str]:
        """Codes of the organisations of whose name this is the whole or the end."""
        return [
            code
            for code, each in self._organisations.items()
            if str(each.get("name_zh") or "").endswith(text)
        ]

    def place(self, code: str) -> dict[str, Any] | None:
        """A place by its 12 or 15 digits."""
        return self._places.get(code)

    def by_name(self, text: str, on: date) -> list[str]:
        """Codes of the places that explain most of an address, county or below; none or several.

        The tree is walked as deep as the text goes on: county, town, village. What stands above the
        county may be left out, and what follows the last known name (street, number) is not looked
        at. Of equals, those in force on the day come first.
        """
        codes = self._explaining(text)
        valid = [code for code in codes if in_force(self._places[code], on)]
        return valid or list(codes)

    def _explained(self, text: str) -> tuple[str, ...]:
        """Codes of those that explain most, whenever they were in force."""
        found = list(self._below(None, text, 0))
        longest = max((used for used, _ in found), default=0)
        return tuple(sorted({code for used, code in found if used == longest and used}))

    def _below(self, code: str | None, text: str, used: int) -> Iterator[tuple[int, str]]:
        """Every place below, under its name, and above the county also without it."""
        for name, child in self._named.get((code, text[used : used + 1]), ()):
            if text.startswith(name, used):
                if self._places[child]["level"] not in _ABOVE_COUNTY:
                    yield used + len(name), child
                yield from self._below(child, text, used + len(name))
        for child in self._above.get(code, ()):
            yield from self._below(child, text, used)


def _names(name: str) -> list[str]:
    """A place's name, and that of a village without the name of its committee."""
    for ending in _ENDINGS:
        if name.endswith(ending):
            short = name.removesuffix(ending)
            village = ending == "村民委员会" and not short.endswith("村")
            return [name, f"{short}村" if village else short] if short else [name]
    return [name]
