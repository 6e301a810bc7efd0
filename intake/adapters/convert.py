"""A row becomes a canonical referral, with every doubt and fault by column and rule. Pure.

A member comes from a constant, a mapping, a party or a code, in this order; ``*_on`` is a day and
``*_at`` an instant of Asia/Shanghai. A fault leaves its member out and does not stop the others;
only what is no referral at all (a total, a broken line, not a dispute) stops the row.
"""

from datetime import date, datetime
from typing import Any, Final

from intake.adapters.conversion import Conversion, Converted
from intake.adapters.parties import add_parties
from intake.adapters.places import DirectoryFolder
from intake.adapters.plan import Entry, Plan, Step, Table
from intake.adapters.rows import Row
from intake.adapters.transforms import CellFault, Surroundings
from services.clock import SHANGHAI

_NOTHING_AROUND: Final = Surroundings(DirectoryFolder((), ()), date.min, lambda rule: None)


def convert(row: Row, plan: Plan, directory: DirectoryFolder, today: date) -> Converted:
    """Map a row by its layout; ``today`` stands in where the day of receipt is not known."""
    conversion = Conversion(row, plan, directory, today)
    if _is_a_referral(conversion):
        _map(conversion)
        conversion.found.document = conversion.document
    return conversion.found


def _is_a_referral(row: Conversion) -> bool:
    """Whether there is anything to map; else says why not, and tells the reference if it can."""
    plan = row.plan
    if plan.total is not None:
        field, words = plan.total
        if row.cell(field) in words:
            row.fault(field.told, "total_line")
            return False
    reference = row.cell(plan.reference)
    row.found.reference = reference if isinstance(reference, str) else None
    if row.row.fault:
        row.say("refused", None, row.row.fault)
        return False
    for table in plan.tables:
        entry = _entry(row, table)
        if entry and entry.no_referral:
            row.fault(table.field.told, entry.no_referral)
            return False
    return True


def _map(row: Conversion) -> None:
    plan = row.plan
    if not (row.row.cells.keys() <= plan.names and _lists_known(row.row, plan)):
        row.say("warning", None, "column_unknown")
    row.document.update(_empty())
    row.found.origin.update(plan.origin)
    for fixed in plan.constants:
        row.set(fixed.steps, fixed.value)
    for step in plan.steps:
        _one_column(row, step)
    add_parties(row)
    row.found.origin.update(plan.coded_origin)
    for table in plan.tables:
        _one_code(row, table)


def _lists_known(row: Row, plan: Plan) -> bool:
    """Whether every name in the lists is known, save in one that is left out as a whole."""
    return all(
        f"{name}/{key}" in plan.names
        for name, items in row.lists.items()
        if name not in plan.names
        for item in items
        for key in item
    )


def _one_column(row: Conversion, step: Step) -> None:
    column = step.field.told
    value = row.cell(step.field)
    if value is None:
        if step.required:
            row.fault(column, "cell_empty", step.to)
        return
    if step.warn_when_present:
        row.say("warning", column, step.warn_when_present)
    around = _NOTHING_AROUND
    if step.looks_around:
        around = Surroundings(
            row.directory, row.received_on(), lambda rule: row.say("warning", column, rule)
        )
    try:
        result = step.convert(value, around)
    except CellFault as fault:
        row.fault(column, fault.rule, step.to)
        return
    for target in step.targets:
        row.set(target.steps, _moment(result, target.day))


def _entry(row: Conversion, table: Table) -> Entry | None:
    value = row.cell(table.field)
    if value is None:
        return table.empty
    return table.entries.get(value) if isinstance(value, str) else None


def _one_code(row: Conversion, table: Table) -> None:
    column, entry = table.field.told, _entry(row, table)
    if entry is None:
        empty = row.cell(table.field) is None
        row.fault(column, "cell_empty" if empty else "code_unknown", table.members)
        return
    for fixed in entry.set:
        row.set(fixed.steps, fixed.value)
    if entry.warn:
        row.say("warning", column, entry.warn)
    if entry.refuse:  # of what else the column gives nothing more is said
        given = tuple(p for p, told in row.found.origin.items() if told == column)
        row.fault(column, entry.refuse, given)


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


def _moment(value: Any, day: bool) -> Any:
    """A moment as the member's name says: ``*_on`` a day, all else an instant."""
    if not isinstance(value, datetime):
        return value
    local = value.astimezone(SHANGHAI)
    return local.date().isoformat() if day else local.isoformat()
