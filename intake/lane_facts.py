"""What a lane's own facts must agree on, and what follows from them for the handler. Pure.

Court: delegated before filing or commissioned after (法释〔2016〕14号 1: L-03). Police: acceptance
and filing are two days (治安管理处罚法 118: P-09); what is not classified yet is mediated only on
civil loss. Letters: posted, arrived, entered (T-07). Assigned from above: by whom.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any, Final

from intake.model import Directory

_MODES: Final = {
    "delegate_pre": "court_pre",
    "commission_post": "court_post",
    "commission_exec": "court_exec",
}
UNDETERMINED: Final = "undetermined"
Instant = Callable[[str, dict[str, Any]], datetime | None]


def faults(
    document: dict[str, Any], directory: Directory, instant: Instant, received_at: datetime | None
) -> Iterator[tuple[str, str]]:
    """Pointer and code of every fault among the lane's facts."""
    context = _object(document.get("legal_context"))
    lane, mode = document.get("lane"), context.get("mode")
    if lane in _MODES.values() and _MODES.get(str(mode), lane) != lane:
        yield "/legal_context/mode", "mode_not_of_lane"
    accepted, filed = _day(context.get("accepted_on")), _day(context.get("case_filed_on"))
    if accepted and filed and filed < accepted:
        yield "/legal_context/case_filed_on", "filed_before_accepted"
    steps = [instant(f"/legal_context/{name}", context) for name in ("posted_at", "arrived_at")]
    known = [at for at in (*steps, received_at) if at is not None]
    if any(steps) and known != sorted(known):
        yield "/legal_context/arrived_at", "letter_order"
    superior = context.get("assigned_by")
    if isinstance(superior, str):
        if superior == _object(document.get("source")).get("organisation"):
            yield "/legal_context/assigned_by", "superior_same"
        elif directory.organisation(superior) is None:
            yield "/legal_context/assigned_by", "organisation_unknown"


def doubts(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Pointer and code of what is taken with a warning."""
    context = _object(document.get("legal_context"))
    if civil_loss_only(context):
        yield "/legal_context/classification", "classification_undetermined"
    if context.get("injury_appraisal") == "result" and not context.get("injury_result"):
        yield "/legal_context/injury_result", "injury_result_missing"


def civil_loss_only(context: dict[str, Any]) -> bool:
    """The consequence that travels: what the police have not classified is mediated only so."""
    return context.get("classification") == UNDETERMINED


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
