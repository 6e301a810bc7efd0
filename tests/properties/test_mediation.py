"""A mediation against a plain model: who may do what when, how it ends, and what is told of it.

Mediation is the real one, on PostgreSQL, its acts called over the API and its facts heard as from
Kafka. The model knows parties by a letter and is a few sets and lists.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

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

from services.clock import wire
from services.events.intake import CaseClosed, CaseLaneChanged
from services.events.routing import (
    AcceptanceWindowElapsed,
    AssignmentRecalled,
    DeadlineMissed,
    DeadlineStarted,
)
from services.ids import new_id
from tests.fixtures.servers import PostgresServer
from tests.mediation.world import CENTRE, COURT, Case, World, a_world
from tests.properties import lengths

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(lengths.MOST_SECONDS)]

SIDES = {"A": "applicant", "B": "applicant", "R": "respondent"}
# By the lane: what silence ends a turn as, and whose hand an agreement of a centre needs besides.
SILENCE = {"pm": ("escalate", "escalated"), "court_pre": ("reoffer", "not_confirmed")}
BESIDES = {"pm": {"mediator", "seal"}, "court_pre": set()}
# Minutes from the time the example began: before and after everything that is signed; as it runs.
EARLY, SIGNED, LATE, JUST_NOW = -30, -20, 0, 1
ENOUGH = 1000
CONFIRMING = "mediation:read mediation:write confirmation:read confirmation:write"

# How far a case has come when the walk begins.
FAR = (
    "offered",
    "accepted",
    "appointed",
    "invited",
    "agreed",
    "agreed by a lane change",
    "agreed too late",
    "broken",
    "recalled",
    "to be confirmed",
)

letters = st.sampled_from(sorted(SIDES))
some_letters = st.sets(letters, min_size=1)


@dataclass
class Session:
    """Who was asked to come when, to whom."""

    day: int
    mediator: int
    parties: set[str]
    state: str = "scheduled"


@dataclass
class Agreement:
    """Whom it binds, who has signed, what it promises, how far its confirmation has come."""

    parties: set[str]
    promises: int
    wanted: bool = False
    window_known: bool = False
    applications: list[str] = field(default_factory=list)
    state: str = "draft"
    signed: set[str] = field(default_factory=set)
    at: int = 0


@dataclass
class Obligation:
    """What is owed and how far it has come."""

    state: str = "open"
    paid: int = 0

    @property
    def over(self) -> bool:
        return self.state in ("performed", "waived", "superseded")


class Plain:
    """One turn and its mediation, in plain state; each act answers whether it is allowed."""

    def __init__(self, lane: str) -> None:
        self.lane, self.closed = lane, False
        # What is agreed stays in the lane in which it was concluded, wherever the case goes.
        self.concluded_in = lane
        self.turn: tuple[str, str | None, str | None] = ("offered", None, None)
        self.state: str | None = None
        self.outcome: str | None = None
        self.mediator: int | None = None
        self.consents: dict[str, str] = {}
        self.gone: set[str] = set()
        self.sessions: list[Session] = []
        self.agreements: list[Agreement] = []
        self.obligations: list[Obligation] = []
        self.told: list[tuple[str, str | None]] = []

    @property
    def agreement(self) -> Agreement | None:
        """The one that is not void."""
        return next((a for a in self.agreements if a.state != "void"), None)

    @property
    def missing(self) -> set[str]:
        """Who has left, or has said no to mediating while it goes on."""
        noes = {p for p, word in self.consents.items() if word != "given"}
        return self.gone | (noes if self.state in ("open", "agreed") else set())

    def _side_is_empty(self, party: str) -> bool:
        return not any(SIDES[p] == SIDES[party] for p in SIDES.keys() - self.missing)

    def works(self) -> bool:
        return self.state == "open" and not self.closed

    # -- the turn --------------------------------------------------------------------------------

    def accept(self) -> bool:
        if self.turn[0] != "offered" or self.closed:
            return False
        self.turn, self.state = ("accepted", None, None), "open"
        self.told.append(("assignment.accepted", None))
        return True

    def _turn_over(self, end: str, outcome: str | None) -> None:
        if self.turn[0] in ("offered", "accepted"):
            self.turn = ("ended", end, outcome)
            self.told.append(("assignment.ended", f"{end} {outcome}"))

    def window_elapses(self) -> None:
        if self.turn[0] == "offered":
            self._turn_over(SILENCE[self.lane][1], None)

    def recall(self) -> None:
        if self.turn[0] not in ("offered", "accepted") or self.state == "agreed":
            return
        if self.state == "open":
            self._call_off("recalled")
            self._drafts_fall()
            self.state, self.outcome = "ended", "recalled"
        self._turn_over("recalled", None)

    # -- the work --------------------------------------------------------------------------------

    def appoint(self, mediator: int, relation: str | None, kind: str, waived: set[str]) -> bool:
        there = SIDES.keys() - self.missing
        barred = relation in there and (kind == "earlier_role" or not there <= waived)
        if not self.works() or mediator == self.mediator or barred:
            return False
        self.mediator = mediator
        self.told.append(("mediator.appointed", None))
        if self.agreement:
            self._effect_if_signed(self.agreement, JUST_NOW)
        return True

    def consent(self, party: str, state: str) -> bool:
        """``given`` or ``refused`` newly said, or ``withdrawn`` of one that was given."""
        if state == "given" and (self.closed or self.state is None):
            return False
        if self.consents.get(party) == state:
            return True
        if state == "given":
            if self.state == "ended" or party in self.gone:
                return False
            self.consents[party] = state
            self.told.append(("consent.given", None))
            return True
        if state == "withdrawn" and self.consents.get(party) != "given":
            return True
        self.consents[party] = state
        if not self.closed:
            self.told.append(("consent.withdrawn", state))
            if self.state == "open" and party not in self.gone:
                if self._side_is_empty(party):
                    self._finish("refused")
                else:
                    self._go_on_without(party, "consent_refused")
        return True

    def _go_on_without(self, party: str, reason: str) -> None:
        if self.agreement and party in self.agreement.parties:
            self._drafts_fall()
        for session in self.sessions:
            if session.state == "scheduled" and session.parties == {party}:
                session.state = "cancelled"
                self.told.append(("session.cancelled", reason))
            elif session.state == "scheduled":
                session.parties.discard(party)

    def schedule(self, parties: set[str], day: int) -> bool:
        if not self.works() or self.mediator is None or parties & self.missing:
            return False
        if any(
            s.day == day
            and s.state in ("scheduled", "held")
            and (s.mediator == self.mediator or s.parties & parties)
            for s in self.sessions
        ):
            return False
        self.sessions.append(Session(day, self.mediator, set(parties)))
        self.told.append(("session.scheduled", None))
        return True

    def cancel(self, session: Session) -> bool:
        if session.state != "scheduled" or self.closed:
            return False
        session.state = "cancelled"
        self.told.append(("session.cancelled", "party-asked"))
        return True

    def hold(self, session: Session, came: set[str], rights_told: bool) -> bool:
        said_yes = {p for p, word in self.consents.items() if word == "given"}
        allowed = rights_told and came <= session.parties and came <= said_yes
        if session.state != "scheduled" or self.closed or not allowed:
            return False
        session.state = "held"
        self.told.append(("session.held", None))
        return True

    def _call_off(self, reason: str) -> None:
        for session in self.sessions:
            if session.state == "scheduled":
                session.state = "cancelled"
                self.told.append(("session.cancelled", reason))

    # -- agreements ------------------------------------------------------------------------------

    def _drafts_fall(self) -> None:
        for agreement in self.agreements:
            if agreement.state == "draft":
                agreement.state = "void"

    def draft(self, parties: set[str], form: str, promises: int, wanted: bool) -> bool:
        both = {SIDES[p] for p in parties} == {"applicant", "respondent"}
        written = form == "paper" or self.lane == "pm"
        if not self.works() or self.mediator is None or parties & self.missing:
            return False
        if not both or not written:
            return False
        self._drafts_fall()
        self.agreements.append(Agreement(set(parties), promises, wanted))
        if form == "oral":
            self._effect(self.agreements[-1], SIGNED)
        return True

    def sign(self, agreement: Agreement, signer: str) -> bool:
        name = f"mediator {self.mediator}" if signer == "mediator" else signer
        if name in agreement.signed:
            return True
        if agreement.state != "draft" or self.closed:
            return False
        if signer in SIDES and signer not in agreement.parties:
            return False
        agreement.signed.add(name)
        self._effect_if_signed(agreement, SIGNED)
        return True

    def _effect_if_signed(self, agreement: Agreement, at: int) -> None:
        needed = {
            f"mediator {self.mediator}" if hand == "mediator" else hand
            for hand in agreement.parties | BESIDES[self.lane]
        }
        if agreement.signed >= needed:
            self._effect(agreement, at)

    def _effect(self, agreement: Agreement, at: int) -> None:
        agreement.state, agreement.at = "effective", at
        self.obligations = [Obligation() for _ in range(agreement.promises)]
        self.told.append(("agreement.effective", None))
        if self.obligations:
            self.told.append(("obligation.changed", None))
        self._call_off("agreed")
        oral = not agreement.signed
        self.state, self.outcome = "agreed", "agreed_oral" if oral else "agreed_written"
        self.concluded_in = self.lane
        self.told.append(("mediation.ended", self.outcome))
        self._complete_if_kept()

    def _complete_if_kept(self) -> None:
        kept = all(o.over for o in self.obligations)
        if self.state == "agreed" and kept and not self._confirmation_awaited():
            self.state = "ended"
            self._turn_over("completed", self.outcome)

    # -- confirmation ----------------------------------------------------------------------------

    def _confirmation_awaited(self) -> bool:
        """A court has still to decide, or who means to apply has not done so."""
        return any(
            "applied" in a.applications
            or (a.state == "effective" and a.wanted and not a.applications)
            for a in self.agreements
        )

    def apply(self, agreement: Agreement, joint: bool) -> bool | None:
        """None: allowed, but the window's end is not known yet."""
        lasting = {"applied", "confirmed"} & set(agreement.applications)
        if self.closed or agreement.state != "effective" or lasting or not joint:
            return False
        if not agreement.window_known:
            return None
        agreement.applications.append("applied")
        self.told.append(("confirmation.applied", None))
        return True

    def decide(self, agreement: Agreement, confirmed: bool) -> bool:
        if self.closed or agreement.applications[-1] != "applied":
            return False
        if confirmed and agreement.state != "effective":
            return False
        agreement.applications[-1] = "confirmed" if confirmed else "refused"
        self.told.append(("confirmation.decided", agreement.applications[-1]))
        self._complete_if_kept()
        return True

    def window_ends(self, agreement: Agreement) -> None:
        if agreement.wanted and not self.closed:
            agreement.wanted = False
            self._complete_if_kept()

    # -- performance -----------------------------------------------------------------------------

    def perform(self, owed: Obligation, amount: int | None) -> bool:
        paid = ENOUGH if amount is None else owed.paid + amount
        if owed.over or self.closed or not owed.paid < paid <= ENOUGH:
            return False
        owed.paid = paid
        if paid == ENOUGH:
            owed.state = "performed"
            self.told.append(("obligation.performed", None))
            self._complete_if_kept()
        return True

    def waive(self, owed: Obligation) -> bool:
        if owed.over or self.closed:
            return False
        owed.state = "waived"
        self.told.append(("obligation.changed", None))
        self._complete_if_kept()
        return True

    def break_(self, owed: Obligation) -> bool:
        if owed.state != "open" or self.closed:
            return False
        owed.state = "breached"
        self.told.append(("obligation.breached", None))
        return True

    # -- the end ---------------------------------------------------------------------------------

    def end(self, outcome: str, told: bool, report: bool) -> bool:
        if self.closed or self.state in (None, "ended"):
            return False
        lane = self.concluded_in if self.state == "agreed" else self.lane
        if outcome != "agreed_written" and not (told and (report or lane == "pm")):
            return False
        if self.state == "agreed":
            if outcome != "transferred_other" or any(o.state == "open" for o in self.obligations):
                return False
            if self._confirmation_awaited():
                return False
            self.state = "ended"
            self._turn_over("failed", outcome)
            return True
        if outcome == "agreed_written":
            return False
        self._finish(outcome)
        return True

    def _finish(self, outcome: str, *, left: bool = False) -> None:
        self._call_off("party_left" if left else "mediation_ended")
        self.state, self.outcome = "ended", outcome
        self.told.append(("mediation.ended", outcome))
        self._turn_over("failed", outcome)

    def leave(self, party: str, at: int) -> None:
        self.gone.add(party)
        empty = self._side_is_empty(party)
        outcome = "withdrawn" if SIDES[party] == "applicant" else "refused"
        agreement = self.agreement
        if self.state == "agreed":
            if agreement and agreement.at > at and (empty or party in agreement.parties):
                agreement.state = "void"
                for owed in self.obligations:
                    owed.state = "superseded"
                self.told.append(("obligation.changed", None))
                self.state, self.outcome = "ended", outcome
                self.told.append(("mediation.ended", outcome))
                self._turn_over("failed", outcome)
        elif self.state == "open" and empty:
            self._drafts_fall()
            self._finish(outcome, left=True)
        elif self.state == "open":
            self._go_on_without(party, "party_left")
        elif self.turn[0] == "offered" and empty:
            self._finish(outcome, left=True)

    def change_lane(self, lane: str) -> None:
        self.lane = lane
        agreement = self.agreement
        if self.state == "open" and agreement:
            self._effect_if_signed(agreement, LATE)


class Mediations(RuleBasedStateMachine):
    """One case at a centre."""

    def __init__(self, runner: asyncio.Runner, world: World, far: str) -> None:
        super().__init__()
        self.run, self.world, self.far = runner.run, world, far
        self.plain: Plain | None = None

    @initialize(
        lane=st.sampled_from(sorted(SILENCE)),
        willing=st.sets(letters),
        data=st.data(),
    )
    def begin(self, lane: str, willing: set[str], data: st.DataObject) -> None:
        """A case at some point of its life: half of what matters happens far from the start."""
        self._offer(lane)
        far, step = self.far, FAR.index(self.far)
        if step >= FAR.index("accepted"):
            self.desk_accepts()
        if step >= FAR.index("appointed"):
            self.mediator_is_appointed(0, None, "", set())
            for party in sorted(willing):
                self.party_speaks(party, "given")
        if far == "invited":
            self.session_is_set(set(SIDES), 1)
            if self.plain and self.plain.sessions:
                self._hold(0, set(SIDES), told=True)
            # Nobody comes to both, but one mediator cannot be in two rooms.
            self.session_is_set({"A"}, 2)
            self.session_is_set({"R"}, 2)
        if step >= FAR.index("agreed"):
            by_lane = far == "agreed by a lane change"
            if by_lane:
                self.lane_changes("pm")
            self.agreement_is_drafted({"A", "R"}, "paper", 2, far == "to be confirmed")
            self.some_sign(data, {"A", "R"} | (set() if by_lane else {"mediator", "seal"}))
            if by_lane:
                self.lane_changes("court_pre")
                self.party_leaves("R", LATE)
        if far == "agreed too late":
            self.party_leaves("R", EARLY)
        if far == "broken":
            self._break(0)
            self._perform(1, None)
        if far == "recalled":
            self.turn_is_recalled()
            self._perform(0, None)
            self._perform(1, None)

        if far == "to be confirmed":
            self._perform(0, None)
            self._perform(1, None)
            self.window_is_told(data)

    def _offer(self, lane: str) -> None:
        self.run(self.world.begin_anew())
        second = {"party_id": str(new_id()), "role": "applicant", "kind": "person"}
        self.case = Case(new_id(), lane, others=(second,))
        self.run(self.world.register(self.case))
        self.run(self.world.offer(self.case))
        self.mediators = self.run(self.world.mediators())[:2]
        self.ids = {"A": str(self.case.applicant), "B": second["party_id"]}
        self.ids["R"] = str(self.case.respondent)
        self.letters = {id_: letter for letter, id_ in self.ids.items()}
        self.plain = Plain(lane)

    def _now_and_then(self) -> bool:
        """What is over can only be refused: asked for rarely, so that the rest has its turn."""
        assert self.plain is not None
        return self.plain.state is not None and len(self.plain.told) % 4 == 0

    def _matters(self, state: str) -> bool:
        assert self.plain is not None
        some = (*self.plain.sessions, *self.plain.agreements)
        return any(each.state == state for each in some) or self._now_and_then()

    # -- asking ----------------------------------------------------------------------------------

    def _ask(
        self,
        allowed: bool | None,
        path: str,
        body: dict[str, Any],
        version: int | None = None,
        **more: Any,
    ) -> None:
        answer = self.run(self.world.call("POST", path, body, version=version, **more))
        expected = {True: (200, 201), False: (409, 422), None: (503,)}[allowed]
        assert answer.status_code in expected, (path, body, answer.status_code, answer.text)

    def _rows(self, table: str, order: str) -> list[Any]:
        sql = f"SELECT * FROM {table} WHERE case_id = $1 ORDER BY {order}"
        return self.run(self.world.runtime.pool.fetch(sql, self.case.case_id))

    def _act(self, allowed: bool, part: str, body: dict[str, Any]) -> None:
        """An act on the mediation, its version as it is."""
        row = self._rows("mediation", "mediation_id")[0]
        self._ask(
            allowed, f"/v1/mediations/{row['mediation_id']}/{part}", body, version=row["version"]
        )

    def _at(self, minutes: int) -> Any:
        return self.world.now + timedelta(minutes=minutes)

    def _of(self, parties: set[str]) -> list[str]:
        return [self.ids[party] for party in sorted(parties)]

    # -- the turn --------------------------------------------------------------------------------

    @precondition(lambda self: self.plain.state is None)
    @rule()
    def desk_accepts(self) -> None:
        assert self.plain is not None
        row = self._rows("assignment", "ordinal")[0]
        path = f"/v1/queue/{row['assignment_id']}/accept"
        self._ask(self.plain.accept(), path, {}, version=row["version"])

    @precondition(lambda self: self.plain.state is None or len(self.plain.told) > 8)
    @rule()
    def window_elapses(self) -> None:
        assert self.plain is not None
        event = AcceptanceWindowElapsed(
            case_id=self.case.case_id,
            assignment_id=self.case.assignment_id,
            organisation=CENTRE,
            on_silence=SILENCE[self.plain.lane][0],
            accept_by=self._at(60 * 24 * 3),
            elapsed_at=self._at(LATE),
        )
        self.run(self.world.hear(self.case, "routing", event))
        self.plain.window_elapses()

    @precondition(lambda self: len(self.plain.told) > 6)
    @rule()
    def turn_is_recalled(self) -> None:
        assert self.plain is not None
        event = AssignmentRecalled(
            case_id=self.case.case_id,
            assignment_id=self.case.assignment_id,
            organisation=CENTRE,
            ground="source-withdrew",
            recalled_at=self._at(LATE),
        )
        self.run(self.world.hear(self.case, "routing", event, again=2))
        if not self.plain.closed:
            self.plain.recall()

    # -- the work --------------------------------------------------------------------------------

    @precondition(lambda self: self.plain.state == "open" or self._now_and_then())
    @rule(
        mediator=st.integers(0, 1),
        relation=st.none() | letters,
        kind=st.sampled_from(["near_relative", "earlier_role"]),
        waived=st.sampled_from([set(), {"A"}, {"A", "R"}, set(SIDES)]),
    )
    def mediator_is_appointed(
        self, mediator: int, relation: str | None, kind: str, waived: set[str]
    ) -> None:
        assert self.plain is not None
        declared = [{"kind": kind, "party_id": self.ids[relation]}] if relation else []
        body = {
            "mediator_id": self.mediators[mediator]["mediator_id"],
            "declared": declared,
            "waived_by": self._of(waived),
            "reason": "换人",
        }
        self._act(self.plain.appoint(mediator, relation, kind, waived), "mediators", body)

    @precondition(lambda self: self.plain.state == "open" or self._now_and_then())
    @rule(party=letters, state=st.sampled_from(["given", "given", "given", "refused"]))
    def party_speaks(self, party: str, state: str) -> None:
        assert self.plain is not None
        body = {"party_id": self.ids[party], "step": "mediate", "state": state, "channel": "phone"}
        self._act(self.plain.consent(party, state), "consents", body)

    @precondition(lambda self: len(self.plain.consents) > 1)
    @rule(party=letters)
    def party_withdraws(self, party: str) -> None:
        assert self.plain is not None
        rows = self._rows("consent", "recorded_at, id")
        mine = [row for row in rows if str(row["party_id"]) == self.ids[party]]
        if mine:
            allowed = self.plain.consent(party, "withdrawn")
            self._ask(allowed, f"/v1/consents/{mine[-1]['id']}/withdrawals", {})

    @precondition(lambda self: self.plain.state == "open" or self._now_and_then())
    @rule(parties=some_letters, day=st.integers(1, 2))
    def session_is_set(self, parties: set[str], day: int) -> None:
        assert self.plain is not None
        starts = self._at(60 * 24 * day)
        body = {
            "mode": "online",
            "parties": self._of(parties),
            "starts_at": wire(starts),
            "ends_at": wire(starts + timedelta(hours=2)),
        }
        self._act(self.plain.schedule(parties, day), "sessions", body)

    @precondition(lambda self: self.plain.sessions and self._matters("scheduled"))
    @rule(data=st.data(), came=some_letters, told=st.sampled_from([True, True, False]))
    def session_is_held(self, data: st.DataObject, came: set[str], told: bool) -> None:
        assert self.plain is not None
        place = data.draw(st.integers(0, len(self.plain.sessions) - 1))
        parties = self.plain.sessions[place].parties
        self._hold(place, data.draw(st.sampled_from([came, parties or came])), told)

    def _hold(self, place: int, came: set[str], told: bool) -> None:
        assert self.plain is not None
        session, row = self.plain.sessions[place], self._rows("session", "session_id")[place]
        body = {
            "attended": self._of(came),
            "rights_told": told,
            "identity_checked": True,
            "false_mediation_warned": True,
        }
        allowed = self.plain.hold(session, came, told)
        self._ask(allowed, f"/v1/sessions/{row['session_id']}/held", body, version=row["version"])

    @precondition(lambda self: self.plain.sessions and self._matters("scheduled"))
    @rule(data=st.data())
    def session_is_cancelled(self, data: st.DataObject) -> None:
        assert self.plain is not None
        place = data.draw(st.integers(0, len(self.plain.sessions) - 1))
        session, row = self.plain.sessions[place], self._rows("session", "session_id")[place]
        path = f"/v1/sessions/{row['session_id']}/cancellations"
        allowed = self.plain.cancel(session)
        self._ask(allowed, path, {"reason": "party-asked"}, version=row["version"])

    # -- agreements ------------------------------------------------------------------------------

    @precondition(lambda self: self.plain.state == "open" or self._now_and_then())
    @rule(
        parties=st.sampled_from([{"A", "R"}, {"A", "B", "R"}, {"A", "B"}, {"B", "R"}]),
        form=st.sampled_from(["paper", "paper", "oral"]),
        promises=st.integers(0, 2),
        wanted=st.booleans(),
    )
    def agreement_is_drafted(
        self, parties: set[str], form: str, promises: int, wanted: bool
    ) -> None:
        assert self.plain is not None
        one, other = sorted(parties)[0], sorted(parties)[-1]
        promise = {
            "kind": "pay",
            "debtor": self.ids[other],
            "creditor": self.ids[one],
            "amount_fen": ENOUGH,
            "due_on": self._at(60 * 24 * 10).date().isoformat(),
        }
        clauses = [{"kind": "fact", "text": "欠款"}]
        clauses += [{"kind": "obligation", "text": "归还", "obligation": promise}] * promises
        body: dict[str, Any] = {"form": form, "parties": self._of(parties), "clauses": clauses}
        body["to_be_confirmed"] = wanted
        if form == "oral":
            body["agreed_at"] = wire(self._at(SIGNED))
        self._act(self.plain.draft(parties, form, promises, wanted), "agreements", body)

    @precondition(lambda self: self.plain.agreements and self._matters("draft"))
    @rule(data=st.data(), signers=st.sets(st.sampled_from([*SIDES, "mediator", "seal"])))
    def some_sign(self, data: st.DataObject, signers: set[str]) -> None:
        assert self.plain is not None
        place = data.draw(st.integers(0, len(self.plain.agreements) - 1))
        row = self._rows("agreement", "agreement_id")[place]
        names = {"seal": CENTRE, "mediator": self.mediators[self.plain.mediator or 0]["staff_id"]}
        for signer in sorted(signers):
            body = {
                "signer_kind": "party" if signer in SIDES else signer,
                "signer": self.ids.get(signer) or names[signer],
                "signed_at": wire(self._at(SIGNED)),
                "text_sha256": row["text_sha256"],
            }
            allowed = self.plain.sign(self.plain.agreements[place], signer)
            self._ask(allowed, f"/v1/agreements/{row['agreement_id']}/signatures", body)

    # -- confirmation ----------------------------------------------------------------------------

    def _an_agreement(self, data: st.DataObject) -> tuple[Agreement, Any]:
        assert self.plain is not None
        place = data.draw(st.integers(0, len(self.plain.agreements) - 1))
        return self.plain.agreements[place], self._rows("agreement", "agreement_id")[place]

    def _window(self, agreement_id: UUID) -> dict[str, Any]:
        due_at = self._at(60 * 24 * 30)
        deadline = self.world.clock("confirmation", agreement_id, due_at)
        return {"case_id": self.case.case_id, "deadline": deadline}

    @precondition(lambda self: self.plain.agreements and not self.plain.closed)
    @rule(data=st.data())
    def window_is_told(self, data: st.DataObject) -> None:
        agreement, row = self._an_agreement(data)
        told = self._window(row["agreement_id"])
        event = DeadlineStarted(**told, started_at=self._at(LATE))
        self.run(self.world.hear(self.case, "routing", event))
        agreement.window_known = True

    @precondition(lambda self: self.plain.agreements and not self.plain.closed)
    @rule(data=st.data())
    def window_ends(self, data: st.DataObject) -> None:
        assert self.plain is not None
        agreement, row = self._an_agreement(data)
        told = self._window(row["agreement_id"])
        event = DeadlineMissed(**told, on_expiry="alert", missed_at=self._at(LATE))
        self.run(self.world.hear(self.case, "routing", event, again=2))
        agreement.window_known = True
        self.plain.window_ends(agreement)

    @precondition(lambda self: self.plain.agreements and self._matters("effective"))
    @rule(data=st.data(), joint=st.sampled_from([True, True, False]))
    def parties_apply(self, data: st.DataObject, joint: bool) -> None:
        assert self.plain is not None
        agreement, row = self._an_agreement(data)
        parties = self._of(agreement.parties if joint else set(SIDES) ^ {"R"})
        body = {"court": COURT, "applied_by": parties}
        path = f"/v1/agreements/{row['agreement_id']}/confirmations"
        allowed = self.plain.apply(agreement, set(parties) == set(self._of(agreement.parties)))
        self._ask(allowed, path, body, version=row["version"], scopes=CONFIRMING)

    @precondition(lambda self: any(a.applications for a in self.plain.agreements))
    @rule(data=st.data(), confirmed=st.booleans())
    def court_decides(self, data: st.DataObject, confirmed: bool) -> None:
        assert self.plain is not None
        applied = [a for a in self.plain.agreements if a.applications]
        agreement = data.draw(st.sampled_from(applied))
        place = self.plain.agreements.index(agreement)
        id_ = self._rows("agreement", "agreement_id")[place]["agreement_id"]
        rows = self._rows("confirmation", "confirmation_id")
        row = [each for each in rows if each["agreement_id"] == id_][-1]
        body = {"confirmed": confirmed, "ground": None if confirmed else "unclear"}
        path = f"/v1/confirmations/{row['confirmation_id']}/decisions"
        allowed = self.plain.decide(agreement, confirmed)
        self._ask(allowed, path, body, version=row["version"], by=COURT, scopes=CONFIRMING)

    def _obligation(self, place: int) -> tuple[Obligation, Any]:
        assert self.plain is not None
        return self.plain.obligations[place], self._rows("obligation", "ordinal")[place]

    def _which(self, data: st.DataObject) -> int:
        assert self.plain is not None
        return data.draw(st.integers(0, len(self.plain.obligations) - 1))

    def _perform(self, place: int, amount: int | None) -> None:
        assert self.plain is not None
        owed, row = self._obligation(place)
        body = {"amount_fen": amount, "proved_by": "creditor"}
        path = f"/v1/obligations/{row['obligation_id']}/performances"
        self._ask(self.plain.perform(owed, amount), path, body, version=row["version"])

    def _break(self, place: int) -> None:
        assert self.plain is not None
        owed, row = self._obligation(place)
        path = f"/v1/obligations/{row['obligation_id']}/breaches"
        self._ask(self.plain.break_(owed), path, {"declared": True}, version=row["version"])

    @precondition(lambda self: self.plain.obligations)
    @rule(data=st.data(), amount=st.sampled_from([None, 0, 400, 600, ENOUGH]))
    def obligation_is_performed(self, data: st.DataObject, amount: int | None) -> None:
        self._perform(self._which(data), amount)

    @precondition(lambda self: self.plain.obligations)
    @rule(data=st.data())
    def obligation_is_waived(self, data: st.DataObject) -> None:
        assert self.plain is not None
        owed, row = self._obligation(self._which(data))
        path = f"/v1/obligations/{row['obligation_id']}/performances"
        body = {"proved_by": "creditor", "waived": True}
        self._ask(self.plain.waive(owed), path, body, version=row["version"])

    @precondition(lambda self: self.plain.obligations)
    @rule(data=st.data())
    def obligation_is_broken(self, data: st.DataObject) -> None:
        self._break(self._which(data))

    # -- the end ---------------------------------------------------------------------------------

    @precondition(lambda self: self.plain.state and len(self.plain.told) > 4)
    @rule(
        outcome=st.sampled_from(["no_agreement", "transferred_other", "agreed_written"]),
        told=st.booleans(),
        report=st.booleans(),
    )
    def desk_ends(self, outcome: str, told: bool, report: bool) -> None:
        assert self.plain is not None
        body: dict[str, Any] = {"outcome": outcome, "remedies_told": told}
        if report:
            body["report"] = {"basics": "分歧较大", "cause": "利息"}
        self._act(self.plain.end(outcome, told, report), "endings", body)

    @precondition(lambda self: len(self.plain.told) > 3 and not self.plain.closed)
    @rule(party=letters, at=st.sampled_from([EARLY, LATE]))
    def party_leaves(self, party: str, at: int) -> None:
        assert self.plain is not None
        if party in self.plain.gone:
            return
        self.run(self.world.leave(self.case, self._at(at), UUID(self.ids[party]), SIDES[party]))
        self.plain.leave(party, at)

    @precondition(lambda self: not self.plain.closed)
    @rule(lane=st.sampled_from(sorted(SILENCE)))
    def lane_changes(self, lane: str) -> None:
        assert self.plain is not None
        if lane == self.plain.lane:
            return
        event = CaseLaneChanged(
            case_id=self.case.case_id,
            from_lane=self.plain.lane,
            to_lane=lane,
            ground="filed",
            decided_by=COURT,
            changed_at=self._at(LATE),
        )
        self.run(self.world.hear(self.case, "intake", event))
        self.plain.change_lane(lane)

    @precondition(lambda self: self.plain.turn[0] == "ended" and not self.plain.closed)
    @rule()
    def case_closes(self) -> None:
        assert self.plain is not None
        event = CaseClosed(case_id=self.case.case_id, outcome="x", closed_at=self._at(LATE))
        self.run(self.world.hear(self.case, "intake", event))
        self.plain.closed = True

    # -- both ------------------------------------------------------------------------------------

    @invariant()
    def mediation_is_as_the_model(self) -> None:
        plain = self.plain
        if plain is None:
            return
        appointed = None if plain.mediator is None else self.mediators[plain.mediator]
        assert self.run(self._found()) == {
            "assignment": [list(plain.turn)],
            "mediation": []
            if plain.state is None
            else [[plain.state, plain.outcome, appointed and appointed["mediator_id"]]],
            "consent": sorted([self.ids[p], word] for p, word in plain.consents.items()),
            "session": [[s.state, self._of(s.parties)] for s in plain.sessions],
            "agreement": [a.state for a in plain.agreements],
            "obligation": [[o.state, o.paid] for o in plain.obligations],
            "confirmation": sorted(state for a in plain.agreements for state in a.applications),
        }
        assert self.run(self._told()) == plain.told

    async def _found(self) -> dict[str, Any]:
        """The state of everything, as one value."""
        wanted = {
            "assignment": ('[state, "end", outcome]', "ordinal"),
            "mediation": ("[state, outcome, mediator_id]", "mediation_id"),
            "consent": ("[party_id, state]", "party_id"),
            "session": ("[state, parties]", "session_id"),
            "agreement": ("state", "agreement_id"),
            "obligation": ("[state, paid_fen]", "recorded_at, ordinal"),
            "confirmation": ("state", "state"),
        }
        parts = ", ".join(
            f"""'{table}', (SELECT coalesce(jsonb_agg({_json(what)} ORDER BY {order}), '[]')
                FROM {table} WHERE case_id = $1{" AND NOT superseded" * (table == "consent")})"""
            for table, (what, order) in wanted.items()
        )
        found: dict[str, Any] = await self.world.runtime.pool.fetchval(
            f"SELECT jsonb_build_object({parts})", self.case.case_id
        )
        everybody = self._of(set(SIDES))
        found["consent"].sort()
        found["session"] = [
            [state, sorted(parties, key=everybody.index)] for state, parties in found["session"]
        ]
        return found

    async def _told(self) -> list[tuple[str, str | None]]:
        details = {
            "assignment.ended": lambda data: f"{data['end']} {data.get('outcome')}",
            "mediation.ended": lambda data: data["outcome"],
            "session.cancelled": lambda data: data["reason"],
            "consent.withdrawn": lambda data: data["state"],
            "confirmation.decided": lambda data: "confirmed" if data["confirmed"] else "refused",
        }
        return [
            (name, details[name](data) if name in details else None)
            for name, data in await self.world.emitted(self.case)
        ]


def _json(what: str) -> str:
    return f"jsonb_build_array({what[1:-1]})" if what.startswith("[") else what


@pytest.fixture(scope="module")
def place(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[asyncio.Runner, World]]:
    """Mediation, and the loop that it runs in."""
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        keys = tmp_path_factory.mktemp("keys")
        yield runner, runner.run(opened.enter_async_context(a_world(postgres_server, keys)))
        runner.run(opened.aclose())


@pytest.mark.parametrize("far", FAR)
def test_a_mediation_goes_as_the_model_says(place: tuple[asyncio.Runner, World], far: str) -> None:
    run_state_machine_as_test(lambda: Mediations(*place, far), settings=lengths.of(3, 9))
