"""Consents, endings and the hand-over's allow-list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from mediation.transition import Refusal


@dataclass(frozen=True)
class Statement:
    """One party's latest word on one step."""

    party_id: UUID
    step: str
    state: str


def ends_proceeding(step: str, state: str) -> bool:
    """Refusing or withdrawing consent to mediate ends it for this party in every lane (R-01)."""
    return step == "mediate" and state in ("refused", "withdrawn")


def side_is_empty(
    role: str, parties: Iterable[tuple[UUID, str]], missing: Collection[UUID]
) -> bool:
    """Nobody of this side remains, so that there is nothing left to mediate.

    Two sides make a dispute, and one side's no ends its mediation (人民调解法 17, 23); a third
    party's never does.
    """
    if role not in ("applicant", "respondent"):
        return False
    return not any(r == role and party_id not in missing for party_id, r in parties)


def outcome_of_leaving(role: str) -> str:
    """How a mediation ended that a party left: the end code says who (人民调解法 23; L-20).

    The applicant withdraws; anybody else refuses to go on.
    """
    return "withdrawn" if role == "applicant" else "refused"


def may_take_part(
    parties: Iterable[UUID], departed: Collection[UUID], declined: Collection[UUID]
) -> Refusal | None:
    """Nothing is asked of a party that has left, or that has said no to mediating (R-01)."""
    asked = set(parties)
    if not asked.isdisjoint(departed):
        return Refusal(
            "party-left",
            "所列当事人已经退出调解。/ A party named here has left the mediation.",
            "R-06",
        )
    if not asked.isdisjoint(declined):
        return Refusal(
            "party-declined",
            "所列当事人已经拒绝调解。/ A party named here has refused to mediate.",
            "R-01",
        )
    return None


def all_consent(
    step: str, parties: Collection[UUID], statements: Iterable[Statement]
) -> Refusal | None:
    """Every party has given consent to ``step``; silence never counts (R-06)."""
    given = {s.party_id for s in statements if s.step == step and s.state == "given"}
    if set(parties) <= given:
        return None
    return Refusal(
        "consent-missing",
        f"并非各方当事人都同意“{step}”。/ Not every party has consented to '{step}'.",
        "R-06",
    )


def may_end(
    outcome: str,
    *,
    end_codes: Collection[str],
    remedies: Sequence[str],
    remedies_told: bool,
    report_required: bool,
    report: Mapping[str, Any] | None,
) -> Refusal | None:
    """Tell why a mediation cannot end with ``outcome``.

    The code must be of the lane's table (section 15); remedies must be told (人民调解法 26,
    R-16); the court lanes need a written report (法释〔2016〕14号 26, 法释〔2021〕23号 21: L-21,
    L-22).
    """
    if outcome not in end_codes:
        return Refusal(
            "end-code", "不是本通道的终结代码。/ Not an end code of this lane.", "section 15"
        )
    if remedies and not remedies_told:
        return Refusal(
            "remedies-not-told", "须先告知救济途径。/ The remedies must be told first.", "R-16"
        )
    if report_required and not report:
        return Refusal(
            "report-missing",
            "法院通道须有书面报告。/ The court lanes need a written report.",
            "L-21",
        )
    return None


#: What may travel back to the referrer. Built up, never subtracted from (design 3.5):
#: a name that is not here cannot leave, whatever a table gains later.
HAND_OVER: Final[Mapping[str, tuple[str, ...]]] = {
    "case": ("case_id", "case_number", "episode", "lane"),
    "assignment": (
        "assignment_id",
        "ordinal",
        "organisation",
        "offered_at",
        "accepted_at",
        "basis",
    ),
    "mediation": ("mediation_id", "started_at", "ended_at", "outcome", "sessions_held"),
    "report": (
        "basics",
        "cause",
        "conduct_raising_costs",
        "for_the_court",
        "address_form_filled",
    ),
    "remedies": ("codes", "told_at"),
    "agreement": (
        "agreement_id",
        "form",
        "partial",
        "effective_at",
        "text_sha256",
        "confirmable",
    ),
    "obligation": (
        "obligation_id",
        "kind",
        "amount_fen",
        "paid_fen",
        "due_on",
        "due_at",
        "state",
    ),
}


def allowed(kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the members of ``row`` that the allow-list of ``kind`` names."""
    return {name: row[name] for name in HAND_OVER[kind] if name in row}


def hand_over(
    *,
    case: Mapping[str, Any],
    assignment: Mapping[str, Any],
    mediation: Mapping[str, Any],
    report: Mapping[str, Any] | None,
    remedies: Mapping[str, Any],
    agreements: Iterable[Mapping[str, Any]] = (),
    obligations: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Build the package for the referrer; nothing said in mediation can enter (L-17, L-25)."""
    return {
        "case": allowed("case", case),
        "assignment": allowed("assignment", assignment),
        "mediation": allowed("mediation", mediation),
        "report": allowed("report", report) if report else None,
        "remedies": allowed("remedies", remedies),
        "agreements": [allowed("agreement", row) for row in agreements],
        "obligations": [allowed("obligation", row) for row in obligations],
    }
