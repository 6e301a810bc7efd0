"""The parties of a row: from columns, from parts of cells, or from the members of a list. Pure."""

from dataclasses import dataclass
from typing import Any

from intake import identity
from intake.adapters import layout as spec
from intake.adapters.conversion import Cells, Conversion
from intake.adapters.plan import Field, Party
from intake.adapters.rows import Value
from intake.adapters.transforms import is_figure


def add_parties(row: Conversion) -> None:
    """Add every party that the layout finds in the row, numbered in its order."""
    for party in row.plan.parties:
        _of_one_role(row, party)
    for name, items in row.row.lists.items():
        taking = [party.spec.at for party in row.plan.parties if party.spec.each == name]
        last = max((at for at in taking if at is not None), default=-1)
        if taking and None not in taking and len(items) > last + 1:
            row.say("warning", name, "party_left_out")


def _of_one_role(row: Conversion, party: Party) -> None:
    asked = party.spec
    named = _listed(row, party) if asked.each else _parted(row, party)
    column = party.prefix + asked.name
    if not named:
        row.found.origin.setdefault("/parties", column)
        if asked.warn_when_absent:
            row.say("warning", column, asked.warn_when_absent)
    for cells in named:
        pointer = f"/parties/{len(row.document['parties'])}"
        row.document["parties"].append(_Source(row, party, cells, pointer).made())


def _listed(row: Conversion, party: Party) -> list[Cells]:
    """The cells of each party that stands in a list."""
    at, items = party.spec.at, row.row.lists.get(party.spec.each or "", [])
    found = []
    for item in items if at is None else items[at : at + 1]:
        cells = Cells(item)
        if any(
            row.cell(party.fields.get(name) or row.plan.below(party.prefix, name), cells)
            for name in item
        ):
            found.append(cells)
    return found


def _parted(row: Conversion, party: Party) -> list[Cells]:
    """The cells of each party whom one row's columns name, parted alike in all of them."""
    parts = {name: _parts(row, field) for name, field in party.fields.items()}
    count = len(parts[party.spec.name])
    for name, values in parts.items():
        if len(values) != count:
            if not (len(values) == 1 and (values[0] is None or party.fields[name].shared)):
                row.fault(name, "parts_differ")
                values = [None]
            parts[name] = values * count
    found = []
    for at in range(count):
        cells = Cells({name: values[at] for name, values in parts.items()})
        if any(row.cell(field, cells) for field in party.fields.values()):
            found.append(cells)
    return found


def _parts(row: Conversion, field: Field) -> list[Value]:
    value = row.cell(field)
    if isinstance(value, str) and field.split:
        return [part for part in value.split(field.split) if part.strip()]
    return [value]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where one party comes from: its cells, and the pointer it goes to."""

    row: Conversion
    plan: Party
    cells: Cells
    pointer: str

    @property
    def party(self) -> spec.Party:
        """What the layout says of it."""
        return self.plan.spec

    def made(self) -> dict[str, Any]:
        """The party as a member of the referral."""
        party = self.party
        self.row.found.origin[self.pointer] = self.plan.fields[party.name].told
        name = self._text("name", party.name)
        phone = self._text("phone", party.phone, numbered=True)
        id_ = self._id()
        if name is None:
            self._fault(party.name, "cell_empty", "name")
        elif party.warn_when_present:
            told = self.plan.fields[party.name].told
            self.row.say("warning", told, party.warn_when_present)
        if name in party.anonymous_names and phone is None and party.anonymous_without_phone:
            self._fault(party.name, party.anonymous_without_phone)
        made: dict[str, Any] = {
            "ref": f"p{len(self.row.document['parties']) + 1}",
            "role": party.role,
            "kind": self._kind(name or "", (id_ or {}).get("type")),
            "name": name,
            "id": id_,
            "phone": phone,
            "consent": self._consent(),
        }
        if party.address:
            made["address"] = self._text("address", party.address)
        if party.gender:
            made["gender"] = self._coded(party.gender)
        if party.representative:
            made["representative"] = self._representative(party.representative)
        return made

    def _fault(self, column: str, rule: str, member: str | None = None) -> None:
        pointers = (f"{self.pointer}/{member}",) if member else ()
        self.row.fault(self.plan.fields[column].told, rule, pointers)

    def _coded(self, coded: spec.Coded) -> str | None:
        return self.row.coded(coded, self.plan.fields[coded.column], self.cells)

    def _text(self, member: str, column: str | None, *, numbered: bool = False) -> str | None:
        """A text of the party. A number that a spreadsheet turned into a figure is a fault."""
        if column is None:
            return None
        field = self.plan.fields[column]
        self.row.found.origin[f"{self.pointer}/{member}"] = field.told
        value = self.row.cell(field, self.cells)
        if value is None:
            return None
        if not isinstance(value, str) or (numbered and is_figure(value)):
            self._fault(column, "id_became_number" if numbered else "not_a_text", member)
            return None
        return value

    def _id(self) -> dict[str, Any] | None:
        """The identity document: its kind by a column, else by the number's first character."""
        number = self._text("id", self.party.id, numbered=True)
        if number is None:
            return None
        coded = self.party.id_type
        if coded is None:
            type_ = "uscc" if identity.fold_number(number).startswith("9") else "resident_id"
        else:
            found = self._coded(coded)
            if found is None:
                if self.row.cell(self.plan.fields[coded.column], self.cells) is None:
                    self._fault(coded.column, "cell_empty", "id")
                return None
            type_ = found
        return {"type": type_, "number": number, "verified": type_ == "uscc"}

    def _kind(self, name: str, id_type: str | None) -> str:
        """Person or organisation: as the layout says, by the document, or by words in the name."""
        if self.party.kind in ("person", "organisation"):
            return self.party.kind
        if self.party.kind == "by_id" and id_type:
            return "organisation" if id_type == "uscc" else "person"
        words = self.row.plan.layout.organisation_words
        return "organisation" if any(word in name for word in words) else "person"

    def _consent(self) -> dict[str, Any]:
        consent, field = self.party.consent, self.plan.consent
        state: str | None
        if isinstance(consent, spec.Coded):
            state = self.row.coded(consent, field) if field else None
            if field:
                self.row.found.origin[f"{self.pointer}/consent"] = field.told
        else:
            state = consent
        known = state in ("given", "refused")
        on = self.row.received_on().isoformat() if known else None
        return {"state": state or "unknown", "on": on}

    def _representative(self, speaker: spec.Representative) -> dict[str, Any] | None:
        name = self._text("representative", speaker.name)
        if name is None:
            return None
        authority: str | None
        if isinstance(speaker.authority, spec.Coded):
            column = speaker.authority.column
            authority = self._coded(speaker.authority)
            if authority is None:
                if self.row.cell(self.plan.fields[column], self.cells) is None:
                    self._fault(column, "cell_empty", "representative")
                return None
        else:
            authority = speaker.authority
        return {"name": name, "relation": speaker.relation, "authority": authority}
