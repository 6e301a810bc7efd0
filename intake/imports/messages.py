"""What an import says of a row, in Chinese and English; never with a value in it."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parents[1] / "data" / "messages_zh.json"


@lru_cache(1)
def chinese() -> dict[str, str]:
    """Each rule's sentence in Chinese."""
    found: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))["rules"]
    return found


def shown(reason: dict[str, Any]) -> dict[str, Any]:
    """A reason with its Chinese sentence; a layout's own reasons have one sentence alone."""
    return {**reason, "message_zh": chinese().get(reason["rule"], reason["message"])}


def why(reasons: list[dict[str, Any]]) -> str:
    """What refuses a row, in one cell: column, rule, both sentences."""
    return "; ".join(
        f"{each['column'] or each['pointer'] or '整行 the row'}: {each['rule']}: "
        f"{chinese().get(each['rule'], '')} {each['message']}".replace(":  ", ": ")
        for each in reasons
        if each["level"] == "refused"
    )
