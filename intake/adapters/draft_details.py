"""Details of a dispute type in a draft: by the words of a head, as far as its types have them.

Which words stand for which detail is data (``details`` of the vocabulary); what a detail takes is
the tree's own schema. Pure.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from intake import types
from intake.adapters.layout import DETAIL

if TYPE_CHECKING:
    from intake.adapters.draft import Column

USE: Final = "detail:"
_DAYS: Final = ["day", "instant", "epoch_ms", "serial_day"]
_WORDS: Final = ["few", "text", "unique", "flag"]


def use_of(head: str, words: dict[str, Any], fits: Callable[[list[str]], bool]) -> str:
    """The use of a column whose head and contents are those of a detail; else empty."""
    for rule in words["details"]:
        if any(word in head for word in rule["words"]) and fits(_kinds(rule["detail"])):
            return USE + str(rule["detail"])
    return ""


def _kinds(name: str) -> list[str]:
    """What a column may hold to be this detail."""
    schema = types.detail_schemas(name)[0]
    if "enum" in schema:
        return _WORDS
    return {"boolean": ["flag", "few"], "integer": ["count"]}.get(schema["type"], _DAYS)


def types_of(constants: dict[str, Any], codes: list[dict[str, Any]]) -> frozenset[str] | None:
    """The dispute types that the draft's rows can have; None when it does not say yet."""
    found = [constants.get("/dispute_type")]
    found += [e.get("set", {}).get("/dispute_type") for t in codes for e in t["entries"].values()]
    return frozenset(each for each in found if each) or None


def written(
    column: "Column", words: dict[str, Any], moment: dict[str, Any]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, list[str]]:
    """A mapping or a table for the column, and words of it that stand for nothing known."""
    name = column.use.removeprefix(USE)
    schema, pointer = types.detail_schemas(name)[0], DETAIL + name
    mapping: dict[str, Any] = {"column": column.name, "to": [pointer]}
    if "enum" in schema:
        rule = next(rule for rule in words["details"] if rule["detail"] == name)
        return None, *_table(column, pointer, lambda text: _meant(text, rule["values"]))
    if schema["type"] == "integer":
        return {**mapping, "by": {"as": "count"}}, None, []
    if schema["type"] != "boolean":
        return {**mapping, "by": moment}, None, []
    pairs = list(zip(words["yes"], words["no"], strict=True))
    for yes, no in pairs:
        if set(column.distinct) <= {yes, no}:
            return {**mapping, "by": {"as": "flag", "true": yes, "false": no}}, None, []
    meant = {**dict.fromkeys(words["yes"], True), **dict.fromkeys(words["no"], False)}
    return None, *_table(column, pointer, meant.get)


def _meant(text: str, values: dict[str, str]) -> str | None:
    return next((value for word, value in values.items() if word in text), None)


def _table(
    column: "Column", pointer: str, meant: Callable[[str], Any]
) -> tuple[dict[str, Any], list[str]]:
    """Every word of the column; one that says nothing known leaves the detail out."""
    found = {text: meant(text) for text in column.distinct}
    entries: dict[str, Any] = {
        text: {} if value is None else {"set": {pointer: value}} for text, value in found.items()
    }
    unknown = [text for text, value in found.items() if value is None]
    return {"column": column.name, "entries": entries, "empty": {}}, unknown
