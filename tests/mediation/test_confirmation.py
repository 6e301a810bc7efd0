"""Judicial confirmation: the rules, and the handlers on a real database."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from mediation.confirmation.model import Confirmable
from mediation.confirmation.rules import may_apply, may_decide
from services.clock import wire
from services.events import lanes
from services.events.routing import DeadlineMissed, DeadlineStarted
from services.ids import new_id
from tests.mediation.world import CENTRE, COMMITTEE, COURT, Case, World

ONE, TWO = new_id(), new_id()
EFFECT = datetime(2026, 11, 1, 10, tzinfo=UTC)
END = EFFECT + timedelta(days=30)


def an_agreement(**more: Any) -> Confirmable:
    """An agreement in effect that a court may confirm."""
    facts: dict[str, Any] = {
        "lane": "pm",
        "lane_confirms": True,
        "handler_kind": "committee",
        "kind_confirms": True,
        "flags": frozenset(),
        "state": "effective",
        "parties": frozenset({ONE, TWO}),
        "effective_at": EFFECT,
        "confirm_by": END,
        "applied_before": False,
    }
    return Confirmable(**{**facts, **more})


def refused(
    agreement: Confirmable, at: datetime = EFFECT, by: tuple[UUID, ...] = (ONE, TWO)
) -> Any:
    refusal = may_apply(agreement, applied_by=by, applied_at=at)
    return refusal.code if refusal else None


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (EFFECT - timedelta(milliseconds=1), "before-effect"),
        (EFFECT, None),
        (END - timedelta(milliseconds=1), None),
        (END, "confirmation-window-elapsed"),
        (END + timedelta(milliseconds=1), "confirmation-window-elapsed"),
    ],
)
def test_the_window_lasts_from_effect_to_its_exclusive_end(at: datetime, code: str | None) -> None:
    assert refused(an_agreement(), at) == code


def test_all_who_are_bound_apply_together() -> None:
    assert refused(an_agreement(), by=(ONE,)) == "not-joint"
    assert refused(an_agreement(), by=(ONE, TWO, new_id())) == "not-joint"


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"lane_confirms": False, "lane": "court_post"}, "JC-1"),
        ({"kind_confirms": False, "handler_kind": "government"}, "JC-1"),
        ({"flags": frozenset({"parentage"})}, "JC-4"),
    ],
)
def test_what_no_court_confirms_is_refused_naming_the_rule(
    facts: dict[str, Any], rule: str
) -> None:
    refusal = may_apply(an_agreement(**facts), applied_by=(ONE, TWO), applied_at=EFFECT)

    assert refusal is not None
    assert refusal.code == "not-confirmable"
    assert rule in refusal.message


@pytest.mark.parametrize("state", ["draft", "signed", "void"])
def test_only_an_agreement_in_effect_is_confirmed(state: str) -> None:
    assert refused(an_agreement(state=state)) == "not-effective"


def test_an_agreement_is_applied_for_once_at_a_time() -> None:
    assert refused(an_agreement(applied_before=True)) == "already-applied"


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"confirmed": True}, None),
        ({"confirmed": True, "ground": "unclear"}, "ground"),
        ({"confirmed": True, "agreement_state": "void"}, "not-effective"),
        ({"confirmed": False, "ground": "unclear"}, None),
        ({"confirmed": False, "ground": "unclear", "agreement_state": "void"}, None),
        ({"confirmed": False}, "ground"),
        ({"confirmed": False, "ground": "weather"}, "ground"),
        (
            {"confirmed": True, "decided_at": EFFECT - timedelta(milliseconds=1)},
            "before-application",
        ),
        ({"confirmed": True, "state": "confirmed"}, "state"),
        ({"confirmed": False, "ground": "unclear", "state": "refused"}, "state"),
    ],
)
def test_a_court_answers_once_and_says_why_not(facts: dict[str, Any], code: str | None) -> None:
    given: dict[str, Any] = {
        "state": "applied",
        "agreement_state": "effective",
        "ground": None,
        "grounds": lanes.CONFIRMATION_GROUNDS,
        "applied_at": EFFECT,
        "decided_at": EFFECT,
        **facts,
    }
    refusal = may_decide(**given)

    assert (refusal.code if refusal else None) == code


def test_every_ground_and_remedy_is_cited() -> None:
    told = (*lanes.remedies_of_confirmation(True), *lanes.remedies_of_confirmation(False))
    assert told
    assert all(item.source for item in (*told, *lanes.CONFIRMATION_GROUNDS.values()))


NOTHING_OWED = [{"kind": "responsibility", "text": "双方确认互不相欠"}]


# -- on a real database ------------------------------------------------------------------------


async def windowed(
    world: World, lane: str = "pm", *, ends_in_days: int = 30, **more: Any
) -> tuple[Case, dict[str, Any]]:
    """A case with an agreement in effect whose window for confirmation was told."""
    case, agreement = await world.agreed(lane, **more)
    deadline = world.clock(
        "confirmation",
        UUID(agreement["agreement_id"]),
        world.now + timedelta(days=ends_in_days, hours=-12),
    )
    started = DeadlineStarted(case_id=case.case_id, deadline=deadline, started_at=world.now)
    await world.hear(case, "routing", started)
    return case, await world.ok("GET", f"/v1/agreements/{agreement['agreement_id']}")


def application(case: Case, **more: Any) -> dict[str, Any]:
    """Both apply at the court that sent the case."""
    parties = [str(case.applicant), str(case.respondent)]
    return {"court": COURT, "applied_by": parties, **more}


async def applied(world: World, **more: Any) -> tuple[Case, dict[str, Any], dict[str, Any]]:
    """A case with an application before the court."""
    case, agreement = await windowed(world, **more)
    row = await world.ok(
        "POST",
        f"/v1/agreements/{agreement['agreement_id']}/confirmations",
        application(case),
        version=agreement["version"],
    )
    return case, agreement, row


def as_court(**more: Any) -> dict[str, Any]:
    """How the court that sent the case calls."""
    return {"by": COURT, "scopes": "confirmation:read confirmation:write", **more}


@pytest.mark.postgres
@pytest.mark.asyncio(loop_scope="module")
class TestOnADatabase:
    """The endpoints with their events."""

    async def test_the_parties_apply_and_the_court_confirms(self, world: World) -> None:
        case, _, row = await applied(world)
        decided = await world.ok(
            "POST",
            f"/v1/confirmations/{row['confirmation_id']}/decisions",
            {"confirmed": True},
            version=row["version"],
            **as_court(),
        )

        assert (row["state"], row["court"], row["remedies"]) == ("applied", COURT, [])
        assert decided["state"] == "confirmed"
        assert [r["code"] for r in decided["remedies"]] == ["enforcement"]
        told = dict(await world.emitted(case))
        assert told["confirmation.applied"]["confirmation_id"] == row["confirmation_id"]
        assert told["confirmation.decided"]["confirmed"] is True

    async def test_a_refusal_tells_its_ground_and_the_ways_that_are_open(
        self, world: World
    ) -> None:
        case, _, row = await applied(world)
        path = f"/v1/confirmations/{row['confirmation_id']}/decisions"
        no_ground = await world.refused("POST", path, {"confirmed": False}, version=1, **as_court())
        decided = await world.ok(
            "POST", path, {"confirmed": False, "ground": "unclear"}, version=1, **as_court()
        )

        assert no_ground == (422, "ground")
        assert (decided["ground"], decided["ground_source"]) == (
            "unclear",
            "民诉法解释（2022）358 (JC-5)",
        )
        assert [r["code"] for r in decided["remedies"]] == ["new_agreement", "sue_on_performance"]
        told = dict(await world.emitted(case))["confirmation.decided"]
        assert (told["confirmed"], told["ground"]) == (False, "unclear")
        assert told["remedies"] == ["new_agreement", "sue_on_performance"]

    async def test_after_a_refusal_the_parties_may_apply_again_in_time(self, world: World) -> None:
        case, agreement, row = await applied(world)
        again = f"/v1/agreements/{agreement['agreement_id']}/confirmations"
        twice = await world.refused(
            "POST", again, application(case), version=agreement["version"] + 1
        )
        await world.ok(
            "POST",
            f"/v1/confirmations/{row['confirmation_id']}/decisions",
            {"confirmed": False, "ground": "withdrawn"},
            version=1,
            **as_court(),
        )

        assert twice == (409, "already-applied")
        assert await world.ok("POST", again, application(case), version=agreement["version"] + 1)

    async def test_a_case_with_nothing_owed_stays_open_for_parties_who_mean_to_apply(
        self, world: World
    ) -> None:
        case, agreement = await windowed(world, clauses=NOTHING_OWED, to_be_confirmed=True)
        view = await world.ok("GET", f"/v1/mediations/{case.mediation_id}")

        assert (view["state"], view["next_act"]["act"]) == ("agreed", "apply_for_confirmation")
        assert view["next_act"]["due_at"] == agreement["confirm_by"]
        row = await world.ok(
            "POST",
            f"/v1/agreements/{agreement['agreement_id']}/confirmations",
            application(case),
            version=agreement["version"],
        )
        view = await world.ok("GET", f"/v1/mediations/{case.mediation_id}")
        assert (view["next_act"]["act"], view["next_act"]["owner"]) == (
            "decide_confirmation",
            COURT,
        )
        await world.ok(
            "POST",
            f"/v1/confirmations/{row['confirmation_id']}/decisions",
            {"confirmed": True},
            version=row["version"],
            **as_court(),
        )
        assert dict(await world.emitted(case))["assignment.ended"]["end"] == "completed"

    async def test_a_window_that_ends_unused_lets_the_case_close(self, world: World) -> None:
        case, agreement = await windowed(world, clauses=NOTHING_OWED, to_be_confirmed=True)
        assert "assignment.ended" not in await world.types(case)
        deadline = world.clock(
            "confirmation", UUID(agreement["agreement_id"]), world.now + timedelta(days=29)
        )
        missed = DeadlineMissed(
            case_id=case.case_id, deadline=deadline, on_expiry="alert", missed_at=world.now
        )

        await world.hear(case, "routing", missed)

        assert dict(await world.emitted(case))["assignment.ended"]["end"] == "completed"

    async def test_nobody_means_to_apply_where_no_court_confirms(self, world: World) -> None:
        case = await world.appointed("court_post")
        body = world.agreement_body(case, to_be_confirmed=True)
        address = f"/v1/mediations/{case.mediation_id}/agreements"

        assert await world.refused("POST", address, body) == (409, "not-confirmable")

    async def test_an_application_after_the_window_is_refused(self, world: World) -> None:
        case, agreement = await windowed(world, ends_in_days=0)
        # Its end was told as twelve hours ago; the agreement took effect five minutes ago.
        path = f"/v1/agreements/{agreement['agreement_id']}/confirmations"
        version = agreement["version"]

        late = await world.refused("POST", path, application(case), version=version)

        assert late == (409, "confirmation-window-elapsed")
        assert "confirmation.applied" not in await world.types(case)

    async def test_an_application_waits_until_the_window_is_known(self, world: World) -> None:
        case, agreement = await world.agreed("pm")
        path = f"/v1/agreements/{agreement['agreement_id']}/confirmations"

        answer = await world.call("POST", path, application(case), version=agreement["version"])

        assert answer.status_code == 503
        assert answer.json()["retryable"] is True

    async def test_a_lane_without_confirmation_is_refused_with_the_rule(self, world: World) -> None:
        case, agreement = await windowed(world, "court_post")
        path = f"/v1/agreements/{agreement['agreement_id']}/confirmations"

        answer = await world.call("POST", path, application(case), version=agreement["version"])

        assert answer.status_code == 409
        assert answer.json()["errors"][0]["code"] == "not-confirmable"
        assert "court_post" in answer.json()["detail"]
        assert "JC-1" in answer.json()["detail"]

    async def test_a_flagged_clause_is_refused_with_the_rule(self, world: World) -> None:
        case = await world.appointed()
        body = world.agreement_body(case, flags_told=True)
        body["clauses"][0]["flags"] = ["parentage"]
        agreement = await world.ok("POST", f"/v1/mediations/{case.mediation_id}/agreements", body)
        path = f"/v1/agreements/{agreement['agreement_id']}/confirmations"

        answer = await world.call("POST", path, application(case), version=agreement["version"])

        assert answer.json()["errors"][0]["code"] == "not-confirmable"
        assert "JC-4" in answer.json()["detail"]

    async def test_it_is_applied_for_at_a_court_by_all_who_are_bound(self, world: World) -> None:
        case, agreement = await windowed(world)
        path = f"/v1/agreements/{agreement['agreement_id']}/confirmations"
        version = agreement["version"]
        alone = application(case, applied_by=[str(case.applicant), str(new_id())])

        nowhere = await world.refused(
            "POST", path, application(case, court=COMMITTEE), version=version
        )

        assert nowhere == (422, "not-a-court")
        assert await world.refused("POST", path, alone, version=version) == (422, "not-joint")

    async def test_the_same_key_applies_once_and_a_stale_version_not_at_all(
        self, world: World
    ) -> None:
        case, agreement = await windowed(world)
        path = f"/v1/agreements/{agreement['agreement_id']}/confirmations"
        version = agreement["version"]
        stale = await world.refused("POST", path, application(case), version=version - 1)
        no_version = await world.refused("POST", path, application(case))
        key = f"k-{new_id()}"
        first = await world.ok("POST", path, application(case), version=version, key=key)
        again = await world.ok("POST", path, application(case), version=version, key=key)

        assert (stale, no_version) == ((412, "version-mismatch"), (428, "version-required"))
        assert first == again
        assert (await world.types(case)).count("confirmation.applied") == 1

    async def test_a_decision_is_recorded_once(self, world: World) -> None:
        case, _, row = await applied(world)
        path = f"/v1/confirmations/{row['confirmation_id']}/decisions"
        key = f"k-{new_id()}"
        body = {"confirmed": True}
        first = await world.ok("POST", path, body, version=1, key=key, **as_court())
        again = await world.ok("POST", path, body, version=1, key=key, **as_court())
        other = await world.refused("POST", path, body, version=2, **as_court())

        assert first == again
        assert other == (409, "state")
        assert (await world.types(case)).count("confirmation.decided") == 1

    async def test_only_the_court_that_was_applied_to_decides_and_strangers_see_nothing(
        self, world: World
    ) -> None:
        _, _, row = await applied(world)
        path = f"/v1/confirmations/{row['confirmation_id']}"
        body = {"confirmed": True}
        court = as_court()

        handler = await world.refused(
            "POST", f"{path}/decisions", body, version=1, **{**court, "by": CENTRE}
        )
        stranger = await world.refused(
            "POST", f"{path}/decisions", body, version=1, **{**court, "by": COMMITTEE}
        )

        assert (handler, stranger) == ((403, "forbidden"), (404, "not-found"))
        seen = await world.call("GET", path, scopes="confirmation:read")
        assert seen.status_code == 200
        hidden = await world.call("GET", path, by=COMMITTEE, scopes="confirmation:read")
        assert hidden.status_code == 404
        assert (await world.call("GET", path, **court)).json()["court"] == COURT

    async def test_a_performed_case_stays_open_until_the_court_has_decided(
        self, world: World
    ) -> None:
        case, agreement, row = await applied(world)
        [obligation] = agreement["obligations"]
        await world.ok(
            "POST",
            f"/v1/obligations/{obligation}/performances",
            {"proved_by": "creditor", "occurred_at": wire(world.now)},
            version=1,
        )
        before = await world.types(case)
        await world.ok(
            "POST",
            f"/v1/confirmations/{row['confirmation_id']}/decisions",
            {"confirmed": True},
            version=1,
            **as_court(),
        )

        assert "assignment.ended" not in before
        assert (await world.types(case))[-2:] == ["confirmation.decided", "assignment.ended"]

    async def test_a_case_is_not_handed_on_while_a_court_has_it(self, world: World) -> None:
        case, agreement, _ = await applied(world)
        [obligation] = agreement["obligations"]
        breach = f"/v1/obligations/{obligation}/breaches"
        await world.ok("POST", breach, {"declared": True}, version=1)
        view = await world.ok("GET", f"/v1/mediations/{case.mediation_id}")

        answer = await world.refused(
            "POST",
            f"/v1/mediations/{case.mediation_id}/endings",
            {"outcome": "transferred_other", "remedies_told": True},
            version=view["version"],
        )

        assert answer == (409, "confirmation-open")
