"""What an import says of a row, in Chinese and English; never with a value in it."""

from typing import Any

from intake.messages import chinese


def shown(reason: dict[str, Any]) -> dict[str, Any]:
    """A reason with its Chinese sentence; a layout's own reasons have one sentence alone."""
    return {**reason, "message_zh": chinese().get(reason["rule"], reason["message"])}


def why(reasons: list[dict[str, Any]]) -> str:
    """What refuses a row, in one cell: column, rule, both sentences."""
    return "; ".join(
        f"{each['column'] or each['pointer'] or '整行 the row'}: {each['rule']}: {each['message']}"
        for each in reasons
        if each["level"] == "refused"
    )
