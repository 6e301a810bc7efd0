"""Everything a referral is checked for, all faults at once, and what is folded on the way. Pure.

The JSON Schema says the shape; the rules here say what it cannot: check characters, days that
exist, places and organisations in the directory, references between members, who may use a lane.
Codes are the ``rule`` column of ``samples/bad/expected.csv``; no message holds a value.
"""

import csv
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

from intake import identity, lane_facts, phones, types
from intake.messages import message
from intake.model import Directory, PartyFacts, Referral, Verdict
from intake.parties import rules as parties
from intake.strict_json import member
from services.clock import SHANGHAI
from services.errors import FieldError

SCHEMA_FILE: Final = Path(__file__).parent / "data" / "referral.schema.json"
TYPES_FILE: Final = Path(__file__).parent / "data" / "dispute_types.csv"
MAX_FINDINGS: Final = 100

_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})\Z"
)
_NO_ZONE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]{4,})?\Z")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_BIDI: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BRACKETS: Final = str.maketrans("〔［[【﹝{〈《「", "(((((((((") | str.maketrans(
    "〕］]】﹞}〉》」", ")))))))))"
)
_DASHES: Final = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"))
_UNSEEN: Final = re.compile("[\\s\u00ad\u200b-\u200f\u2060\ufeff]+")
_YEAR_NUMBER: Final = re.compile(
    r"(?P<head>.*\((?:19|20)[0-9]{2}\)[^0-9第]*(?:[0-9]{2,4}[^0-9第]{1,12})?)"
    r"第?0*(?P<n>[0-9]+)号?\Z"
)
_YEARS: Final = range(1850, 2201)
_ENUM_CODES: Final = {
    "/lane": "lane_unknown",
    "/channel": "channel_unknown",
    "/dispute_type": "dispute_type_unknown",
}
_KIND_CODES: Final = {
    "required": "required",
    "type": "type",
    "enum": "not_in_list",
    "minimum": "number_too_small",
    "maximum": "number_too_large",
    "minLength": "text_empty",
    "maxLength": "text_too_long",
    "minItems": "list_too_short",
    "maxItems": "list_too_long",
    "uniqueItems": "list_repeats",
    "contains": "party_role_missing",
    "format": "date_does_not_exist",
    "propertyNames": "party_ref_format",
    "const": "not_allowed_here",
    "not": "not_allowed_here",
}
_CLAIM_CODES: Final = {
    "type": "claim_not_integer",
    "minimum": "claim_negative",
    "maximum": "claim_too_large",
}


def read_instant(text: str) -> datetime:
    """An instant of the schema's form, in UTC. Raises ``ValueError``."""
    if not _INSTANT.match(text):
        raise ValueError("not an instant")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


@lru_cache(4096)
def _instant_exists(text: str) -> bool:
    """Format check: only what the pattern already lets through can fail here."""
    if not _INSTANT.match(text):
        return True
    try:
        return read_instant(text).year in _YEARS
    except ValueError:
        return False


@lru_cache(4096)
def _day_exists(text: str) -> bool:
    if not _DAY.match(text):
        return True
    try:
        return date.fromisoformat(text).year in _YEARS
    except ValueError:
        return False


@lru_cache(1)
def schema() -> dict[str, Any]:
    """The canonical referral's JSON Schema."""
    found: dict[str, Any] = json.loads(SCHEMA_FILE.read_text("utf-8"))
    return found


@lru_cache(1)
def _validator() -> Any:
    formats: dict[str, Callable[..., bool]] = {
        "date-time": _instant_exists,
        "date": _day_exists,
    }
    return jsonschema_rs.validator_for(schema(), validate_formats=True, formats=formats)


@lru_cache(1)
def subtypes() -> dict[str, str]:
    """Level 2 code of a dispute type to its level 1 code."""
    with TYPES_FILE.open(encoding="utf-8", newline="") as file:
        return {row["code"]: row["parent"] for row in csv.DictReader(file) if row["parent"]}


@lru_cache(1)
def _known_members() -> dict[str, Any]:
    """The schema's members as a tree; ``None``: a value, or anything below is the sender's own."""
    definitions = schema()["$defs"]

    def tree(node: dict[str, Any]) -> dict[str, Any] | None:
        if "$ref" in node:
            return tree(definitions[node["$ref"].removeprefix("#/$defs/")])
        if "items" in node:
            return tree(node["items"])
        if "properties" not in node:
            return None
        return {name: tree(child) for name, child in node["properties"].items()}

    found = tree(schema()) or {}
    found["legal_context"] = found["type_details"] = None
    return found


def normal_reference(reference: str) -> str:
    """A reference as it is compared, never as it is shown (K-04, K-05, K-06, K-07).

    Half-width, capital letters, one kind of bracket and of dash, nothing that cannot be seen. In a
    number of the form 〔year〕…n号 the 第 before n, zeros at its front and a missing 号 say
    nothing; other numbers are opaque, and their zeros count.
    """
    text = unicodedata.normalize("NFKC", identity.fold_width(reference)).translate(_BRACKETS)
    text = _UNSEEN.sub("", text).translate(_DASHES).upper().replace("號", "号")
    return _YEAR_NUMBER.sub(r"\g<head>\g<n>号", text)


def validate(
    document: Any,
    directory: Directory,
    may_send: Callable[[str, str], bool],
    now: datetime,
    *,
    consent_later: bool = False,
) -> Verdict:
    """Check a parsed document; ``may_send(lane, kind)`` tells who may use a lane.

    ``consent_later``: a delegation without a recorded consent is a doubt, for it is asked for
    later, or was delegated before (decision 19).

    Answers every error (at most 100) or the referral, and the warnings either way.
    """

    errors = list(_schema_errors(document))
    if not isinstance(document, dict):
        return Verdict(None, tuple(errors))
    broken = {error.pointer for error in errors}
    check = _Rules(_own_copy(document), directory, may_send, now, broken, consent_later)
    check.run()
    errors += check.errors
    warnings = tuple(_unique(check.warnings + list(_unknown_members(document))))
    if errors or check.received_at is None:
        return Verdict(None, tuple(_unique(errors)), warnings)
    return Verdict(_referral(check, check.received_at), (), warnings)


def _own_copy(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of the members that are folded; everything else is shared, and only read."""
    own = dict(document)
    if isinstance(own.get("source"), dict):
        own["source"] = dict(own["source"])
    if isinstance(own.get("parties"), list):
        own["parties"] = [
            _own_party(party) if isinstance(party, dict) else party for party in own["parties"]
        ]
    return own


def _own_party(party: dict[str, Any]) -> dict[str, Any]:
    own = dict(party)
    for name in ("id", "representative"):
        if isinstance(own.get(name), dict):
            own[name] = dict(own[name])
    representative = own.get("representative")
    if isinstance(representative, dict) and isinstance(representative.get("id"), dict):
        representative["id"] = dict(representative["id"])
    return own


def _unique(found: list[FieldError]) -> list[FieldError]:
    seen = {(error.pointer, error.code): error for error in found}
    return sorted(seen.values(), key=lambda error: error.pointer)[:MAX_FINDINGS]


# -- the schema's findings under our codes -----------------------------------------------------


def _schema_errors(document: Any) -> Iterator[FieldError]:
    if _validator().is_valid(document):
        return
    for number, error in enumerate(_validator().iter_errors(document)):
        if number > 5 * MAX_FINDINGS:
            return
        pointer = _pointer(error.instance_path)
        for code in _codes(error, pointer):
            yield _finding(*_place(pointer, code, error))


def _codes(error: Any, pointer: str) -> list[str]:
    kind = error.kind.name
    if kind == "anyOf":
        return _either_codes(error)
    if kind == "pattern":
        return _pattern_codes(error.instance, list(error.schema_path))
    if pointer == "/claim_fen" and kind in _CLAIM_CODES:
        return [_CLAIM_CODES[kind]]
    if kind == "enum":
        return [_ENUM_CODES.get(pointer, "not_in_list")]
    return [_KIND_CODES.get(kind, "schema")]


def _either_codes(error: Any) -> list[str]:
    """Instant or null, day or null: say what is wrong with the text, if it is one."""
    if not isinstance(error.instance, str):
        return ["type"]
    found: list[str] = []
    for branch in error.kind.context:
        for inner in branch:
            if inner.kind.name != "type":
                found += _codes(inner, "")
    return found or ["type"]


def _pattern_codes(text: Any, schema_path: list[Any]) -> list[str]:
    if isinstance(text, str):
        codes = []
        if _BIDI.search(text):
            codes.append("bidi_control")
        if _CONTROL.search(text) or (len(codes) == 0 and re.search(r"[\t\r\n]", text)):
            codes.append("control_character")
        if codes:
            return codes
        if "instant" in schema_path or _NO_ZONE.match(text) or "T" in text[10:11]:
            return ["timestamp_without_zone" if _NO_ZONE.match(text) else "timestamp_format"]
    return ["day_format" if "day" in schema_path else "format"]


def _place(pointer: str, code: str, error: Any) -> tuple[str, str]:
    if error.kind.name == "required":
        pointer += member(error.kind.property)
    if pointer == "/legal_context/proactive" and code in ("required", "not_allowed_here"):
        return "/request_made_at", "request_made_at_missing"
    return pointer, code


def _pointer(path: list[Any]) -> str:
    return "".join(f"/{step}" if isinstance(step, int) else member(step) for step in path)


def _finding(pointer: str, code: str) -> FieldError:
    return FieldError(pointer, code, message(code))


def _unknown_members(document: dict[str, Any]) -> Iterator[FieldError]:
    waiting: list[tuple[str, Any, dict[str, Any]]] = [("", document, _known_members())]
    while waiting:
        pointer, value, known = waiting.pop()
        if isinstance(value, list):
            waiting += [(f"{pointer}/{n}", item, known) for n, item in enumerate(value)]
        elif isinstance(value, dict):
            for key, item in value.items():
                if key not in known:
                    yield _finding(pointer + member(key), "unknown_field")
                elif item and (below := known[key]) is not None and isinstance(item, dict | list):
                    waiting.append((f"{pointer}/{key}", item, below))


# -- what a schema cannot say ------------------------------------------------------------------


class _Rules:
    """The semantic rules over one document; members the schema refused are left alone."""

    def __init__(
        self,
        document: dict[str, Any],
        directory: Directory,
        may_send: Callable[[str, str], bool],
        now: datetime,
        broken: set[str],
        consent_later: bool = False,
    ) -> None:
        self.consent_later = consent_later
        self.document = document
        self.directory = directory
        self.may_send = may_send
        self.now = now
        self.broken = broken
        self.errors: list[FieldError] = []
        self.warnings: list[FieldError] = []
        self.place = ""
        self.normal_reference = ""
        self.received_at = self._instant("/source/received_at", self._member("source"))
        self.received_on = (self.received_at or now).astimezone(SHANGHAI).date()
        parties = document.get("parties")
        self.parties: list[dict[str, Any]] = [
            party if isinstance(party, dict) else {}
            for party in (parties if isinstance(parties, list) else [])[:500]
        ]

    def run(self) -> None:
        """Apply every rule."""
        self._source()
        self._dates()
        self._whole_numbers()
        self._subtype()
        self._type_details()
        self._place()
        for number, party in enumerate(self.parties):
            self._party(f"/parties/{number}", party)
        self._refs()
        self._two_sides()
        self._court_pre_consent()
        self._lane_facts()

    def _lane_facts(self) -> None:
        found = lane_facts.faults(self.document, self.directory, self._instant, self.received_at)
        for pointer, code in found:
            if pointer not in self.broken:
                self.refuse(pointer, code)
        for pointer, code in lane_facts.doubts(self.document):
            self.doubt(pointer, code)

    def refuse(self, pointer: str, code: str) -> None:
        """Add an error."""
        self.errors.append(_finding(pointer, code))

    def doubt(self, pointer: str, code: str) -> None:
        """Add a warning."""
        self.warnings.append(_finding(pointer, code))

    def _member(self, name: str, under: Any = None) -> dict[str, Any]:
        found = (self.document if under is None else under).get(name)
        return found if isinstance(found, dict) else {}

    def _text(self, pointer: str, under: dict[str, Any]) -> str | None:
        """The text at the pointer's last step, unless the schema refused it."""
        found = under.get(pointer[pointer.rindex("/") + 1 :])
        return found if isinstance(found, str) and pointer not in self.broken else None

    def _instant(self, pointer: str, under: dict[str, Any]) -> datetime | None:
        text = self._text(pointer, under)
        try:
            return read_instant(text) if text else None
        except ValueError:
            return None

    def _source(self) -> None:
        source = self._member("source")
        reference = self._text("/source/reference", source)
        if reference is not None:
            source["reference"] = reference.strip()
            self.normal_reference = normal_reference(reference)
            if not self.normal_reference:
                self.refuse("/source/reference", "text_empty")
        code = self._text("/source/organisation", source)
        organisation = self.directory.organisation(code) if code else None
        if code and organisation is None:
            self.refuse("/source/organisation", "organisation_unknown")
        lane = self._text("/lane", self.document)
        if organisation and lane and not self.may_send(lane, organisation["kind"]):
            self.refuse("/lane", "lane_not_for_source_kind")

    def _court_pre_consent(self) -> None:
        """Delegating before filing needs the applicant's consent (法释〔2016〕14号 11: L-03).

        Refused while no applicant's is recorded, and for one that refused. Of several applicants
        the law leaves open whether each must have said so before the delegation: a doubt.
        """
        if self.document.get("lane") != "court_pre":
            return
        asked = {
            f"/parties/{number}/consent": self._member("consent", party).get("state")
            for number, party in enumerate(self.parties)
            if party.get("role") == "applicant"
        }
        broken = {p for p in asked if p in self.broken or f"{p}/state" in self.broken}
        some = bool(broken) or "given" in asked.values()
        for pointer, state in asked.items():
            if state == "given" or pointer in broken:
                continue
            if self.consent_later or (some and state != "refused"):
                self.doubt(pointer, "consent_to_be_asked")
            else:
                self.refuse(pointer, "consent_not_recorded")

    def _dates(self) -> None:
        if self.received_at and self.received_at > self.now:
            self.doubt("/source/received_at", "received_at_in_future")
        asked = self._instant("/request_made_at", self.document)
        if asked and self.received_at and asked > self.received_at:
            self.doubt("/request_made_at", "request_after_receipt")
        begun = self._instant("/occurred_at", self.document)
        until = self._instant("/occurred_until", self.document)
        if begun and until and until < begun:
            self.doubt("/occurred_until", "range_reversed")

    def _whole_numbers(self) -> None:
        """42000.0 is an integer to JSON Schema; to us it is a float, and there are none."""
        context = self._member("legal_context")
        places: list[tuple[str, Any]] = [
            ("/claim_fen", self.document.get("claim_fen")),
            ("/claim_other/amount_minor", self._member("claim_other").get("amount_minor")),
            ("/requested_within/n", self._member("requested_within").get("n")),
        ]
        places += [(f"/legal_context{member(k)}", v) for k, v in context.items() if "_fen" in k]
        for ref, amount in self._member("per_worker_fen", context).items():
            places.append((f"/legal_context/per_worker_fen{member(ref)}", amount))
        documents = self.document.get("documents")
        for number, paper in enumerate(documents if isinstance(documents, list) else []):
            if isinstance(paper, dict):
                places.append((f"/documents/{number}/size", paper.get("size")))
        for pointer, value in places:
            if isinstance(value, float) and pointer not in self.broken:
                self.refuse(pointer, "claim_not_integer" if "claim_fen" in pointer else "type")
            elif isinstance(value, int) and value > 10**15 and pointer.endswith("/size"):
                self.refuse(pointer, "number_too_large")

    def _subtype(self) -> None:
        subtype = self._text("/dispute_subtype", self.document)
        if subtype and subtype not in subtypes():
            self.doubt("/dispute_subtype", "dispute_subtype_unknown")
        elif subtype and subtypes()[subtype] != self.document.get("dispute_type"):
            self.doubt("/dispute_subtype", "dispute_subtype_of_other_type")

    def _type_details(self) -> None:
        """By the tree of the day of receipt, so that a correction finds the same one."""
        details = self._member("type_details")
        if details and "/type_details" not in self.broken:
            tree = types.in_force(self.received_on)
            type_ = str(self.document.get("dispute_type"))
            for name, rule in types.findings(tree, type_, details):
                found = self.refuse if rule == types.DIFFERS else self.doubt
                found(f"/type_details{member(name)}", rule)

    def _place(self) -> None:
        code = self._text("/place", self.document)
        if code is None:
            return
        self.place = code
        place = self.directory.place(code)
        if place is None and len(code) == 15:
            self.place = code[:12]
            place = self.directory.place(self.place)
            if place:
                self.doubt("/place", "grid_cell_unknown")
        if place is None:
            self.refuse("/place", "place_unknown")
        elif not in_force(place, self.received_on):
            self.doubt("/place", "place_not_in_force")

    def _party(self, pointer: str, party: dict[str, Any]) -> None:
        born_on = self._birth_date(f"{pointer}/birth_date", party)
        today = max(self.received_on, born_on or self.received_on)
        inside = self._identity(f"{pointer}/id", party.get("id"), party, today)
        for doubt in parties.doubts(party, born_on or inside, self.received_on):
            self.doubt(f"{pointer}/{doubt.member}", doubt.rule)
        if born_on and born_on <= self.received_on and inside and inside != born_on:
            self.doubt(f"{pointer}/birth_date", "birth_date_differs_from_id")
        self._phone(f"{pointer}/phone", party)
        representative = self._member("representative", party)
        below = f"{pointer}/representative"
        self._identity(f"{below}/id", representative.get("id"), None, self.received_on)
        self._phone(f"{below}/phone", representative)

    def _birth_date(self, pointer: str, party: dict[str, Any]) -> date | None:
        text = self._text(pointer, party)
        if not text or not _DAY.match(text):
            return None
        born_on = date.fromisoformat(text)
        if born_on > self.received_on:
            self.refuse(pointer, "birth_date_in_future")
        return born_on

    def _identity(
        self, pointer: str, found: Any, party: dict[str, Any] | None, today: date
    ) -> date | None:
        """Fold and check one identity; the date inside it when it is a person's."""
        if not isinstance(found, dict):
            return None
        number = self._text(f"{pointer}/number", found)
        if number is None or (
            self.broken and any(broken.startswith(pointer) for broken in self.broken)
        ):
            return None
        if identity.fold_width(number) != number:
            self.doubt(f"{pointer}/number", "normalised_width")
        folded = identity.fold_number(number)
        if not folded:
            self.refuse(f"{pointer}/number", "text_empty")
            return None
        found["number"] = folded
        checked = identity.check(str(found.get("type")), folded, today=today)
        if checked.fault:
            self.refuse(f"{pointer}/number", checked.fault)
            return None
        for code in checked.doubts:
            if not (code.startswith("id_region_") and self._place_in_force(folded[:6])):
                self.doubt(f"{pointer}/number", code)
        if party and checked.gender and party.get("gender") not in (None, checked.gender):
            self.doubt(f"{pointer.rsplit('/', 1)[0]}/gender", "gender_differs_from_id")
        return checked.birth_date

    def _place_in_force(self, county: str) -> bool:
        """Whether the directory knows the county of a number, newer than any shipped table."""
        place = self.directory.place(f"{county}000000")
        return place is not None and in_force(place, self.received_on)

    def _phone(self, pointer: str, under: dict[str, Any]) -> None:
        phone = self._text(pointer, under)
        if not phone:
            return
        if (folded := identity.fold_width(phone)) != phone:
            under["phone"] = folded
            self.doubt(pointer, "normalised_width")
        if phones.normal(phone) is None:
            self.doubt(pointer, "phone_shape_unusual")

    def _refs(self) -> None:
        refs: set[str] = set()
        for number, party in enumerate(self.parties):
            ref = self._text(f"/parties/{number}/ref", party)
            if ref in refs:
                self.refuse(f"/parties/{number}/ref", "party_ref_repeated")
            if ref:
                refs.add(ref)
        for pointer, ref in self._named_refs():
            if ref not in refs and pointer not in self.broken:
                self.refuse(pointer, "party_ref_unknown")
        self._group()

    def _group(self) -> None:
        """Those who speak for others: few enough, of the same side, each for itself (R-37)."""
        lane, type_ = str(self.document.get("lane")), str(self.document.get("dispute_type"))
        limit = parties.speakers(lane, type_)
        chosen = self._member("legal_context").get("representatives")
        if lane == "petition" and isinstance(chosen, list) and len(chosen) > limit:
            self.refuse("/legal_context/representatives", "too_many_representatives")
        for doubt in parties.group_doubts(self.parties, limit, type_):
            self.doubt(f"/parties/{doubt.number}/{doubt.member}", doubt.rule)

    def _named_refs(self) -> Iterator[tuple[str, str]]:
        for number, party in enumerate(self.parties):
            if isinstance(party.get("represented_by"), str):
                yield f"/parties/{number}/represented_by", party["represented_by"]
        context = self._member("legal_context")
        for name in ("representatives", "victims"):
            for number, ref in enumerate(_listed(context.get(name))):
                if isinstance(ref, str):
                    yield f"/legal_context/{name}/{number}", ref
        for name in ("guarantor_party", "insurer_party"):
            if isinstance(context.get(name), str):
                yield f"/legal_context/{name}", context[name]
        for name in ("liability", "per_worker_fen"):
            for ref in self._member(name, context):
                if f"/legal_context/{name}" not in self.broken:
                    yield f"/legal_context/{name}{member(ref)}", ref

    def _two_sides(self) -> None:
        """One and the same person cannot ask and be asked."""
        sides: dict[str, dict[tuple[Any, Any], int]] = {"applicant": {}, "respondent": {}}
        for number, party in enumerate(self.parties):
            role = party.get("role")
            found = self._member("id", party)
            if not isinstance(role, str) or role not in sides or not found.get("number"):
                continue
            key = (str(found.get("type")), str(found["number"]))
            other = sides["respondent" if role == "applicant" else "applicant"]
            if key in other:
                self.refuse(f"/parties/{number}", "same_person_on_both_sides")
            sides[role][key] = number


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def in_force(place: dict[str, Any], on: date) -> bool:
    """Whether the place is in force on that day; both ends count, an empty end is open."""
    day = on.isoformat()
    return (place.get("valid_from") or "") <= day <= (place.get("valid_to") or "9999")


def county(code: str, organisation: str, directory: Directory) -> str:
    """The county of a case number: of the place, its successor resolved, else of the source."""
    seen: set[str] = set()
    while code not in seen:
        seen.add(code)
        place = directory.place(code)
        successor = (place or {}).get("successor")
        if not isinstance(successor, str) or not successor:
            break
        code = successor
    return code[:6] if code[:6] != "000000" else organisation[:6]


def _referral(check: _Rules, received_at: datetime) -> Referral:
    """The typed view of a document without errors."""
    document = check.document
    source = document["source"]
    safety = document["safety"]["concerns"]
    return Referral(
        document=document,
        organisation=source["organisation"],
        reference=source["reference"],
        normal_reference=check.normal_reference,
        channel=document["channel"],
        received_at=received_at,
        request_made_at=_instant_or_none(document.get("request_made_at")),
        lane=document["lane"],
        dispute_type=document["dispute_type"],
        dispute_subtype=document.get("dispute_subtype"),
        place=check.place,
        county=county(check.place, source["organisation"], check.directory),
        claim_fen=document.get("claim_fen"),
        occurred_at=_instant_or_none(document.get("occurred_at")),
        occurred_until=_instant_or_none(document.get("occurred_until")),
        parties=tuple(_party_facts(party) for party in document["parties"]),
        documents=tuple(document["documents"]),
        concerns=tuple(sorted({concern["kind"] for concern in safety})),
        requested_within=document.get("requested_within"),
        preferred_mode=document.get("preferred_mode"),
        legal_context=document["legal_context"],
    )


def _instant_or_none(text: str | None) -> datetime | None:
    return read_instant(text) if text else None


_IN_COLUMNS: Final = {
    "ref", "role", "kind", "consent", "name", "id", "phone", "address", "protected",
}  # fmt: skip


def _party_facts(party: dict[str, Any]) -> PartyFacts:
    return PartyFacts(
        ref=party["ref"],
        role=party["role"],
        kind=party["kind"],
        consent=party["consent"]["state"],
        consent_on=party["consent"]["on"],
        name=party["name"],
        identity=party.get("id"),
        phone=party.get("phone"),
        address=party.get("address"),
        protected={k: v for k, v in (party.get("protected") or {}).items() if k in _PROTECTABLE},
        details={name: value for name, value in party.items() if name not in _IN_COLUMNS},
    )


_PROTECTABLE: Final = ("name", "phone", "address")
