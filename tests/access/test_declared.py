"""An endpoint that nobody declared, or that no cell of the matrix tries, fails here at once."""

import json
from typing import Any

from tests.access import contract
from tests.access.requests import REQUESTS
from tests.architecture.source import ROOT

FILE: dict[str, Any] = json.loads((ROOT / "deploy/access.json").read_text("utf-8"))
ROWS: dict[str, Any] = FILE["operations"]
STANDINGS = {*FILE["standings"], "svc-intake", "svc-routing", "svc-mediation", "svc-notification"}


def test_every_endpoint_has_a_row_that_says_which_standings_pass() -> None:
    assert sorted(set(contract.operations()) ^ set(ROWS)) == []
    assert [name for name, row in ROWS.items() if not row.get("allow")] == []


def test_every_endpoint_is_tried_by_the_matrix() -> None:
    assert sorted(set(contract.operations()) ^ set(REQUESTS)) == []


def test_rows_use_the_standings_that_are_explained() -> None:
    used = {s for row in ROWS.values() for s in (*row["allow"], *row.get("forbid", ()))} - {"*"}

    assert used - STANDINGS == set()
    assert [n for n, r in ROWS.items() if set(r["allow"]) & set(r.get("forbid", ()))] == []
    assert {row.get("rest", 404) for row in ROWS.values()} == {404, 403, "empty"}


def test_only_an_endpoint_without_a_case_is_open_to_every_client() -> None:
    open_ = {name for name, row in ROWS.items() if row["allow"] == ["*"] and "{" in name}

    assert {name.rsplit("{", 1)[1] for name in open_} == {
        "number}",  # the public version of a case
        "number}/tokens",
        "number}/readings",
        "number}/erasures",  # of what a receipt opens, decided by its body
        "code}",
        "year}",
        "version}",
        "name}",  # a layout: of this release, or of the caller's own connection
    }
