"""Who may mediate a case: recusal, waiver, load, replacement."""

from __future__ import annotations

from collections.abc import Sequence

from mediation.mediator.model import (
    MEDIATOR_ROLES,
    Appointment,
    CaseParty,
    Conflict,
    Mediator,
)
from mediation.transition import Refusal

#: Relations that no waiver heals: an earlier role in the case (法释〔2016〕14号 16, L-12).
UNWAIVABLE = frozenset({"earlier_role"})


def conflicts(
    mediator: Mediator, appointment: Appointment, parties: Sequence[CaseParty]
) -> tuple[Conflict, ...]:
    """List the relations to parties of the case, on file or declared now (L-11, F-20)."""
    found: list[Conflict] = []
    for relation in (*mediator.relations, *appointment.declared):
        for party in parties:
            by_party = relation.party_id is not None and relation.party_id == party.party_id
            by_body = relation.organisation is not None and (
                relation.organisation == party.organisation
            )
            if by_party or by_body:
                found.append(Conflict(relation.kind, party.party_id))
    return tuple(found)


def may_mediate(
    mediator: Mediator,
    organisation: str,
    appointment: Appointment,
    parties: Sequence[CaseParty],
) -> Refusal | None:
    """Tell why this mediator may not take this case; None when they may.

    人民调解法 19 (R-05); 法释〔2016〕14号 15, 16 (L-11, L-12); load is the roster's own limit.
    """
    if mediator.organisation != organisation:
        return Refusal(
            "not-of-organisation", "不在本机构名册中。/ Not on this organisation's roster.", "R-05"
        )
    if mediator.role not in MEDIATOR_ROLES or not mediator.active:
        return Refusal("not-a-mediator", "不是在任调解员。/ Not an active mediator.", "R-05, R-32")
    if any(party.organisation == organisation for party in parties):
        return Refusal(
            "own-party",
            "调解机构是本案当事人。/ The mediating body is a party to the case.",
            "L-11",
        )
    found = conflicts(mediator, appointment, parties)
    if any(conflict.kind in UNWAIVABLE for conflict in found):
        return Refusal(
            "conflict-of-interest",
            "此前在本案中的身份应当回避。/ An earlier role in the case bars it.",
            "L-12",
        )
    if found and not {party.party_id for party in parties} <= appointment.waived_by:
        return Refusal(
            "conflict-of-interest",
            "与当事人有利害关系，须回避，各方书面同意的除外。/ "
            "A relation to a party bars it unless all parties waive it in writing.",
            "L-11",
        )
    if mediator.open_case_limit is not None and mediator.open_cases >= mediator.open_case_limit:
        return Refusal(
            "open-case-limit",
            "该调解员在办案件已达上限。/ The mediator's limit of open cases is reached.",
        )
    return None
