"""A mediation on a real database: mediators, consents, endings, leaving, hand-over."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from services.clock import wire
from services.events.intake import CaseClosed, CaseLaneChanged, HandlingConstraintsChanged
from services.ids import new_id
from tests.mediation.world import CENTRE, COMMITTEE, COURT, Case, World

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]
REPORT = {"basics": "双方差距较大", "cause": "对利息计算有分歧"}


def path(case: Case, part: str = "") -> str:
    return f"/v1/mediations/{case.mediation_id}{part}"


async def version(world: World, case: Case) -> int:
    found: int = (await world.ok("GET", path(case)))["version"]
    return found


# -- mediators ---------------------------------------------------------------------------------


async def test_a_mediator_is_appointed_and_replaced_for_a_reason(world: World) -> None:
    case = await world.accepted()
    first, second, *_ = await world.mediators()

    view = await world.ok(
        "POST", path(case, "/mediators"), {"mediator_id": first["mediator_id"]}, version=1
    )
    body = {"mediator_id": second["mediator_id"], "mode": "chosen"}
    unexplained = await world.refused("POST", path(case, "/mediators"), body, version=2)
    view = await world.ok(
        "POST", path(case, "/mediators"), {**body, "reason": "当事人要求更换"}, version=2
    )

    assert unexplained == (409, "reason")
    assert view["mediator_id"] == second["mediator_id"]
    assert [a["mode"] for a in view["appointments"]] == ["appointed", "chosen"]
    data = (await world.emitted(case))[-1][1]
    assert data["replaces"] == first["mediator_id"]
    assert "样" not in orjson.dumps(data).decode()
    load = {m["mediator_id"]: m["open_cases"] for m in await world.mediators()}
    assert (load[first["mediator_id"]], load[second["mediator_id"]]) == (0, 1)


async def test_who_is_replaced_signs_for_nobody_until_appointed_again(world: World) -> None:
    """人民调解法 29(2) (R-22): the one who has the case answers for the text."""
    case = await world.appointed()
    first, second, *_ = await world.mediators()
    drafted = await world.ok("POST", path(case, "/agreements"), world.agreement_body(case))
    await world.sign(drafted, "mediator", first["staff_id"])
    body = {"mediator_id": second["mediator_id"], "reason": "当事人要求更换"}
    await world.ok("POST", path(case, "/mediators"), body, version=3)

    for party in (case.applicant, case.respondent):
        await world.sign(drafted, "party", str(party))
    sealed = await world.sign(drafted, "seal", CENTRE)

    assert (sealed["state"], sealed["missing"]) == (
        "draft",
        [{"signer_kind": "mediator", "signer": second["staff_id"]}],
    )
    body = {"mediator_id": first["mediator_id"], "reason": "恢复"}
    view = await world.ok("POST", path(case, "/mediators"), body, version=4)
    bound = await world.ok("GET", f"/v1/agreements/{drafted['agreement_id']}")
    assert (view["state"], bound["state"], bound["missing"]) == ("agreed", "effective", [])
    appointed = view["appointments"][-1]["occurred_at"]
    assert bound["effective_at"] == appointed > bound["signatures"][-1]["signed_at"]


async def test_a_disclosed_relation_bars_unless_both_parties_waive_it(world: World) -> None:
    case = await world.accepted()
    mediator = (await world.mediators())[0]["mediator_id"]
    declared = [{"kind": "near_relative", "party_id": str(case.applicant)}]
    body: dict[str, Any] = {"mediator_id": mediator, "declared": declared}
    both = [str(case.applicant), str(case.respondent)]

    alone = {**body, "waived_by": both[:1]}
    assert await world.refused("POST", path(case, "/mediators"), alone, version=1) == (
        409,
        "conflict-of-interest",
    )
    assert await world.ok("POST", path(case, "/mediators"), {**body, "waived_by": both}, version=1)


async def test_a_full_mediator_and_a_stranger_are_refused(world: World) -> None:
    added = await world.ok(
        "POST",
        "/v1/mediators",
        {"staff_id": "330681-CE-0001-s99", "name": "陈样", "open_case_limit": 1},
    )
    one, two = await world.accepted(), await world.accepted()
    body = {"mediator_id": added["mediator_id"]}
    foreign = {"mediator_id": (await world.mediators("330681-CM-0007"))[0]["mediator_id"]}

    await world.ok("POST", path(one, "/mediators"), body, version=1)

    assert await world.refused("POST", path(two, "/mediators"), body, version=1) == (
        409,
        "open-case-limit",
    )
    assert await world.refused("POST", path(two, "/mediators"), foreign, version=1) == (
        422,
        "not-of-organisation",
    )
    assert await world.refused(
        "POST", "/v1/mediators", {"staff_id": "330681-CE-0001-s99", "name": "x"}
    ) == (409, "staff-id-in-use")


# -- consents ----------------------------------------------------------------------------------


async def test_the_same_word_again_answers_as_the_first_did(world: World) -> None:
    case = await world.accepted()

    first = await world.consent(case, case.applicant)
    again = await world.consent(case, case.applicant)

    assert again["consent_id"] == first["consent_id"]
    assert await world.types(case) == ["assignment.accepted", "consent.given"]


@pytest.mark.parametrize("lane", ["pm", "court_pre", "petition"])
async def test_a_refusal_ends_the_proceeding_at_once_in_every_lane(world: World, lane: str) -> None:
    case = await world.appointed(lane)
    await world.ok("POST", path(case, "/sessions"), world.session_body(case))

    told = await world.consent(case, case.respondent, "refused")

    assert told["mediation_state"] == "ended"
    assert told["remedies"]
    assert (await world.types(case))[-4:] == [
        "consent.withdrawn",
        "session.cancelled",
        "mediation.ended",
        "assignment.ended",
    ]
    data = dict(await world.emitted(case))["mediation.ended"]
    assert (data["outcome"], data["succeeded"]) == ("refused", False)
    assert len(data["handover_sha256"]) == 64


async def test_withdrawing_needs_nothing_and_is_never_refused(world: World) -> None:
    case = await world.appointed()
    consents = (await world.ok("GET", path(case)))["consents"]
    address = f"/v1/consents/{consents[0]['consent_id']}/withdrawals"

    first = await world.call("POST", address, {}, key=False)
    events = await world.types(case)
    again = await world.call("POST", address, {}, key=False)
    other = await world.call(
        "POST", f"/v1/consents/{consents[1]['consent_id']}/withdrawals", {}, key=False
    )
    refused = await world.consent(case, case.respondent, "refused")

    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 200)
    assert again.json()["withdrawn_at"] == first.json()["withdrawn_at"]
    assert first.json()["mediation_state"] == "ended"
    assert events[-2:] == ["mediation.ended", "assignment.ended"]
    assert refused["state"] == "refused"
    foreign = await world.refused("POST", address, {}, key=False, by=COMMITTEE)
    assert foreign == (404, "not-found")


async def test_withdrawing_a_side_consent_ends_nothing(world: World) -> None:
    case = await world.appointed()
    body = {"party_id": str(case.applicant), "step": "record", "state": "given", "channel": "video"}
    consent = await world.ok("POST", path(case, "/consents"), body, key=False)

    told = await world.ok(
        "POST", f"/v1/consents/{consent['consent_id']}/withdrawals", {}, key=False
    )

    assert (told["state"], told["mediation_state"]) == ("withdrawn", "open")
    stranger = {**body, "party_id": str(new_id())}
    assert (await world.refused("POST", path(case, "/consents"), stranger))[0] == 422


# -- endings -----------------------------------------------------------------------------------


async def test_an_ending_needs_a_code_of_the_lane_remedies_and_in_court_a_report(
    world: World,
) -> None:
    case = await world.appointed("court_pre")
    end = path(case, "/endings")
    body = {"outcome": "no_agreement", "remedies_told": True, "report": REPORT}

    async def refused(**change: Any) -> tuple[int, str]:
        return await world.refused(
            "POST", end, {**body, **change}, version=await version(world, case)
        )

    assert await refused(outcome="opinion_support") == (422, "end-code")
    assert await refused(remedies_told=False) == (422, "remedies-not-told")
    assert await refused(report=None) == (422, "report-missing")
    assert await refused(outcome="agreed_written") == (409, "takes-effect-by-signature")
    view = await world.ok("POST", end, body, version=await version(world, case))
    assert (view["state"], view["outcome"], view["next_act"]) == ("ended", "no_agreement", None)
    assert await refused() == (409, "state")
    ended = (await world.emitted(case))[-1]
    assert ended[0] == "assignment.ended"
    assert (ended[1]["end"], ended[1]["outcome"]) == ("failed", "no_agreement")


async def test_the_hand_over_holds_only_what_the_allow_list_names(world: World) -> None:
    canary = "石竹花开了三朵"
    case = await world.appointed("court_pre")
    session = await world.ok("POST", path(case, "/sessions"), world.session_body(case))
    await world.ok(
        "POST",
        f"/v1/sessions/{session['session_id']}/notes",
        {"text": canary},
        acted_by="330681-CE-0001-s5",
    )
    clauses = [{"kind": "fact", "text": canary}]
    await world.ok(
        "POST", path(case, "/agreements"), world.agreement_body(case, clauses=clauses, text=canary)
    )
    await world.ok(
        "POST",
        path(case, "/endings"),
        {"outcome": "unsigned", "remedies_told": True, "report": REPORT},
        version=await version(world, case),
    )

    for reader in (COURT, CENTRE):
        package = await world.ok("GET", path(case, "/hand-over"), by=reader)
        assert package["package"]["report"]["cause"] == REPORT["cause"]
        assert package["package"]["remedies"]["codes"] == ["court_registers", "limitation"]
        assert canary not in orjson.dumps(package).decode()
    assert (await world.refused("GET", path(case, "/hand-over"), by=COMMITTEE))[0] == 404
    reads = await world.runtime.pool.fetchval(
        "SELECT count(*) FROM audit_entry WHERE action = 'hand-over.read'"
    )
    assert reads == 2
    for table, column in (("outbox", "data"), ("hand_over", "package_sealed")):
        rows = await world.runtime.pool.fetch(f"SELECT {column} FROM {table}")
        assert all(canary.encode() not in row[0] for row in rows)


async def test_expired_is_said_only_when_the_term_has_run_out(world: World) -> None:
    from services.events.routing import DeadlineStarted

    case = await world.appointed()
    due_at = world.now + timedelta(days=20)
    await world.hear(
        case,
        "routing",
        DeadlineStarted(
            case_id=case.case_id,
            deadline=world.clock("term", case.assignment_id, due_at),
            started_at=world.now,
        ),
    )
    body = {"outcome": "expired", "remedies_told": True}

    early = await world.refused(
        "POST", path(case, "/endings"), body, version=await version(world, case)
    )

    assert early == (409, "not-expired")


# -- leaving and other facts -------------------------------------------------------------------


async def test_leaving_ends_everything_in_one_transaction(world: World) -> None:
    case = await world.appointed()
    session = await world.ok("POST", path(case, "/sessions"), world.session_body(case))
    await world.ok("POST", path(case, "/agreements"), world.agreement_body(case))

    await world.leave(case, world.now)

    assert (await world.types(case))[-3:] == [
        "session.cancelled",
        "mediation.ended",
        "assignment.ended",
    ]
    view = await world.ok("GET", path(case))
    assert (view["state"], view["outcome"], view["agreement"]) == ("ended", "withdrawn", None)
    state = (await world.ok("GET", f"/v1/sessions/{session['session_id']}"))["state"]
    assert state == "cancelled"


async def test_leaving_before_acceptance_ends_the_offer(world: World) -> None:
    case = await world.offered()

    await world.leave(case, world.now)

    [(first, told), (type_, data)] = await world.emitted(case)
    assert (first, told["outcome"]) == ("mediation.ended", "withdrawn")
    assert (type_, data["end"], data["outcome"]) == ("assignment.ended", "failed", "withdrawn")
    assert len(told["handover_sha256"]) == 64


@pytest.mark.parametrize(
    ("role", "outcome"), [("applicant", "withdrawn"), ("respondent", "refused")]
)
async def test_the_outcome_states_who_left(world: World, role: str, outcome: str) -> None:
    """Checklist 1.17: in the mediation, in the end of the turn, with every way that stays open."""
    case = await world.appointed()
    leaver = case.applicant if role == "applicant" else case.respondent

    await world.leave(case, world.now, leaver, role)

    (ended, turn) = [data for _, data in (await world.emitted(case))[-2:]]
    assert (ended["outcome"], ended["succeeded"]) == (outcome, False)
    assert (turn["end"], turn["outcome"]) == ("failed", outcome)
    assert "sue" in ended["remedies"]


@pytest.mark.parametrize(("seconds", "stands"), [(-1, False), (0, True), (1, True)])
async def test_an_agreement_in_effect_when_the_party_left_stands(
    world: World, seconds: int, stands: bool
) -> None:
    case, agreement = await world.agreed()
    effective_at = world.now - timedelta(minutes=5)
    assert agreement["effective_at"] == wire(effective_at)

    await world.leave(case, effective_at + timedelta(seconds=seconds))

    view = await world.ok("GET", path(case))
    assert view["state"] == ("agreed" if stands else "ended")
    if not stands:
        assert (await world.types(case))[-3:] == [
            "obligation.changed",
            "mediation.ended",
            "assignment.ended",
        ]
        assert view["obligations"] == []


async def test_after_closing_the_older_episode_changes_nothing(world: World) -> None:
    case = await world.accepted()
    await world.hear(
        case, "intake", CaseClosed(case_id=case.case_id, outcome="refused", closed_at=world.now)
    )

    await world.leave(case, world.now)

    assert await world.types(case) == ["assignment.accepted"]
    refused = await world.refused(
        "POST",
        path(case, "/mediators"),
        {"mediator_id": (await world.mediators())[0]["mediator_id"]},
        version=1,
    )
    assert refused == (409, "case-closed")


async def test_a_new_lane_brings_its_own_effect_rule(world: World) -> None:
    case = await world.appointed("pm")
    agreement = await world.ok("POST", path(case, "/agreements"), world.agreement_body(case))
    for party in (case.applicant, case.respondent):
        agreement = await world.sign(agreement, "party", str(party))
    assert agreement["state"] == "draft"

    await world.hear(
        case,
        "intake",
        CaseLaneChanged(
            case_id=case.case_id,
            from_lane="pm",
            to_lane="court_pre",
            ground="filed",
            decided_by=COURT,
            changed_at=world.now,
        ),
    )

    agreement = await world.ok("GET", f"/v1/agreements/{agreement['agreement_id']}")
    assert (agreement["lane"], agreement["state"]) == ("court_pre", "effective")
    assert agreement["effective_at"] == wire(world.now)


async def test_separate_sessions_only_calls_planned_joint_ones_off(world: World) -> None:
    case = await world.appointed()
    await world.ok("POST", path(case, "/sessions"), world.session_body(case))

    await world.hear(
        case,
        "intake",
        HandlingConstraintsChanged(
            case_id=case.case_id, joint_sessions=False, changed_at=world.now
        ),
    )

    assert (await world.types(case))[-1] == "session.cancelled"
    refused = await world.refused("POST", path(case, "/sessions"), world.session_body(case))
    assert refused == (409, "separate-sessions-only")


async def test_lists_show_only_the_own_house(world: World) -> None:
    case = await world.accepted()

    mine = await world.ok("GET", "/v1/mediations", state="open")

    assert [m["mediation_id"] for m in mine["items"]] == [str(case.mediation_id)]
    assert (await world.ok("GET", "/v1/mediations", by=COMMITTEE))["items"] == []
    for address in (path(case), path(case, "/party-sheet")):
        refused = await world.refused("GET", address, by=COMMITTEE, purpose="contact")
        assert refused[0] == 404
