"""Which messages follow from an event, to whom, and with which facts: pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from notification.model import CaseCopy
from notification.rules import standing_keys
from services.clock import read
from services.events.envelope import Event
from services.events.routing import Deadline


@dataclass(frozen=True)
class Template:
    """One kind of message as data: which fact it tells, to whom, on which law, in which words."""

    code: str
    version: int
    events: tuple[str, ...]
    when: Mapping[str, tuple[str | bool, ...]]
    to: tuple[str, ...]
    stands: tuple[str, ...]
    once: str | None
    valid_until: str | None
    statutory: bool
    legal_basis: tuple[Mapping[str, str], ...]
    placeholders: tuple[str, ...]
    texts: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Recipient:
    """A party by id, or an organisation by code; never a name or an address."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True)
class Draft:
    """A message to be written: everything by id, nothing personal."""

    recipient: Recipient
    template: str
    version: int
    statutory: bool
    facts: Mapping[str, Any]
    stands: tuple[str, ...]
    valid_until: datetime | None
    once: str | None


# Facts that come from the copy of the case, not from the event itself.
FROM_COPY: Final = frozenset(
    {"case_number", "holder", "lane", "assignment_id", "session_starts_at"}
    | {"obligation_ordinal", "amount_fen"}
)
# Members of events that would hide a placeholder of the frame are given under another name.
RENAMED: Final[Mapping[str, str]] = {"legal_basis": "legal_basis_of_request"}


def available(model: type[Event]) -> frozenset[str]:
    """The placeholders a template about this event class may use."""
    names = {RENAMED.get(n, n) for n in model.model_fields} | FROM_COPY
    if "deadline" in model.model_fields:
        names |= set(Deadline.model_fields)
    return frozenset(names)


def facts(event: Event, copy: CaseCopy) -> dict[str, Any]:
    """What a template may say about the event: ids, codes, instants and numbers as JSON values."""
    found: dict[str, Any] = {
        "holder": copy.holder,
        "lane": copy.lane,
        "assignment_id": (copy.facts.get("assignment") or {}).get("assignment_id"),
    }
    said = event.model_dump(mode="json")
    found |= said.pop("deadline", None) or {}
    found |= {RENAMED.get(name, name): value for name, value in said.items()}
    found["case_number"] = copy.case_number or event.case_number
    session = _session(event, copy)
    found.setdefault("session_starts_at", session.get("starts_at"))
    obligation = _obligation(event, copy)
    found["obligation_ordinal"] = obligation.get("ordinal")
    found.setdefault("amount_fen", obligation.get("amount_fen"))
    return found


def _session(event: Event, copy: CaseCopy) -> Mapping[str, Any]:
    key = str(getattr(event, "session_id", ""))
    answer: Mapping[str, Any] = copy.facts.get("sessions", {}).get(key, {})
    return answer


def _obligation(event: Event, copy: CaseCopy) -> Mapping[str, Any]:
    deadline = getattr(event, "deadline", None)
    key = getattr(event, "obligation_id", None) or getattr(deadline, "subject_id", None)
    answer: Mapping[str, Any] = copy.facts.get("obligations", {}).get(str(key), {})
    return answer


def _parties(ids: Iterable[str | None]) -> list[Recipient]:
    return [Recipient("party", i) for i in ids if i]


def _organisations(codes: Iterable[str | None]) -> list[Recipient]:
    return [Recipient("organisation", c) for c in codes if c]


def recipients(
    word: str, event: Event, copy: CaseCopy, parts: Mapping[str, Iterable[str]]
) -> list[Recipient]:
    """Whom a template's word means for this event; ``parts`` is role -> organisations."""
    present = set(copy.present)
    if word == "parties":
        return _parties(copy.present)
    if word == "all_parties":
        return _parties(copy.party_ids)
    if word == "session_parties":
        return _parties(p for p in _session(event, copy).get("parties", ()) if p in present)
    if word in ("debtor", "creditor"):
        return _parties([_obligation(event, copy).get(word)])
    if word == "leaver":
        return _parties([str(getattr(event, "party_id", ""))])
    if word == "other_parties":
        return _parties(copy.present)
    if word in ("source", "handler"):
        return _organisations(parts.get(word, ()))
    if word == "assigned":
        return _organisations([getattr(event, "organisation", None)])
    if word in ("asked", "coordinator"):
        return _organisations([getattr(event, word, None)])
    raise ValueError("no such kind of recipient")


WORDS: Final = frozenset(
    {"parties", "all_parties", "session_parties", "debtor", "creditor", "leaver"}
    | {"other_parties", "source", "handler", "assigned", "asked", "coordinator"}
)


def _applies(template: Template, known: Mapping[str, Any]) -> bool:
    return all(known.get(name) in allowed for name, allowed in template.when.items())


def drafts(
    event: Event,
    copy: CaseCopy,
    parts: Mapping[str, Iterable[str]],
    templates: Iterable[Template],
) -> Iterator[Draft]:
    """The messages that follow from an event, each recipient once per template.

    ``copy`` is the case after the event. A template with ``once`` is told for the first of several
    events about the same thing (two terms of two laws, one acceptance).
    """
    about = [t for t in templates if type(event).__name__ in t.events]
    if not about:
        return
    known = facts(event, copy)
    keys = standing_keys(event)
    for template in about:
        if not _applies(template, known):
            continue
        once = f"{template.code}:{known.get(template.once)}" if template.once else None
        if once and once in copy.facts.get("told", ()):
            continue
        needed = {name: known.get(name) for name in template.placeholders}
        if any(value is None for value in needed.values()):
            continue  # the fact is not known well enough to be told
        until = known.get(template.valid_until) if template.valid_until else None
        seen: set[Recipient] = set()
        for word in template.to:
            for recipient in recipients(word, event, copy, parts):
                if recipient in seen:
                    continue
                seen.add(recipient)
                yield Draft(
                    recipient=recipient,
                    template=template.code,
                    version=template.version,
                    statutory=template.statutory,
                    facts={**needed, "holder": known["holder"]},
                    stands=tuple(k.format_map(known) for k in template.stands) or keys,
                    valid_until=read(until) if until else None,
                    once=once,
                )


def stands(message_event: UUID, latest: Mapping[str, UUID], keys: Iterable[str]) -> bool:
    """Whether no later event has replaced what the message tells."""
    return all(latest.get(key, message_event) == message_event for key in keys)
