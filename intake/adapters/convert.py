"""A row becomes a canonical referral, with every doubt and fault by column and rule. Pure.

A member comes from a constant, a mapping, a party or a code, in this order; ``*_on`` is a day and
``*_at`` an instant of Asia/Shanghai. A fault leaves its member out and does not stop the others;
only what is no referral at all (a total, a broken line, not a dispute) stops the row.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal

from intake import identity
from intake.adapters import layout as spec
from intake.adapters.messages import message
from intake.adapters.places import DirectoryFolder
from intake.adapters.rows import Cells, Row, Value
from intake.adapters.transforms import CellFault, Surroundings, apply, clean, is_figure
from services.clock import SHANGHAI

_PLACES: Final = (spec.PlaceByName, spec.PlaceFilledUp, spec.PlaceCell)
_PLAIN: Final = spec.Column()


@dataclass(frozen=True)
class Finding:
    """One thing to say about a row: never with a value in it."""

    level: Literal["warning", "refused"]
    column: str | None
    rule: str
    message: str


@dataclass
class Converted:
    """What became of a row. ``document`` is None when the row is no referral at all."""

    reference: str | None = None
    document: dict[str, Any] | None = None
    findings: list[Finding] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def column_of(self, pointer: str) -> str | None:
        """The column behind a member, or behind the nearest one above it."""
        while pointer:
            if pointer in self.origin:
                return self.origin[pointer]
            pointer = pointer.rpartition("/")[0]
        return None


def convert(row: Row, layout: spec.Layout, directory: DirectoryFolder, today: date) -> Converted:
    """Map a row by its layout; ``today`` stands in where the day of receipt is not known."""
    return _Conversion(row, layout, directory, today).run()


class _NoReferral(Exception):
    """The row is not to be passed on; nothing of it is mapped."""


class _Conversion:
    def __init__(
        self, row: Row, layout: spec.Layout, directory: DirectoryFolder, today: date
    ) -> None:
        self.row = row
        self.layout = layout
        self.directory = directory
        self.today = today
        self.found = Converted()
        self.document: dict[str, Any] = {}

    def run(self) -> Converted:
        """Map everything; answers what was found."""
        try:
            self._whole_row()
            self._map()
        except _NoReferral:
            return self.found
        self.found.document = self.document
        return self.found

    def say(self, level: Literal["warning", "refused"], column: str | None, rule: str) -> None:
        """Add a finding, once."""
        text = self.layout.reasons.get(rule) or message(rule)
        finding = Finding(level, column, rule, text)
        if finding not in self.found.findings:
            self.found.findings.append(finding)

    # -- the row as a whole -----------------------------------------------------------------------

    def _whole_row(self) -> None:
        total = self.layout.format.total
        if total and self._cell(total.column) in total.words:
            self._stop(total.column, "total_line")
        reference = self._cell(self.layout.reference_column())
        self.found.reference = reference if isinstance(reference, str) else None
        if self.row.fault:
            self._stop(None, self.row.fault)
        for table in self.layout.codes:
            entry = self._entry(table)
            if entry and entry.no_referral:
                self._stop(table.column, entry.no_referral)
        if any(name not in self.layout.columns for name in self._names()):
            self.say("warning", None, "column_unknown")

    def _stop(self, column: str | None, rule: str) -> None:
        self.say("refused", column, rule)
        raise _NoReferral

    def _names(self) -> list[str]:
        """Every name in the row, save what stands in a list that is left out as a whole."""
        names = list(self.row.cells)
        for name, items in self.row.lists.items():
            if name not in self.layout.columns:
                names += [f"{name}/{key}" for item in items for key in item]
        return names

    def _cell(self, name: str, cells: Cells | None = None, prefix: str = "") -> Value:
        """A cell without guards and blanks; None when it is empty."""
        column = self.layout.columns.get(prefix + name, _PLAIN)
        value, folded = clean((self.row.cells if cells is None else cells).get(name), column)
        if folded:
            self.say("warning", prefix + name, "brackets_folded")
        return value

    # -- members ----------------------------------------------------------------------------------

    def _map(self) -> None:
        self.document.update(_empty())
        for pointer, value in self.layout.constants.items():
            self._set(pointer, value)
        for mapping in sorted(self.layout.mappings, key=lambda each: isinstance(each.by, _PLACES)):
            self._mapping(mapping)  # places last: a name is looked up on the day of receipt
        for party in self.layout.parties:
            self._parties(party)
        self._left_out()
        for table in self.layout.codes:
            self._codes(table)

    def _mapping(self, mapping: spec.Mapping) -> None:
        column = mapping.column
        self.found.origin.update(dict.fromkeys(mapping.to, column))
        value = self._cell(column)
        if value is None:
            if mapping.required:
                self._fault(column, "cell_empty", mapping.to)
            return
        if mapping.warn_when_present:
            self.say("warning", column, mapping.warn_when_present)
        around = Surroundings(
            self.directory, self._received_on(), lambda rule: self.say("warning", column, rule)
        )
        try:
            result = apply(mapping.by, value, around)
        except CellFault as fault:
            self._fault(column, fault.rule, mapping.to)
            return
        for pointer in mapping.to:
            self._set(pointer, _moment(pointer, result))

    def _fault(self, column: str, rule: str, pointers: tuple[str, ...] = ()) -> None:
        self.say("refused", column, rule)
        self.found.missing.update(pointers)

    def _received_on(self) -> date:
        text = self.document["source"].get("received_at")
        return datetime.fromisoformat(text).date() if text else self.today

    def _set(self, pointer: str, value: Any) -> None:
        """Set a member, making the objects on the way; of a party that is not there, nothing."""
        node: Any = self.document
        *steps, last = pointer.split("/")[1:]
        for step in steps:
            if isinstance(node, list):
                if int(step) >= len(node):
                    return
                node = node[int(step)]
            else:
                node = node.setdefault(step, {})
        node[last] = value

    # -- codes ------------------------------------------------------------------------------------

    def _entry(self, table: spec.Codes) -> spec.Entry | None:
        value = self._cell(table.column)
        if value is None:
            return table.empty
        return table.entries.get(value) if isinstance(value, str) else None

    def _codes(self, table: spec.Codes) -> None:
        entry = self._entry(table)
        members = tuple({pointer for each in table.entries.values() for pointer in each.set})
        self.found.origin.update(dict.fromkeys(members, table.column))
        if entry is None:
            empty = self._cell(table.column) is None
            self._fault(table.column, "cell_empty" if empty else "code_unknown", members)
            return
        for pointer, value in entry.set.items():
            self._set(pointer, value)
        if entry.warn:
            self.say("warning", table.column, entry.warn)
        if entry.refuse:
            self._fault(table.column, entry.refuse)

    def _coded(self, coded: spec.Coded, cells: Cells | None = None, prefix: str = "") -> str | None:
        value = self._cell(coded.column, cells, prefix)
        if value is None:
            return None
        found = coded.values.get(value) if isinstance(value, str) else None
        if found is None:
            self._fault(prefix + coded.column, "code_unknown")
        return found

    # -- parties ----------------------------------------------------------------------------------

    def _parties(self, party: spec.Party) -> None:
        if party.each:
            items = self.row.lists.get(party.each, [])
            items = items if party.at is None else items[party.at : party.at + 1]
            prefix = f"{party.each}/"
        else:
            items, prefix = self._split(party), ""
        items = [item for item in items if any(self._cell(n, item, prefix) for n in item)]
        if not items:
            self.found.origin.setdefault("/parties", prefix + party.name)
            if party.warn_when_absent:
                self.say("warning", prefix + party.name, party.warn_when_absent)
        for item in items:
            self._party(party, item, prefix)

    def _left_out(self) -> None:
        """Say which lists hold more parties than the layout takes."""
        for name, items in self.row.lists.items():
            taking = [party.at for party in self.layout.parties if party.each == name]
            last = max((at for at in taking if at is not None), default=-1)
            if taking and None not in taking and len(items) > last + 1:
                self.say("warning", name, "party_left_out")

    def _split(self, party: spec.Party) -> list[Cells]:
        """The cells of each party whom one row's columns name, parted alike in all of them."""
        names = [name for name in (party.name, party.id, party.phone, party.address) if name]
        names += [coded.column for coded in (party.id_type, party.gender) if coded]
        if party.representative:
            names.append(party.representative.name)
            if isinstance(party.representative.authority, spec.Coded):
                names.append(party.representative.authority.column)
        parts = {name: self._parts(name) for name in names}
        count = len(parts[party.name])
        for name, values in parts.items():
            if len(values) != count:
                if not (len(values) == 1 and (values[0] is None or self._column(name).shared)):
                    self._fault(name, "parts_differ")
                    values = [None]
                parts[name] = values * count
        return [{name: values[at] for name, values in parts.items()} for at in range(count)]

    def _column(self, name: str) -> spec.Column:
        return self.layout.columns[name]

    def _parts(self, name: str) -> list[Value]:
        value, mark = self._cell(name), self._column(name).split
        if isinstance(value, str) and mark:
            return [part for part in value.split(mark) if part.strip()]
        return [value]

    def _party(self, party: spec.Party, cells: Cells, prefix: str) -> None:
        at = len(self.document["parties"])
        pointer = f"/parties/{at}"
        self.found.origin[pointer] = prefix + party.name
        for member, column in (
            ("name", party.name), ("id", party.id), ("phone", party.phone),
            ("address", party.address),
        ):  # fmt: skip
            if column:
                self.found.origin[f"{pointer}/{member}"] = prefix + column
        name = self._party_text(party.name, cells, prefix, pointer + "/name")
        phone = self._party_text(party.phone, cells, prefix, pointer + "/phone")
        number = self._party_text(party.id, cells, prefix, pointer + "/id")
        id_type = self._coded(party.id_type, cells, prefix) if party.id_type else None
        if number and party.id_type and self._cell(party.id_type.column, cells, prefix) is None:
            self._fault(prefix + party.id_type.column, "cell_empty", (f"{pointer}/id",))
        if number and party.id_type is None:
            id_type = "uscc" if identity.fold_number(number).startswith("9") else "resident_id"
        if name is None:
            self._fault(prefix + party.name, "cell_empty", (f"{pointer}/name",))
        elif party.warn_when_present:
            self.say("warning", prefix + party.name, party.warn_when_present)
        if name in party.anonymous_names and phone is None and party.anonymous_without_phone:
            self._fault(prefix + party.name, party.anonymous_without_phone)
        person: dict[str, Any] = {
            "ref": f"p{at + 1}",
            "role": party.role,
            "kind": self._kind(party, name or "", id_type),
            "id": None,
            "phone": phone,
            "consent": self._consent(party),
        }
        if name is not None:
            person["name"] = name
        if number and id_type:
            verified = id_type == "uscc"
            person["id"] = {"type": id_type, "number": number, "verified": verified}
        if party.address:
            person["address"] = self._party_text(party.address, cells, prefix, pointer + "/address")
        if party.gender:
            person["gender"] = self._coded(party.gender, cells, prefix)
        if party.representative:
            self._representative(party.representative, cells, prefix, person, pointer)
        self.document["parties"].append(person)

    def _party_text(
        self, column: str | None, cells: Cells, prefix: str, pointer: str
    ) -> str | None:
        """A text of a party. A number that a spreadsheet turned into a figure is a fault."""
        value = self._cell(column, cells, prefix) if column else None
        if value is None:
            return None
        numbered = pointer.endswith(("/id", "/phone"))
        if not isinstance(value, str) or (numbered and is_figure(value)):
            rule = "id_became_number" if numbered else "not_a_text"
            self._fault(f"{prefix}{column}", rule, (pointer,))
            return None
        return value

    def _kind(self, party: spec.Party, name: str, id_type: str | None) -> str:
        """Person or organisation: as the layout says, by the document, or by words in the name."""
        if party.kind in ("person", "organisation"):
            return party.kind
        if party.kind == "by_id" and id_type:
            return "organisation" if id_type == "uscc" else "person"
        words = self.layout.organisation_words
        return "organisation" if any(word in name for word in words) else "person"

    def _consent(self, party: spec.Party) -> dict[str, Any]:
        state: str | None = None
        if isinstance(party.consent, spec.Coded):
            state = self._coded(party.consent)
        else:
            state = party.consent
        known = state in ("given", "refused")
        on = self._received_on().isoformat() if known else None
        return {"state": state or "unknown", "on": on}

    def _representative(
        self,
        speaker: spec.Representative,
        cells: Cells,
        prefix: str,
        person: dict[str, Any],
        pointer: str,
    ) -> None:
        below = f"{pointer}/representative"
        self.found.origin[below] = prefix + speaker.name
        name = self._party_text(speaker.name, cells, prefix, below)
        if name is None:
            return
        authority: str | None
        if isinstance(speaker.authority, spec.Coded):
            column = prefix + speaker.authority.column
            authority = self._coded(speaker.authority, cells, prefix)
            if authority is None and self._cell(speaker.authority.column, cells, prefix) is None:
                self._fault(column, "cell_empty", (below,))
        else:
            authority = speaker.authority
        if authority:
            person["representative"] = {
                "name": name,
                "relation": speaker.relation,
                "authority": authority,
            }


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
