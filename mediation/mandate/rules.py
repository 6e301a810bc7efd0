"""What may be done for a party under its mandate (代办), and what is its own. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from mediation.transition import Refusal

REVOKED: Final = "mandate_revoked"
#: Who files papers has no authority to admit, waive, change or settle, nor to sign: that is the
#: party's own, or a representative's with special authority on paper (民诉法 62: N-19).
OWN: Final[dict[str, str]] = {
    "agree": "民诉法 62 (N-19)",
    "sign": "民诉法 62; 人民调解法 29 (N-19, R-22)",
    "waive": "民诉法 62 (N-19)",
    # A tie to one side is waived by the parties in writing.
    "waive_relation": "法释〔2021〕23号 13; 民诉法 62 (L-11, N-19)",
    # All who are bound apply together.
    "apply": "民诉法 205, 62 (JC-1, N-19)",
}
#: Steps to which only the party itself says yes; its no may be brought by whoever files for it.
OWN_CONSENT: Final[dict[str, str]] = {
    "share": "个人信息保护法 23 (D-05)",
    "record": "个人信息保护法 28-30 (D-03)",
    "e_sign": "电子签名法 13 (D-14)",
    "be_represented": "民诉法 62 (N-19)",
}


@dataclass(frozen=True)
class Mandate:
    """A mandate as intake told it: of which party, recorded by whom, until when."""

    mandate_id: UUID
    case_id: UUID
    party_id: UUID
    organisation: str
    revoked_at: datetime | None


def may_act(
    mandate: Mandate | None, *, case_id: UUID, organisation: str, parties: Collection[UUID]
) -> Refusal | None:
    """Tell why nothing is done under this mandate: its case, its organisation, its party, in force.

    ``parties``: for whom the act may be done; nobody where it is the organisation's own.
    """
    if not parties:
        return Refusal(
            "act_of_the_organisation",
            "这是本机构自己的行为，不得以代办名义办理。/ This is the organisation's own act: it is"
            " done for no party.",
        )
    if mandate is None or (mandate.case_id, mandate.organisation) != (case_id, organisation):
        return Refusal(
            "mandate_unknown",
            "没有本机构登记的这项代办授权；刚登记的请稍后再试。/ There is no such mandate of this"
            " organisation in the case; one recorded just now is known in a moment.",
        )
    if mandate.revoked_at is not None:
        return Refusal(REVOKED, "代办授权已经撤回。/ The mandate was revoked.")
    if mandate.party_id not in parties:
        return Refusal(
            "mandate_of_another_party",
            "这项代办授权不是该当事人的。/ The mandate is not that party's.",
        )
    return None


def not_carried(source: str) -> Refusal:
    """Tell that a mandate to file does not reach so far."""
    return Refusal(
        "mandate_not_enough",
        "代办授权不包括此项：须由当事人本人，或者由有特别授权的代理人办理。/ A mandate to file does"
        f" not carry this: the party itself, or a representative with that authority ({source}).",
        source,
    )
