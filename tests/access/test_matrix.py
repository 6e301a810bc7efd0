"""Role x endpoint x relation: every cell answers as deploy/access.json and deploy/scopes.json say.

A write that passes the gate is stopped right before its commit, so a cell changes nothing. What a
caller may not know of answers exactly as what does not exist.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from services.errors import Conflict
from services.messaging import failpoints
from services.stack.identity import scopes_of
from tests.access import contract
from tests.access.conftest import Place
from tests.access.installation import KINDS, LETTERS, SCOPES, WOULD_COMMIT, Installation, code_of
from tests.access.requests import REQUESTS, About, Asked, about, about_nothing
from tests.access.scenes import HANDLERS, SENDERS, Scene
from tests.architecture.source import ROOT

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="session")]

ACCESS: dict[str, Any] = json.loads((ROOT / "deploy/access.json").read_text("utf-8"))["operations"]
MEMBERS = ("sender", "source", "handler", "supervisor", "linked", "helper")
STRANGERS = ("left", "parent", "child", "sibling", "other", "mate")
DEAD = ("expired", "revoked")
# In whose closed case there is what the open one lacks.
# The kinds that every run asks about; all of them with LIANDIAO_CRASH=long.
SHORT = {"court", "police", "committee", "centre"}
# By a party about papers that it names: another's are no papers of its case.
NAMES_ITS = {"POST /v1/party/sharing-consents"}
# Nobody is represented here, and the staff that acts and confirms differs by caller.
BY_RULE = {"POST /v1/cases/{case_id}/objectors", "POST /v1/cases/{case_id}/screenings"}
# Everybody may ask; an open case with a protected party is as if it were not there.
FOR_NOBODY = {"GET /v1/public-cases/{number}"}
OF_THE_CLOSED = {"GET /v1/mediations/{mediation_id}/hand-over"}
# They carry time, identity of the request, or how long the answer is: nothing about what exists.
VOLATILE = {"x-request-id", "traceparent", "date"}
COUNTS: Counter[str] = Counter()


@dataclass(frozen=True)
class Caller:
    """Who asks: its standing to the case, its scopes and the headers it sends."""

    standing: str
    scopes: frozenset[str]
    headers: dict[str, str]
    alive: bool = True
    token: str = "client"


def _holds(kind: str, standing: str) -> bool:
    """Whether a body of this kind can stand so: only some kinds send, only some hold cases."""
    if standing in ("sender", "mate", *DEAD):
        return kind in SENDERS
    return standing != "handler" or kind in HANDLERS


def members_and_strangers(it: Installation, scene: Scene) -> Iterator[Caller]:
    """Every client of the scene's kind in every standing it can have."""
    kind, letters = scene.kind, LETTERS[scene.kind].lower()
    scopes = scopes_of(kind, [])
    for standing in (*MEMBERS, *STRANGERS, *DEAD):
        if not _holds(kind, standing):
            continue
        code = code_of(kind, "sender" if standing in ("mate", *DEAD) else standing)
        if standing == "mate":
            both = [code, code_of(kind, "other")]
            headers = it.token(f"mate-{letters}", both, scopes)
            headers["Acting-Organisation"] = both[1]
        elif standing == "revoked":
            headers = it.token(f"gone-{letters}", [code], scopes)
        elif standing == "expired":
            headers = it.token(f"o-{code.lower()}", [code], scopes, exp=1)
        else:
            headers = it.of(code)
        if standing == "handler":
            headers["Acted-By"] = f"{code}-s1"
        yield Caller(standing, frozenset(scopes), headers, standing not in DEAD)


def others(it: Installation, place: Place) -> Iterator[Caller]:
    """Nobody, parties, the operator, and the services themselves; they have no kind."""
    yield Caller("anonymous", frozenset(), {}, token="none")
    yield Caller("party", frozenset(), place.open["court"].party_token, token="party")
    other = place.open["police"].party_token
    yield Caller("party-of-another-case", frozenset(), other, token="party")
    operator = it.token("operator", [], SCOPES["operator"])
    yield Caller("operator", frozenset(SCOPES["operator"]), operator)
    for name, scopes in SCOPES["services"].items():
        yield Caller(name, frozenset(scopes), it.token(name, [], scopes))


def expected(name: str, caller: Caller) -> str:
    """What the cell must answer: ``pass``, ``401``, ``403``, ``404`` or ``empty``."""
    row = ACCESS[name]
    if name in FOR_NOBODY:
        return "404"
    if row["scope"] == "anonymous":
        return "pass"
    if row["scope"] == "party token":
        if caller.token != "party":
            return "401"
        if caller.standing == "party":
            return "pass"
        return "422" if name in NAMES_ITS else "404" if "{" in name else "pass"
    if caller.token != "client" or not caller.alive:
        return "401"
    if not caller.scopes.issuperset(row["scope"].split()):
        return "403"
    if row["allow"] == ["*"] or caller.standing in row["allow"]:
        return "pass"
    if caller.standing in row.get("forbid", ()):
        return "403"
    return str(row.get("rest", 404))


class Undone:
    """While open, a unit of work that reaches its commit is refused there."""

    def __enter__(self) -> None:
        failpoints.arm("unit_of_work.before_commit", action=self.stop)

    def __exit__(self, *_: object) -> None:
        failpoints.disarm()

    @staticmethod
    def stop() -> None:
        raise Conflict(WOULD_COMMIT)


async def ask(it: Installation, name: str, caller: Caller, asked: Asked) -> httpx.Response:
    """One cell."""
    service, _ = contract.operations()[name]
    method = name.split(" ", 1)[0]
    # A search by POST changes nothing, and its answer is what the cell is about.
    changes = method == "POST" and asked.shows is None
    with Undone() if changes else contextlib.nullcontext():
        return await it.call(
            service,
            method,
            asked.path,
            asked.body,
            headers={**caller.headers, **asked.headers},
            version=asked.version,
            **asked.params,
        )


def outcome(asked: Asked, answer: httpx.Response) -> str:
    """What was answered, in the words of ``expected``."""
    if answer.status_code in (401, 403, 404) or answer.status_code >= 500:
        return str(answer.status_code)
    if asked.shows is not None:
        if answer.status_code != 200:
            return f"{answer.status_code} of a list"
        return "pass" if asked.shows in answer.text else "empty"
    if answer.status_code in (200, 201, 202, 409, 412):
        return "pass"
    return f"{answer.status_code} {answer.text}"


def bare(answer: httpx.Response) -> tuple[Any, ...]:
    """An answer without what differs from one request to the next."""
    headers = {k: v for k, v in answer.headers.items() if k not in VOLATILE}
    body = answer.json()
    if isinstance(body, dict):
        body = {k: v for k, v in body.items() if k not in ("instance", "trace_id")}
    return answer.status_code, sorted(headers.items()), json.dumps(body, sort_keys=True)


def scene_of(place: Place, name: str, kind: str) -> Scene:
    """The case an operation is tried on."""
    return place.closed[kind] if name in OF_THE_CLOSED else place.open[kind]


def _complete(scene: Scene, other: Scene) -> About:
    """The scene's ids; what only the other case has is taken from there, for strangers."""
    bodies = {**other.bodies, **scene.bodies}
    return About({**other.ids, **scene.ids}, replace(scene, bodies=bodies))


def _different(requests: Iterable[Asked]) -> list[Asked]:
    """The requests, one that is the same as the first left out."""
    first, *more = requests
    return [
        first,
        *(each for each in more if (each.path, each.params) != (first.path, first.params)),
    ]


async def cells(place: Place, name: str, kind: str, callers: list[Caller]) -> list[str]:
    """Try an operation in every standing; answers which cells are not as declared."""
    wrong = []
    scene = scene_of(place, name, kind)
    nothing: tuple[Any, ...] | None = None
    for caller in callers:
        want = expected(name, caller)
        targets = [about(scene)]
        if caller.standing in STRANGERS:
            targets = [
                _complete(place.open[kind], place.closed[kind]),
                _complete(place.closed[kind], place.open[kind]),
            ]
        for asked in _different(REQUESTS[name](target) for target in targets):
            answer = await ask(place.it, name, caller, asked)
            got = outcome(asked, answer)
            COUNTS["pass" if want == "422" else want] += 1
            if got.startswith("422") and (want == "422" or (want == "pass" and name in BY_RULE)):
                continue  # it may, but a rule beside access stops this very request
            if got != want:
                wrong.append(f"{name} as {kind} {caller.standing}: {got}, declared {want}")
            elif want in ("404", "empty"):
                if nothing is None:
                    there_is_not = REQUESTS[name](about_nothing(scene))
                    nothing = bare(await ask(place.it, name, caller, there_is_not))
                alike = bare(answer)
                if want == "empty":
                    nothing_there = asked.shows not in answer.text
                    assert nothing_there
                elif alike != nothing:
                    wrong.append(f"{name} as {kind} {caller.standing}: unlike what is not there")
    return wrong


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[] if k in SHORT else [pytest.mark.long]) for k in KINDS]
)
async def test_a_body_of_this_kind_sees_and_does_what_its_standing_allows(
    place: Place, kind: str
) -> None:
    for runtime in place.it.runtimes.values():
        gone = f"connection:gone-{LETTERS[kind].lower()}"
        value = {**(runtime.directory.connection(gone[11:]) or {}), "active": False}
        runtime.directory.put(gone, 2**60, value)
    callers = list(members_and_strangers(place.it, place.open[kind]))

    wrong = [
        fault for name in contract.operations() for fault in await cells(place, name, kind, callers)
    ]

    assert not wrong, "\n".join(wrong)


async def test_nobody_parties_operator_and_services_see_and_do_what_is_declared(
    place: Place,
) -> None:
    callers = list(others(place.it, place))

    wrong = [
        fault
        for name in contract.operations()
        for fault in await cells(place, name, "court", callers)
    ]

    assert not wrong, "\n".join(wrong)


async def test_waiting_for_a_case_tells_a_stranger_nothing_about_it(place: Place) -> None:
    scene = place.open["court"]
    head = place.it.of(code_of("court", "other"))
    answers = []
    for case_id in (scene.ids["case_id"], "01a20ccb-3201-7280-910f-18121436b0c7"):
        headers = {**head, "Case-After": "intake=1", "Case-Id": case_id}
        answers.append(
            await place.it.call("routing", "GET", f"/v1/decisions/{case_id}", headers=headers)
        )

    assert [answer.status_code for answer in answers] == [503, 503]
    assert bare(answers[0]) == bare(answers[1])


async def test_who_takes_part_waits_only_until_the_service_has_heard_that_far(place: Place) -> None:
    scene = place.open["court"]
    headers = {**place.it.of(scene.sender), "Case-After": "intake=1"}

    answer = await place.it.call(
        "intake", "GET", f"/v1/cases/{scene.ids['case_id']}", headers=headers
    )

    assert answer.status_code == 200


async def test_a_party_of_one_case_is_shown_that_case_alone(place: Place) -> None:
    shown = {}
    for kind in ("court", "police"):
        head = place.open[kind].party_token
        shown[kind] = await place.it.ok("intake", "GET", "/v1/party/case", headers=head)

    assert shown["court"]["case_number"] == place.open["court"].ids["case_number"]
    assert shown["police"]["case_number"] == place.open["police"].ids["case_number"]


async def test_every_declared_answer_was_given_and_kept_to_its_schema(
    place: Place, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    cells_tried = sum(COUNTS.values())
    record_property("cells", cells_tried)
    with capsys.disabled():
        told = ", ".join(f"{count} {name}" for name, count in sorted(COUNTS.items()))
        print(f"\naccess matrix: {cells_tried} cells ({told}); {place.it.answers} answers checked")

    assert place.it.faults == {}
    assert set(COUNTS) == {"pass", "401", "403", "404", "empty"}
