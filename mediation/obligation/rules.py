"""When an obligation is performed or broken, and when the last one has ended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from mediation.obligation.model import ENDED, OBLIGATION, Progress
from mediation.transition import Refusal


def after_performance(
    progress: Progress, *, amount_fen: int | None, performed_at: datetime, now: datetime
) -> tuple[str, int] | Refusal:
    """Return (state, paid so far) after a performance, or why it does not count.

    A money obligation is performed when what was paid reaches what was promised; less is a part
    payment. Anything else is performed at once. Late performance performs (人民调解法 31, R-24).
    """
    if performed_at > now:
        return Refusal(
            "in-future", "履行之后才能登记。/ A performance is recorded when it has happened."
        )
    if progress.amount_fen is None:
        if amount_fen is not None:
            return Refusal("amount", "该义务不是金钱给付。/ This obligation is not about money.")
        moved = OBLIGATION.after(progress.state, "perform")
        return moved if isinstance(moved, Refusal) else (moved, 0)
    paid = progress.paid_fen + (
        progress.amount_fen - progress.paid_fen if amount_fen is None else amount_fen
    )
    if paid > progress.amount_fen:
        return Refusal("amount", "超过尚欠的金额。/ More than is still owed.")
    if paid == progress.paid_fen:
        return Refusal("amount", "付款金额须大于零。/ A payment is more than nothing.")
    moved = OBLIGATION.after(
        progress.state, "perform" if paid == progress.amount_fen else "pay_part"
    )
    return moved if isinstance(moved, Refusal) else (moved, paid)


def in_time(due_at: datetime | None, performed_at: datetime) -> bool:
    """Performed before the exclusive due instant; without one, always in time."""
    return due_at is None or performed_at < due_at


def may_breach(progress: Progress, *, now: datetime, declared: bool) -> Refusal | None:
    """An obligation breaks when it is due, or earlier by the debtor's clear refusal.

    ``declared``: the debtor has said clearly that they will not perform (民法典 578).
    """
    moved = OBLIGATION.after(progress.state, "break")
    if isinstance(moved, Refusal):
        return moved
    if not declared and (progress.due_at is None or now < progress.due_at):
        return Refusal("not-due", "尚未到期。/ It is not due yet.", "人民调解法 31")
    return None


def all_ended(states: Iterable[str]) -> bool:
    """No obligation asks anything more (a breach stays open: its remedies run)."""
    return all(state in ENDED for state in states)
