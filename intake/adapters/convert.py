"""A row becomes a canonical referral, with every doubt and fault by column and rule. Pure.

A member comes from a constant, a mapping, a party or a code, in this order; ``*_on`` is a day and
``*_at`` an instant of Asia/Shanghai. A fault leaves its member out and does not stop the others;
only what is no referral at all (a total, a broken line, not a dispute) stops the row.
"""

from datetime import date, datetime
from typing import Any, Final

from intake.adapters import layout as spec
from intake.adapters.conversion import Conversion, Converted
from intake.adapters.parties import add_parties
from intake.adapters.places import DirectoryFolder
from intake.adapters.rows import Row
from intake.adapters.transforms import CellFault, Surroundings, apply
from services.clock import SHANGHAI

_PLACES: Final = (spec.PlaceByName, spec.PlaceFilledUp, spec.PlaceCell)


def convert(row: Row, layout: spec.Layout, directory: DirectoryFolder, today: date) -> Converted:
    """Map a row by its layout; ``today`` stands in where the day of receipt is not known."""
    conversion = Conversion(row, layout, directory, today)
    if _is_a_referral(conversion):
        _map(conversion)
        conversion.found.document = conversion.document
    return conversion.found


def _is_a_referral(row: Conversion) -> bool:
    """Whether there is anything to map; else says why not, and tells the reference if it can."""
    total = row.layout.format.total
    if total and row.cell(total.column) in total.words:
        row.fault(total.column, "total_line")
        return False
    reference = row.cell(row.layout.reference_column())
    row.found.reference = reference if isinstance(reference, str) else None
    if row.row.fault:
        row.say("refused", None, row.row.fault)
        return False
    for table in row.layout.codes:
        entry = _entry(row, table)
        if entry and entry.no_referral:
            row.fault(table.column, entry.no_referral)
            return False
    return True


def _map(row: Conversion) -> None:
    if any(name not in row.layout.columns for name in _names(row.row, row.layout)):
        row.say("warning", None, "column_unknown")
    row.document.update(_empty())
    for pointer, value in row.layout.constants.items():
        row.set(pointer, value)
    for mapping in sorted(row.layout.mappings, key=lambda each: isinstance(each.by, _PLACES)):
        _one_column(row, mapping)  # places last: a name is looked up on the day of receipt
    add_parties(row)
    for table in row.layout.codes:
        _one_code(row, table)


def _names(row: Row, layout: spec.Layout) -> list[str]:
    """Every name in the row, save what stands in a list that is left out as a whole."""
    names = list(row.cells)
    for name, items in row.lists.items():
        if name not in layout.columns:
            names += [f"{name}/{key}" for item in items for key in item]
    return names


def _one_column(row: Conversion, mapping: spec.Mapping) -> None:
    column = mapping.column
    row.found.origin.update(dict.fromkeys(mapping.to, column))
    value = row.cell(column)
    if value is None:
        if mapping.required:
            row.fault(column, "cell_empty", mapping.to)
        return
    if mapping.warn_when_present:
        row.say("warning", column, mapping.warn_when_present)
    around = Surroundings(
        row.directory, row.received_on(), lambda rule: row.say("warning", column, rule)
    )
    try:
        result = apply(mapping.by, value, around)
    except CellFault as fault:
        row.fault(column, fault.rule, mapping.to)
        return
    for pointer in mapping.to:
        row.set(pointer, _moment(pointer, result))


def _entry(row: Conversion, table: spec.Codes) -> spec.Entry | None:
    value = row.cell(table.column)
    if value is None:
        return table.empty
    return table.entries.get(value) if isinstance(value, str) else None


def _one_code(row: Conversion, table: spec.Codes) -> None:
    entry = _entry(row, table)
    members = tuple({pointer for each in table.entries.values() for pointer in each.set})
    row.found.origin.update(dict.fromkeys(members, table.column))
    if entry is None:
        empty = row.cell(table.column) is None
        row.fault(table.column, "cell_empty" if empty else "code_unknown", members)
        return
    for pointer, value in entry.set.items():
        row.set(pointer, value)
    if entry.warn:
        row.say("warning", table.column, entry.warn)
    if entry.refuse:
        row.fault(table.column, entry.refuse)


def _empty() -> dict[str, Any]:
    """The members that a referral always has; what the export does not say is null or empty."""
    return {
        "source": {},
        "request_made_at": None,
        "dispute_subtype": None,
        "claims": [],
        "claim_fen": None,
        "parties": [],
        "documents": [],
        "legal_context": {},
        "safety": {"concerns": []},
    }


def _moment(pointer: str, value: Any) -> Any:
    """A moment as the member's name says: ``*_on`` a day, all else an instant."""
    if not isinstance(value, datetime):
        return value
    local = value.astimezone(SHANGHAI)
    return local.date().isoformat() if pointer.endswith("_on") else local.isoformat()
