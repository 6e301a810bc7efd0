"""Organisations and places of a directory folder, and places by name. Pure after reading."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
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
        self._below: dict[str | None, list[str]] = defaultdict(list)
        self._names: dict[str, list[str]] = {}
        for code, place in self._places.items():
            if place.get("level") in _NAMED and place.get("name"):
                self._below[place.get("parent")].append(code)
                self._names[code] = _names(place["name"])

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

    def place(self, code: str) -> dict[str, Any] | None:
        """A place by its 12 or 15 digits."""
        return self._places.get(code)

    def by_name(self, text: str, on: date) -> list[str]:
        """Codes of the places that explain most of an address, county or below; none or several.

        The tree is walked as deep as the text goes on: county, town, village. What stands above the
        county may be left out, and what follows the last known name (street, number) is not looked
        at. Of equals, those in force on the day come first.
        """
        found = [hit for top in self._below[None] for hit in self._walk(top, text, 0)]
        longest = max((used for used, _ in found), default=0)
        codes = sorted({code for used, code in found if used == longest and used})
        valid = [code for code in codes if in_force(self._places[code], on)]
        return valid or codes

    def _walk(self, code: str, text: str, used: int) -> Iterator[tuple[int, str]]:
        """This place under its name, and above the county also without it."""
        above = self._places[code]["level"] in _ABOVE_COUNTY
        for name in self._names[code]:
            if text.startswith(name, used):
                yield from self._at(code, text, used + len(name), above)
        if above:
            yield from self._at(code, text, used, above)

    def _at(self, code: str, text: str, used: int, above: bool) -> Iterator[tuple[int, str]]:
        if not above:
            yield used, code
        for child in self._below[code]:
            yield from self._walk(child, text, used)


def _names(name: str) -> list[str]:
    """A place's name, and that of a village without the name of its committee."""
    for ending in _ENDINGS:
        if name.endswith(ending):
            short = name.removesuffix(ending)
            village = ending == "村民委员会" and not short.endswith("村")
            return [name, f"{short}村" if village else short] if short else [name]
    return [name]
