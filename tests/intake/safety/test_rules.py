"""From answers to consequences: each question alone, nothing for what was not said."""

from typing import Any

import pytest

from intake.safety import rules

FORM: dict[str, Any] = rules.form(1) or {}
CALM = {q["code"]: "no" if q["when"] == "yes" else "yes" for q in FORM["questions"]}


@pytest.mark.parametrize("question", FORM["questions"], ids=lambda q: q["code"])
def test_the_answer_that_counts_changes_handling_and_the_others_nothing(
    question: dict[str, Any],
) -> None:
    """checklist 1.12."""
    silent = {**CALM, question["code"]: "not_said"}
    counts = {**CALM, question["code"]: question["when"]}

    assert rules.outcome(FORM, CALM).consequences == ()
    assert rules.outcome(FORM, silent) == rules.outcome(FORM, CALM)
    found = rules.outcome(FORM, counts)
    assert set(found.consequences) == set(question["consequences"])
    assert [kind for kind, _ in found.alerts] == ([question["alert"]] if question["alert"] else [])


def test_every_question_can_be_read_out_and_answered_by_one_word() -> None:
    """checklist 1.12: wording for the phone, in both languages, with its source."""
    for question in FORM["questions"]:
        assert question["zh"].endswith("？")
        assert question["en"].endswith("?")
        assert len(question["zh"]) <= 45
        assert question["source"]
        assert question["consequences"]


def test_a_question_without_an_answer_and_an_answer_without_a_question_are_told() -> None:
    answers = {name: value for name, value in CALM.items() if name != "hurt_before"}

    found = [(f.question, f.rule) for f in rules.faults(FORM, {**answers, "more": "yes"})]

    assert found == [("hurt_before", "answer_missing"), ("more", "question_unknown")]


def test_a_sender_that_names_a_threat_alerts_and_other_concerns_do_not() -> None:
    """checklist 1.12 (N-06, R-13)."""
    found = rules.alerts_of_concerns(["domestic_violence", "threat_of_violence", "minors_involved"])

    assert found == (("threat", "threat_of_violence"),)
    assert rules.alerts_of_concerns(["group_escalation"]) == ()


def test_every_ground_of_an_alert_has_its_law() -> None:
    grounds = [q["code"] for q in FORM["questions"]] + list(rules.data()["concerns"])

    assert all(rules.law_of(ground) for ground in grounds)
