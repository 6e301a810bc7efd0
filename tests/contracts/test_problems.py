"""The problems of the conventions are those of the code, and metrics carry no person."""

import re

from services import telemetry
from services.contracts import documents
from tests.architecture.source import ROOT

LISTED = dict(
    re.findall(
        r"`([a-z-]+)` (\d{3})", (ROOT / "docs/contracts.md").read_text("utf-8").split("## 7")[0]
    )
)
LABELS = {
    "service", "route", "method", "status", "consumer", "result", "outcome", "partition", "figure",
    "channel", "state", "kind", "lane", "topic", "loop", "reason",
}  # fmt: skip


def test_every_problem_of_the_conventions_exists_with_its_status() -> None:
    known = {item["code"]: str(item["status"]) for item in documents.problem_list()}

    assert LISTED
    assert {code: known.get(code) for code in LISTED} == LISTED


def test_no_problem_exists_that_the_conventions_do_not_name() -> None:
    assert {item["code"] for item in documents.problem_list()} - set(LISTED) == set()


def test_no_metric_is_labelled_by_a_case_a_person_or_a_callers_value() -> None:
    documents.metrics()  # loads every service, so that its own metrics are there
    found = {
        label
        for collector in telemetry.REGISTRY._collector_to_names
        for label in getattr(collector, "_labelnames", ())
    }

    assert found - LABELS == set()
