"""From a referral to its traits: folding of names, figures and words, then keyed hashes. Pure.

Names of parties are taken out of the text before it is cut into pairs of characters, so that the
text says what happened and the names who it was. Nothing of a hash can be read without the key.
"""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

from intake.duplicates.model import Kind, Person, Traits
from intake.duplicates.rules import RULES
from intake.validation import normal_reference, read_instant
from services.clock import SHANGHAI

_COUNTY, _TOWN = 6, 9
_RUNS: Final = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]+|[a-z]{2,}")
_DAY: Final = re.compile(r"(?:(?:19|20)[0-9]{2}年)?([0-9]{1,2})月([0-9]{1,2})[日号]")
_AMOUNT: Final = re.compile(r"([0-9][0-9,]*(?:\.[0-9]+)?)\s*([万亿]?)")
_LONG_NUMBER: Final = re.compile(r"[a-z]{0,4}[0-9]{8,}")
_COURT_NUMBER: Final = re.compile(
    r"[（(〔\[]\s*(?:19|20)[0-9]{2}\s*[）)〕\]][\u4e00-\u9fff0-9]{2,24}?[0-9]+号"
)
_TIMES: Final = {"": 1, "万": 10_000, "亿": 100_000_000}
_DROPPED: Final = re.compile(r"[\s·•‧・∙.。,，、*＊()（）\"'-]+")
_YEARS: Final = range(1900, 2101)
_SMALLEST_FIGURE: Final = 100


class Hasher:
    """Keyed hashes of 64 bits for keys (the kind in the lowest four) and 32 bits for words."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def key(self, kind: Kind, *parts: str) -> int:
        """The key under which others with the same ``parts`` are found."""
        text = "\x1f".join((kind.name, *parts)).encode()
        digest = hmac.digest(self._secret, text, hashlib.sha256)
        return int.from_bytes(digest[:8], "big", signed=True) & ~15 | kind

    def word(self, kind: str, text: str) -> int:
        """A short hash, good for counting what two sets share."""
        digest = hmac.digest(self._secret, f"{kind}\x1f{text}".encode(), hashlib.sha256)
        return int.from_bytes(digest[:4], "big", signed=True)

    def identity(self, type_: str, number: str) -> int:
        """The key of an identity document."""
        return self.key(Kind.IDENTITY, type_, number)

    def phone(self, text: str) -> int | None:
        """The key of a phone, or None when it has too few digits."""
        digits = "".join(c for c in unicodedata.normalize("NFKC", text) if c.isdigit())
        digits = digits.removeprefix("0086").removeprefix("86") if len(digits) > 11 else digits
        return self.key(Kind.PHONE, digits) if len(digits) >= 7 else None

    def name(self, text: str) -> int | None:
        """The key of a whole name, or None when it is known in part only."""
        folded, half = fold_name(text)
        return None if half or not folded else self.key(Kind.NAME, folded)


def fold_name(text: str) -> tuple[str, bool]:
    """A name as it is compared, and whether it is only half a name.

    Width, dots and blanks are folded, a company's legal form is left out: 样例（诸暨）有限公司 and
    样例诸暨有限责任公司 are one name.
    """
    folded = _DROPPED.sub("", unicodedata.normalize("NFKC", text)).casefold()
    if folded in RULES.no_names:
        return "", True
    for form in RULES.legal_forms:
        if len(folded) > len(form) + 1 and folded.endswith(form):
            return folded.removesuffix(form), False
    for ending in RULES.half_names:
        if folded.endswith(ending) and len(folded) <= len(ending) + 2:
            return folded.removesuffix(ending), True
    return folded, len(folded) < 2


def traits_of(document: Mapping[str, Any], hasher: Hasher) -> Traits:
    """The traits of a valid referral."""
    place: str = document["place"]
    people = tuple(_person(party, hasher) for party in document["parties"])
    text = _text(document)
    figures, days = set(_figures(text)), set(_days(text))
    claim = document.get("claim_fen")
    if claim and claim % 100 == 0:
        figures.add(claim // 100)
    occurred = document.get("occurred_at")
    on = read_instant(occurred).astimezone(SHANGHAI).date() if occurred else None
    if on is not None:
        days.add(f"{on:%m-%d}")
    county = place[:_COUNTY]
    keys = {
        *(key for p in people for key in (p.identity, p.phone, p.name) if key is not None),
        *(hasher.key(Kind.NAME_PART, county, part) for part in _name_parts(document)),
        *(hasher.key(Kind.NUMBER, number) for number in _numbers(document)),
        *(hasher.key(Kind.AMOUNT, county, str(amount)) for amount in _largest(figures)),
        hasher.key(Kind.TOWN, place[:_TOWN]),
        hasher.key(Kind.COUNTY_TYPE, county, document["dispute_type"]),
    }
    if on is not None:
        keys.add(hasher.key(Kind.DAY, county, on.isoformat()))
    return Traits(
        document["source"]["organisation"],
        document["dispute_type"],
        place,
        claim,
        on,
        read_instant(document["source"]["received_at"]),
        people,
        frozenset(hasher.word("text", word) for word in _words(text)),
        frozenset(hasher.word("figure", str(f)) for f in figures)
        | frozenset(hasher.word("day", day) for day in days),
        frozenset(keys),
        any(any((party.get("protected") or {}).values()) for party in document["parties"])
        or bool(document["safety"]["concerns"]),
    )


def _person(party: Mapping[str, Any], hasher: Hasher) -> Person:
    folded, half = fold_name(party["name"])
    identity = party.get("id") or {}
    number = identity.get("number")
    phone = party.get("phone")
    human = party["kind"] == "person"
    grams = pairs(f"^{folded}$") if human else pairs(folded)
    return Person(
        party["role"],
        party["kind"],
        hasher.identity(identity["type"], number) if number else None,
        bool(number and identity.get("verified")),
        hasher.phone(phone) if phone else None,
        None if half or not folded else hasher.key(Kind.NAME, folded),
        hasher.word("family", _family(folded)) if human and folded else None,
        half,
        frozenset() if half else frozenset(hasher.word("name", gram) for gram in grams),
    )


def pairs(text: str) -> set[str]:
    """Neighbouring pairs of characters."""
    return {text[i : i + 2] for i in range(len(text) - 1)}


def _family(folded: str) -> str:
    return folded[:2] if folded[:2] in RULES.double_families else folded[:1]


def _name_parts(document: Mapping[str, Any]) -> Iterator[str]:
    """Pairs of a person's name, and its first with its last character: one of three is left when
    a letter is wrong. Half names have none, and bodies are found by their whole name."""
    for party in document["parties"]:
        folded, half = fold_name(party["name"])
        if party["kind"] == "person" and not half:
            yield from pairs(folded)
            if len(folded) > 2:
                yield f"{folded[0]}…{folded[-1]}"


def _text(document: Mapping[str, Any]) -> str:
    """Title, summary and claims without the parties' names, folded."""
    text = "\n".join((document["title"], document["summary"], *document["claims"]))
    text = unicodedata.normalize("NFKC", text).casefold()
    for name in sorted((p["name"] for p in document["parties"]), key=len, reverse=True):
        text = text.replace(unicodedata.normalize("NFKC", name).casefold(), "\n")
    return text


def _words(text: str) -> Iterator[str]:
    for run in _RUNS.findall(text):
        yield from (run,) if run.isascii() else pairs(run)


def _figures(text: str) -> Iterator[int]:
    """Sums in yuan and other figures, 3.5万 as 35000; years and small numbers are nobody's."""
    for digits, times in _AMOUNT.findall(text):
        whole = round(float(digits.replace(",", "")) * _TIMES[times]) if len(digits) < 16 else 0
        if whole >= _SMALLEST_FIGURE and whole not in _YEARS:
            yield whole


def _largest(figures: set[int]) -> list[int]:
    return sorted(figures, reverse=True)[:2]


def _days(text: str) -> Iterator[str]:
    for month, day in _DAY.findall(text):
        try:
            yield f"{date(2000, int(month), int(day)):%m-%d}"
        except ValueError:
            continue


def _numbers(document: Mapping[str, Any]) -> Iterator[str]:
    """The source's number and those of others that the matter has: in its context, in its text."""
    yield normal_reference(document["source"]["reference"])
    for name, value in document["legal_context"].items():
        if name.endswith(("_number", "_numbers")):
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str) and len(each) >= 4:
                    yield normal_reference(each)
    text = "\n".join((document["title"], document["summary"]))
    for found in _COURT_NUMBER.findall(text):
        yield normal_reference(found)
    for found in _LONG_NUMBER.findall(unicodedata.normalize("NFKC", text).casefold()):
        yield normal_reference(found)
