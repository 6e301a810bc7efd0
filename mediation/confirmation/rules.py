"""When the parties may apply for judicial confirmation, and what a court may answer."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from mediation.agreement.rules import NOT_CONFIRMABLE
from mediation.confirmation.model import CONFIRMATION, Confirmable
from mediation.transition import Refusal


def may_be_confirmed(agreement: Confirmable) -> Refusal | None:
    """Tell why no court confirms this agreement, naming the rule.

    Where effect is a court's or an organ's own there is nothing to confirm (法释〔2016〕14号 20,
    刑诉法 289: L-15, J-07); only agreements of a lawful mediation organisation are confirmed
    (民事诉讼法 205: JC-1); some clauses bar it (INT-22 355, 358: JC-4, JC-5).
    """
    if not agreement.lane_confirms:
        return Refusal(
            "not-confirmable",
            f"通道 {agreement.lane} 没有司法确认。/ Lane {agreement.lane} knows no judicial"
            " confirmation (民诉法 205, JC-1; lanes.md).",
            "JC-1",
        )
    if not agreement.kind_confirms:
        return Refusal(
            "not-confirmable",
            f"{agreement.handler_kind} 不是协议可以司法确认的调解组织。/ A {agreement.handler_kind}"
            " is no mediation organisation whose agreements a court confirms (民诉法 205, JC-1).",
            "JC-1",
        )
    barred = sorted(agreement.flags & NOT_CONFIRMABLE)
    if barred:
        return Refusal(
            "not-confirmable",
            f"含有 {', '.join(barred)} 条款的协议不予确认。/ A clause about {', '.join(barred)} is"
            " not confirmed (INT-22 355, 358; JC-4, JC-5).",
            "JC-4, JC-5",
        )
    return None


def may_apply(
    agreement: Confirmable, *, applied_by: Collection[object], applied_at: datetime
) -> Refusal | None:
    """Tell why this application does not count.

    Jointly, and within the window from effect; its end is exclusive (民事诉讼法 205: JC-1).
    """
    refusal = may_be_confirmed(agreement)
    if refusal is not None:
        return refusal
    if agreement.state != "effective" or agreement.effective_at is None:
        return Refusal("not-effective", "协议尚未生效。/ The agreement is not in effect.", "JC-1")
    if agreement.applied_before:
        return Refusal(
            "already-applied", "当事人已经申请。/ The parties have applied already.", "JC-1"
        )
    if set(applied_by) != agreement.parties:
        return Refusal(
            "not-joint",
            "须由受约束的各方共同申请。/ All who are bound apply together (民诉法 205, JC-1).",
            "JC-1",
        )
    if applied_at < agreement.effective_at:
        return Refusal(
            "before-effect",
            "协议生效之前不得申请。/ Nobody applies before the agreement binds.",
            "JC-1",
        )
    if agreement.confirm_by is not None and applied_at >= agreement.confirm_by:
        return Refusal(
            "confirmation-window-elapsed",
            "申请司法确认的期限已过。/ "
            "The window for applying has ended (民诉法 205, JC-1; DL-JC-01).",
            "JC-1",
        )
    return None


def may_decide(
    *,
    state: str,
    agreement_state: str,
    confirmed: bool,
    ground: str | None,
    grounds: Collection[str],
    applied_at: datetime,
    decided_at: datetime,
) -> Refusal | None:
    """Tell why the court's answer cannot be recorded so (INT-22 355, 357, 358: JC-4 to JC-6)."""
    moved = CONFIRMATION.after(state, "confirm" if confirmed else "refuse")
    if isinstance(moved, Refusal):
        return moved
    if confirmed and agreement_state != "effective":
        return Refusal(
            "not-effective", "协议已经失效。/ The agreement is not in effect any more.", "JC-1"
        )
    if confirmed and ground is not None:
        return Refusal(
            "ground", "只有不予确认才写理由。/ A ground is given for refusing only.", "JC-5"
        )
    if not confirmed and ground not in grounds:
        return Refusal(
            "ground",
            "不予确认须从清单中选择理由。/ Refusing needs a ground of the list.",
            "JC-4, JC-5, JC-6",
        )
    if decided_at < applied_at:
        return Refusal(
            "before-application", "裁定不得早于申请。/ Decided before it was applied for."
        )
    return None
