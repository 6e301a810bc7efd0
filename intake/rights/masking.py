"""What free text says of a person literally, taken out of it. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

MASK: Final = "（已删除）"
# A single character stands in every text; no name, number or address is that short.
LEAST: Final = 2
# Members that are no free text about the dispute: the sender's own, and the parties' records.
_NOT_MASKED: Final = ("source", "parties")


def literals(*people: Mapping[str, Any]) -> frozenset[str]:
    """The values by which these records name a person: name, number, phone, address."""
    found = set()
    for person in people:
        document = person.get("identity") or person.get("id") or {}
        values = (person.get("name"), document.get("number"), person.get("phone"))
        found |= {str(v).strip() for v in (*values, person.get("address")) if v}
    return frozenset(value for value in found if len(value) >= LEAST and value != MASK)


def masked(text: str, values: Iterable[str]) -> str:
    """The text without these values; the longest first, so that none leaves its rest."""
    for value in sorted(values, key=lambda v: (-len(v), v)):
        text = text.replace(value, MASK)
    return text


def everywhere(value: Any, values: Iterable[str]) -> Any:
    """Every text in a JSON value without these values; names of members stay."""
    if isinstance(value, str):
        return masked(value, values)
    if isinstance(value, list):
        return [everywhere(item, values) for item in value]
    if isinstance(value, dict):
        return {name: everywhere(item, values) for name, item in value.items()}
    return value


def free_text(document: Mapping[str, Any], values: Iterable[str]) -> dict[str, Any]:
    """A referral whose free text names nobody by these values; the other parties stay as sent."""
    kept = list(values)
    return {
        name: item if name in _NOT_MASKED else everywhere(item, kept)
        for name, item in document.items()
    }
