"""The checker's own model of a case: what its events say, and what they may not say."""

from typing import Any

import pytest

from services.verify.folds import _mandates, _mediations, _routing_states, _withdrawals
from services.verify.life import Life, Said, live

COURT, FIRST, SECOND = "330681-CT-0001", "330681-CM-0007", "330681-CE-0001"
AGREED = {"agreement_id": "g", "mediation_id": "m", "assignment_id": "a"}


class Story:
    """Events of one case, each source counting its own."""

    def __init__(self) -> None:
        self.events: list[Said] = []
        self.says("intake", "case.registered", organisation=COURT, lane="court_pre")

    def says(self, source: str, type_: str, *, episode: int = 1, **data: Any) -> "Story":
        """One more event."""
        sequence = 1 + sum(event.source == source for event in self.events)
        id_ = f"{source}-{sequence}"
        full = f"liandiao.{type_}.v1"
        self.events.append(Said(id_, source, sequence, episode, full, data))
        return self

    def offered(self, turn: str, ordinal: int, organisation: str) -> "Story":
        """Routing offers a turn."""
        return self.says(
            "routing",
            "assignment.offered",
            assignment_id=turn,
            ordinal=ordinal,
            organisation=organisation,
        )

    def accepted(self, turn: str, organisation: str) -> "Story":
        """Mediation says that a turn was accepted."""
        return self.says(
            "mediation", "assignment.accepted", assignment_id=turn, organisation=organisation
        )

    def ended(self, turn: str, end: str) -> "Story":
        """Mediation says that a turn ended."""
        return self.says("mediation", "assignment.ended", assignment_id=turn, end=end)

    def life(self) -> Life:
        """What they say together."""
        return live("c", self.events)


def test_the_first_receiver_holds_until_somebody_accepts() -> None:
    story = Story().offered("a", 1, FIRST)
    assert story.life().holder == COURT

    life = story.accepted("a", FIRST).life()

    assert life.holders == [COURT, FIRST]
    assert life.turns["a"].state == "accepted"
    assert life.faults == []


def test_a_return_gives_the_case_back_and_the_next_may_accept() -> None:
    story = Story().offered("a", 1, FIRST)
    story.says("mediation", "assignment.returned", assignment_id="a")
    story.offered("b", 2, SECOND).accepted("b", SECOND)

    life = story.life()

    assert life.holders == [COURT, SECOND]
    assert [turn.state for turn in life.turns.values()] == ["returned", "accepted"]
    assert life.faults == []


@pytest.mark.parametrize(
    ("end", "holder"), [("completed", FIRST), ("failed", COURT), ("recalled", COURT)]
)
def test_who_holds_after_the_end_goes_by_how_it_ended(end: str, holder: str) -> None:
    story = Story().offered("a", 1, FIRST).accepted("a", FIRST).ended("a", end)

    assert story.life().holder == holder


def test_a_recall_of_an_agreed_turn_changes_neither_holder_nor_turn() -> None:
    story = Story().offered("a", 1, FIRST).accepted("a", FIRST)
    story.says("mediation", "agreement.effective", **AGREED)
    life = story.says("routing", "assignment.recalled", assignment_id="a").life()

    turn = life.turns["a"]
    assert (life.holder, turn.recalled, _routing_states(turn, False)) == (
        FIRST,
        True,
        ("accepted",),
    )


@pytest.mark.parametrize(("end", "faults"), [("recalled", 0), ("failed", 1)])
def test_only_a_mediation_whose_turn_was_taken_back_ends_without_telling_how(
    end: str, faults: int
) -> None:
    """Checklist 1.17, 1.32: what is taken back has no outcome; else somebody left or ended it."""
    life = Story().offered("a", 1, FIRST).accepted("a", FIRST).ended("a", end).life()
    row = {"mediation_id": "m", "assignment_id": "a", "mediator_id": None}

    found = _mediations(life, {"mediation": [{**row, "outcome": end, "succeeded": False}]})

    assert len(list(found)) == faults


@pytest.mark.parametrize(
    ("results", "states", "right"),
    [
        ([], ("waiting", "over"), True),
        (["goes_on"], ("goes_on",), True),
        (["ends"], ("ended",), True),
        (["ends", "goes_on"], ("goes_on",), True),
        (["goes_on", "ends"], ("ended",), False),
    ],
)
def test_a_withdrawal_is_settled_by_a_word_by_time_or_by_an_agreement(
    results: list[str], states: tuple[str, ...], right: bool
) -> None:
    """Checklist 1.32."""
    story = Story().says(
        "intake", "referral.withdrawn", referral_id="r", withdrawal_id="w", ask_by="x"
    )
    for result in results:
        story.says("intake", "withdrawal.settled", withdrawal_id="w", result=result)

    life = story.life()

    for state in states:
        row = {"withdrawal_id": "w", "state": state}
        assert list(_withdrawals(life, {"withdrawal": [row]})) == []
    assert (life.faults == []) is right


def test_an_acceptance_while_another_holds_is_a_fault() -> None:
    story = Story().offered("a", 1, FIRST).accepted("a", FIRST)
    story.offered("b", 2, SECOND).accepted("b", SECOND)

    assert "accepted while 330681-CM-0007 held the case" in story.life().faults[0][0]


def test_an_acceptance_of_what_nobody_offered_is_a_fault() -> None:
    assert "nobody offered" in Story().accepted("a", FIRST).life().faults[0][0]


@pytest.mark.parametrize(
    ("source", "type_", "data"),
    [
        ("mediation", "session.held", {"session_id": "s"}),
        ("mediation", "agreement.effective", AGREED),
        ("mediation", "obligation.performed", {"obligation_id": "o"}),
        ("intake", "case.closed", {"outcome": "withdrawn"}),
        ("intake", "party.left", {"party_id": "p"}),
    ],
)
def test_what_can_happen_once_is_a_fault_the_second_time(
    source: str, type_: str, data: dict[str, str]
) -> None:
    story = Story().says(source, type_, **data)
    assert story.life().faults == []

    faults = story.says(source, type_, **data).life().faults

    assert len(faults) == 1
    assert faults[0][1] == story.events[-1].event_id


def test_a_reopened_case_begins_anew_with_its_first_receiver() -> None:
    story = Story().offered("a", 1, FIRST).accepted("a", FIRST).ended("a", "completed")
    story.says("intake", "party.left", party_id="p")
    story.says("intake", "case.closed", outcome="agreed_written")
    story.says("intake", "case.reopened", episode=2, lane="pm")

    life = story.life()

    assert (life.episode, life.closed, life.outcome) == (2, False, None)
    assert (life.lane, life.holder, life.left) == ("pm", COURT, set())
    assert life.faults == []


def test_sources_may_come_in_any_order() -> None:
    story = Story().offered("a", 1, FIRST).accepted("a", FIRST).ended("a", "failed")
    story.says("intake", "case.closed", outcome="refused")

    assert live("c", reversed(story.events)) == story.life()


def test_a_late_act_may_stop_a_fired_clock_without_a_word() -> None:
    deadline = {"clock_id": "k", "due_at": "2026-12-01T16:00:00.000Z"}
    story = Story().says("routing", "deadline.started", deadline=deadline)
    story.says("routing", "deadline.missed", deadline=deadline)

    life = story.life()

    assert life.clocks["k"] == ("fired or stopped", "2026-12-01T16:00:00.000Z")
    assert life.shown_clocks["k"][0] == "missed"


def test_a_join_stands_until_it_is_undone() -> None:
    story = Story().says("intake", "case.joined", join_id="j", side="joined")
    assert story.life().joins == {"j": "joined"}

    life = story.says("intake", "case.separated", join_id="j", side="joined").life()

    assert life.joins == {}
    assert life.faults == []


def test_a_join_is_not_undone_twice_nor_without_having_been() -> None:
    story = Story().says("intake", "case.separated", join_id="j", side="joined")

    assert [message for message, _ in story.life().faults] == ["a join was undone that never was"]


def test_a_mandate_that_was_revoked_holds_nowhere_any_more() -> None:
    """Checklist 1.24: ended by one call, in mediation's copy too."""
    story = Story()
    story.says("intake", "mandate.given", mandate_id="m")
    story.says("intake", "mandate.revoked", mandate_id="m")
    life = story.life()
    rows = {
        "mandate at intake": [{"mandate_id": "m", "state": "revoked"}],
        "mandate at mediation": [{"mandate_id": "m", "state": "in force"}],
    }

    found = list(_mandates(life, rows))

    assert life.faults == []
    assert found == [("mediation", "mandate m is in force, its events say revoked")]
    unheard = Story().says("intake", "mandate.revoked", mandate_id="x").life()
    assert [fault for fault, _ in unheard.faults] == ["a mandate was revoked that nobody gave"]
