"""When an offer may be accepted, returned or objected to, and what silence means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mediation.queue.model import QUEUE, Offer
from mediation.transition import Refusal

WINDOW_ELAPSED: Final = "acceptance-window-elapsed"


@dataclass(frozen=True)
class ReturnGround:
    """One reason to give an assignment back, with the rule it rests on."""

    code: str
    zh: str
    en: str
    source: str


RETURN_GROUNDS: Final = {
    ground.code: ground
    for ground in (
        ReturnGround(
            "not_competent",
            "不属于本机构受理范围",
            "Not this body's kind of dispute",
            "宁波市人民调解条例 18 (R-04); 信访工作条例 23 (F-09)",
        ),
        ReturnGround(
            "wrong_place",
            "不属于本辖区",
            "Another place is competent",
            "宁波市人民调解条例 18 (R-04); 信访工作条例 23 (F-07)",
        ),
        ReturnGround(
            "reserved_to_other_organ",
            "法律规定由专门机关处理",
            "Reserved by law to another organ",
            "人民调解工作若干规定 22 (R-03, N-01)",
        ),
        ReturnGround(
            "already_handled",
            "已由其他机关受理或者解决",
            "Another organ has taken or settled it",
            "人民调解工作若干规定 22 (R-03, N-02); 医疗纠纷预防和处理条例 31 (M-01)",
        ),
        ReturnGround(
            "conflict_of_interest",
            "与当事人有利害关系",
            "The body or its mediators are conflicted",
            "法释〔2016〕14号 15 (L-11); 信访工作条例 28 (F-20)",
        ),
        ReturnGround(
            "no_mediator",
            "没有合适的调解员",
            "No suitable mediator is free",
            "人民调解法 19 (R-05); 法释〔2021〕23号 12 (L-06)",
        ),
        ReturnGround(
            "party_refuses",
            "当事人明确拒绝调解",
            "A party has clearly refused",
            "人民调解法 17 (R-01); 法释〔2021〕23号 15 (L-07)",
        ),
        ReturnGround(
            "party_unreachable",
            "联系不上当事人",
            "A party cannot be reached",
            "法释〔2021〕23号 15, 25 (L-07, L-20)",
        ),
        ReturnGround(
            "materials_missing",
            "材料不齐，无法开展调解",
            "Papers without which it cannot start",
            "法释〔2016〕14号 27 (L-10)",
        ),
        ReturnGround(
            "safety",
            "存在人身安全风险，不宜在本机构调解",
            "Not safe to hold here",
            "反家庭暴力法 5, 10 (N-06)",
        ),
        ReturnGround(
            "suspected_false_mediation",
            "涉嫌虚假调解",
            "Signs of false mediation",
            "法释〔2016〕14号 18 (L-13)",
        ),
    )
}

#: What the owner of the fact makes of a window that ran out (design, section 3).
SILENCE: Final = {
    "deemed_accepted": ("deem_accepted", "deemed_accepted"),
    "held_to_it": ("deem_accepted", "held_to_it"),
    "reoffer": ("not_confirm", "not_confirmed"),
    "return_to_source": ("not_confirm", "not_confirmed"),
    "escalate": ("escalate", "escalated"),
}


def may_accept(offer: Offer) -> Refusal | None:
    """An offer that has not ended may be accepted, also after the window (design, 4)."""
    if offer.state == "objected":
        return Refusal(
            "state", "异议尚待派件单位处理。/ An objection is pending; the sender decides it first."
        )
    moved = QUEUE.after(offer.state, "accept")
    return moved if isinstance(moved, Refusal) else None


def may_return(offer: Offer, ground: str, now: datetime) -> Refusal | None:
    """A return needs an open offer, a ground of the closed list and an open window."""
    return (
        (
            None
            if ground in RETURN_GROUNDS
            else Refusal("ground", "理由不在清单之内。/ Not a ground of the list.")
        )
        or _may_refuse(offer, "return", now)
        or (
            Refusal(
                "objection-only",
                "本通道只能提出异议，不能退回。/ This lane takes objections, not returns.",
                "信访工作条例 23",
            )
            if offer.refusal_kind == "objection"
            else None
        )
    )


def may_object(offer: Offer, ground: str, now: datetime) -> Refusal | None:
    """An objection needs a lane that knows it and an open window (信访工作条例 23, F-09)."""
    return (
        (
            None
            if ground in RETURN_GROUNDS
            else Refusal("ground", "理由不在清单之内。/ Not a ground of the list.")
        )
        or _may_refuse(offer, "object", now)
        or (
            None
            if offer.refusal_kind == "objection"
            else Refusal(
                "return-only",
                "本通道只能退回，不能提出异议。/ This lane takes returns, not objections.",
            )
        )
    )


def _may_refuse(offer: Offer, act: str, now: datetime) -> Refusal | None:
    moved = QUEUE.after(offer.state, act)
    if isinstance(moved, Refusal):
        return moved
    if not offer.returnable:
        return Refusal(
            "binding",
            "裁决具有约束力，本次派件不得退回。/ "
            "The decision binds; this offer cannot be given back.",
            "F-10",
        )
    if offer.accept_by is not None and now >= offer.accept_by:
        return Refusal(WINDOW_ELAPSED, "接收期限已过。/ The acceptance window has elapsed.")
    return None


def after_silence(on_silence: str) -> tuple[str, str]:
    """Return the act and the basis or end that silence means; unknown words escalate."""
    return SILENCE.get(on_silence, SILENCE["escalate"])
