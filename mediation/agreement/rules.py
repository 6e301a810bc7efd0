"""When an agreement may be written, signed, confirmed - and from which instant it binds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from mediation.agreement.model import Signature, Terms
from mediation.mediator.model import CaseParty
from mediation.transition import Refusal

#: effect rule of the lane's table -> the signer kinds that must all be there.
NEEDED: Final[dict[str, tuple[str, ...]]] = {
    # 人民调解法 29(2): all parties, the mediator and the committee's seal.
    "all_signatures_mediator_and_seal": ("party", "mediator", "seal"),
    # 法释〔2016〕14号 24(3); 治安管理处罚法 9(3) (L-19, P-14): when the parties have signed.
    "both_parties_signed": ("party",),
    # 法释〔2021〕23号 19 (L-19): when the last party's electronic signature is there.
    "last_e_signature": ("party",),
    # 人民调解法 30: an oral agreement binds when the parties agree.
    "oral_agreed": (),
    # The court or the organ acts; what we hold is the parties' signed text (L-15, J-07).
    "none_until_court": ("party",),
    "none": ("party",),
}
#: Effect that is not ours to state (法释〔2016〕14号 20; 刑诉法 289: L-15, J-07).
BY_OTHERS: Final = frozenset({"none_until_court", "none"})
#: 电子签名法 3 (D-15): no electronic signature on status, adoption and inheritance papers.
NO_E_SIGNATURE: Final = frozenset({"marriage", "divorce", "adoption", "inheritance"})
#: Clauses a court will not confirm (INT-22 355, 358: JC-4, JC-5).
NOT_CONFIRMABLE: Final = frozenset(
    {
        "status",
        "parentage",
        "real_right",
        "intellectual_property",
        "unlawful",
        "third_party_harm",
        "vague",
    }
)
#: Clauses that nobody may bargain about (高检规则 495, J-05).
FORBIDDEN: Final = frozenset({"guilt", "penalty"})


def may_draft(
    *,
    form: str,
    effect_rule: str | None,
    written_mandatory: bool,
    bound: Collection[UUID],
    parties: Iterable[CaseParty],
    flags: Collection[str],
) -> Refusal | None:
    """Tell why an agreement cannot be written so.

    Written form where the lane or sector demands it: 医疗纠纷预防和处理条例 39,
    劳动争议调解仲裁法 14, 法释〔2016〕14号 24 (M-06, M-21, L-18).
    """
    if effect_rule is None or (form == "oral" and written_mandatory):
        return Refusal(
            "written-form",
            "本通道须采用书面协议。/ This lane needs a written agreement.",
            "M-06, M-21, L-18",
        )
    by_id = {party.party_id: party for party in parties}
    if not set(bound) <= set(by_id):
        return Refusal(
            "not-a-party",
            "受约束的人不是本案当事人。/ Somebody bound is not a party of the case.",
            "R-21",
        )
    roles = {by_id[party_id].role for party_id in bound}
    if not {"applicant", "respondent"} <= roles:
        return Refusal(
            "two-sides", "协议须约束双方。/ An agreement binds somebody of each side.", "R-21"
        )
    if set(flags) & FORBIDDEN:
        return Refusal(
            "not-negotiable",
            "定罪处罚不由当事人约定。/ Guilt and penalty are not for the parties.",
            "J-05",
        )
    return None


def may_sign(
    signature: Signature,
    terms: Terms,
    *,
    mediator: str | None,
    organisation: str,
    dispute_subtype: str | None,
    now: datetime,
) -> Refusal | None:
    """Tell why this signature does not count."""
    if signature.text_sha256 != terms.text_sha256:
        return Refusal(
            "text-changed",
            "所签文本不是本协议文本。/ The signed text is not this agreement's text.",
            "D-14",
        )
    if signature.signed_at > now:
        return Refusal(
            "in-future", "签署之后才能登记。/ A signature is recorded when it has been given."
        )
    if signature.signer_kind == "party":
        if signature.signer not in {str(party) for party in terms.parties}:
            return Refusal(
                "not-bound",
                "只有受协议约束的当事人才能签署。/ Only a party bound by the agreement signs it.",
                "R-22",
            )
        if terms.form == "online" and signature.method != "electronic":
            return Refusal(
                "e-signature",
                "线上协议采用电子签名。/ An online agreement is signed electronically.",
                "L-19",
            )
    if signature.signer_kind == "mediator" and signature.signer != mediator:
        return Refusal(
            "not-the-mediator",
            "只能由本案调解员签名。/ Only the mediator of the case signs.",
            "R-22",
        )
    if signature.signer_kind == "seal" and signature.signer != organisation:
        return Refusal(
            "not-the-seal", "只能由承办机构盖章。/ Only the holding organisation seals.", "R-22"
        )
    if signature.method == "electronic" and dispute_subtype in NO_E_SIGNATURE:
        return Refusal(
            "wet-signature", "此类文书须手写签名。/ These papers need a signature by hand.", "D-15"
        )
    return None


def missing_signers(
    effect_rule: str,
    terms: Terms,
    signatures: Iterable[Signature],
    *,
    mediator: str | None,
    organisation: str,
) -> tuple[tuple[str, str | None], ...]:
    """List (kind, signer) still needed for effect, in the order of the rule."""
    there = {(s.signer_kind, s.signer) for s in signatures if s.text_sha256 == terms.text_sha256}
    needed = _needed(effect_rule, terms, mediator, organisation)
    return tuple(one for one in needed if one not in there)


def _needed(
    effect_rule: str, terms: Terms, mediator: str | None, organisation: str
) -> list[tuple[str, str | None]]:
    needed: list[tuple[str, str | None]] = []
    for kind in NEEDED.get(effect_rule, ()):
        if kind == "party":
            needed += [("party", str(party)) for party in sorted(terms.parties, key=str)]
        else:
            needed.append((kind, mediator if kind == "mediator" else organisation))
    return needed


def effective_at(
    effect_rule: str,
    terms: Terms,
    signatures: Iterable[Signature],
    *,
    mediator: str | None,
    organisation: str,
) -> datetime | None:
    """Return the instant from which the agreement binds, or None while it does not.

    Written: the last of the signatures that the lane's rule asks for, to the instant it was given,
    in whatever order they came (R-22, L-19). Oral: when the parties agreed (人民调解法 30, R-23).
    Lanes where a court or organ acts give None: effect is not ours to state (L-15, J-07).
    """
    if effect_rule in BY_OTHERS or effect_rule not in NEEDED:
        return None
    if effect_rule == "oral_agreed":
        return terms.agreed_at
    return complete_at(effect_rule, terms, signatures, mediator=mediator, organisation=organisation)


def complete_at(
    effect_rule: str,
    terms: Terms,
    signatures: Iterable[Signature],
    *,
    mediator: str | None,
    organisation: str,
) -> datetime | None:
    """Return when the last signature that ``effect_rule`` asks for was given, or None.

    Only the hands that ``missing_signers`` asks for count: of mediators the one who has the case
    now, for it is that one who answers for the text (人民调解法 29(2), 22: R-22); whoever was
    replaced, on a party's word or for a tie to one side (R-07), signs for nobody any more.
    """
    needed = set(_needed(effect_rule, terms, mediator, organisation))
    given: dict[tuple[str, str | None], datetime] = {
        (s.signer_kind, s.signer): s.signed_at
        for s in signatures
        if s.text_sha256 == terms.text_sha256
    }
    if needed - given.keys():
        return None
    return max((given[hand] for hand in needed), default=None)


def confirmable(lane_confirms: bool, flags: Collection[str]) -> bool:
    """Tell whether the parties may apply jointly for judicial confirmation.

    The lane and the handler's kind allow it (民事诉讼法 205: JC-1) and no clause bars it
    (INT-22 355, 358: JC-4, JC-5).
    """
    return lane_confirms and not set(flags) & NOT_CONFIRMABLE
