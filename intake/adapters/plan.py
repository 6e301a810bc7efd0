"""A layout made ready once for a whole file, so that no row looks up again what never changes.

Columns with how they are cleaned, transformations with their parameters, pointers as steps, code
tables with the members they set. Pure; a row by a plan becomes what it became by the layout.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from intake.adapters import layout as spec
from intake.adapters.rows import Value
from intake.adapters.transforms import Surroundings, looks_around, ready

_PLAIN: Final = spec.Column()
_PLACES: Final = (spec.PlaceByName, spec.PlaceFilledUp, spec.PlaceCell)
Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A column as its cells are read: their name in the row, and the name that findings tell."""

    name: str
    told: str
    guarded: bool
    bracketed: bool
    split: str | None
    shared: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A member of the referral, as the steps to it; ``day``: a moment is told as a day there."""

    steps: Steps
    day: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One column to its members."""

    field: Field
    to: tuple[str, ...]
    targets: tuple[Target, ...]
    convert: Callable[[Value, Surroundings], Any]
    looks_around: bool
    required: bool
    warn_when_present: str | None


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that the layout itself gives; ``copied`` where a row could change it."""

    steps: Steps
    given: Any
    copied: bool

    @property
    def value(self) -> Any:
        """The value, of which nothing is shared between rows."""
        return deepcopy(self.given) if self.copied else self.given


@dataclass(frozen=True, slots=True)
class Entry:
    """What one code means."""

    set: tuple[Fixed, ...]
    warn: str | None
    refuse: str | None
    no_referral: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """The codes of one column, with every member that one of them sets."""

    field: Field
    entries: dict[str, Entry]
    empty: Entry | None
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Party:
    """The parties of one role, with their columns by name."""

    spec: spec.Party
    prefix: str
    fields: dict[str, Field]
    consent: Field | None


class Plan:
    """Everything of a layout that a conversion asks for."""

    def __init__(self, layout: spec.Layout) -> None:
        self.layout = layout
        self.names = frozenset(layout.columns)
        self._fields = {name: self._made(name, name) for name in layout.columns}
        total = layout.format.total
        self.total = (self.field(total.column), total.words) if total else None
        self.reference = self.field(layout.reference_column())
        self.constants = _fixed(layout.constants)
        # Places last: a name is looked up on the day of receipt.
        mappings = sorted(layout.mappings, key=lambda each: isinstance(each.by, _PLACES))
        self.steps = tuple(self._step(mapping) for mapping in mappings)
        self.tables = tuple(self._table(table) for table in layout.codes)
        self.parties = tuple(self._party(party) for party in layout.parties)
        self.origin = {pointer: step.field.told for step in self.steps for pointer in step.to}
        self.coded_origin = {
            pointer: table.field.told for table in self.tables for pointer in table.members
        }

    def field(self, name: str) -> Field:
        """A column of the row itself; one that the layout does not know is read as it stands."""
        return self._fields.get(name) or self._made(name, name)

    def below(self, prefix: str, name: str) -> Field:
        """A member of a list."""
        return self._made(name, prefix + name)

    def _made(self, name: str, told: str) -> Field:
        column = self.layout.columns.get(told, _PLAIN)
        return Field(
            name,
            told,
            "strip_guard" in column.clean,
            "full_width_brackets" in column.clean,
            column.split,
            column.shared,
        )

    def _step(self, mapping: spec.Mapping) -> Step:
        return Step(
            self.field(mapping.column),
            mapping.to,
            tuple(Target(steps_of(pointer), pointer.endswith("_on")) for pointer in mapping.to),
            ready(mapping.by),
            looks_around(mapping.by),
            mapping.required,
            mapping.warn_when_present,
        )

    def _table(self, table: spec.Codes) -> Table:
        members = {pointer for each in table.entries.values() for pointer in each.set}
        return Table(
            self.field(table.column),
            {code: _entry(entry) for code, entry in table.entries.items()},
            _entry(table.empty) if table.empty else None,
            tuple(members),
        )

    def _party(self, party: spec.Party) -> Party:
        prefix = f"{party.each}/" if party.each else ""
        fields = {name: self.below(prefix, name) for name in spec.party_columns(party)}
        consent = party.consent
        return Party(
            party,
            prefix,
            fields,
            self.field(consent.column) if isinstance(consent, spec.Coded) else None,
        )


def steps_of(pointer: str) -> Steps:
    """A pointer's steps."""
    return tuple(pointer.split("/")[1:])


def _fixed(values: dict[str, Any]) -> tuple[Fixed, ...]:
    return tuple(
        Fixed(steps_of(pointer), value, isinstance(value, dict | list))
        for pointer, value in values.items()
    )


def _entry(entry: spec.Entry) -> Entry:
    return Entry(_fixed(entry.set), entry.warn, entry.refuse, entry.no_referral)
