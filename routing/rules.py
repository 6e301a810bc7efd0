"""Who is competent for a case, and in which order: data and pure functions, each with its source.

``RULES`` stands in the order of explanation. A change of rules is a new ``RULE_SET``.
"""

from collections.abc import Sequence
from typing import Any, Final

from routing.model import Candidate, CaseFacts, Choice, Verdict
from routing.rule import Preference, Rule, preference, rule

RULE_SET: Final = "2026-12"

# M-31: fields a commercial mediator may not take, as types of the product's list.
_NOT_COMMERCIAL: Final = frozenset({"family", "labor", "wage", "consumer", "ecommerce"})


@rule(
    "in-force",
    source="信访工作条例 24(2); design 4: suspension stops offers",
    zh="该机构已停用或暂停接收",
    en="it is suspended or no longer exists",
)
def in_force(facts: CaseFacts, body: Candidate) -> bool:
    """The body exists and takes cases today."""
    return body.active


@rule(
    "covers-place",
    source="宁波市人民调解条例 18 (R-04); design 3.2",
    zh="纠纷所在地不在其辖区",
    en="the place of the dispute is outside its area",
)
def covers_place(facts: CaseFacts, body: Candidate) -> bool:
    """The body's place is the dispute's place or lies above it."""
    return body.place in facts.place_chain


@rule(
    "takes-lane",
    source="design 4 Who may handle: the directory says what a body can take",
    zh="不承接该衔接通道的案件",
    en="it does not take cases of this lane",
)
def takes_lane(facts: CaseFacts, body: Candidate) -> bool:
    """The body takes cases of the lane."""
    return facts.lane in body.lanes


@rule(
    "takes-type",
    source="design 4 Who may handle: the directory says what a body can take",
    zh="不承接该类型的纠纷",
    en="it does not take disputes of this type",
)
def takes_type(facts: CaseFacts, body: Candidate) -> bool:
    """The body takes disputes of the type."""
    return facts.dispute_type in body.dispute_types


@rule(
    "has-a-mediator",
    source="人民调解法 8, 13, 19 (R-05, R-29); design 4",
    zh="没有在岗调解员",
    en="it has no active mediator",
)
def has_a_mediator(facts: CaseFacts, body: Candidate) -> bool:
    """The body has at least one active mediator."""
    return body.mediators > 0


@rule(
    "not-the-sender",
    source="design 4 Who may handle: never the sender unless the lane is its own",
    zh="是本案的来件单位，不能自己承办自己转出的案件",
    en="it sent the case, and this lane is not its own",
)
def not_the_sender(facts: CaseFacts, body: Candidate) -> bool:
    """The body did not send the case, or the lane is its own."""
    return facts.own_lane or body.code != facts.source


@rule(
    "no-party-conflict",
    source="法释〔2016〕14号 15 (L-11); 信访工作条例 28(3) (F-20); design 3.2",
    zh="一方当事人就是该机构、其上级或设立单位，对方当事人未选择该机构",
    en="a party is this body, its parent or the one that set it up, and the other side did not"
    " choose it",
)
def no_party_conflict(facts: CaseFacts, body: Candidate) -> bool:
    """No party is the body; none is its parent or founder, unless the other side chose it."""
    if not facts.party_organisations:
        return True
    if body.code == facts.own_committee_chosen:
        return body.code not in facts.party_organisations
    return facts.party_organisations.isdisjoint(
        filter(None, (body.code, body.parent, body.established_by))
    )


@rule(
    "not-returned-before",
    source="design 3.3; 法释〔2021〕23号 12 (L-06)",
    zh="已退回或未确认过本案，不再重复分派",
    en="it returned this case before, or did not confirm it",
)
def not_returned_before(facts: CaseFacts, body: Candidate) -> bool:
    """The body has not returned this case, nor left its offer unanswered."""
    return body.code not in facts.returned_by


@rule(
    "commercial-by-both",
    source="商事调解条例 14-17 (M-32); 人民调解法 4 (R-28)",
    zh="商事调解收费，须双方当事人共同选择",
    en="commercial mediation is paid and both parties have not chosen it",
)
def commercial_by_both(facts: CaseFacts, body: Candidate) -> bool:
    """The body is free of charge, or both parties chose commercial mediation."""
    return body.kind != "commercial_mediator" or facts.chose_commercial


@rule(
    "commercial-field",
    source="商事调解条例 2 (M-31)",
    zh="婚姻家庭、劳动、消费争议不属于商事调解范围",
    en="family, labour and consumer disputes are outside commercial mediation",
)
def commercial_field(facts: CaseFacts, body: Candidate) -> bool:
    """The body is no commercial mediator, or the dispute is one it may take."""
    return body.kind != "commercial_mediator" or facts.dispute_type not in _NOT_COMMERCIAL


@rule(
    "within-capacity",
    source="site value: capacity stated by the body; counted, never locked (design 6)",
    zh="在办案件已达其公布的容量",
    en="its open cases have reached the capacity it stated",
)
def within_capacity(facts: CaseFacts, body: Candidate) -> bool:
    """The body has fewer open cases than it stated it can take."""
    return body.capacity is not None and body.open_cases < body.capacity


RULES: Final[tuple[Rule, ...]] = (
    in_force,
    covers_place,
    takes_lane,
    takes_type,
    has_a_mediator,
    not_the_sender,
    no_party_conflict,
    not_returned_before,
    commercial_by_both,
    commercial_field,
    within_capacity,
)

# What no settlement and no override can lift.
UNLIFTABLE: Final = frozenset(
    {"in-force", "has-a-mediator", "no-party-conflict", "commercial-by-both", "commercial-field"}
)


@preference(
    "own-lane-last",
    source="design 4 Who may handle: pm and police: last",
    zh="不是来件单位自己",
    en="it is not the sender itself",
)
def own_lane_last(facts: CaseFacts, body: Candidate) -> bool:
    """The sender itself, where its lane allows that, comes last."""
    return body.code == facts.source


@preference(
    "commercial-if-chosen",
    source="商事调解条例 14 (M-32)",
    zh="双方当事人选择了商事调解",
    en="both parties chose commercial mediation",
)
def commercial_if_chosen(facts: CaseFacts, body: Candidate) -> bool:
    """Where both parties chose commercial mediation, such a body comes first."""
    return facts.chose_commercial and body.kind != "commercial_mediator"


@preference(
    "sector-committee-first",
    source="宁波市人民调解条例 18 (R-04): sector committees take sector disputes",
    zh="行业性纠纷由行业性专业性调解组织优先承办",
    en="it is the sector's own committee",
)
def sector_committee_first(facts: CaseFacts, body: Candidate) -> bool:
    """A sector dispute goes to that sector's committee before any general body."""
    return facts.sector is not None and not body.is_sector_committee


@preference(
    "lowest-level-first",
    source="人民调解法 21 (R-12: locally); design 3.2",
    zh="由最基层的有权机构就地承办",
    en="it is the competent body nearest to the dispute",
)
def lowest_level_first(facts: CaseFacts, body: Candidate) -> int:
    """Village before town, town before county, county before city."""
    return facts.place_chain.index(body.place)


@preference(
    "committee-before-centre",
    source="人民调解法 7, 8; site order where both stand on one level",
    zh="同级先由调解委员会承办",
    en="on one level a committee comes before a centre",
)
def committee_before_centre(facts: CaseFacts, body: Candidate) -> bool:
    """On one level a committee comes before any other body."""
    return body.kind != "committee"


@preference(
    "least-loaded",
    source="site order: the share of stated capacity in use",
    zh="在办案件占其容量的比例较低",
    en="a smaller share of its capacity is in use",
)
def least_loaded(facts: CaseFacts, body: Candidate) -> int:
    """The body with the smaller share of its capacity in use, in whole percent."""
    return body.open_cases * 100 // (body.capacity or 1)


@preference(
    "by-code",
    source="site order: makes the choice repeatable",
    zh="机构代码在前",
    en="its code comes first",
)
def by_code(facts: CaseFacts, body: Candidate) -> str:
    """Otherwise the lower code, so that the same facts always give the same choice."""
    return body.code


ORDER: Final[tuple[Preference, ...]] = (
    own_lane_last,
    commercial_if_chosen,
    sector_committee_first,
    lowest_level_first,
    committee_before_centre,
    least_loaded,
    by_code,
)
BY_CODE: Final[dict[str, Rule]] = {item.code: item for item in RULES}


def judge(facts: CaseFacts, body: Candidate) -> Verdict:
    """Which rules the body fails, in the order of explanation."""
    failed = tuple(item.code for item in RULES if not item.holds(facts, body))
    return Verdict(body.code, failed, body.open_cases)


def choose(facts: CaseFacts, candidates: Sequence[Candidate]) -> Choice:
    """The first competent body, the others in order, and the sentences that explain it.

    The same facts and candidates give the same answer, in whatever order they come.
    """
    bodies = sorted(candidates, key=by_code_of)
    verdicts = tuple(judge(facts, body) for body in bodies)
    competent = [b for b, v in zip(bodies, verdicts, strict=True) if v.competent]
    competent.sort(key=lambda body: tuple(item.value(facts, body) for item in ORDER))
    fired = _fired(facts, competent)
    zh, en = _reasons(facts, competent, verdicts, fired)
    return Choice(
        chosen=competent[0].code if competent else None,
        runners_up=tuple(body.code for body in competent[1:]),
        verdicts=verdicts,
        order_fired=tuple(item.code for item in fired),
        reasons_zh=zh,
        reasons_en=en,
    )


def by_code_of(body: Candidate) -> str:
    """Sort key: the code."""
    return body.code


def _fired(facts: CaseFacts, competent: Sequence[Candidate]) -> tuple[Preference, ...]:
    """The preferences that put the first before at least one other, each where it decided."""
    if len(competent) < 2:
        return ()
    first, found = competent[0], []
    for other in competent[1:]:
        decided = next(i for i in ORDER if i.value(facts, first) != i.value(facts, other))
        if decided not in found:
            found.append(decided)
    return tuple(sorted(found, key=ORDER.index))


def _reasons(
    facts: CaseFacts,
    competent: Sequence[Candidate],
    verdicts: Sequence[Verdict],
    fired: Sequence[Preference],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not competent:
        return (
            (
                f"共审查{len(verdicts)}个机构，没有符合条件的承办机构；首接单位继续负责，已告知协调机构。",
            ),
            (
                f"{len(verdicts)} bodies were looked at and none is competent; the first receiver "
                "goes on holding the case and the coordinator is told.",
            ),
        )
    first = competent[0]
    zh = [f"分派给{first.name_zh or first.code}（{first.code}）：符合全部{len(RULES)}条规则。"]
    en = [f"Offered to {first.name_en or first.code} ({first.code}): all {len(RULES)} rules hold."]
    for item in fired:
        zh.append(f"排在其他机构之前：{item.reason_zh}（依据：{item.source}）。")
        en.append(f"Before the others because {item.reason_en} (source: {item.source}).")
    if len(competent) > 1:
        others = "、".join(body.code for body in competent[1:4])
        zh.append(f"其后依次为：{others}。")
        en.append(f"Next in order: {', '.join(body.code for body in competent[1:4])}.")
    return tuple(zh), tuple(en)


def explain(verdict: Verdict) -> tuple[str, str]:
    """One sentence per language on one body, from its stored verdict."""
    if verdict.competent:
        return f"{verdict.organisation}：符合条件。", f"{verdict.organisation}: competent."
    rules = [BY_CODE[code] for code in verdict.failed if code in BY_CODE]
    zh = "；".join(f"{item.refusal_zh}（{item.source}）" for item in rules)
    en = "; ".join(f"{item.refusal_en} ({item.source})" for item in rules)
    return f"{verdict.organisation}：{zh}。", f"{verdict.organisation}: {en}."


def rule_set() -> dict[str, Any]:
    """The rule set as ``GET /v1/rule-sets`` shows it."""
    return {
        "version": RULE_SET,
        "rules": [
            {
                "code": item.code,
                "statement": item.statement,
                "refusal": {"zh": item.refusal_zh, "en": item.refusal_en},
                "source": item.source,
                "liftable": item.code not in UNLIFTABLE,
            }
            for item in RULES
        ],
        "order": [
            {"code": item.code, "statement": item.statement, "source": item.source}
            for item in ORDER
        ],
    }
