"""Suggestions with the names of this process's copy of the directory."""

from datetime import date
from typing import TYPE_CHECKING

from intake.adapters.places import DirectoryFolder
from intake.places.model import Suggestion, by_names, suggest

if TYPE_CHECKING:
    from services.runtime import Runtime

_STATE = "intake.place-names"


def suggested(runtime: "Runtime", address: str, *, organisation: str, on: date) -> Suggestion:
    """The place an address means; the desk's own county where it is not known."""
    directory = runtime.directory
    known: tuple[int, DirectoryFolder] | None = runtime.state.get(_STATE)
    if known is None or known[0] != directory.revision:
        known = runtime.state[_STATE] = (directory.revision, by_names(directory))
    return suggest(directory, known[1], address, county=f"{organisation[:6]}000000", on=on)
