"""A first layout for an export that nobody has described: proposed by heads and by contents.

A column is read by the words in its head and by what it holds; where the two disagree, what it
holds decides. What was not understood, and what a referral still needs, is said. A person reads the
draft: nothing is sent by it.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake import identity, types
from intake.adapters import draft_details as details
from intake.adapters import layout as spec
from intake.adapters.places import DirectoryFolder
from intake.adapters.sampling import Sample
from intake.adapters.transforms import CellFault, Surroundings, apply
from intake.validation import subtypes

# A draft is tried on a day: the same file gives the same draft whenever it is made.
TRIED_ON: Final = date(2026, 1, 1)

FILE: Final = Path(__file__).parents[1] / "data" / "draft_vocabulary.json"
FEW: Final = 30
LONG: Final = 18
ENOUGH: Final = 0.75
UNDECIDED: Final = "code_undecided"
_PHONE: Final = re.compile(r"(\+?86[- ]?)?(1[0-9]{10}|0[0-9]{2,3}-?[0-9]{7,8}|[0-9]{7,8})\Z")
_AMOUNT: Final = re.compile(r"[0-9]+\.[0-9]{1,2}\Z")
_DIGITS: Final = re.compile(r"[0-9]{1,9}\Z")
_DAYS: Final = ("YYYY-MM-DD", "YYYY/MM/DD", "YYYY.MM.DD", "YYYYMMDD")
_INSTANTS: Final = ("YYYY-MM-DD HH:mm:ss", "YYYY/MM/DD HH:mm:ss")
_SIDES: Final = ("applicant", "respondent", "third_party")
_NEEDED: Final = {
    "/source/organisation": "the organisation that sends it: a constant, or a table of a column",
    "/source/reference": "your own number",
    "/source/received_at": "when you received it",
    "/request_made_at": "when the right-holder asked (or the constant null, when nobody has)",
    "/lane": "the lane: a constant, or a table of a column",
    "/dispute_type": "the type: a table of the column that says what it is about",
    "/place": "the place",
    "/title": "a title",
    "/summary": "what it is about",
}


@lru_cache(1)
def vocabulary() -> dict[str, Any]:
    """What words in heads mean."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@dataclass
class Column:
    """A column, what it holds, and what it is taken for."""

    name: str
    values: list[Any]
    kind: str
    form: dict[str, Any] = field(default_factory=dict)
    use: str = ""
    split: bool = False

    @property
    def texts(self) -> list[str]:
        """Its values as texts, without outer blanks; numbers are no texts."""
        return [v.strip() for v in self.values if isinstance(v, str) and v.strip()]

    @property
    def distinct(self) -> list[str]:
        """The different texts, the most frequent first."""
        return [text for text, _ in Counter(self.texts).most_common()]


@dataclass
class Draft:
    """The proposed layout; ``unknown`` columns, and what is ``left`` to fill."""

    layout: dict[str, Any]
    uses: dict[str, str]
    unknown: list[str]
    left: list[str]


def draft(sample: Sample, name: str, directory: DirectoryFolder) -> Draft:
    """Propose a layout of this name."""
    columns = [_column(n, values, directory) for n, values in sample.columns.items()]
    side = ""
    for column in columns:
        side = _understand(column, side)
    _settle(columns)
    return _Writing(sample, columns, name, directory).draft()


# -- what a column holds ---------------------------------------------------------------------------


def _column(name: str, values: list[Any], directory: DirectoryFolder) -> Column:
    filled = [
        v for v in values if v not in (None, "") and not (isinstance(v, str) and not v.strip())
    ]
    column = Column(name, filled, "empty")
    if not filled:
        return column
    texts = column.texts
    parts = [p.strip() for text in texts for p in text.split("、")]
    column.split = any("、" in text and len(text) < 60 for text in texts)

    def most(test: Any, among: list[Any]) -> bool:
        return len(among) >= ENOUGH * len(filled) and sum(map(test, among)) >= ENOUGH * len(among)

    numbers = [v for v in filled if isinstance(v, int) and not isinstance(v, bool)]
    for kind, form in _MOMENTS:
        around = Surroundings(directory, TRIED_ON, lambda rule: None)
        by = _transformation(kind, form)
        if most(lambda v, by=by, around=around: _reads(by, v, around), filled):
            column.kind, column.form = kind, form
            if kind == "serial_day" and texts:
                column.form = {"text_form": "YYYY-MM-DD"}
            return column
    if most(_is_id, parts):
        column.kind = "id"
    elif most(lambda t: len(t) == 15 and directory.place(t[:12]) is not None, texts):
        column.kind = "place_cell"
    elif most(lambda t: len(t) in (6, 9, 12) and bool(directory.place(t.ljust(12, "0"))), texts):
        column.kind = "place_code"
    elif most(lambda t: bool(_PHONE.match(t)), parts):
        column.kind = "phone"
    elif most(lambda t: bool(_AMOUNT.match(t)), texts):
        column.kind = "amount"
    elif most(lambda v: True, numbers) or most(lambda t: bool(_DIGITS.match(t)), texts):
        column.kind = "count"
    elif most(lambda t: bool(directory.by_name(t, TRIED_ON)), texts):
        column.kind = "place_name"
    else:
        column.kind = _kind_of_text(column)
    if column.kind == "count" and 2 <= len(column.distinct) <= FEW and _few(column):
        column.form = {"few": True}
    return column


def _few(column: Column) -> bool:
    return len(column.distinct) <= min(FEW, max(2, len(column.texts) * 3 // 4))


def _kind_of_text(column: Column) -> str:
    texts, words = column.texts, vocabulary()
    if not texts:
        return "other"
    if set(column.distinct) <= {*words["yes"], *words["no"]}:
        return "flag"
    if sum(map(len, texts)) / len(texts) >= LONG:
        return "long_text"
    if _few(column):
        return "few"
    return "unique" if len(column.distinct) == len(texts) else "text"


def _is_id(text: str) -> bool:
    number = identity.fold_number(text)
    today = date(2026, 12, 31)
    return any(
        identity.check(kind, number, today=today).fault is None for kind in ("resident_id", "uscc")
    )


def _transformation(kind: str, form: dict[str, Any]) -> Any:
    classes: dict[str, Any] = {
        "day": spec.Date, "instant": spec.Instant, "epoch_ms": spec.EpochMs,
        "serial_day": spec.SerialDay,
    }  # fmt: skip
    name = {"day": "date"}.get(kind, kind)
    return classes[kind].model_validate({"as": name, **form})


def _reads(by: Any, value: Any, around: Surroundings) -> bool:
    if isinstance(by, spec.SerialDay) and isinstance(value, int) and not 20_000 < value < 60_000:
        return False
    try:
        moment = apply(by, value.strip() if isinstance(value, str) else value, around)
    except CellFault:
        return False
    return isinstance(moment, datetime) and 1950 < moment.year < 2100


_MOMENTS: Final = (
    *(("instant", {"form": form}) for form in _INSTANTS),
    *(("day", {"form": form}) for form in _DAYS),
    ("epoch_ms", {}),
    ("serial_day", {}),
)


# -- what a column is taken for --------------------------------------------------------------------


def _understand(column: Column, side: str) -> str:
    """Set the column's use; answers whose columns stand here, for those that do not say."""
    words = vocabulary()
    head = column.name
    if column.kind != "empty":
        column.use = details.use_of(head, words, lambda kinds: _fits(column, kinds))
        if column.use:
            return side
    found = next((s for s, names in words["sides"].items() if any(n in head for n in names)), "")
    attribute = next((a for a, names in words["attributes"].items() if _ends(head, names)), "")
    if found or attribute:
        whose = found or ("" if attribute == "consent" else side) or "applicant"
        use = _of_a_party(column, attribute, said=bool(found))
        if use:
            column.use = f"{whose}.{use}"
            return whose if whose in (*_SIDES, "both") else side
    for rule in words["columns"]:
        if any(word in head for word in rule["words"]) and not any(
            word in head for word in rule.get("not", ())
        ):
            if "kinds" in rule and not _fits(column, rule["kinds"]):
                continue
            column.use = rule["use"]
            return side
    column.use = _by_content(column, side)
    return side


def _ends(head: str, names: list[str]) -> bool:
    last = head.rpartition("/")[2]
    return any(name in last for name in names)


def _of_a_party(column: Column, attribute: str, *, said: bool) -> str:
    """Which of a party's columns it is; empty when what it holds says otherwise."""
    kind = column.kind
    if kind == "id":
        return "id"
    if kind == "phone" and attribute in ("phone", ""):
        return "phone"
    if attribute in ("phone", "id"):
        return attribute if kind in ("empty", "count", "text", "unique", "few", "other") else ""
    if attribute in ("address", "whereabouts"):
        return "address" if attribute == "address" or said else ""
    if attribute in ("id_type", "gender", "authority", "representative", "relation", "consent"):
        return attribute
    if kind in ("text", "few", "unique", "empty", "other", "place_name", "flag"):
        named = attribute == "name" or not _other_word(column.name)
        return "name" if said and named else ""
    return ""


def _other_word(head: str) -> bool:
    """Whether the head speaks of something about a party that is not its name."""
    return any(word in head for word in ("数", "代码", "日期", "时间", "类型", "编号", "形式"))


def _fits(column: Column, kinds: list[str]) -> bool:
    if column.kind in kinds or column.kind == "empty":
        return True
    return column.kind == "count" and "few" in kinds and bool(column.form.get("few"))


def _by_content(column: Column, side: str) -> str:
    """No word of the head is known: what the column holds may still say it."""
    whose = side or "applicant"
    return {
        "id": f"{whose}.id",
        "phone": f"{whose}.phone",
        "place_code": "place",
        "place_cell": "place",
        "place_name": "place",
        "long_text": "summary",
        "amount": "claim",
    }.get(column.kind, "")


def _settle(columns: list[Column]) -> None:
    """Of several that claim one use, the best keeps it."""
    for use, better in _BEST.items():
        claiming = [c for c in columns if c.use == use]
        if len(claiming) > 1:
            keep = max(claiming, key=better)
            for column in claiming:
                if column is not keep:
                    column.use = ""
    codes = [c for c in columns if c.use == "category_code"]
    named = [c for c in columns if c.use == "category"]
    if not codes and named:
        named[0].use = "category_both"
    seen: set[str] = set()
    for column in columns:
        if column.use.startswith((*_SIDES, details.USE)):
            if column.use in seen:
                column.use = ""
            seen.add(column.use)


_PLACES: Final = {"place_cell": 3, "place_code": 2, "place_name": 1}
_BEST: Final[dict[str, Any]] = {
    "reference": lambda c: (len(set(c.texts)) == len(c.texts), len(set(c.texts))),
    "received": lambda c: len(c.values),
    "place": lambda c: _PLACES.get(c.kind, 0),
    "summary": lambda c: sum(map(len, c.texts)) / max(1, len(c.texts)),
    "claim": lambda c: len(c.values),
    "category_code": lambda c: -len(c.distinct),
    "category": lambda c: -len(c.distinct),
    "title": lambda c: len(c.values),
    "organisation": lambda c: len(c.values),
}


# -- the layout ------------------------------------------------------------------------------------


class _Writing:
    """Writes what was understood as a mapping file."""

    def __init__(
        self, sample: Sample, columns: list[Column], name: str, directory: DirectoryFolder
    ) -> None:
        self.sample = sample
        self.columns = columns
        self.name = name
        self.directory = directory
        self.kept: dict[str, dict[str, Any]] = {}
        self.mappings: list[dict[str, Any]] = []
        self.codes: list[dict[str, Any]] = []
        self.constants: dict[str, Any] = {"/channel": "import"}
        self.reasons: dict[str, str] = {}
        self.left: list[str] = []

    def draft(self) -> Draft:
        """The layout and what there is to say about it."""
        heads = " ".join(c.name for c in self.columns) + str(self.sample.form.get("root", ""))
        for member in ("lane", "channel"):
            for value, words in vocabulary()[f"{member}s"].items():
                if any(word in heads for word in words):
                    self.constants[f"/{member}"] = value
        total = self.sample.form.get("total", {}).get("column")
        for column in self.columns:
            self.kept[column.name] = {}
            if not self._write(column) and column.name != total:
                self.kept[column.name] = {"kept": False}
        self._details()
        parties = self._parties()
        self._titles()
        for column in self.columns:
            if column.use == "violence" or column.use == "secret":
                self._protects(column)
        layout = {
            "layout": self.name,
            "version": 1,
            "about": "A draft: say here whose export this is and what is peculiar about it.",
            "source": "Drafted from heads and contents of one file; read by nobody yet.",
            "format": self.sample.form,
            "columns": self.kept,
            "constants": self.constants,
            "mappings": self.mappings,
            "parties": parties or [{"role": "applicant", "name": "?", "kind": "person"}],
            "organisation_words": [
                "公司",
                "银行",
                "医院",
                "厂",
                "店",
                "合作社",
                "村委会",
                "居委会",
            ],
            "codes": self.codes,
            "reasons": self.reasons,
        }
        self._needed(parties)
        unknown = [c.name for c in self.columns if not c.use]
        return Draft(layout, {c.name: c.use for c in self.columns}, unknown, self.left)

    def _write(self, column: Column) -> bool:
        """Put a column where its use says; False when it goes nowhere, or with the parties."""
        use = column.use
        if use.startswith((*_SIDES, "both")):
            return self._clean(column)
        if use.startswith("legal:"):
            return self._legal(column, use.removeprefix("legal:"))
        write = getattr(self, f"_{use}", None)
        return bool(write and write(column))

    def _clean(self, column: Column) -> bool:
        what = column.use.rpartition(".")[2]
        if what == "relation" or (column.use.startswith("both.") and what == "consent"):
            return False
        clean = self.kept[column.name]
        if what in ("id", "phone") and self.sample.form["kind"] in ("csv", "xlsx"):
            clean["clean"] = ["strip_guard"]
        side = column.use.partition(".")[0]
        own = [c for c in self.columns if c.use.startswith(f"{side}.")]
        names = [c for c in own if c.use.endswith(".name")]
        if names and names[0].split and "/" not in column.name:
            if what in ("name", "id", "phone", "address", "representative", "authority"):
                clean["split"] = "、"
            if what in ("address", "representative", "authority"):
                clean["shared"] = True
        return True

    def _map(self, column: Column, to: list[str], by: dict[str, Any] | None, must: bool) -> bool:
        mapping: dict[str, Any] = {"column": column.name, "to": to}
        if by:
            mapping["by"] = by
        if must:
            mapping["required"] = True
        self.mappings.append(mapping)
        return True

    def _moment(self, column: Column) -> dict[str, Any]:
        name = {"day": "date"}.get(column.kind, column.kind)
        return {"as": name, **column.form}

    def _reference(self, column: Column) -> bool:
        if self.sample.form["kind"] == "csv" and any("（" in t or "(" in t for t in column.texts):
            self.kept[column.name]["clean"] = ["full_width_brackets"]
        return self._map(column, ["/source/reference"], None, True)

    def _received(self, column: Column) -> bool:
        to = ["/source/received_at", "/request_made_at"]
        if self.constants.get("/channel") == "grid":
            to = ["/source/received_at"]
            self.constants |= {"/request_made_at": None, "/legal_context/proactive": True}
        return self._map(column, to, self._moment(column), True)

    def _occurred(self, column: Column) -> bool:
        return self._map(column, ["/occurred_at"], self._moment(column), False)

    def _claim(self, column: Column) -> bool:
        return self._map(column, ["/claim_fen"], {"as": "yuan_to_fen"}, False)

    def _claims(self, column: Column) -> bool:
        return self._map(column, ["/claims"], {"as": "list"}, False)

    def _summary(self, column: Column) -> bool:
        return self._map(column, ["/summary"], None, True)

    def _title(self, column: Column) -> bool:
        return self._map(column, ["/title"], None, True)

    def _contact(self, column: Column) -> bool:
        return self._map(column, ["/source/contact/name"], None, False)

    def _place(self, column: Column) -> bool:
        by = {"place_code": "place_filled_up", "place_cell": "place_cell"}
        return self._map(column, ["/place"], {"as": by.get(column.kind, "place_by_name")}, True)

    def _legal(self, column: Column, name: str) -> bool:
        by = {"count": {"as": "count"}}.get(column.kind)
        if column.kind in ("day", "instant", "epoch_ms", "serial_day"):
            by = self._moment(column)
        return self._map(column, [f"/legal_context/{name}"], by, False)

    def _first_time(self, column: Column) -> bool:
        words = column.distinct
        if len(words) != 2:
            return False
        yes = next((w for w in words if "初" in w or w in vocabulary()["yes"]), words[0])
        no = next(w for w in words if w != yes)
        by = {"as": "flag", "true": yes, "false": no}
        return self._map(column, ["/legal_context/first_time"], by, False)

    def _table(self, column: Column, entries: dict[str, Any], **more: Any) -> bool:
        if not entries:
            return False
        self.codes.append({"column": column.name, "entries": entries, **more})
        return True

    def _unit(self, column: Column) -> bool:
        odd = [text for text in column.distinct if text != "元"]
        if odd:
            self.left.append(f"column {column.name}: amounts are not all in yuan")
        return self._table(column, {"元": {}})

    def _kind(self, column: Column) -> bool:
        words = vocabulary()["no_disputes"]
        entries: dict[str, Any] = {}
        for text in column.distinct:
            entries[text] = {"no_referral": "not_a_dispute"} if text in words else {}
        self.reasons["not_a_dispute"] = "This kind of request is no dispute."
        if not any(entries.values()):
            self.reasons.pop("not_a_dispute")
        return self._table(column, entries)

    def _settled(self, column: Column) -> bool:
        yes = vocabulary()["yes"]
        entries: dict[str, Any] = {
            text: {"refuse": "settled_already"} if text in yes else {} for text in column.distinct
        }
        if any(entries.values()):
            self.reasons["settled_already"] = "It was settled on the spot."
        return self._table(column, entries, empty={})

    def _state(self, column: Column) -> bool:
        return self._table(column, {text: {} for text in column.distinct}, empty={})

    def _channel(self, column: Column) -> bool:
        known = {"访": "visit", "信": "letter", "电": "phone", "网": "api"}
        entries: dict[str, Any] = {}
        for text in column.distinct:
            found = next(
                (c for word, c in known.items() if word in text.removeprefix("信访")), None
            )
            entries[text] = {"set": {"/channel": found or "import"}}
        self.constants.pop("/channel", None)
        return self._table(column, entries)

    def _organisation(self, column: Column) -> bool:
        entries: dict[str, Any] = {}
        for text in column.distinct:
            codes = self.directory.organisations_named(text)
            if len(codes) == 1:
                entries[text] = {"set": {"/source/organisation": codes[0]}}
            else:
                entries[text] = {"no_referral": UNDECIDED}
                self.left.append(f"column {column.name}: which organisation is meant by a word")
                self.reasons[UNDECIDED] = "The layout does not say yet what this word means."
        return self._table(column, entries)

    def _category_code(self, column: Column) -> bool:
        names = self._beside(column)
        return self._types(column, {code: names.get(code, code) for code in column.distinct})

    def _category(self, column: Column) -> bool:
        return self._map(column, ["/title"], None, True)

    def _category_both(self, column: Column) -> bool:
        self._map(column, ["/title"], None, True)
        return self._types(column, {text: text for text in column.distinct})

    def _beside(self, column: Column) -> dict[str, str]:
        """What the named category beside a code says, over all columns that may name it."""
        names: dict[str, str] = {}
        telling = [
            c.name
            for c in self.columns
            if c.use in ("category", "title", "ignored") and c.kind in ("few", "text", "unique")
        ]
        for row in self.sample.rows:
            code = row.cells.get(column.name)
            if isinstance(code, str) and code.strip():
                said = "/".join(str(row.cells.get(name) or "") for name in telling)
                names.setdefault(code.strip(), said)
        return names

    def _types(self, column: Column, told: dict[str, str]) -> bool:
        entries: dict[str, Any] = {}
        for code, text in told.items():
            found = _type_of(text)
            if found is None:
                entries[code] = {"no_referral": UNDECIDED}
                self.left.append(f"column {column.name}: what type of dispute a code is")
                self.reasons[UNDECIDED] = "The layout does not say yet what this word means."
            else:
                type_, subtype = found
                entries[code] = {"set": {"/dispute_type": type_, "/dispute_subtype": subtype}}
        return self._table(column, entries)

    def _details(self) -> None:
        """Details of the types that were found; of every type while none was."""
        found = details.types_of(self.constants, self.codes)
        for column in self.columns:
            if not column.use.startswith(details.USE):
                continue
            name = column.use.removeprefix(details.USE)
            if not types.detail_schemas(name, found):
                self.left.append(f"column {column.name}: no type found here has the detail {name}")
                column.use = ""
                continue
            self.kept[column.name] = {}
            moment = self._moment(column)
            mapping, table, unknown = details.written(column, vocabulary(), moment)
            self.mappings += [mapping] if mapping else []
            self.codes += [table] if table else []
            if unknown:
                self.left.append(f"column {column.name}: what a word means for the detail {name}")

    def _violence(self, column: Column) -> bool:
        return False

    _secret = _violence

    def _protects(self, column: Column) -> None:
        """A mark that protects: written last, since it reaches into the applicant."""
        yes, no = vocabulary()["yes"], vocabulary()["no"]
        violence = column.use == "violence"
        protected = (
            {"address": True} if violence else dict.fromkeys(("name", "phone", "address"), True)
        )
        concern = [{"kind": "domestic_violence", "reported_by": "source"}]
        entries: dict[str, Any] = {}
        for text in {*column.distinct, *(w for w in ("是", "否") if w in {*yes, *no})}:
            marked = text in yes
            members: dict[str, Any] = {"/parties/0/protected": protected if marked else {}}
            if violence:
                members["/safety/concerns"] = concern if marked else []
            entries[text] = {"set": members}
        self.kept[column.name] = {}
        self._table(column, dict(sorted(entries.items())))

    def _titles(self) -> None:
        """Without a column of its own, the title is the first sentence."""
        given = {pointer for mapping in self.mappings for pointer in mapping["to"]}
        long = next((m["column"] for m in self.mappings if "/summary" in m["to"]), None)
        if "/title" in given or long is None:
            first = [m for m in self.mappings if "/title" in m["to"]]
            for other in first[1:]:
                self.mappings.remove(other)
                if all(m["column"] != other["column"] for m in self.mappings + self.codes):
                    self.kept[other["column"]] = {"kept": False}
            return
        self.mappings.append(
            {"column": long, "to": ["/title"], "by": {"as": "first_sentence"}, "required": True}
        )

    # -- parties

    def _parties(self) -> list[dict[str, Any]]:
        made = [self._party(side, f"{side}.") for side in _SIDES]
        both = self._party("applicant", "both.")
        found = [party for party in made if party]
        if both and both.get("each"):
            found += [{**both, "at": 0}, {**both, "role": "respondent", "at": 1}]
        return found

    def _party(self, role: str, prefix: str) -> dict[str, Any] | None:
        own = {c.use.removeprefix(prefix): c for c in self.columns if c.use.startswith(prefix)}
        if "name" not in own:
            for column in own.values():
                self.kept[column.name] = {"kept": False}
                column.use = ""
            return None
        each, _, _ = own["name"].name.rpartition("[]/")
        within = f"{each}[]/" if each else ""
        party: dict[str, Any] = {"role": role}
        if each:
            party["each"] = f"{each}[]"

        def named(what: str) -> str:
            return own[what].name.removeprefix(within)

        party["name"] = named("name")
        party["kind"] = "by_id" if "id" in own else "by_name"
        for what in ("id", "phone", "address"):
            if what in own:
                party[what] = named(what)
        if "id_type" in own:
            party["id_type"] = {
                "column": named("id_type"),
                "values": self._id_types(own["id_type"]),
            }
        if "gender" in own:
            party["gender"] = {"column": named("gender"), "values": {"男": "male", "女": "female"}}
        if "consent" in own and role == "applicant":
            party["consent"] = {
                "column": own["consent"].name,
                "values": {
                    text: "given" if text in vocabulary()["yes"] else "refused"
                    for text in own["consent"].distinct or ["是", "否"]
                },
            }
        elif role == "applicant":
            party["consent"] = "unknown"
        if "representative" in own:
            party["representative"] = self._representative(own, named)
        for what in ("authority", "consent"):
            if what in own and what not in str(party.keys()) and "representative" not in own:
                self.kept[own[what].name] = {"kept": False}
        return party

    @staticmethod
    def _id_types(column: Column) -> dict[str, str]:
        known = {"身份证": "resident_id", "信用代码": "uscc", "护照": "passport"}
        return {
            text: next((kind for word, kind in known.items() if word in text), "other")
            for text in column.distinct
        } or {"居民身份证": "resident_id"}

    @staticmethod
    def _representative(own: dict[str, Column], named: Any) -> dict[str, Any]:
        legal = "法定" in own["representative"].name
        said: dict[str, Any] = {
            "name": named("representative"),
            "relation": "legal_representative" if legal else "other",
            "authority": "statutory" if legal else "general",
        }
        if "authority" in own:
            said["authority"] = {
                "column": named("authority"),
                "values": {
                    text: "special" if "特别" in text else "general"
                    for text in own["authority"].distinct or ["特别授权", "一般授权"]
                },
            }
        return said

    def _needed(self, parties: list[dict[str, Any]]) -> None:
        given = {pointer for mapping in self.mappings for pointer in mapping["to"]}
        given |= set(self.constants)
        given |= {
            p for table in self.codes for e in table["entries"].values() for p in e.get("set", {})
        }
        self.left[:] = list(dict.fromkeys(self.left))
        self.left += [
            f"{pointer}: {what}" for pointer, what in _NEEDED.items() if pointer not in given
        ]
        consent = any(isinstance(party.get("consent"), dict) for party in parties)
        if self.constants.get("/lane") == "court_pre" and not consent:
            self.left.append(
                "/parties: the applicant's consent, without which nothing is delegated"
            )
        for role in ("applicant", "respondent"):
            if not any(party["role"] == role for party in parties):
                self.left.append(f"/parties: no column names the {role}")


def _type_of(text: str) -> tuple[str, str | None] | None:
    """Type and subtype that words stand for."""
    for word, code in vocabulary()["types"]:
        if word in text:
            return (subtypes()[code], code) if code in subtypes() else (code, None)
    return None
