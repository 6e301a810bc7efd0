"""From private answers to what they change in handling. Pure; the forms are data."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from intake.safety.model import CONSEQUENCES, AnswerFault, Outcome

DATA_FILE: Final = Path(__file__).parents[1] / "data" / "screening.json"


@lru_cache(1)
def data() -> dict[str, Any]:
    """Forms, alerts and their law."""
    found: dict[str, Any] = json.loads(DATA_FILE.read_text("utf-8"))
    return found


def form(version: int) -> dict[str, Any] | None:
    """The form of this version; a form that was used stays for ever."""
    return next((f for f in data()["forms"] if f["version"] == version), None)


def faults(form_: Mapping[str, Any], answers: Mapping[str, str]) -> Iterator[AnswerFault]:
    """Questions without an answer, answers without a question."""
    codes = [question["code"] for question in form_["questions"]]
    for code in codes:
        if code not in answers:
            yield AnswerFault(code, "answer_missing")
    for code in answers:
        if code not in codes:
            yield AnswerFault(code, "question_unknown")


def outcome(form_: Mapping[str, Any], answers: Mapping[str, str]) -> Outcome:
    """What the answers change (反家庭暴力法 5, 10, 14: N-06, N-07); "not said" changes nothing."""
    counted = [q for q in form_["questions"] if answers.get(q["code"]) == q["when"]]
    consequences = {c for question in counted for c in question["consequences"]}
    alerts: dict[str, str] = {}
    for question in counted:
        if question["alert"]:
            alerts.setdefault(question["alert"], question["code"])
    return Outcome(in_order(consequences), tuple(alerts.items()))


def in_order(consequences: Iterable[str]) -> tuple[str, ...]:
    """Each once, in the order in which they are told."""
    found = set(consequences)
    return tuple(c for c in CONSEQUENCES if c in found)


def lifted(before: Iterable[str], after: Iterable[str]) -> tuple[str, ...]:
    """What protected the party and would do so no more."""
    return in_order(set(before) - set(after))


def alerts_of_concerns(concerns: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """What the sender's own concerns alert: (kind, concern)."""
    known = data()["concerns"]
    found: dict[str, str] = {}
    for concern in concerns:
        if concern in known:
            found.setdefault(known[concern]["alert"], concern)
    return tuple(found.items())


def also_told(kind: str) -> tuple[tuple[str, str], ...]:
    """What an alert tells besides the police (N-07, N-08): (kind, role in the directory)."""
    alerts = data()["alerts"]
    return tuple((other, alerts[other]["role"]) for other in alerts[kind].get("also", ()))


def law_of(ground: str) -> str:
    """The citation behind a question or a concern."""
    questions = {q["code"]: q["source"] for f in data()["forms"] for q in f["questions"]}
    found: str = questions.get(ground) or data()["concerns"][ground]["source"]
    return found
