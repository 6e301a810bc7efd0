"""What a correction may change, and how a change is applied to a referral. Pure."""

import copy
import re
from typing import Any, Final

from intake.messages import message
from services.errors import FieldError

# A party may be told to be somebody else, but not to play another role: that is another party.
_CHANGEABLE: Final = re.compile(
    r"/(title|summary|claims|claim_fen|claim_other|occurred_at|occurred_until|dispute_type"
    r"|dispute_subtype|place|documents|legal_context|safety|requested_within|preferred_mode"
    r"|source/contact"
    r"|parties/-|parties/[0-9]{1,3}/(name|id|phone|address|birth_date|gender|nationality|languages"
    r"|needs|consent|protected|representative|represented_by))(/[^/]+)*\Z"
)
_FIXED: Final = re.compile(
    r"/(source/(organisation|reference|received_at)|request_made_at|lane|channel"
    r"|parties/[0-9]{1,3}/(ref|role|kind))\Z"
)


def fault_of(pointer: str) -> str | None:
    """Why a pointer cannot be corrected, or None when it can."""
    if _FIXED.match(pointer):
        return "pointer_fixed"
    if not _CHANGEABLE.match(pointer) or len(pointer) > 200:
        return "pointer_unknown"
    return None


def apply(
    document: dict[str, Any], changes: list[tuple[str, Any]]
) -> tuple[dict[str, Any], list[FieldError]]:
    """A copy of the document with every change made, and what could not be."""
    changed = copy.deepcopy(document)
    errors: list[FieldError] = []
    for number, (pointer, value) in enumerate(changes):
        code = fault_of(pointer)
        if code is None and not _set(changed, pointer, value):
            code = "pointer_unknown"
        if code:
            errors.append(FieldError(f"/changes/{number}/pointer", code, message(code)))
    return changed, errors


def _set(document: dict[str, Any], pointer: str, value: Any) -> bool:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]
    node: Any = document
    for step in steps[:-1]:
        if isinstance(node, dict) and isinstance(node.get(step), dict | list):
            node = node[step]
        elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        else:
            return False
    last = steps[-1]
    if isinstance(node, dict):
        node[last] = value
    elif isinstance(node, list) and last == "-":
        node.append(value)
    elif isinstance(node, list) and last.isdigit() and int(last) < len(node):
        node[int(last)] = value
    else:
        return False
    return True
