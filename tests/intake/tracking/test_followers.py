"""A representative at every door of a party: only while its receipt stands, only as far as it goes.

The doors are found in the services' own routes, so that a new one is tried without being named.
"""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute

from intake.tracking import follower
from intake.wiring import INTAKE
from mediation.wiring import MEDIATION
from notification.wiring import NOTIFICATION
from routing.wiring import ROUTING
from services import http
from services.service import Service
from tests.intake.attachments.handing_in import metadata
from tests.intake.test_cases import a_case, party_token
from tests.intake.tracking.test_receipts import acts
from tests.intake.world import Intake

Door = tuple[str, str]
# What a representative does with its receipt; everything else is the party's own.
FOLLOWS: frozenset[Door] = frozenset(
    {
        ("GET", "/v1/party/access-log"),
        ("GET", "/v1/party/case"),
        ("GET", "/v1/party/erasures"),
        ("GET", "/v1/party/mandates"),
        ("GET", "/v1/party/receipt"),
        ("GET", "/v1/party/representations"),
        ("GET", "/v1/party/representative-receipts"),
        ("GET", "/v1/party/sharing-consents"),
    }
)
WITH_EVIDENCE: frozenset[Door] = frozenset(
    {
        ("GET", "/v1/party/attachments"),
        ("POST", "/v1/party/attachments"),
        ("GET", "/v1/party/attachments/{attachment_id}"),
        ("HEAD", "/v1/party/attachments/{attachment_id}"),
        ("PATCH", "/v1/party/attachments/{attachment_id}"),
        ("POST", "/v1/party/attachments/{attachment_id}/downloads"),
        ("GET", "/v1/party/attachments/downloads/{link}"),
    }
)


def calls(dependant: Any) -> Iterator[Any]:
    """Everything that an endpoint depends on, however deep."""
    for below in dependant.dependencies:
        yield below.call
        yield from calls(below)


def doors(service: Service) -> dict[Door, set[Any]]:
    """Every endpoint that a party's token opens, and what it depends on."""
    found: dict[Door, set[Any]] = {}
    for router in service.routers():
        for route in router.routes:
            if isinstance(route, APIRoute) and http._party in (used := set(calls(route.dependant))):
                found.update({(method, route.path): used for method in route.methods})
    return found


async def given(intake: Intake, done: Any, **authority: Any) -> tuple[dict[str, str], str]:
    """The head of a representative's token, and the representation that it rests on."""
    which = await acts(intake, done, **authority)
    head = await party_token(intake, done["receipts"][0])
    answer = await intake.http.post(
        "/v1/party/representative-receipts",
        json={"representation_id": which},
        headers={**head, **intake.key()},
    )
    return await party_token(intake, answer.json()), which


async def statuses(intake: Intake, head: dict[str, str]) -> dict[Door, int]:
    """What each door answers to this token, tried with ids of nothing and no content."""
    found = {}
    for method, path in doors(INTAKE):
        filled = re.sub(r"\{[a-z_]+\}", lambda _: str(uuid4()), path)
        answer = await intake.http.request(method, filled, headers={**head, **intake.key()})
        found[method, path] = answer.status_code
    return found


def test_no_endpoint_takes_a_partys_token_without_asking_whose_it_is() -> None:
    """Checklist 1.16: in every service; intake asks its receipts, the others know the party only.

    A party's endpoints are under ``/v1/party``, so that none hides under another path.
    """
    assert len(doors(INTAKE)) > 30
    bare = [door for door, used in doors(INTAKE).items() if follower._follower not in used]
    beside = [
        door
        for service in (MEDIATION, ROUTING, NOTIFICATION)
        for door, used in doors(service).items()
        if http._party_itself not in used
    ]

    assert (bare, beside) == ([], [])
    named = {path for service in (INTAKE, MEDIATION) for _, path in doors(service)}
    assert {path for path in named if not path.startswith("/v1/party/")} == set()


@pytest.mark.postgres
async def test_a_revoked_representatives_token_opens_no_door_of_the_party(intake: Intake) -> None:
    """Checklist 1.16, 1.10: at once, at every endpoint, however young the token is."""
    done, _ = await a_case(intake)
    head = await party_token(intake, done["receipts"][0])
    theirs, which = await given(intake, done)
    assert 401 not in (await statuses(intake, theirs)).values()

    await intake.http.post(f"/v1/party/representations/{which}/revocations", headers=head)

    open_ = {door: s for door, s in (await statuses(intake, theirs)).items() if s != 401}
    assert open_ == {}


@pytest.mark.postgres
async def test_what_only_the_party_itself_may_do_is_closed_to_its_representative(
    intake: Intake,
) -> None:
    """Checklist 1.16: with authority in force it follows and hands papers in, no more (N-19)."""
    done, _ = await a_case(intake)
    theirs, _ = await given(intake, done, authority="special")

    answers = await statuses(intake, theirs)

    through = {door for door, status in answers.items() if status != 403}
    assert through == FOLLOWS | WITH_EVIDENCE
    assert {answers[door] for door in FOLLOWS} == {200}


@pytest.mark.postgres
async def test_papers_are_open_to_a_representative_only_with_authority_over_evidence(
    intake: Intake,
) -> None:
    """Checklist 1.10: scopes; one that may only receive papers and money follows the case."""
    done, _ = await a_case(intake)
    receiver, _ = await given(intake, done, scopes=["receive"])
    lawyer, _ = await given(intake, done, scopes=["evidence"])
    paper = {
        "Upload-Metadata": metadata(filename="a.txt"),
        "Upload-Length": "3",
        "Tus-Resumable": "1.0.0",
    }

    refused = await statuses(intake, receiver)
    taken = await intake.http.post("/v1/party/attachments", headers={**lawyer, **paper})

    assert {refused[door] for door in WITH_EVIDENCE} == {403}
    assert {refused[door] for door in FOLLOWS} == {200}
    assert taken.status_code == 201, taken.text


@pytest.mark.postgres
async def test_a_representative_sees_that_others_act_but_not_who_they_are(intake: Intake) -> None:
    """Checklist 1.10: the names are for the party, which gave the authority."""
    done, _ = await a_case(intake)
    theirs, _ = await given(intake, done)
    head = await party_token(intake, done["receipts"][0])
    path = "/v1/party/representations"

    own, others = [(await intake.http.get(path, headers=h)).json() for h in (head, theirs)]

    assert [r["person"]["name"] for r in own["items"]] == ["样律师"]
    assert [r["person"] for r in others["items"]] == [None]
