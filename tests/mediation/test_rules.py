"""Mediation's pure rules at their boundaries."""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import permutations
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediation.agreement import rules as agreement_rules
from mediation.agreement.handlers import due, effect_rule
from mediation.agreement.model import AGREEMENT, Signature, Terms, text_sha256
from mediation.mediator.model import Appointment, CaseParty, Mediator, Relation
from mediation.mediator.rules import may_mediate
from mediation.next_act import consents_missing, of_assignment, term
from mediation.obligation.model import OBLIGATION, Progress
from mediation.obligation.rules import after_performance, all_ended, in_time, may_breach
from mediation.proceeding import rules as proceeding_rules
from mediation.proceeding.model import MEDIATION
from mediation.proceeding.rules import Statement, all_consent, ends_proceeding, hand_over, may_end
from mediation.queue.model import QUEUE, Offer
from mediation.queue.rules import (
    RETURN_GROUNDS,
    SILENCE,
    after_silence,
    may_accept,
    may_object,
    may_return,
)
from mediation.session.model import SESSION
from mediation.session.rules import may_hold, may_schedule
from mediation.transition import Machine, Refusal
from services.events import lanes

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)
P1, P2, P3 = (UUID(int=n) for n in (1, 2, 3))
PARTIES = (
    CaseParty(P1, "applicant", "person"),
    CaseParty(P2, "respondent", "organisation", "330681-GO-0001"),
)
HASH = "a" * 64


def code(refusal: Refusal | None) -> str | None:
    return refusal.code if refusal else None


# -- machines ----------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", [QUEUE, MEDIATION, SESSION, AGREEMENT, OBLIGATION])
def test_what_the_table_does_not_list_is_refused(machine: Machine) -> None:
    acts = {act for _, act in machine.moves}
    for state in machine.states:
        for act in acts:
            after = machine.after(state, act)
            assert isinstance(after, Refusal) is ((state, act) not in machine.moves)
            assert machine.allows(state, act) is ((state, act) in machine.moves)
        assert set(machine.acts(state)) <= acts


@given(st.lists(st.sampled_from(sorted({act for _, act in QUEUE.moves})), max_size=12))
def test_a_turn_that_is_over_never_moves_again(acts: list[str]) -> None:
    state = "offered"
    for act in acts:
        after = QUEUE.after(state, act)
        if state in ("returned", "ended"):
            assert isinstance(after, Refusal)
        state = state if isinstance(after, Refusal) else after


def test_leaving_is_possible_from_every_state_that_is_not_over() -> None:
    assert QUEUE.allows("offered", "end")
    assert QUEUE.allows("objected", "end")
    assert MEDIATION.allows("open", "leave")


# -- queue -------------------------------------------------------------------------------------


def an_offer(**more: object) -> Offer:
    values = {
        "state": "offered",
        "accept_by": NOW,
        "returnable": True,
        "refusal_kind": "return",
        "on_silence": "reoffer",
    }
    return Offer(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "refusal"),
    [
        (NOW - TICK, None),
        (NOW, "acceptance-window-elapsed"),
        (NOW + TICK, "acceptance-window-elapsed"),
    ],
)
def test_a_return_is_in_time_before_accept_by_and_late_at_it(
    at: datetime, refusal: str | None
) -> None:
    assert code(may_return(an_offer(), "not_competent", at)) == refusal
    objection = an_offer(refusal_kind="objection")
    assert code(may_object(objection, "not_competent", at)) == refusal


def test_an_offer_may_be_accepted_until_it_has_ended() -> None:
    assert may_accept(an_offer(accept_by=NOW - timedelta(days=30))) is None
    for state in ("objected", "accepted", "returned", "ended"):
        assert code(may_accept(an_offer(state=state))) == "state"


def test_refusals_need_their_own_kind_of_lane_and_a_ground_of_the_list() -> None:
    before = NOW - TICK
    assert code(may_return(an_offer(), "too_hard", before)) == "ground"
    assert code(may_object(an_offer(), "too_hard", before)) == "ground"
    assert code(may_return(an_offer(returnable=False), "safety", before)) == "binding"
    assert code(may_return(an_offer(refusal_kind="objection"), "safety", before)) == (
        "objection-only"
    )
    assert code(may_object(an_offer(), "safety", before)) == "return-only"
    assert code(may_return(an_offer(state="ended"), "safety", before)) == "state"


def test_every_ground_names_its_source() -> None:
    assert all(ground.source and ground.zh and ground.en for ground in RETURN_GROUNDS.values())


def test_every_word_for_silence_in_the_lane_table_has_a_meaning() -> None:
    words = {lane.on_silence for lane in lanes.LANES.values()}
    assert words <= set(SILENCE)
    assert after_silence("a word of later") == ("escalate", "escalated")


# -- mediators ---------------------------------------------------------------------------------


def a_mediator(**more: object) -> Mediator:
    values = {
        "id": "s5",
        "organisation": "330681-CE-0001",
        "role": "mediator",
        "active": True,
        "open_cases": 0,
        "open_case_limit": 20,
    }
    return Mediator(**{**values, **more})  # type: ignore[arg-type]


def mediate(mediator: Mediator, appointment: Appointment | None = None) -> str | None:
    return code(may_mediate(mediator, "330681-CE-0001", appointment or Appointment(), PARTIES))


@pytest.mark.parametrize(
    ("open_cases", "refusal"), [(18, None), (19, None), (20, "open-case-limit")]
)
def test_a_mediator_takes_cases_up_to_their_limit(open_cases: int, refusal: str | None) -> None:
    assert mediate(a_mediator(open_cases=open_cases)) == refusal


def test_only_active_mediators_of_the_house_mediate() -> None:
    assert mediate(a_mediator(role="desk_clerk")) == "not-a-mediator"
    assert mediate(a_mediator(active=False)) == "not-a-mediator"
    assert mediate(a_mediator(organisation="330681-CE-0002")) == "not-of-organisation"
    assert mediate(a_mediator(open_case_limit=None, open_cases=999)) is None


def test_the_body_that_is_a_party_does_not_mediate() -> None:
    own = (*PARTIES, CaseParty(P3, "third_party", "organisation", "330681-CE-0001"))

    assert code(may_mediate(a_mediator(), "330681-CE-0001", Appointment(), own)) == "own-party"


@pytest.mark.parametrize(
    ("waived_by", "refusal"),
    [(set(), "conflict-of-interest"), ({P1}, "conflict-of-interest"), ({P1, P2}, None)],
)
def test_a_relation_is_waived_only_by_all(waived_by: set[UUID], refusal: str | None) -> None:
    on_file = a_mediator(relations=(Relation("employer", organisation="330681-GO-0001"),))
    waiver = frozenset(waived_by)
    declared = Appointment((Relation("near_relative", P1),), waiver)

    assert mediate(on_file, Appointment(waived_by=waiver)) == refusal
    assert mediate(a_mediator(), declared) == refusal


def test_an_earlier_role_cannot_be_waived() -> None:
    declared = Appointment((Relation("earlier_role", P1),), frozenset({P1, P2}))

    assert mediate(a_mediator(), declared) == "conflict-of-interest"


def test_a_relation_to_somebody_else_bars_nothing() -> None:
    assert mediate(a_mediator(relations=(Relation("near_relative", uuid4()),))) is None


# -- consent and ending ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "state", "ends"),
    [
        ("mediate", "refused", True),
        ("mediate", "withdrawn", True),
        ("mediate", "given", False),
        ("record", "refused", False),
        ("invite", "withdrawn", False),
    ],
)
def test_only_a_no_to_mediation_itself_ends_it(step: str, state: str, ends: bool) -> None:
    assert ends_proceeding(step, state) is ends


def test_silence_is_never_consent() -> None:
    one = [Statement(P1, "mediate", "given")]
    assert code(all_consent("mediate", [P1, P2], one)) == "consent-missing"
    assert all_consent("mediate", [P1, P2], [*one, Statement(P2, "mediate", "given")]) is None
    assert code(all_consent("mediate", [P2], [Statement(P2, "mediate", "refused")])) == (
        "consent-missing"
    )


@pytest.mark.parametrize(
    ("outcome", "told", "report", "refusal"),
    [
        ("no_agreement", True, {"basics": "x"}, None),
        ("no_agreement", False, {"basics": "x"}, "remedies-not-told"),
        ("no_agreement", True, None, "report-missing"),
        ("opinion_support", True, {"basics": "x"}, "end-code"),
        ("made_up", True, {"basics": "x"}, "end-code"),
    ],
)
def test_a_court_case_ends_with_remedies_told_and_a_report(
    outcome: str, told: bool, report: dict[str, str] | None, refusal: str | None
) -> None:
    lane = lanes.lane("court_pre")
    found = may_end(
        outcome,
        end_codes=lane.end_codes,
        remedies=["court_registers"],
        remedies_told=told,
        report_required=True,
        report=report,
    )
    assert code(found) == refusal


def test_every_end_code_of_every_lane_has_remedies() -> None:
    for lane in lanes.LANES.values():
        for outcome in lane.end_codes:
            assert lanes.remedies(lane.code, outcome), (lane.code, outcome)


def test_nothing_said_in_mediation_can_enter_the_hand_over() -> None:
    canary = "canary: the offer was 30 000"
    row = {name: canary for name in ("note", "text", "clauses", "sealed", "statement", "consents")}
    package = hand_over(
        case={"case_id": "c", **row},
        assignment={"assignment_id": "a", "note_sealed": canary, **row},
        mediation={"mediation_id": "m", **row},
        report={"basics": "b", "transcript": canary, **row},
        remedies={"codes": ["sue"], **row},
        agreements=[{"agreement_id": "g", "text_sha256": HASH, **row}],
        obligations=[{"obligation_id": "o", **row}],
    )
    assert canary not in repr(package)
    names = {name for allowed in proceeding_rules.HAND_OVER.values() for name in allowed}
    assert not names & {"text", "clauses", "note", "name", "phone", "address", "consents"}


# -- sessions ----------------------------------------------------------------------------------


def schedule(**more: object) -> str | None:
    values: dict[str, object] = {
        "form": "joint",
        "joint_sessions": True,
        "starts_at": NOW,
        "ends_at": NOW + timedelta(hours=2),
        "invited": [P1, P2],
        "parties": [P1, P2],
    }
    return code(may_schedule(**{**values, **more}))  # type: ignore[arg-type]


def test_separate_sessions_only_means_one_party_at_a_time() -> None:
    assert schedule() is None
    assert schedule(joint_sessions=False) == "separate-sessions-only"
    assert schedule(joint_sessions=False, form="separate") == "separate-sessions-only"
    assert schedule(joint_sessions=False, form="separate", invited=[P1]) is None


@pytest.mark.parametrize(
    ("length", "refusal"),
    [
        (timedelta(0), "session-length"),
        (timedelta(minutes=1), None),
        (timedelta(hours=12), None),
        (timedelta(hours=12, seconds=1), "session-length"),
    ],
)
def test_a_session_has_a_length(length: timedelta, refusal: str | None) -> None:
    assert schedule(ends_at=NOW + length) == refusal


def test_only_parties_are_invited() -> None:
    assert schedule(invited=[P1, P3]) == "not-a-party"
    assert schedule(invited=[]) == "nobody-invited"


def held(**more: object) -> str | None:
    values: dict[str, object] = {
        "lane": "court_pre",
        "sector": None,
        "rights_told": True,
        "identity_checked": True,
        "false_mediation_warned": True,
        "attendance": {},
        "act_at": NOW,
        "now": NOW,
    }
    return code(may_hold(**{**values, **more}))  # type: ignore[arg-type]


def test_the_court_lanes_ask_more_before_a_session_counts() -> None:
    assert held() is None
    assert held(rights_told=False) == "rights-not-told"
    assert held(identity_checked=False) == "identity-not-checked"
    assert held(false_mediation_warned=False) == "not-warned"
    assert held(lane="pm", identity_checked=False, false_mediation_warned=False) is None
    assert held(act_at=NOW + TICK) == "in-future"


@pytest.mark.parametrize(
    ("sector", "count", "refusal"),
    [
        ("traffic", 3, None),
        ("traffic", 4, "too-many-of-a-side"),
        ("medical", 5, None),
        ("medical", 6, "too-many-of-a-side"),
        (None, 5, None),
        (None, 6, "too-many-of-a-side"),
    ],
)
def test_a_side_keeps_to_its_number(sector: str | None, count: int, refusal: str | None) -> None:
    assert held(sector=sector, attendance={"applicant": count}) == refusal


# -- agreements --------------------------------------------------------------------------------

PAPER = Terms("paper", frozenset({P1, P2}), HASH)
HANDS = {"mediator": "s5", "organisation": "330681-CE-0001"}
effective_at = partial(agreement_rules.effective_at, **HANDS)
complete_at = partial(agreement_rules.complete_at, **HANDS)
FOUR = (
    Signature("party", str(P1), NOW, HASH),
    Signature("party", str(P2), NOW + timedelta(minutes=1), HASH),
    Signature("mediator", "s5", NOW + timedelta(minutes=2), HASH),
    Signature("seal", "330681-CE-0001", NOW + timedelta(minutes=3), HASH, "seal"),
)


def test_an_agreement_of_the_people_binds_from_the_last_of_all_signatures_in_any_order() -> None:
    rule = effect_rule("pm", "paper", "committee")
    assert rule is not None
    for order in permutations(FOUR):
        assert effective_at(rule, PAPER, order) == NOW + timedelta(minutes=3)
        for without in range(4):
            fewer = order[:without] + order[without + 1 :]
            assert effective_at(rule, PAPER, fewer) is None


def test_before_filing_the_parties_signatures_are_enough() -> None:
    rule = effect_rule("court_pre", "paper", "centre")
    assert rule is not None
    assert effective_at(rule, PAPER, FOUR) == NOW + timedelta(minutes=1)
    assert effective_at(rule, PAPER, FOUR[:2]) == NOW + timedelta(minutes=1)
    assert effective_at(rule, PAPER, FOUR[1:]) is None


@pytest.mark.parametrize("lane", ["court_post", "court_exec", "proc_crim"])
def test_where_an_organ_acts_effect_is_not_ours_to_state(lane: str) -> None:
    rule = effect_rule(lane, "paper", "committee")
    assert rule is not None
    assert effective_at(rule, PAPER, FOUR) is None
    assert complete_at(rule, PAPER, FOUR[:2]) == NOW + timedelta(minutes=1)


def test_an_oral_agreement_binds_from_the_word() -> None:
    oral = Terms("oral", frozenset({P1, P2}), HASH, NOW)
    rule = effect_rule("pm", "oral", "committee")
    assert rule is not None
    assert effective_at(rule, oral, ()) == NOW
    for lane in ("court_pre", "medical", "labor", "petition"):
        assert effect_rule(lane, "oral", "committee") is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("police", "both_parties_signed"),
        ("committee", "all_signatures_mediator_and_seal"),
        ("centre", "all_signatures_mediator_and_seal"),
    ],
)
def test_in_the_police_lane_effect_goes_by_who_mediated(kind: str, expected: str) -> None:
    assert effect_rule("police", "paper", kind) == expected


def test_every_effect_rule_of_the_lane_table_is_known() -> None:
    for lane in lanes.LANES.values():
        rules = {lane.effect.paper, lane.effect.online, *lane.effect.by_handler.values()}
        assert rules - {None} <= set(agreement_rules.NEEDED), lane.code


def test_a_signature_under_another_text_does_not_count() -> None:
    other = (*FOUR[:3], Signature("seal", "330681-CE-0001", NOW, "b" * 64))
    rule = "all_signatures_mediator_and_seal"
    assert effective_at(rule, PAPER, other) is None
    missing = agreement_rules.missing_signers(rule, PAPER, other, **HANDS)
    assert missing == (("seal", "330681-CE-0001"),)


def test_only_the_hand_of_who_mediates_now_counts_and_effect_asks_for_what_is_missing() -> None:
    rule = "all_signatures_mediator_and_seal"
    others = {**HANDS, "mediator": "s6"}
    both = (*FOUR, Signature("mediator", "s6", NOW + timedelta(minutes=9), HASH))

    missing = agreement_rules.missing_signers(rule, PAPER, FOUR, **others)
    assert missing == (("mediator", "s6"),)
    assert agreement_rules.effective_at(rule, PAPER, FOUR, **others) is None
    assert agreement_rules.effective_at(rule, PAPER, both, **others) == NOW + timedelta(minutes=9)
    # The replaced one's word of later says nothing about when the agreement binds.
    assert effective_at(rule, PAPER, both) == NOW + timedelta(minutes=3)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({}, None),
        ({"text_sha256": "b" * 64}, "text-changed"),
        ({"signed_at": NOW + TICK}, "in-future"),
        ({"signer": str(P3)}, "not-bound"),
        ({"signer_kind": "mediator", "signer": "s6"}, "not-the-mediator"),
        ({"signer_kind": "seal", "signer": "330681-CE-0002"}, "not-the-seal"),
    ],
)
def test_who_may_sign_what(change: dict[str, object], refusal: str | None) -> None:
    values: dict[str, object] = {
        "signer_kind": "party", "signer": str(P1), "signed_at": NOW, "text_sha256": HASH,
    }  # fmt: skip
    signature = Signature(**{**values, **change})  # type: ignore[arg-type]
    found = agreement_rules.may_sign(
        signature,
        PAPER,
        mediator="s5",
        organisation="330681-CE-0001",
        dispute_subtype="loan",
        now=NOW,
    )
    assert code(found) == refusal


@pytest.mark.parametrize(
    ("form", "method", "subtype", "refusal"),
    [
        ("online", "electronic", "loan", None),
        ("online", "wet", "loan", "e-signature"),
        ("paper", "electronic", "divorce", "wet-signature"),
        ("paper", "electronic", "loan", None),
    ],
)
def test_electronic_signatures(form: str, method: str, subtype: str, refusal: str | None) -> None:
    found = agreement_rules.may_sign(
        Signature("party", str(P1), NOW, HASH, method),
        Terms(form, frozenset({P1, P2}), HASH),
        mediator="s5",
        organisation="330681-CE-0001",
        dispute_subtype=subtype,
        now=NOW,
    )
    assert code(found) == refusal


def draft(**more: object) -> str | None:
    values: dict[str, object] = {
        "form": "paper",
        "effect_rule": "both_parties_signed",
        "written_mandatory": False,
        "bound": [P1, P2],
        "parties": PARTIES,
        "flags": [],
    }
    return code(agreement_rules.may_draft(**{**values, **more}))  # type: ignore[arg-type]


def test_what_may_be_written_down() -> None:
    assert draft() is None
    assert draft(effect_rule=None) == "written-form"
    assert draft(form="oral", written_mandatory=True) == "written-form"
    assert draft(bound=[P1, P3]) == "not-a-party"
    assert draft(bound=[P1]) == "two-sides"
    assert draft(flags=["guilt"]) == "not-negotiable"
    assert draft(flags=["vague"]) is None


def test_confirmation_goes_by_lane_handler_and_clauses() -> None:
    assert agreement_rules.confirmable(True, [])
    assert agreement_rules.confirmable(True, ["fee"])
    assert not agreement_rules.confirmable(True, ["status"])
    assert not agreement_rules.confirmable(False, [])
    assert not lanes.lane("court_post").confirmation_for("committee").allowed
    assert not lanes.lane("police").confirmation_for("police").allowed
    assert lanes.lane("police").confirmation_for("committee").allowed


@given(st.text(max_size=50), st.text(max_size=50))
def test_the_hash_changes_with_the_text_and_only_with_it(one: str, other: str) -> None:
    clauses = [{"kind": "fact", "text": "x"}]
    assert (text_sha256(clauses, one) == text_sha256(clauses, other)) is (one == other)


# -- obligations -------------------------------------------------------------------------------


def owed(**more: object) -> Progress:
    values: dict[str, object] = {
        "state": "open", "amount_fen": 1000, "paid_fen": 400, "due_at": NOW,
    }  # fmt: skip
    return Progress(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "after"),
    [
        (599, ("open", 999)),
        (600, ("performed", 1000)),
        (None, ("performed", 1000)),
        (601, "amount"),
        (0, "amount"),
    ],
)
def test_a_payment_performs_when_it_reaches_what_was_promised(
    amount: int | None, after: object
) -> None:
    found = after_performance(owed(), amount_fen=amount, performed_at=NOW, now=NOW)
    assert (found.code if isinstance(found, Refusal) else found) == after


def test_other_performances() -> None:
    act = owed(amount_fen=None, paid_fen=0)
    assert after_performance(act, amount_fen=None, performed_at=NOW, now=NOW) == ("performed", 0)
    for progress, amount, at, refusal in (
        (act, 5, NOW, "amount"),
        (act, None, NOW + TICK, "in-future"),
        (owed(state="performed"), 600, NOW, "state"),
        (owed(state="waived", amount_fen=None), None, NOW, "state"),
    ):
        found = after_performance(progress, amount_fen=amount, performed_at=at, now=NOW)
        assert isinstance(found, Refusal)
        assert found.code == refusal
    late = after_performance(owed(state="breached"), amount_fen=100, performed_at=NOW, now=NOW)
    assert late == ("breached", 500)


@pytest.mark.parametrize(
    ("at", "refusal"), [(NOW - TICK, "not-due"), (NOW, None), (NOW + TICK, None)]
)
def test_nothing_is_broken_before_it_is_due(at: datetime, refusal: str | None) -> None:
    assert code(may_breach(owed(), now=at, declared=False)) == refusal
    assert may_breach(owed(), now=at, declared=True) is None


def test_breach_needs_something_open() -> None:
    assert code(may_breach(owed(state="performed"), now=NOW, declared=True)) == "state"
    assert code(may_breach(owed(due_at=None), now=NOW, declared=False)) == "not-due"


def test_due_is_exclusive() -> None:
    assert in_time(NOW, NOW - TICK)
    assert not in_time(NOW, NOW)
    assert in_time(None, NOW)


def test_a_breach_does_not_end_the_turn() -> None:
    assert all_ended([])
    assert all_ended(["performed", "waived", "superseded"])
    assert not all_ended(["performed", "breached"])
    assert not all_ended(["open"])


def test_an_agreed_day_lasts_to_its_midnight_in_shanghai_and_does_not_roll() -> None:
    assert due(None, "2026-11-21") == (datetime(2026, 11, 21, 16, tzinfo=UTC), "2026-11-21")
    assert due("2026-11-22T00:00:00+08:00", None)[1] == "2026-11-21"
    assert due(None, None) == (None, None)


# -- what is next ------------------------------------------------------------------------------


def an_assignment(**more: object) -> dict[str, object]:
    return {
        "state": "accepted",
        "organisation": "ce",
        "source_organisation": "ct",
        "accept_by": NOW,
        "terms": {},
        **more,
    }


def test_every_open_state_has_somebody_who_owes_the_next_act() -> None:
    mediation = {"state": "open", "mediator_id": None}
    agreed = {"state": "agreed", "mediator_id": P1}
    for assignment, found, act in (
        (an_assignment(state="offered"), None, "accept_or_refuse"),
        (an_assignment(state="objected"), None, "decide_objection"),
        (an_assignment(), None, "mediate"),
        (an_assignment(), mediation, "appoint_mediator"),
        (an_assignment(), {**mediation, "mediator_id": P1}, "schedule_session"),
        (an_assignment(), {**mediation, "mediator_id": P1, "consents_missing": [1]}, "ask_consent"),
        (an_assignment(), {**mediation, "mediator_id": P1, "drafts": True}, "sign_agreement"),
        (
            an_assignment(),
            {
                **mediation,
                "mediator_id": P1,
                "sessions": [{"state": "scheduled", "starts_at": NOW}],
            },
            "hold_session",
        ),
        (
            an_assignment(),
            {**agreed, "obligations": [{"state": "open", "due_at": NOW}]},
            "perform_obligation",
        ),
        (
            an_assignment(),
            {**agreed, "obligations": [{"state": "breached", "due_at": NOW}]},
            "use_remedies",
        ),
        (an_assignment(), agreed, "close"),
    ):
        next_ = of_assignment(assignment, found)
        assert next_ is not None
        assert next_.act == act
    assert of_assignment(an_assignment(state="ended")) is None
    assert of_assignment(an_assignment(), {**agreed, "state": "ended"}) is None


def test_of_two_terms_the_one_that_ends_first_counts() -> None:
    terms = {
        "a": {"due_at": "2026-12-01T16:00:00+00:00", "due_on": "2026-12-01", "missed_at": "x"},
        "b": {"due_at": "2026-11-25T16:00:00+00:00", "due_on": "2026-11-25", "paused": "appraisal"},
    }
    found = term(terms)
    assert (found.due_on, found.missed, found.paused) == ("2026-11-25", True, True)
    terms["b"]["stopped"] = "yes"
    assert term(terms).due_on == "2026-12-01"
    assert term({}).due_at is None


def test_third_parties_are_not_waited_for() -> None:
    parties = [
        {"party_id": P1, "role": "applicant"},
        {"party_id": P2, "role": "respondent"},
        {"party_id": P3, "role": "third_party"},
    ]
    consents = [{"party_id": P1, "step": "mediate", "state": "given"}]
    assert consents_missing(parties, consents) == [str(P2)]
