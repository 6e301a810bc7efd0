"""Assignments against a plain model: who has the turn, who is asked next, and what is told of it.

Routing is the real one, on PostgreSQL. Mediation is a desk of a few lines, and what the two tell
each other arrives late and sometimes twice, so that answers, recalls and silence cross.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.events.envelope import Event
from services.events.intake import CaseCorrected, CaseLaneChanged, CaseReopened
from services.events.mediation import (
    AssignmentAccepted,
    AssignmentEnded,
    AssignmentObjected,
    AssignmentReturned,
)
from services.ids import new_id
from tests.fixtures.servers import PostgresServer
from tests.properties import lengths
from tests.routing.world import (
    CENTRE,
    COMMITTEE,
    CONVENOR,
    COORDINATOR,
    COURT,
    PETITION,
    World,
    a_world,
    seeded_database,
)

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(lengths.MOST_SECONDS)]

OTHER, BUREAU = "330681-CM-0014", "330681-JB-0001"
# Who takes a contract dispute in 330681001000 in these lanes, nearest first.
ORDER = (COMMITTEE, CENTRE)
SILENCE = {
    "court_pre": "reoffer",
    "court_post": "return_to_source",
    "petition": "held_to_it",
    "pm": "escalate",
}
PARENT = {COMMITTEE: BUREAU, OTHER: BUREAU, CENTRE: "330600-CE-0001"}
BACK = ("returned", "objection_upheld")
DECLINED = (*BACK, "not_confirmed", "escalated")
OPEN = ("offered", "accepted", "objected", "recalling")
# How far a case has come when the walk begins.
FAR = (
    "offered",
    "accepted",
    "given back",
    "given back twice",
    "unanswered",
    "closed before the answer arrives",
    "recalled before the answer arrives",
    "reopened before the answer arrives",
)


@dataclass
class Turn:
    """One organisation's turn, as anybody would note it down."""

    organisation: str
    ordinal: int
    lane: str
    returnable: bool
    state: str = "offered"
    end: str | None = None
    window: bool = True
    decided: bool = False


class Plain:
    """The rules of who is asked, in plain state."""

    def __init__(self, lane: str) -> None:
        self.lane, self.state, self.reason = lane, "undecided", ""
        self.turns: list[Turn] = []
        self.past: list[Turn] = []
        self.episode = 1
        self.declined: set[str] = set()
        self.failed_stages: set[str] = set()
        self.returns = 0
        self.wanted: str | None = None
        self.settling = self.term = False
        self.told: list[tuple[Any, ...]] = []
        self.ask()

    @property
    def turn(self) -> Turn | None:
        """The one open turn."""
        return self.turns[-1] if self.turns and self.turns[-1].state in OPEN else None

    @property
    def every_turn(self) -> list[Turn]:
        """Those of former rounds too."""
        return [*self.past, *self.turns]

    @property
    def superior(self) -> str | None:
        """Whoever stands above everybody who declined."""
        above = {PARENT.get(body) for body in self.declined}
        return above.pop() if len(above) == 1 else None

    def offer(self, organisation: str, *, returnable: bool = True) -> None:
        self.turns.append(Turn(organisation, len(self.turns) + 1, self.lane, returnable))
        self.state, self.wanted, self.settling = "offered", None, False
        self.told.append(("offered", organisation, returnable))

    def ask(self) -> None:
        left = [body for body in ORDER if body not in self.declined]
        if left:
            self.offer(left[0])
        else:
            self.nobody("nobody_competent")

    def nobody(self, reason: str) -> None:
        self.state, self.reason = "undecided", reason
        self.settling |= reason != "returned_to_source"
        self.told.append(("routing-undecided", reason))

    def over(self, turn: Turn, end: str) -> None:
        withdrawn = turn.state == "recalling"
        turn.state, turn.end, turn.window = "over", end, False
        self.returns += end in BACK
        if end in DECLINED:
            self.declined.add(turn.organisation)
        if end in ("completed", "failed"):
            self.state, self.term, self.settling = "ending", False, False
        elif self.wanted:
            self.offer(self.wanted)
        elif end in BACK and not withdrawn:
            if self.returns >= 2:
                self.nobody("second_return")
            else:
                self.ask()
        elif end == "not_confirmed" and SILENCE[turn.lane] == "reoffer" and not withdrawn:
            self.ask()
        elif end == "escalated" and not withdrawn:
            self.nobody("escalated")
        else:
            self.nobody("returned_to_source")

    def accepted(self, turn: Turn) -> None:
        if turn.state in ("offered", "objected"):
            turn.state, turn.window = "accepted", False
            self.state, self.term = "held", True

    def objected(self, turn: Turn) -> None:
        if turn.state == "offered":
            turn.state, turn.window = "objected", False

    def recall(self) -> bool:
        turn = self.turn
        if self.state == "closed" or turn is None or turn.state == "recalling":
            return False
        turn.state = "recalling"
        self.told.append(("recalled", turn.organisation))
        return True

    def decide_objection(self, upheld: bool) -> bool:
        turn = self.turn
        if self.state == "closed" or turn is None or turn.state != "objected" or turn.decided:
            return False
        turn.decided = True
        self.told.append(("objection-decided", upheld))
        return True

    def override(self, organisation: str) -> bool:
        turn = self.turn
        if self.state in ("closed", "ending"):
            return False
        if turn is None:
            self.offer(organisation)
            return True
        if turn.organisation == organisation or not self.recall():
            return False
        self.wanted = organisation
        return True

    def settle(self, stage: str, lead: str | None) -> bool:
        before = {"agreement": (), "superior": ("agreement",)}.get(
            stage, ("agreement", "superior") if self.superior else ("agreement",)
        )
        if self.state != "undecided" or not self.failed_stages.issuperset(before):
            return False
        if stage == "superior" and self.superior is None:
            return False
        self.told += [("convened", stage), ("resolved", stage)]
        if lead is None:
            self.failed_stages.add(stage)
        else:
            self.offer(lead, returnable=False)
        return True

    def corrected(self) -> None:
        back = self.reason == "returned_to_source"
        if self.state == "undecided" and self.returns < 2 and not back:
            self.ask()

    def closed(self) -> None:
        if turn := self.turn:
            turn.state, turn.end, turn.window = "over", "closed", False
        self.state, self.term, self.settling = "closed", False, False

    def reopened(self) -> None:
        """The next round knows nothing of who declined in the former one."""
        self.episode += 1
        self.past += self.turns
        self.turns, self.declined, self.failed_stages = [], set(), set()
        self.returns, self.wanted = 0, None
        self.ask()


class Assignments(RuleBasedStateMachine):
    """One case at routing and at a desk, their messages under way."""

    def __init__(self, runner: asyncio.Runner, world: World, far: str) -> None:
        super().__init__()
        self.run, self.world, self.far = runner.run, world, far
        self.plain: Plain | None = None

    @initialize(lane=st.sampled_from(sorted(SILENCE)))
    def begin(self, lane: str) -> None:
        """A case at some point of its life: half of what matters happens far from the start."""
        self._register(lane)
        self.routing_is_as_the_model()
        self.desk_hears()
        if self.far == "accepted":
            self._and_heard(self.desk_accepts)
        elif self.far in ("given back", "given back twice"):
            self._given_back()
        elif self.far == "unanswered":
            self.weeks_pass()
            self.routing_is_as_the_model()
            self._and_heard(self.desk_hears)
            self._settle("agreement", None)
            self._settle("conference", None)
        elif self.far == "closed before the answer arrives":
            self.desk_refuses()
            self.case_closes(True)
        elif self.far == "reopened before the answer arrives":
            self.desk_refuses()
            self.case_closes(True)
            self.routing_is_as_the_model()
            self.case_reopens()
        elif self.far == "recalled before the answer arrives":
            self.desk_refuses()
            self.source_recalls()
            self._and_heard(lambda: None)
            if lane == "petition":
                self._and_heard(self.desk_hears)
        if self.far == "given back twice":
            self.desk_hears()
            self._given_back()

    def _given_back(self) -> None:
        self._and_heard(self.desk_refuses)
        if self.source == PETITION:
            self.sender_decides(upheld=True)
            self.routing_is_as_the_model()
            self._and_heard(self.desk_hears)

    def _and_heard(self, act: Callable[[], None]) -> None:
        act()
        self.routing_hears(1)
        self.routing_is_as_the_model()

    def _register(self, lane: str) -> None:
        self.world.runtime.clock.offset *= 0
        self.source = PETITION if lane == "petition" else COURT
        self.case = self.run(
            self.world.registered(
                lane=lane, organisation=self.source, dispute_type="contract", legal_context={}
            )
        )
        self.plain = Plain(lane)
        self.ids: list[str] = []
        self.desk: dict[str, str] = {}
        self.late: set[str] = set()
        self.to_desk: deque[tuple[str, dict[str, Any]]] = deque()
        self.to_routing: deque[tuple[int, int, Event]] = deque()
        self.read = 0

    # -- the desk --------------------------------------------------------------------------------

    def _say(self, kind: type[Event], **more: Any) -> None:
        """The desk tells routing of its newest turn; it arrives later."""
        assert self.plain is not None
        turn_id = next(reversed(self.desk))
        place = self.ids.index(turn_id)
        turn = self.plain.every_turn[place]
        common = {"case_id": self.case.case_id, "assignment_id": turn_id}
        who = {"organisation": turn.organisation, "ordinal": turn.ordinal}
        episode = self.plain.episode - (place < len(self.plain.past))
        self.to_routing.append((place, episode, kind(**common, **who, **more)))

    def _newest(self) -> tuple[str, Turn] | None:
        if not self.desk:
            return None
        assert self.plain is not None
        turn_id = next(reversed(self.desk))
        return turn_id, self.plain.every_turn[self.ids.index(turn_id)]

    def _desk_is(self, *states: str) -> bool:
        found = self._newest()
        return found is not None and self.desk[found[0]] in states

    def _now(self) -> Any:
        return self.run(self.world.now())

    def _accept(self) -> None:
        self.desk[next(reversed(self.desk))] = "accepted"
        self._say(AssignmentAccepted, mediation_id=new_id(), accepted_at=self._now())

    def _end(self, end: str) -> None:
        self.desk[next(reversed(self.desk))] = "over"
        self._say(AssignmentEnded, end=end, ended_at=self._now())

    @precondition(lambda self: self.to_desk)
    @rule()
    def desk_hears(self) -> None:
        name, data = self.to_desk.popleft()
        turn_id = data["assignment_id"]
        if name == "offered":
            self.desk[turn_id] = "offered"
        elif name == "recalled" and self.desk[turn_id] != "over":
            self._end("recalled")
        elif name == "objection-decided" and self.desk[turn_id] == "objected":
            if data["upheld"]:
                self._end("objection_upheld")
            else:
                self._accept()
        elif name == "acceptance-window-elapsed" and self.desk[turn_id] == "offered":
            if data["on_silence"] == "held_to_it":
                self._accept()
            else:
                self._end("escalated" if data["on_silence"] == "escalate" else "not_confirmed")

    @precondition(lambda self: self._desk_is("offered"))
    @rule()
    def desk_accepts(self) -> None:
        self._accept()

    @precondition(lambda self: self._desk_is("offered"))
    @rule()
    def desk_refuses(self) -> None:
        turn_id, turn = self._newest() or ("", None)
        if turn is None or not turn.returnable or turn_id in self.late:
            return
        objects = turn.lane == "petition"
        self.desk[turn_id] = "objected" if objects else "over"
        when = {"objected_at" if objects else "returned_at": self._now()}
        kind = AssignmentObjected if objects else AssignmentReturned
        self._say(kind, ground="not_competent", **when)

    @precondition(lambda self: self._desk_is("accepted"))
    @rule(end=st.sampled_from(["completed", "failed"]))
    def desk_ends(self, end: str) -> None:
        self._end(end)

    @precondition(lambda self: self._desk_is("over"))
    @rule(end=st.sampled_from(["completed", "failed", "recalled"]))
    def desk_ends_what_is_over(self, end: str) -> None:
        """It never should; whoever is asked by then must not feel it."""
        self._say(AssignmentEnded, end=end, ended_at=self._now())

    @precondition(lambda self: self.to_routing)
    @rule(again=st.integers(1, 2))
    def routing_hears(self, again: int) -> None:
        assert self.plain is not None
        place, self.case.episode, event = self.to_routing.popleft()
        self.run(self.world.hear(self.case, "mediation", event, again=again))
        self.case.episode = self.plain.episode
        turn = self.plain.every_turn[place]
        if turn.state not in OPEN:
            return
        if isinstance(event, AssignmentAccepted):
            self.plain.accepted(turn)
        elif isinstance(event, AssignmentObjected):
            self.plain.objected(turn)
        elif isinstance(event, AssignmentReturned):
            self.plain.over(turn, "returned")
        elif isinstance(event, AssignmentEnded):
            self.plain.over(turn, event.end)

    # -- people at routing -----------------------------------------------------------------------

    def _asked(self, path: str, body: dict[str, Any], allowed: bool, **more: Any) -> None:
        answer = self.run(self.world.call("POST", path, body, **more))
        expected = (200, 201) if allowed else (409,)
        assert answer.status_code in expected, (path, body, answer.status_code, answer.text)

    @precondition(lambda self: self.ids)
    @rule()
    def source_recalls(self) -> None:
        assert self.plain is not None
        path = f"/v1/assignments/{self.ids[-1]}/recalls"
        self._asked(path, {}, self.plain.recall(), by=self.source)

    @precondition(lambda self: self.plain.turn and self.plain.turn.lane == "petition")
    @rule(upheld=st.booleans())
    def sender_decides(self, upheld: bool) -> None:
        assert self.plain is not None
        path = f"/v1/assignments/{self.ids[-1]}/objection-decisions"
        allowed = self.plain.decide_objection(upheld)
        self._asked(path, {"upheld": upheld}, allowed, by=self.source)

    @rule(organisation=st.sampled_from([COMMITTEE, CENTRE, OTHER]))
    def coordinator_overrides(self, organisation: str) -> None:
        assert self.plain is not None
        newest = self.run(
            self.world.runtime.pool.fetchval(
                "SELECT id FROM decision WHERE case_id = $1 ORDER BY id DESC LIMIT 1",
                self.case.case_id,
            )
        )
        body = {"organisation": organisation, "ground": "complex"}
        allowed = self.plain.override(organisation)
        self._asked(f"/v1/decisions/{newest}/overrides", body, allowed, by=COORDINATOR)

    @precondition(lambda self: self.plain.state == "undecided" or len(self.plain.turns) > 2)
    @rule(
        stages=st.lists(
            st.sampled_from(["agreement", "superior", "conference"]), min_size=1, max_size=2
        ),
        lead=st.sampled_from([None, COMMITTEE, CENTRE, OTHER]),
    )
    def bodies_settle(self, stages: list[str], lead: str | None) -> None:
        """One stage after the other without agreement; the last one may name who handles it."""
        for stage in stages[:-1]:
            self._settle(stage, None)
        self._settle(stages[-1], lead)

    def _settle(self, stage: str, lead: str | None) -> None:
        assert self.plain is not None
        by = {"agreement": self.source, "conference": CONVENOR}.get(
            stage, self.plain.superior or self.source
        )
        body = {"case_id": str(self.case.case_id), "stage": stage, "lead": lead}
        body["outcome"] = "lead_named" if lead else "no_agreement"
        allowed = self.plain.settle(stage, lead)
        self._asked("/v1/conferences", body, allowed, by=by, scopes="conference:write")

    @rule()
    def weeks_pass(self) -> None:
        assert self.plain is not None
        turn = self.plain.turn
        self.world.pass_time(days=16)
        if turn and turn.state == "offered" and self.ids[-1] not in self.late:
            self.plain.told.append(("acceptance-window-elapsed", turn.organisation))
        if self.ids:
            self.late.add(self.ids[-1])
        self.run(self.world.sweep())

    # -- intake ----------------------------------------------------------------------------------

    def _intake(self, event: Event) -> None:
        self.run(self.world.hear(self.case, "intake", event))

    @rule(lane=st.sampled_from(sorted(SILENCE)))
    def lane_changes(self, lane: str) -> None:
        assert self.plain is not None
        if self.plain.state == "closed" or lane == self.plain.lane:
            return
        self._intake(
            CaseLaneChanged(
                case_id=self.case.case_id,
                from_lane=self.plain.lane,
                to_lane=lane,
                ground="filed",
                decided_by=self.source,
                changed_at=self._now(),
            )
        )
        self.plain.lane = lane
        self.plain.corrected()

    @precondition(lambda self: self.plain.state == "undecided")
    @rule()
    def fact_is_corrected(self) -> None:
        assert self.plain is not None
        self._intake(
            CaseCorrected(
                case_id=self.case.case_id,
                referral_id=new_id(),
                changed=("claim_fen",),
                claim_fen=1,
                corrected_at=self._now(),
            )
        )
        self.plain.corrected()

    @precondition(lambda self: self.plain.state == "ending" or self.to_routing)
    @rule(now=st.sampled_from([False, True]))
    def case_closes(self, now: bool) -> None:
        assert self.plain is not None
        if now and self.plain.state != "closed":
            self.run(self.world.close(self.case))
            self.plain.closed()

    @precondition(lambda self: self.plain.state == "closed")
    @rule()
    def case_reopens(self) -> None:
        assert self.plain is not None
        self.case.episode += 1
        self._intake(
            CaseReopened(
                case_id=self.case.case_id,
                referral_id=new_id(),
                organisation=self.source,
                lane=self.plain.lane,
                dispute_type="contract",
                place="330681001000",
                parties=self.parties,
                ground="new_facts",
                received_at=self._now(),
                reopened_at=self._now(),
            )
        )
        self.plain.reopened()

    # -- both ------------------------------------------------------------------------------------

    @invariant()
    def routing_is_as_the_model(self) -> None:
        plain = self.plain
        if plain is None:
            return
        assert self.run(self._found()) == (
            plain.state,
            plain.returns,
            [(t.ordinal, t.organisation, t.returnable, t.end, t.state) for t in plain.every_turn],
            self._handlers(plain),
            sorted(
                ["acceptance"] * sum(turn.window for turn in plain.turns)
                + ["settlement"] * plain.settling
                + ["term"] * plain.term
            ),
            plain.told,
        )

    @staticmethod
    def _handlers(plain: Plain) -> list[str]:
        """Who has the part of the handler: also afterwards, when the turn was not given back."""
        last = plain.turns[-1] if plain.turns else None
        stays = last and (last.state in OPEN or last.end in ("completed", "failed", "closed"))
        return [last.organisation] if last and stays else []

    async def _found(self) -> tuple[Any, ...]:
        pool, case_id = self.world.runtime.pool, self.case.case_id
        row = await pool.fetchrow("SELECT * FROM routed_case WHERE case_id = $1", case_id)
        self.parties = row["facts"]["parties"]
        turns = await pool.fetch(
            "SELECT * FROM assignment WHERE case_id = $1 ORDER BY episode, ordinal", case_id
        )
        self.ids = [str(turn["id"]) for turn in turns]
        handlers = await pool.fetch(
            """SELECT organisation FROM participation
               WHERE case_id = $1 AND role = 'handler' AND left_at IS NULL""",
            case_id,
        )
        clocks = await pool.fetch(
            "SELECT kind FROM clock WHERE case_id = $1 AND state <> 'stopped' ORDER BY kind",
            case_id,
        )
        return (
            row["state"],
            row["returns"],
            [
                (
                    turn["ordinal"],
                    turn["organisation"],
                    turn["returnable"],
                    turn["ended_as"] if turn["ended_at"] else None,
                    turn["state"] if turn["state"] in OPEN else "over",
                )
                for turn in turns
            ],
            [handler["organisation"] for handler in handlers],
            [clock["kind"] for clock in clocks],
            await self._told(),
        )

    async def _told(self) -> list[tuple[Any, ...]]:
        """What routing has told, the new of it on its way to the desk."""
        told = []
        for number, event in enumerate(await self.world.told(self.case)):
            family, _, name = event["name"].partition(".")
            if family == "assignment" and number >= self.read:
                self.to_desk.append((name, event))
            if name == "offered":
                told.append((name, event["organisation"], event["returnable"]))
            elif name in ("recalled", "acceptance-window-elapsed"):
                told.append((name, event["organisation"]))
            elif name == "objection-decided":
                told.append((name, event["upheld"]))
            elif name == "routing-undecided":
                told.append((name, event["reason"]))
            elif family == "conference":
                told.append((name, event["stage"]))
            self.read = max(self.read, number + 1)
        return told

    def teardown(self) -> None:
        """Whatever is under way arrives: then both sides know the same turn, or none."""
        if self.plain is None:
            return
        try:
            while self.to_desk or self.to_routing:
                if self.to_desk:
                    self.desk_hears()
                else:
                    self.routing_hears(1)
                    self.routing_is_as_the_model()
            turn = self.plain.turn
            assert turn is None or turn.state == self.desk[self.ids[-1]]
        finally:
            self.run(self.world.close(self.case))  # Or its bodies were busy in the next example.


@pytest.fixture(scope="module")
def place(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[asyncio.Runner, World]]:
    """Routing with the demonstration county, and the loop that it runs in."""
    folder = tmp_path_factory.mktemp("routing")
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        database = runner.run(seeded_database(postgres_server, folder))
        yield runner, runner.run(opened.enter_async_context(a_world(database, folder)))
        runner.run(opened.aclose())
        runner.run(postgres_server.drop(database))


@pytest.mark.parametrize("far", FAR)
def test_assignments_go_as_the_model_says(place: tuple[asyncio.Runner, World], far: str) -> None:
    run_state_machine_as_test(lambda: Assignments(*place, far), settings=lengths.of(3, 12))
