"""One of several parties leaves: the others go on, and nothing is asked of the leaver any more."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from mediation.next_act import consents_missing
from mediation.proceeding.rules import side_is_empty
from services.clock import wire
from services.ids import new_id
from tests.mediation.world import Case, World

ONE, TWO, THREE, FOUR = (new_id() for _ in range(4))
PARTIES = ((ONE, "applicant"), (TWO, "applicant"), (THREE, "respondent"), (FOUR, "third_party"))


@pytest.mark.parametrize(
    ("role", "departed", "empty"),
    [
        ("applicant", {ONE}, False),
        ("applicant", {ONE, TWO}, True),
        ("respondent", {THREE}, True),
        ("third_party", {FOUR}, False),
        ("third_party", {FOUR, THREE}, False),
    ],
)
def test_a_side_is_empty_when_its_last_party_has_left(
    role: str, departed: set[UUID], empty: bool
) -> None:
    assert side_is_empty(role, PARTIES, departed) is empty


def test_nobody_waits_for_the_consent_of_a_leaver() -> None:
    parties = [{"party_id": str(p), "role": r} for p, r in PARTIES]

    assert consents_missing(parties, [], [ONE]) == [str(TWO), str(THREE)]


# -- on a real database ------------------------------------------------------------------------


def path(case: Case, part: str = "") -> str:
    return f"/v1/mediations/{case.mediation_id}{part}"


def another(role: str) -> tuple[UUID, tuple[dict[str, Any], ...]]:
    party_id = new_id()
    return party_id, ({"party_id": str(party_id), "role": role, "kind": "person"},)


@pytest.mark.postgres
@pytest.mark.asyncio(loop_scope="module")
class TestOnADatabase:
    """What mediation makes of ``PartyLeft``."""

    @pytest.mark.parametrize("role", ["applicant", "third_party"])
    async def test_the_others_go_on_to_an_agreement(self, world: World, role: str) -> None:
        leaver, others = another(role)
        case = await world.appointed(others=others)
        before = await world.types(case)

        await world.leave(case, world.now, leaver, role)

        view = await world.ok("GET", path(case))
        assert (view["state"], view["consents_missing"]) == ("open", [])
        left = {p["party_id"]: p["left_at"] for p in view["parties"]}
        assert left.pop(str(leaver)) == wire(world.now)
        assert set(left.values()) == {None}
        assert await world.types(case) == before
        agreement = await world.ok("POST", path(case, "/agreements"), world.agreement_body(case))
        for missing in agreement["missing"]:
            agreement = await world.sign(agreement, missing["signer_kind"], missing["signer"])
        assert agreement["state"] == "effective"

    async def test_nothing_is_possible_for_the_leaver(self, world: World) -> None:
        leaver, others = another("applicant")
        case = await world.appointed(others=others)
        await world.leave(case, world.now, leaver)
        everybody = [str(leaver), str(case.applicant), str(case.respondent)]
        consent = {"party_id": str(leaver), "step": "mediate", "channel": "counter"}

        for part, body in (
            ("/consents", {**consent, "state": "given"}),
            ("/sessions", world.session_body(case, parties=everybody)),
            ("/agreements", world.agreement_body(case, parties=everybody)),
        ):
            assert await world.refused("POST", path(case, part), body) == (409, "party-left")
        await world.ok("POST", path(case, "/consents"), {**consent, "state": "refused"})
        assert (await world.ok("GET", path(case)))["state"] == "open"

    async def test_its_sessions_are_called_off_and_it_is_taken_out_of_the_others(
        self, world: World
    ) -> None:
        leaver, others = another("applicant")
        case = await world.appointed(others=others)
        both = [str(leaver), str(case.respondent)]
        joint = await world.ok(
            "POST", path(case, "/sessions"), world.session_body(case, parties=both)
        )
        alone = world.session_body(case, day=2, parties=[str(leaver)], form="separate")
        alone = await world.ok("POST", path(case, "/sessions"), alone)

        await world.leave(case, world.now, leaver)

        joint = await world.ok("GET", f"/v1/sessions/{joint['session_id']}")
        assert (joint["state"], joint["parties"]) == ("scheduled", [str(case.respondent)])
        alone = await world.ok("GET", f"/v1/sessions/{alone['session_id']}")
        assert alone["state"] == "cancelled"
        told = [d for t, d in await world.emitted(case) if t == "session.cancelled"]
        assert [d["reason"] for d in told] == ["party_left"]
        free = await world.runtime.pool.fetchval(
            "SELECT count(*) FROM booking JOIN bookable ON number = bookable WHERE key = $1",
            f"party:{leaver}",
        )
        assert free == 0

    @pytest.mark.parametrize("role", ["applicant", "third_party"])
    async def test_a_partys_no_leaves_the_others_of_its_side_to_go_on(
        self, world: World, role: str
    ) -> None:
        decliner, others = another(role)
        case = await world.appointed(others=others)
        meeting = world.session_body(case, parties=[str(decliner), str(case.respondent)])
        meeting = await world.ok("POST", path(case, "/sessions"), meeting)
        everybody = [str(decliner), str(case.applicant), str(case.respondent)]
        word = {"party_id": str(decliner), "step": "mediate", "channel": "counter"}

        await world.ok("POST", path(case, "/consents"), {**word, "state": "refused"})

        view = await world.ok("GET", path(case))
        assert (view["state"], view["consents_missing"]) == ("open", [])
        meeting = await world.ok("GET", f"/v1/sessions/{meeting['session_id']}")
        assert meeting["parties"] == [str(case.respondent)]
        for part, body in (
            ("/sessions", world.session_body(case, day=3, parties=everybody)),
            ("/agreements", world.agreement_body(case, parties=everybody)),
            ("/consents", {**word, "step": "e_sign", "state": "given"}),
        ):
            assert await world.refused("POST", path(case, part), body) == (409, "party-declined")
        await world.ok("POST", path(case, "/consents"), {**word, "state": "given"})
        body = world.session_body(case, day=3, parties=everybody)
        assert (await world.ok("POST", path(case, "/sessions"), body))["parties"] == everybody

    async def test_the_last_no_of_a_side_ends_the_mediation(self, world: World) -> None:
        decliner, others = another("applicant")
        case = await world.appointed(others=others)

        for party in (decliner, case.applicant):
            assert (await world.ok("GET", path(case)))["state"] == "open"
            await world.consent(case, party, "refused")

        view = await world.ok("GET", path(case))
        assert (view["state"], view["outcome"]) == ("ended", "refused")

    @pytest.mark.parametrize("bound", [True, False])
    async def test_a_draft_falls_when_it_binds_the_leaver(self, world: World, bound: bool) -> None:
        leaver, others = another("applicant")
        case = await world.appointed(others=others)
        parties = [str(case.applicant), str(case.respondent), *([str(leaver)] if bound else [])]
        body = world.agreement_body(case, parties=parties)
        agreement = await world.ok("POST", path(case, "/agreements"), body)

        await world.leave(case, world.now, leaver)

        found = await world.ok("GET", f"/v1/agreements/{agreement['agreement_id']}")
        assert found["state"] == ("void" if bound else "draft")

    @pytest.mark.parametrize(("bound", "state"), [(True, "ended"), (False, "agreed")])
    async def test_a_later_agreement_falls_when_it_binds_the_leaver(
        self, world: World, bound: bool, state: str
    ) -> None:
        leaver, others = another("applicant")
        case = await world.appointed(others=others)
        parties = [str(case.applicant), str(case.respondent), *([str(leaver)] if bound else [])]
        body = world.agreement_body(case, parties=parties)
        agreement = await world.ok("POST", path(case, "/agreements"), body)
        for missing in agreement["missing"]:
            agreement = await world.sign(agreement, missing["signer_kind"], missing["signer"])

        await world.leave(case, world.now - timedelta(hours=1), leaver)

        assert (await world.ok("GET", path(case)))["state"] == state

    async def test_the_last_of_a_side_ends_the_proceeding(self, world: World) -> None:
        leaver, others = another("applicant")
        case = await world.appointed(others=others)
        await world.leave(case, world.now, leaver)

        await world.leave(case, world.now)

        assert (await world.types(case))[-2:] == ["mediation.ended", "assignment.ended"]
        assert (await world.ok("GET", path(case)))["outcome"] == "withdrawn"

    async def test_an_offer_stays_open_while_both_sides_have_somebody(self, world: World) -> None:
        leaver, others = another("applicant")
        case = await world.offered(others=others)

        await world.leave(case, world.now, leaver)

        item = await world.ok("POST", f"/v1/queue/{case.assignment_id}/accept", {}, version=1)
        view = await world.ok("GET", f"/v1/mediations/{item['mediation_id']}")
        assert str(leaver) not in view["consents_missing"]

    async def test_a_departure_heard_before_the_offer_is_not_forgotten(self, world: World) -> None:
        leaver, others = another("applicant")
        case = Case(new_id(), "pm", others=others)
        await world.register(case)
        await world.leave(case, world.now, leaver)
        await world.offer(case)

        item = await world.ok("POST", f"/v1/queue/{case.assignment_id}/accept", {}, version=1)
        view = await world.ok("GET", f"/v1/mediations/{item['mediation_id']}")

        assert str(leaver) not in view["consents_missing"]
        assert len(view["consents_missing"]) == 2

    async def test_the_party_sheet_is_fetched_anew_without_the_leaver(self, world: World) -> None:
        leaver, others = another("applicant")
        case = await world.appointed(others=others)
        jobs = "SELECT count(*) FROM job WHERE payload ->> 'case_id' = $1"
        before = await world.runtime.pool.fetchval(jobs, str(case.case_id))

        await world.leave(case, world.now, leaver)

        assert await world.runtime.pool.fetchval(jobs, str(case.case_id)) == before + 1
