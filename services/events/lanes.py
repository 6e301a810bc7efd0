"""The published language of lanes: windows, silence, terms, effect, endings, remedies - as data.

Every number comes from a file in ``data/`` and carries its source and a certainty (A read in the
text, B seen second hand, C to confirm, M from memory, S founding document, site: law gives none).
"""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Deadline:
    """One row of ``deadlines.csv``; ``n`` is negative for a time before the start event."""

    id: str
    lane: str
    what: str
    n: int
    unit: str
    start_event: str
    extend: str
    extend_by: str
    exclude: tuple[str, ...]
    on_expiry: str
    rule: str
    certainty: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a code in a citation stands for; ``article`` is empty when none is known."""

    code: str
    title: str
    article: str


@dataclass(frozen=True, slots=True)
class Window:
    """How long the offered body has to answer."""

    n: int
    unit: str
    deadline: str | None
    source: str
    certainty: str


@dataclass(frozen=True, slots=True)
class Term:
    """How long the mediation may take; ``start`` is the event it counts from."""

    deadline: str | None
    n: int
    unit: str
    extend_by: str
    exclude: tuple[str, ...]
    start: str
    source: str
    certainty: str
    when: Mapping[str, str]

    def applies(self, facts: Mapping[str, str | None]) -> bool:
        """Whether every condition of the term holds; a condition not met by a fact fails."""
        for name, wanted in self.when.items():
            if name == "place_prefix":
                if not (facts.get("place") or "").startswith(wanted.rstrip("0")):
                    return False
            elif facts.get(name) != wanted:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Effect:
    """When an agreement takes effect, by form and by who handled the case."""

    paper: str
    online: str
    oral: str | None
    by_handler: Mapping[str, str]
    source: str
    certainty: str


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Whether an agreement may be confirmed by a court, by when, and how long the court takes."""

    allowed: bool
    deadline: Deadline | None
    warn_days: tuple[int, ...]
    source: str
    ruling: Deadline


@dataclass(frozen=True, slots=True)
class Ground:
    """Why a court did not confirm an agreement."""

    code: str
    zh: str
    en: str
    source: str


@dataclass(frozen=True, slots=True)
class EndCode:
    """One way a mediation ends; ``result`` is agreed, failed, withdrawn or transferred."""

    code: str
    zh: str
    en: str
    result: str
    source: str

    @property
    def failed(self) -> bool:
        """Whether the parties left without an agreement."""
        return self.result != "agreed"


@dataclass(frozen=True, slots=True)
class Remedy:
    """A way that stays open to the parties, told to them when a mediation ends."""

    code: str
    zh: str
    en: str
    source: str
    certainty: str
    deadline: str | None


@dataclass(frozen=True, slots=True)
class Lane:
    """The legal channel a case runs in, with every rule that follows from it."""

    code: str
    zh: str
    en: str
    senders: tuple[str, ...]
    own: bool
    window: Window
    on_silence: str
    on_silence_source: str
    on_silence_certainty: str
    refusal: str
    terms: tuple[Term, ...]
    effect: Effect
    confirmation: bool
    written_mandatory: bool
    written_source: str
    end_codes: tuple[str, ...]
    listed: bool = True

    def effect_for(self, *, form: str, handler_kind: str | None = None) -> str:
        """The effect rule for ``form`` paper, online or oral; ``none`` when the form is barred."""
        if form == "oral":
            return self.effect.oral or "none"
        if handler_kind in self.effect.by_handler:
            return self.effect.by_handler[handler_kind or ""]
        return self.effect.online if form == "online" else self.effect.paper

    def term_for(self, **facts: str | None) -> Term:
        """The first term whose conditions hold (``procedure``, ``handler_kind``, ``place``)."""
        return next((term for term in self.terms if term.applies(facts)), self.terms[-1])

    def confirmation_for(self, handler_kind: str) -> Confirmation:
        """Judicial confirmation by the handler's kind (JC-1); none after court or crime lanes."""
        rule = _document("lanes.json")["confirmation"]
        allowed = self.confirmation and handler_kind in rule["handler_kinds"]
        return Confirmation(
            allowed=allowed,
            deadline=deadline(rule["deadline"]) if allowed else None,
            warn_days=tuple(rule["warn_days"]),
            source=rule["source"],
            ruling=deadline(rule["ruling"]),
        )


@lru_cache(maxsize=8)
def _document(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / name).read_text(encoding="utf-8"))
    return document


def _deadlines() -> dict[str, Deadline]:
    with (DATA / "deadlines.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: Deadline(
                **{  # type: ignore[arg-type]  # columns and members have the same names
                    **row,
                    "n": int(row["n"]),
                    "exclude": tuple(filter(None, row["exclude"].split("|"))),
                }
            )
            for row in csv.DictReader(file)
        }


DEADLINES: Final[Mapping[str, Deadline]] = _deadlines()


#: A code of docs/legal-sources.md inside a citation; `DL-…` is a deadline's own id.
_CODE: Final = re.compile(r"(?<![A-Z-])[A-Z]{1,2}-[0-9]{1,2}(?![0-9])")


@lru_cache(maxsize=1)
def _sources() -> tuple[Source, ...]:
    with (DATA / "sources.csv").open(encoding="utf-8", newline="") as file:
        return tuple(Source(**row) for row in csv.DictReader(file))


@lru_cache(maxsize=512)
def sources_of(citation: str) -> tuple[Source, ...]:
    """Title and article behind every code in a citation, in its order; none for a site value."""
    codes = dict.fromkeys(_CODE.findall(citation))
    return tuple(source for code in codes for source in _sources() if source.code == code)


def deadline(code: str) -> Deadline:
    """The row ``code`` of the deadline registry; ``KeyError`` when there is none."""
    return DEADLINES[code]


def _term(value: Mapping[str, Any]) -> Term:
    when = dict(value.get("when", {}))
    if value["deadline"] is None:
        return Term(
            deadline=None,
            n=value["n"],
            unit=value["unit"],
            extend_by=value["extend_by"],
            exclude=tuple(value["exclude"]),
            start=value["start"],
            source=value["source"],
            certainty=value["certainty"],
            when=when,
        )
    row = deadline(value["deadline"])
    return Term(
        deadline=row.id,
        n=row.n,
        unit=row.unit,
        extend_by=row.extend_by,
        exclude=row.exclude,
        start=value["start"],
        source=row.rule,
        certainty=row.certainty,
        when=when,
    )


def _lane(value: Mapping[str, Any], *, listed: bool = True) -> Lane:
    effect = value["effect"]
    return Lane(
        **{
            **value,
            "senders": tuple(value["senders"]),
            "window": Window(**value["window"]),
            "terms": tuple(_term(term) for term in value["terms"]),
            "effect": Effect(**{"by_handler": {}, **effect}),
            "end_codes": tuple(value["end_codes"]),
        },
        listed=listed,
    )


def _unlisted(code: str) -> Lane:
    default = _document("lanes.json")["default"]
    model = next(v for v in _document("lanes.json")["lanes"] if v["code"] == "pm")
    return _lane(
        {
            **model,
            "code": code,
            "zh": code,
            "en": code,
            "senders": [],
            "own": False,
            "window": default["window"],
            "on_silence": default["on_silence"],
            "on_silence_source": default["source"],
            "on_silence_certainty": default["certainty"],
            "terms": [default["term"]],
        },
        listed=False,
    )


LANES: Final[Mapping[str, Lane]] = {
    value["code"]: _lane(value) for value in _document("lanes.json")["lanes"]
}
END_CODES: Final[Mapping[str, EndCode]] = {
    value["code"]: EndCode(**value) for value in _document("end_codes.json")["end_codes"]
}
REMEDIES: Final[Mapping[str, Remedy]] = {
    value["code"]: Remedy(**value) for value in _document("remedies.json")["remedies"]
}
#: Why a court may leave an agreement unconfirmed (INT-22 355, 357, 358).
CONFIRMATION_GROUNDS: Final[Mapping[str, Ground]] = {
    value["code"]: Ground(**value) for value in _document("lanes.json")["confirmation"]["grounds"]
}


@lru_cache(maxsize=256)
def lane(code: str, source_kind: str | None = None) -> Lane:
    """The lane ``code``, as it is for a sender of ``source_kind`` (a hotline's orders differ).

    A lane that is not listed gets the default row: 3 working days, ``escalate``, 30 days (site).
    """
    found = LANES.get(code) or _unlisted(code)
    override = _document("lanes.json")["sources"].get(source_kind or "")
    if override is None:
        return found
    fields = {name: getattr(found, name) for name in Lane.__slots__}
    return Lane(**{**fields, **override, "window": Window(**override["window"])})


def site(name: str) -> Window:
    """A length that no law gives: ``settlement`` or ``linkage``."""
    return Window(**_document("lanes.json")["site"][name])


def attendance_limit(sector_or_lane: str) -> int:
    """Most people of one side at the table (R-37, M-14)."""
    rules = _document("lanes.json")["attendance"]
    people: int = rules.get(sector_or_lane, rules["default"])["people"]
    return people


def may_send(code: str, kind: str) -> bool:
    """Whether an organisation of ``kind`` may send a referral in lane ``code``."""
    return code in LANES and kind in LANES[code].senders


def sector(dispute_type: str) -> str | None:
    """The sector whose rules follow a dispute of this type in any lane, or ``None``."""
    found: str | None = _document("lanes.json")["sectors"].get(dispute_type)
    return found


def terms(
    code: str,
    *,
    dispute_type: str = "",
    procedure: str | None = None,
    handler_kind: str | None = None,
    place: str | None = None,
) -> tuple[Term, ...]:
    """All terms that run on a case: the lane's, and the sector's where another law adds one."""
    own = lane(code).term_for(procedure=procedure, handler_kind=handler_kind, place=place)
    if handler_kind not in (None, "committee", "centre"):
        return (own,)
    added = _document("lanes.json")["sector_terms"].get(sector(dispute_type) or "", ())
    more = tuple(
        _term({"deadline": code_, "start": "received" if code_ == "DL-LB-01" else "accepted"})
        for code_ in added
        if code_ != own.deadline
    )
    return (own, *more)


def remedies(code: str, outcome: str) -> tuple[Remedy, ...]:
    """What stays open to the parties of a case in lane ``code`` that ended with ``outcome``."""
    table = _document("remedies.json")["table"][END_CODES[outcome].result]
    return tuple(REMEDIES[name] for name in table.get(code, table["*"]))


def remedies_of_confirmation(confirmed: bool) -> tuple[Remedy, ...]:
    """What stays open to the parties when the court has, or has not, confirmed (民诉法 206)."""
    table = _document("remedies.json")["confirmation"]
    return tuple(REMEDIES[name] for name in table["confirmed" if confirmed else "refused"])


def _length(n: int, unit: str) -> str:
    return f"{n} {unit}" + ("s" if abs(n) != 1 else "")


def table() -> str:
    """The text of ``docs/lanes.md``, made from the data."""
    lines = [
        "# Lanes",
        "",
        "Made from `services/events/data` by `python -m services.events.lanes`; do not edit.",
        "Certainty: A read in the text, B second hand, C to confirm, M from memory, *site* a site",
        "value because law gives none. Nothing here is legal advice.",
        "",
        "| lane | senders | window | on silence | refusal | term | effect | confirmation "
        "| end codes | remedies (failed; agreed) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for item in LANES.values():
        lines.append("| " + " | ".join(_row(item)) + " |")
    default = _document("lanes.json")["default"]
    lines += [
        f"| not listed | | {_length(default['window']['n'], default['window']['unit'])} (*site*) "
        f"| {default['on_silence']} (*site*) | return | "
        f"{_length(default['term']['n'], default['term']['unit'])} (*site*) | as pm | as pm "
        "| as pm | as pm |",
        "",
        "A hotline's orders, in any lane: " + _hotline(),
        "",
        "Confirmation: " + _document("lanes.json")["confirmation"]["source"] + ". It goes by the "
        "handler's kind, in every lane save court_post, court_exec and proc_crim. " + _ruling(),
        "",
        "| not confirmed because | zh | en | source |",
        "|---|---|---|---|",
        *(
            f"| {ground.code} | {ground.zh} | {ground.en} | {ground.source} |"
            for ground in CONFIRMATION_GROUNDS.values()
        ),
        "",
        "Beside the lanes: " + "; ".join(_site_lengths()) + ".",
        "",
        "## End codes",
        "",
        "| code | zh | en | result | source |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {end.code} | {end.zh} | {end.en} | {end.result} | {end.source} |"
        for end in END_CODES.values()
    ]
    lines += ["", "## Remedies", "", "| code | zh | en | source |", "|---|---|---|---|"]
    lines += [
        f"| {remedy.code} | {remedy.zh} | {remedy.en} | {remedy.source} ({remedy.certainty}) |"
        for remedy in REMEDIES.values()
    ]
    return "\n".join(lines) + "\n"


def _site_lengths() -> list[str]:
    items = {name: site(name) for name in _document("lanes.json")["site"]}
    return [f"{name} {_length(w.n, w.unit)} ({w.source})" for name, w in items.items()]


def _ruling() -> str:
    row = deadline(_document("lanes.json")["confirmation"]["ruling"])
    told = {
        word: remedies_of_confirmation(word == "confirmed") for word in ("confirmed", "refused")
    }
    ways = "; ".join(f"{word}: {', '.join(r.code for r in rs)}" for word, rs in told.items())
    return f"The court decides within {_length(row.n, row.unit)} ({row.id}, {row.rule}); {ways}."


def _hotline() -> str:
    rule = _document("lanes.json")["sources"]["hotline"]
    window = rule["window"]
    return (
        f"window {_length(window['n'], window['unit'])}, {rule['on_silence']}, {rule['refusal']}; "
        f"{rule['on_silence_source']}."
    )


def _row(item: Lane) -> list[str]:
    marks = "; ".join(
        _length(term.n, term.unit)
        + f" ({term.deadline or '*site*'}, {term.source}, {term.certainty})"
        + (f" when {' '.join(f'{k}={v}' for k, v in term.when.items())}" if term.when else "")
        + (f", extended by {term.extend_by}" if term.extend_by else "")
        + (f", not counted: {', '.join(term.exclude)}" if term.exclude else "")
        for term in item.terms
    )
    effect = f"{item.effect.paper}; online {item.effect.online}; oral {item.effect.oral or 'no'}"
    for kind, rule in item.effect.by_handler.items():
        effect += f"; by {kind} {rule}"
    return [
        f"`{item.code}` {item.zh} - {item.en}",
        ", ".join(item.senders),
        f"{_length(item.window.n, item.window.unit)} ({item.window.source}, "
        f"{item.window.certainty})",
        f"{item.on_silence} ({item.on_silence_source}, {item.on_silence_certainty})",
        item.refusal,
        marks,
        f"{effect} ({item.effect.source}, {item.effect.certainty})"
        + ("; writing mandatory: " + item.written_source if item.written_mandatory else ""),
        "by handler's kind (DL-JC-01)" if item.confirmation else "no",
        ", ".join(item.end_codes),
        ", ".join(r.code for r in remedies(item.code, "no_agreement"))
        + "; "
        + ", ".join(r.code for r in remedies(item.code, "agreed_written")),
    ]


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "lanes.md").write_text(table(), encoding="utf-8")
