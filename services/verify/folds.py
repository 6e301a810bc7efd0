"""State is the fold of the events: every service's rows against the life its events tell."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from services.clock import wire
from services.verify.databases import side_by_side
from services.verify.holders import differences as of_holder
from services.verify.life import Life, Said, live
from services.verify.look import Look
from services.verify.report import Checked
from services.verify.run import NAMES

REGISTERED: Final = "liandiao.case.registered.v1"
Rows = Mapping[str, list[Any]]
Difference = tuple[str, str]

_EVENTS: Final = """
SELECT key, event_id, sequence, type, headers, data FROM outbox
WHERE topic = $1 ORDER BY key, sequence
"""
# Name of the stream -> service and statement; every one is sorted by the case.
_STATE: Final[dict[str, tuple[str, str]]] = {
    "file": ("intake", "SELECT case_id::text AS key, * FROM case_file ORDER BY case_id"),
    "turn heard": ("intake", "SELECT case_id::text AS key, * FROM assignment t ORDER BY t.case_id"),
    "deadline": ("intake", "SELECT case_id::text AS key, * FROM deadline t ORDER BY t.case_id"),
    "party": ("intake", "SELECT case_id::text AS key, * FROM party t ORDER BY t.case_id"),
    "supplement": ("intake", "SELECT case_id::text AS key, * FROM supplement t ORDER BY t.case_id"),
    **{
        f"mandate at {name}": (
            name,
            """SELECT case_id::text AS key, mandate_id,
                 CASE WHEN revoked_at IS NULL THEN 'in force' ELSE 'revoked' END AS state
               FROM mandate ORDER BY case_id""",
        )
        for name in ("intake", "mediation")
    },
    "withdrawal": ("intake", "SELECT case_id::text AS key, * FROM withdrawal t ORDER BY t.case_id"),
    "holding": ("intake", "SELECT case_id::text AS key, * FROM holding t ORDER BY t.case_id, id"),
    "join": (
        "intake",
        """SELECT key, join_id, side FROM (
             SELECT surviving_case_id::text AS key, join_id, 'surviving' AS side, undone_at
             FROM case_join
             UNION ALL SELECT joined_case_id::text, join_id, 'joined', undone_at FROM case_join) j
           WHERE undone_at IS NULL ORDER BY key""",
    ),
    "routed": ("routing", "SELECT case_id::text AS key, * FROM routed_case t ORDER BY t.case_id"),
    "turn": ("routing", "SELECT case_id::text AS key, * FROM assignment t ORDER BY t.case_id"),
    "clock": ("routing", "SELECT case_id::text AS key, * FROM clock t ORDER BY t.case_id"),
    "linkage": ("routing", "SELECT case_id::text AS key, * FROM linkage t ORDER BY t.case_id"),
    "item": ("mediation", "SELECT case_id::text AS key, * FROM assignment t ORDER BY t.case_id"),
    "mediation": (
        "mediation",
        "SELECT case_id::text AS key, * FROM mediation t ORDER BY t.case_id",
    ),
    "consent": ("mediation", "SELECT case_id::text AS key, * FROM consent t ORDER BY t.case_id"),
    "session": ("mediation", "SELECT case_id::text AS key, * FROM session t ORDER BY t.case_id"),
    "agreement": (
        "mediation",
        "SELECT case_id::text AS key, * FROM agreement t ORDER BY t.case_id",
    ),
    "obligation": (
        "mediation",
        "SELECT case_id::text AS key, * FROM obligation t ORDER BY t.case_id",
    ),
    "copy": (
        "notification",
        "SELECT case_id::text AS key, * FROM case_copy t ORDER BY t.case_id",
    ),
    **{
        f"round at {name}": (
            name,
            "SELECT case_id::text AS key, * FROM case_stream t ORDER BY t.case_id",
        )
        for name in NAMES
    },
    **{
        f"parts at {name}": (
            name,
            "SELECT case_id::text AS key, * FROM participation t ORDER BY t.case_id",
        )
        for name in NAMES
    },
}


async def check(look: Look, done: Checked, holders: Checked) -> None:
    """Fold each case once; what it says of the holder goes to ``holders``."""
    found = look.databases
    streams = {_events_of(n): found.rows(n, _EVENTS, look.run.cases_topic) for n in NAMES}
    streams |= {name: found.rows(*statement) for name, statement in _STATE.items()}
    async for case_id, rows in side_by_side(streams, "key"):
        try:
            events = [_said(name, row) for name in NAMES for row in rows[_events_of(name)]]
            if any(event.type == REGISTERED for event in events) or rows["file"]:
                _compare(live(case_id, events), rows, done, holders)
        except (KeyError, TypeError, ValueError) as error:
            done.items += 1
            done.found(
                f"the events of the case cannot be folded: {error!r}",
                "an event's data was changed: compare its outbox row with the topic",
                case_id=case_id,
            )


def _compare(life: Life, rows: Rows, done: Checked, holders: Checked) -> None:
    done.items += 1
    holders.items += 1
    for message, event_id in life.faults:
        target = holders if "held the case" in message else done
        target.found(message, _TWICE, case_id=life.case_id, event_id=event_id)
    for service, message in _differences(life, rows):
        done.found(message, _STATE_REMEDY, service=service, case_id=life.case_id)
    for message in of_holder(life, rows):
        holders.found(message, _HOLDER_REMEDY, service="intake", case_id=life.case_id)


def _events_of(name: str) -> str:
    return f"events of {name}"


def _said(source: str, row: Any) -> Said:
    headers = dict(orjson.loads(row["headers"]))
    return Said(
        str(row["event_id"]),
        source,
        row["sequence"],
        int(headers.get("ce_episode", "1")),
        row["type"],
        orjson.loads(row["data"]),
    )


_TWICE: Final = "one act had two effects, or an act the state did not allow: look at both events"
_STATE_REMEDY: Final = (
    "state was changed without an event, or an event without its state: `liandiao timeline` of the "
    "case; then correct the state by an act, not by hand"
)
_HOLDER_REMEDY: Final = "say by a settlement who holds the case; find which event was not heard"


def _differences(life: Life, rows: Rows) -> Iterator[Difference]:
    for compare in _COMPARISONS:
        yield from compare(life, rows)


def _case(life: Life, rows: Rows) -> Iterator[Difference]:
    if not rows["file"]:
        yield "intake", "the case has events and no file"
        return
    if life.number is None:
        yield "intake", "the case has a file and was never registered by an event"
        return
    file = rows["file"][0]
    wanted = {
        "case_number": life.number,
        "organisation": life.organisation,
        "lane": life.lane,
        "episode": life.episode,
        "state": "closed" if life.closed else "open",
        "outcome": life.outcome,
    }
    for name, value in wanted.items():
        if file[name] != value:
            yield "intake", f"case_file.{name} is {file[name]!r}, its events say {value!r}"


def _rounds(life: Life, rows: Rows) -> Iterator[Difference]:
    """Each service's copy of the round, of open or closed, and of the lane."""
    for name in NAMES:
        for stream in rows[f"round at {name}"]:
            if (stream["episode"], stream["closed"]) != (life.episode, life.closed):
                yield (
                    name,
                    f"case_stream says episode {stream['episode']} closed {stream['closed']}, "
                    f"the events {life.episode} and {life.closed}",
                )
    for routed in rows["routed"]:
        if (routed["state"] == "closed") != life.closed:
            yield "routing", f"routed_case.state is {routed['state']!r}, closed is {life.closed}"
        if not life.closed and routed["lane"] != life.lane:
            yield "routing", f"routed_case.lane is {routed['lane']!r}, not {life.lane!r}"
    for copy in rows["copy"]:
        if (copy["episode"], copy["closed"]) != (life.episode, life.closed):
            yield "notification", "case_copy has another round, or open for closed"
        if not life.closed and copy["lane"] != life.lane:
            yield "notification", f"case_copy.lane is {copy['lane']!r}, not {life.lane!r}"
    for name, stream_name in (("routing", "routed"), ("notification", "copy")):
        if life.number is not None and not rows[stream_name]:
            yield name, "the service has no copy of the case"


def _parties(life: Life, rows: Rows) -> Iterator[Difference]:
    left = {str(row["party_id"]) for row in rows["party"] if row["left_at"] is not None}
    if left != life.left:
        yield "intake", f"{len(left)} parties have left, the events say {len(life.left)}"


def _joins(life: Life, rows: Rows) -> Iterator[Difference]:
    """A join is told on both cases, and stands until both are told that it is undone."""
    there = {str(row["join_id"]): row["side"] for row in rows["join"]}
    for id_ in there.keys() ^ life.joins.keys():
        where = "in the table and in no event" if id_ in there else "told and not in the table"
        yield "intake", f"join {id_} is {where}"
    for id_ in there.keys() & life.joins.keys():
        if there[id_] != life.joins[id_]:
            yield "intake", f"the case is the {there[id_]} one of join {id_}, not by its events"


def _supplements(life: Life, rows: Rows) -> Iterator[Difference]:
    there = {str(row["supplement_id"]) for row in rows["supplement"]}
    if there != life.supplements:
        yield "intake", f"{len(there)} supplements, the events say {len(life.supplements)}"


def _mandates(life: Life, rows: Rows) -> Iterator[Difference]:
    """Who may file for a party, where it is recorded and where it is only heard."""
    for name in ("intake", "mediation"):
        yield from _things(name, "mandate", rows[f"mandate at {name}"], "mandate_id", life.mandates)


def _withdrawals(life: Life, rows: Rows) -> Iterator[Difference]:
    """A case that ended by itself while a party could still ask leaves its withdrawal unsettled."""
    said = {
        id_: "waiting or over" if state == "waiting" else state
        for id_, state in life.withdrawals.items()
    }
    yield from _things("intake", "withdrawal", rows["withdrawal"], "withdrawal_id", said)


def _turns(life: Life, rows: Rows) -> Iterator[Difference]:
    items = {str(row["assignment_id"]): row for row in rows["item"]}
    turns = {str(row["id"]): row for row in rows["turn"]}
    heard = {str(row["assignment_id"]): row for row in rows["turn heard"]}
    for id_, turn in life.turns.items():
        over = life.closed or turn.episode < life.episode
        item = items.pop(id_, None)
        if item is None:
            if not over or turn.answers:
                yield "mediation", f"assignment {id_} was offered and is in no queue"
        elif item["state"] != turn.state or item["organisation"] != turn.organisation:
            yield (
                "mediation",
                f"assignment {id_} is {item['state']} with {item['organisation']}, its events say "
                f"{turn.state} with {turn.organisation}",
            )
        row = turns.pop(id_, None)
        if row is None:
            yield "routing", f"assignment {id_} has events and no row"
        elif row["state"] not in _routing_states(turn, over):
            yield "routing", f"assignment {id_} is {row['state']}, mediation said {turn.state}"
        row = heard.pop(id_, None)
        if not over and (row is None or row["state"] not in _intake_states(turn)):
            state = row["state"] if row else "not there"
            yield "intake", f"assignment {id_} is {state}, its events say {turn.state}"
    for service, strangers in (("mediation", items), ("routing", turns), ("intake", heard)):
        for id_ in strangers:
            yield service, f"assignment {id_} is in the table and in no event"


def _routing_states(turn: Any, over: bool) -> tuple[str, ...]:
    if over:
        return ("ended", "returned")
    if turn.end is not None:
        return ("ended",)
    if turn.state == "returned":
        return ("returned",)
    # A recall has no effect once the case is agreed: who mediated it sees to the performance.
    return ("recalling",) if turn.recalled and not turn.agreed else (turn.state,)


def _intake_states(turn: Any) -> tuple[str, ...]:
    return ("ended",) if turn.end is not None else (turn.state,)


def _mediations(life: Life, rows: Rows) -> Iterator[Difference]:
    for row in rows["mediation"]:
        id_ = str(row["mediation_id"])
        outcome, succeeded = life.outcomes.get(id_, _unsaid(life, row))
        if (row["outcome"], row["succeeded"]) != (outcome, succeeded):
            yield "mediation", f"mediation {id_} is {row['outcome']!r}, its events say {outcome!r}"
        mediator = str(row["mediator_id"]) if row["mediator_id"] else None
        if mediator != life.mediators.get(id_):
            yield "mediation", f"mediation {id_} has another mediator than was appointed by event"
    for id_ in life.outcomes.keys() - {str(row["mediation_id"]) for row in rows["mediation"]}:
        yield "mediation", f"mediation {id_} ended by an event and has no row"


def _unsaid(life: Life, row: Any) -> tuple[str | None, bool | None]:
    """What a mediation is that told no ending: open, or taken back with its turn."""
    turn = life.turns.get(str(row["assignment_id"]))
    return ("recalled", False) if turn is not None and turn.end == "recalled" else (None, None)


def _things(
    service: str, what: str, rows: list[Any], key: str, said: Mapping[str, str]
) -> Iterator[Difference]:
    """Rows by id against the states that events say; `a or b` allows both."""
    there: dict[str, str] = {str(row[key]): row["state"] for row in rows}
    for id_ in sorted(said.keys() | there.keys()):
        if id_ not in there:
            yield service, f"{what} {id_} is {said[id_]} by its events and has no row"
        elif id_ not in said:
            yield service, f"{what} {id_} is {there[id_]} and has no event"
        elif there[id_] not in said[id_].split(" or "):
            yield service, f"{what} {id_} is {there[id_]}, its events say {said[id_]}"


def _work(life: Life, rows: Rows) -> Iterator[Difference]:
    """Consents, sessions, agreements, obligations, linkages."""
    if not life.closed:
        # A word that comes when all is over is written down and told to nobody.
        current = {str(row["id"]): row for row in rows["consent"]}
        yield from _things(
            "mediation",
            "consent",
            [
                row
                for row in current.values()
                if not row["superseded"]
                and (str(row["id"]) in life.consents or row["state"] == "given")
            ],
            "id",
            {
                id_: state
                for id_, state in life.consents.items()
                if id_ not in current or not current[id_]["superseded"]
            },
        )
    yield from _things("mediation", "session", rows["session"], "session_id", life.sessions)
    standing = [
        row
        for row in rows["agreement"]
        if row["effective_at"] is not None or str(row["agreement_id"]) in life.agreements
    ]
    failed = {id_ for id_, (_, succeeded) in life.outcomes.items() if not succeeded}
    said = {
        id_: "void" if mediation in failed else "effective"
        for id_, mediation in life.agreements.items()
    }
    yield from _things("mediation", "agreement", standing, "agreement_id", said)
    yield from _things(
        "mediation", "obligation", rows["obligation"], "obligation_id", life.obligations
    )
    yield from _things("routing", "linkage", rows["linkage"], "id", life.linkages)


def _clocks(life: Life, rows: Rows) -> Iterator[Difference]:
    for service, stream, key, said in (
        ("routing", "clock", "id", life.clocks),
        ("intake", "deadline", "clock_id", life.shown_clocks),
    ):
        states = {id_: state for id_, (state, _) in said.items()}
        yield from _things(service, "clock", rows[stream], key, states)
        for row in rows[stream]:
            due = said.get(str(row[key]), ("", ""))[1]
            if due and wire(row["due_at"]) != due:
                yield service, f"clock {row[key]} is due at {wire(row['due_at'])}, not at {due}"


def _parts(life: Life, rows: Rows) -> Iterator[Difference]:
    for name in NAMES:
        there = {str(row["participation_id"]): row["left_at"] for row in rows[f"parts at {name}"]}
        for id_, lasts in life.parts.items():
            if id_ not in there:
                yield name, f"participation {id_} was announced and is not in the copy"
            elif (there[id_] is None) != lasts:
                yield name, f"participation {id_} {'has ended' if lasts else 'still lasts'} here"


_COMPARISONS: Final[tuple[Callable[[Life, Rows], Iterator[Difference]], ...]] = (
    _case,
    _rounds,
    _parties,
    _joins,
    _supplements,
    _mandates,
    _withdrawals,
    _turns,
    _mediations,
    _work,
    _clocks,
    _parts,
)
