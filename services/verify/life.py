"""A case as its events tell it: a small model of our own, written apart from the services.

Each source's events are taken in their own order; where two sources meet, only what their contents
say counts, never who was first on the topic (design section 5).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# The act that comes too late stops a fired clock without a word.
FIRED: Final = "fired or stopped"


@dataclass(frozen=True)
class Said:
    """One event of a case."""

    event_id: str
    source: str
    sequence: int
    episode: int
    type: str
    data: Mapping[str, Any]


@dataclass
class Turn:
    """One organisation's turn: offered by routing, answered by mediation."""

    assignment_id: str
    episode: int
    ordinal: int | None = None
    organisation: str = ""
    offered: bool = False
    recalled: bool = False
    agreed: bool = False
    answers: list[str] = field(default_factory=list)
    end: str | None = None

    @property
    def state(self) -> str:
        """As mediation must have it."""
        if self.end == "objection_upheld":
            return "returned"
        if self.end is not None:
            return "ended"
        return self.answers[-1] if self.answers else "offered"

    @property
    def accepted(self) -> bool:
        """Whether it was ever accepted."""
        return "accepted" in self.answers


@dataclass
class Life:
    """Everything that the events of one case say about its present state."""

    case_id: str
    number: str | None = None
    organisation: str | None = None
    lane: str | None = None
    episode: int = 1
    closed: bool = False
    outcome: str | None = None
    corrected: bool = False
    left: set[str] = field(default_factory=set)
    supplements: set[str] = field(default_factory=set)
    # Mandate of a party (代办) -> whether it holds.
    mandates: dict[str, str] = field(default_factory=dict)
    turns: dict[str, Turn] = field(default_factory=dict)
    holders: list[str] = field(default_factory=list)
    mediators: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, bool]] = field(default_factory=dict)
    consents: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    # Agreement -> its mediation.
    agreements: dict[str, str] = field(default_factory=dict)
    obligations: dict[str, str] = field(default_factory=dict)
    clocks: dict[str, tuple[str, str]] = field(default_factory=dict)
    # What intake shows of a clock: by its last event alone.
    shown_clocks: dict[str, tuple[str, str]] = field(default_factory=dict)
    parts: dict[str, bool] = field(default_factory=dict)
    linkages: dict[str, str] = field(default_factory=dict)
    # Join -> which side of it this case is, while it stands.
    joins: dict[str, str] = field(default_factory=dict)
    # Withdrawal of a referral -> what became of it.
    withdrawals: dict[str, str] = field(default_factory=dict)
    faults: list[tuple[str, str | None]] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)

    @property
    def holder(self) -> str | None:
        """Who answers for the case now."""
        return self.holders[-1] if self.holders else None

    def held_by(self, organisation: str | None) -> None:
        """Somebody else answers for the case."""
        if organisation and self.holder != organisation:
            self.holders.append(organisation)

    def turn(self, said: Said) -> Turn:
        """The turn that an event is about."""
        id_ = said.data["assignment_id"]
        return self.turns.setdefault(id_, Turn(id_, said.episode))

    def once(self, said: Said, what: str) -> None:
        """Some things can happen only once; a second time is a second effect of one act."""
        if what in self.seen:
            self.faults.append((f"it happened twice: {what}", said.event_id))
        self.seen[what] = said.event_id


def live(case_id: str, events: Iterable[Said]) -> Life:
    """The life of a case from all its events."""
    life = Life(case_id)
    order = ("intake", "routing", "mediation", "notification")
    for said in sorted(events, key=lambda e: (e.episode, order.index(e.source), e.sequence)):
        step = _STEPS.get(said.type.removeprefix("liandiao."))
        if step is not None:
            step(life, said)
    return life


# -- intake --------------------------------------------------------------------------------------


def _registered(life: Life, said: Said) -> None:
    life.once(said, "registered")
    life.number = said.data.get("case_number")
    life.organisation = said.data["organisation"]
    life.lane = said.data["lane"]
    life.held_by(life.organisation)


def _lane_changed(life: Life, said: Said) -> None:
    life.lane = said.data["to_lane"]


def _party_left(life: Life, said: Said) -> None:
    life.once(said, f"party {said.data['party_id']} left in episode {said.episode}")
    life.left.add(said.data["party_id"])


def _supplemented(life: Life, said: Said) -> None:
    life.once(said, f"supplement {said.data['supplement_id']}")
    life.supplements.add(said.data["supplement_id"])


def _mandate_given(life: Life, said: Said) -> None:
    life.once(said, f"mandate {said.data['mandate_id']} was given")
    life.mandates[said.data["mandate_id"]] = "in force"


def _mandate_revoked(life: Life, said: Said) -> None:
    life.once(said, f"mandate {said.data['mandate_id']} was revoked")
    if said.data["mandate_id"] not in life.mandates:
        life.faults.append(("a mandate was revoked that nobody gave", said.event_id))
    life.mandates[said.data["mandate_id"]] = "revoked"


def _corrected(life: Life, said: Said) -> None:
    life.corrected = True


def _closed(life: Life, said: Said) -> None:
    life.once(said, f"closed in episode {said.episode}")
    if said.episode >= life.episode:
        life.closed, life.outcome = True, said.data["outcome"]


def _reopened(life: Life, said: Said) -> None:
    life.once(said, f"reopened as episode {said.episode}")
    life.episode, life.closed, life.outcome = said.episode, False, None
    life.left.clear()
    life.lane = said.data["lane"]
    life.held_by(life.organisation)


def _cases_joined(life: Life, said: Said) -> None:
    life.once(said, f"join {said.data['join_id']} was told")
    life.joins[said.data["join_id"]] = said.data["side"]


def _cases_separated(life: Life, said: Said) -> None:
    life.once(said, f"join {said.data['join_id']} was undone")
    if life.joins.pop(said.data["join_id"], None) is None:
        life.faults.append(("a join was undone that never was", said.event_id))


def _linked(what: str) -> Any:
    def step(life: Life, said: Said) -> None:
        life.once(said, f"link {said.data['link_id']} was {what}")

    return step


def _referral_withdrawn(life: Life, said: Said) -> None:
    life.once(said, f"referral {said.data['referral_id']} withdrawn in episode {said.episode}")
    waits = said.data.get("ask_by") is not None
    life.withdrawals[said.data["withdrawal_id"]] = "waiting" if waits else "others_go_on"


def _withdrawal_settled(life: Life, said: Said) -> None:
    id_, result = said.data["withdrawal_id"], said.data["result"]
    life.once(said, f"withdrawal {id_} settled: {result}")
    # An agreement that was first makes a case go on that was to end; never the other way round.
    if life.withdrawals.get(id_) not in ("waiting", "ended"):
        life.faults.append(("a withdrawal was settled that did not wait", said.event_id))
    life.withdrawals[id_] = "goes_on" if result == "goes_on" else "ended"


# -- routing -------------------------------------------------------------------------------------


def _offered(life: Life, said: Said) -> None:
    life.once(said, f"turn {said.data['ordinal']} of episode {said.episode} was offered")
    turn = life.turn(said)
    turn.ordinal, turn.organisation = said.data["ordinal"], said.data["organisation"]
    turn.offered = True


def _recalled(life: Life, said: Said) -> None:
    life.turn(said).recalled = True


def _joined(life: Life, said: Said) -> None:
    life.parts[said.data["participation_id"]] = True


def _left(life: Life, said: Said) -> None:
    life.parts[said.data["participation_id"]] = False


def _linkage(state: str) -> Any:
    def step(life: Life, said: Said) -> None:
        life.linkages[said.data["linkage_id"]] = state

    return step


def _clock(state: str | None, shown: str | None) -> Any:
    def step(life: Life, said: Said) -> None:
        deadline = said.data["deadline"]
        id_, due = deadline["clock_id"], deadline["due_at"]
        now = state or life.clocks.get(id_, ("running", ""))[0]
        if state is None and now == FIRED and shown:
            now = f"running or {FIRED}"
        life.clocks[id_] = (now, due)
        if shown:
            life.shown_clocks[id_] = (shown, due)

    return step


# -- mediation -----------------------------------------------------------------------------------


def _accepted(life: Life, said: Said) -> None:
    life.once(said, f"turn {said.data['assignment_id']} was accepted")
    turn = life.turn(said)
    for other in life.turns.values():
        if other is not turn and other.episode == said.episode and other.state == "accepted":
            both = f"{said.data['organisation']} accepted while {other.organisation}"
            life.faults.append((f"{both} held the case", said.event_id))
    if not turn.offered:
        life.faults.append(("an assignment was accepted that nobody offered", said.event_id))
    elif turn.organisation != said.data["organisation"]:
        life.faults.append(
            (
                f"{said.data['organisation']} accepted what {turn.organisation} was offered",
                said.event_id,
            )
        )
    turn.answers.append("accepted")
    life.held_by(said.data["organisation"])


def _returned(life: Life, said: Said) -> None:
    life.once(said, f"turn {said.data['assignment_id']} was returned")
    life.turn(said).answers.append("returned")
    life.held_by(life.organisation)


def _objected(life: Life, said: Said) -> None:
    life.turn(said).answers.append("objected")


def _turn_ended(life: Life, said: Said) -> None:
    life.once(said, f"turn {said.data['assignment_id']} ended")
    life.turn(said).end = said.data["end"]
    if said.data["end"] != "completed":
        life.held_by(life.organisation)


def _appointed(life: Life, said: Said) -> None:
    life.mediators[said.data["mediation_id"]] = said.data["mediator_id"]


def _mediation_ended(life: Life, said: Said) -> None:
    data = said.data
    life.outcomes[data["mediation_id"]] = (data["outcome"], data["succeeded"])


def _consent_given(life: Life, said: Said) -> None:
    life.consents[said.data["consent_id"]] = "given"


def _consent_gone(life: Life, said: Said) -> None:
    life.consents[said.data["consent_id"]] = said.data["state"]


def _session(state: str) -> Any:
    def step(life: Life, said: Said) -> None:
        if state in ("held", "cancelled"):
            life.once(said, f"session {said.data['session_id']} was {state}")
        life.sessions[said.data["session_id"]] = state

    return step


def _effective(life: Life, said: Said) -> None:
    life.once(said, f"agreement {said.data['agreement_id']} took effect")
    life.agreements[said.data["agreement_id"]] = said.data["mediation_id"]
    life.turn(said).agreed = True


def _obligations(life: Life, said: Said) -> None:
    for item in said.data["obligations"]:
        life.obligations[item["obligation_id"]] = item["state"]


def _obligation(state: str) -> Any:
    def step(life: Life, said: Said) -> None:
        life.once(said, f"obligation {said.data['obligation_id']} was {state}")
        life.obligations[said.data["obligation_id"]] = state

    return step


_STEPS: Final[Mapping[str, Any]] = {
    "case.registered.v1": _registered,
    "case.lane-changed.v1": _lane_changed,
    "case.corrected.v1": _corrected,
    "party.left.v1": _party_left,
    "supplement.received.v1": _supplemented,
    "mandate.given.v1": _mandate_given,
    "mandate.revoked.v1": _mandate_revoked,
    "case.linked.v1": _linked("told"),
    "case.unlinked.v1": _linked("ended"),
    "referral.withdrawn.v1": _referral_withdrawn,
    "withdrawal.settled.v1": _withdrawal_settled,
    "case.closed.v1": _closed,
    "case.reopened.v1": _reopened,
    "case.joined.v1": _cases_joined,
    "case.separated.v1": _cases_separated,
    "assignment.offered.v1": _offered,
    "assignment.recalled.v1": _recalled,
    "participant.joined.v1": _joined,
    "participant.left.v1": _left,
    "linkage.requested.v1": _linkage("requested"),
    "linkage.answered.v1": _linkage("answered"),
    "linkage.cancelled.v1": _linkage("cancelled"),
    "deadline.started.v1": _clock("running", "running"),
    "deadline.paused.v1": _clock("paused", "paused"),
    "deadline.resumed.v1": _clock("running", "running"),
    "deadline.changed.v1": _clock(None, "running"),
    "deadline.approaching.v1": _clock(None, None),
    "deadline.missed.v1": _clock(FIRED, "missed"),
    "deadline.miss-withdrawn.v1": _clock("stopped", "stopped"),
    "deadline.stopped.v1": _clock("stopped", "stopped"),
    "assignment.accepted.v1": _accepted,
    "assignment.deemed-accepted.v1": _accepted,
    "assignment.returned.v1": _returned,
    "assignment.objected.v1": _objected,
    "assignment.ended.v1": _turn_ended,
    "mediator.appointed.v1": _appointed,
    "mediation.ended.v1": _mediation_ended,
    "consent.given.v1": _consent_given,
    "consent.withdrawn.v1": _consent_gone,
    "session.scheduled.v1": _session("scheduled"),
    "session.moved.v1": _session("scheduled"),
    "session.held.v1": _session("held"),
    "session.cancelled.v1": _session("cancelled"),
    "agreement.effective.v1": _effective,
    "obligation.changed.v1": _obligations,
    "obligation.performed.v1": _obligation("performed"),
    "obligation.breached.v1": _obligation("breached"),
}
