"""What of a referral's legal context may travel in events: an allow-list, as data. Pure.

Days, booleans, closed lists and codes of organisations; never a text, a number of a file, a
measure against a person, or anything that tells of violence, health or crime (design section 5).
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake.lane_facts import civil_loss_only

FILE: Final = Path(__file__).parent / "data" / "legal_context.json"
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_CODE: Final = re.compile(r"[0-9]{6}-[A-Z]{2}-[0-9]{4}\Z")


@lru_cache(1)
def allowed() -> dict[str, Any]:
    """Member to its form: ``day``, ``boolean``, ``organisation`` or the closed list."""
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))["members"]
    return found


def travelling(context: dict[str, Any]) -> dict[str, Any]:
    """The members that may travel, each in its form; the rest stays in the sealed referral.

    A classification by the police never travels; that only civil loss may be mediated does.
    """
    found = {
        name: context[name]
        for name, form in allowed().items()
        if name in context and _fits(context[name], form)
    }
    if civil_loss_only(context):
        found["civil_loss_only"] = True
    return found


def _fits(value: Any, form: Any) -> bool:
    if form == "boolean":
        return isinstance(value, bool)
    if not isinstance(value, str):
        return False
    if form == "day":
        return _DAY.match(value) is not None
    if form == "organisation":
        return _CODE.match(value) is not None
    return value in form
