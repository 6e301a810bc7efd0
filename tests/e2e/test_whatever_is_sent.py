"""Whatever is sent to the APIs: no server error, and no answer that the contract does not name.

Schemathesis makes requests from the four OpenAPI documents, such as they allow and such as they
do not, with ids of a case that lives and with ids of nobody. ``LIANDIAO_FUZZ`` is how many of each
kind per operation: 2 by itself (with ``LIANDIAO_CRASH=long``), hundreds with ``make fuzz``.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.client import Stack, wait_for
from services.play import COURT, fresh
from tests.architecture.source import ROOT
from tests.e2e.running import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.long]

EACH = int(os.environ.get("LIANDIAO_FUZZ", "2"))
SERVICES = ("intake", "routing", "mediation", "notification")
ACCESS = json.loads((ROOT / "deploy" / "access.json").read_text("utf-8"))["operations"]
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
CENTRE = "330681-CE-0001"


def _operations(service: str) -> list[str]:
    paths = json.loads((ROOT / "docs" / "contracts" / f"openapi-{service}.json").read_text())[
        "paths"
    ]
    return [
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method in methods
        if path.startswith("/v1")
    ]


@pytest.fixture(scope="module")
def living(running: RunningStack) -> Iterator[tuple[Stack, dict[str, str]]]:
    """A client, and the ids of a case that waits in the centre's queue."""
    stack = running.client()
    court, centre = stack.client(COURT), stack.client(CENTRE)
    reference = "（2026）浙0681民诉前调990001号"
    done = court.post(
        "intake", "/v1/referrals", fresh("court_pre-loan-between-friends.json", COURT, reference)
    )
    ids = {name: done[name] for name in ("case_id", "referral_id") if name in done}

    def offered() -> dict[str, Any] | None:
        decisions = court.get("routing", "/v1/decisions", case_id=done["case_id"])["items"]
        return decisions[0] if decisions else None

    decision = wait_for(offered, describe="the first decision")
    ids["decision_id"] = decision["decision_id"]
    ids["code"] = CENTRE
    ids["connection"] = centre.entry["connection"]
    yield stack, ids
    stack.close()


def _token(stack: Stack, operation: str) -> str | None:
    """A token of a client that holds the operation's scope, the court's or the centre's first."""
    scope = ACCESS.get(operation, {}).get("scope", "")
    clients = sorted(
        stack.description["clients"],
        key=lambda entry: (
            COURT not in entry["organisations"],
            CENTRE not in entry["organisations"],
        ),
    )
    for entry in clients:
        if scope in entry["scopes"]:
            answer = stack.http.post(
                stack.description["token_url"],
                data={"grant_type": "client_credentials"},
                auth=(entry["id"], entry["secret"]),
            )
            token: str = answer.json()["access_token"]
            return token
    return None


class Asker:
    """Asks one operation, again and again."""

    def __init__(self, base: str, token: str | None, ids: dict[str, str]) -> None:
        self.base = base
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.ids = ids
        self.sent = 0

    def ask(self, case: Any) -> None:
        """One request; every other one about the case that lives. Raises for a broken promise."""
        self.sent += 1
        if self.sent % 2:
            known = {n: self.ids[n] for n in case.path_parameters or {} if n in self.ids}
            case.path_parameters = {**(case.path_parameters or {}), **known}
        answer = case.call(base_url=self.base, headers=self.headers, timeout=30)
        case.validate_response(answer, checks=list(CHECKS))

    def run(self, operation: Any, mode: GenerationMode) -> None:
        """``EACH`` requests; an operation without anything to get wrong has no wrong requests."""
        limits = settings(
            max_examples=EACH,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        with contextlib.suppress(Unsatisfiable):
            limits(given(case=operation.as_strategy(generation_mode=mode))(self.ask))()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=str)
@pytest.mark.parametrize("service", SERVICES)
def test_no_request_breaks_a_service_or_its_contract(
    service: str, mode: GenerationMode, living: tuple[Stack, dict[str, str]]
) -> None:
    stack, ids = living
    file = ROOT / "docs" / "contracts" / f"openapi-{service}.json"
    schema = schemathesis.openapi.from_path(str(file))
    faults: dict[str, str] = {}
    sent = 0
    for operation in _operations(service):
        method, path = operation.split(" ")
        asker = Asker(stack.url(service), _token(stack, operation), ids)
        try:
            asker.run(schema[path][method], mode)
        except Exception as error:  # told for every operation together, below
            faults[operation] = f"{type(error).__name__}: {str(error)[:600]}"
        sent += asker.sent

    print(f"\n{service} {mode}: {sent} requests")
    assert not faults, json.dumps(faults, indent=1, ensure_ascii=False)
    assert sent >= len(_operations(service))
