"""When a session may be scheduled and what must be so before it counts as held."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from mediation.transition import Refusal
from services.events import lanes

LONGEST: Final = timedelta(hours=12)
COURT_LANES: Final = ("court_pre", "court_post")


def may_schedule(
    *,
    form: str,
    joint_sessions: bool,
    starts_at: datetime,
    ends_at: datetime,
    invited: Collection[UUID],
    parties: Collection[UUID],
) -> Refusal | None:
    """Tell why a session cannot be planned so.

    No joint session where the case's handling constraints say so (反家庭暴力法 5, 10, 30: N-06,
    N-09).
    """
    if not starts_at < ends_at or ends_at - starts_at > LONGEST:
        return Refusal(
            "session-length",
            "场次结束须晚于开始，且不超过十二小时。/ "
            "A session ends after it starts, within 12 hours.",
        )
    if not set(invited) <= set(parties):
        return Refusal(
            "not-a-party",
            "所通知的人不是本案当事人。/ Somebody invited is not a party of the case.",
        )
    if not invited:
        return Refusal(
            "nobody-invited", "每场至少通知一名当事人。/ A session invites at least one party."
        )
    if form == "joint" and not joint_sessions:
        return Refusal(
            "separate-sessions-only",
            "只允许分别调解。/ Only separate sessions are allowed.",
            "N-06",
        )
    if form == "separate" and len(set(invited)) > 1 and not joint_sessions:
        return Refusal(
            "separate-sessions-only",
            "分别调解每场只通知一名当事人。/ A separate session invites one party.",
            "N-06",
        )
    return None


def may_hold(
    *,
    lane: str,
    sector: str | None,
    rights_told: bool,
    identity_checked: bool,
    false_mediation_warned: bool,
    attendance: Mapping[str, int],
    act_at: datetime,
    now: datetime,
) -> Refusal | None:
    """Tell why a session does not count as held.

    Rights and duties told first (R-09); the court lanes compare identity and warn of false
    mediation (法释〔2021〕23号 17, L-23); sides keep to their number (R-37, M-14).
    """
    if act_at > now:
        return Refusal(
            "in-future", "场次进行之后才能登记。/ A session is held when it has taken place."
        )
    if not rights_told:
        return Refusal(
            "rights-not-told", "须先告知权利义务。/ Rights and duties are told first.", "R-09"
        )
    if lane in COURT_LANES and not identity_checked:
        return Refusal(
            "identity-not-checked",
            "法院通道须核对身份。/ The court lanes compare identity.",
            "L-23",
        )
    if lane in COURT_LANES and not false_mediation_warned:
        return Refusal(
            "not-warned",
            "法院通道须告知虚假调解的后果。/ The court lanes warn of false mediation.",
            "L-23",
        )
    limit = lanes.attendance_limit(sector or lane)
    if any(count > limit for count in attendance.values()):
        return Refusal(
            "too-many-of-a-side",
            f"每一方最多 {limit} 人参加。/ At most {limit} of one side attend.",
            "R-37, M-14",
        )
    return None
