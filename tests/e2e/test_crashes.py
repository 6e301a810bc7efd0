"""One case goes on to its end while every process is killed in turn; nothing is lost or doubled."""

import time
from typing import Any

import pytest

from services.client import Client, Stack, wait_for
from services.play import CENTRE, COURT, FIRST_COMMITTEE, Play, loan_promises
from tests.e2e.receiving import brought, receiver
from tests.e2e.running import RunningStack

pytestmark = pytest.mark.stack


def feed_of(client: Client) -> list[dict[str, Any]]:
    """Every entry of a connection's feed."""
    entries: list[dict[str, Any]] = []
    after = "0000000000"
    while items := client.feed(after)["items"]:
        entries += items
        after = items[-1]["feed_sequence"]
    return entries


def events_of(client: Client, case_id: str) -> list[dict[str, Any]]:
    """The case's events in a connection's feed."""
    return [e["event"] for e in feed_of(client) if e["event"].get("subject") == case_id]


def assert_gapless(entries: list[dict[str, Any]]) -> None:
    """Numbers 1..n without a gap, each event once."""
    assert [int(e["feed_sequence"]) for e in entries] == list(range(1, len(entries) + 1))
    ids = [e["event"]["id"] for e in entries]
    assert len(ids) == len(set(ids))


@pytest.mark.timeout(580)
def test_a_case_comes_to_its_end_though_every_process_is_killed_on_the_way(
    running: RunningStack, stack: Stack
) -> None:
    """What the court's webhook brings meanwhile is its feed, in the case's order (4.12)."""
    court = stack.client(COURT)
    with receiver() as (url, got):
        webhook = court.post("notification", "/v1/webhooks", {"url": url})
        case_id = _to_its_end_while_killing(running, stack)
        entries = [e for e in feed_of(court) if e["event"].get("subject") == case_id]

        def all_brought() -> bool:
            return len(brought(got, webhook["secret"], case_id)) >= len(entries)

        wait_for(all_brought, seconds=120, describe="the webhook to bring all of it")
        assert brought(got, webhook["secret"], case_id)[: len(entries)] == entries
        court.post("notification", f"/v1/webhooks/{webhook['webhook_id']}/endings")


def _to_its_end_while_killing(running: RunningStack, stack: Stack) -> str:
    play = Play(stack, patience_seconds=150)
    first, centre = stack.client(FIRST_COMMITTEE), stack.client(CENTRE)

    loan = play.post_loan()
    running.kill("intake")
    offer = play.offered(play.court, loan["case_id"], 1)
    play.item(first, offer["assignment_id"])
    running.kill("routing")
    play.give_back(first, offer, "no_mediator")
    running.kill("kafka")
    offer = play.offered(play.court, loan["case_id"], 2)
    play.item(centre, offer["assignment_id"])
    running.kill("mediation")
    mediation = play.accept(centre, offer)
    parties = centre.get("mediation", f"/v1/mediations/{mediation}")["parties"]
    mediator = play.appoint(centre, mediation)
    running.kill("postgres")
    play.consent(centre, mediation, parties)
    play.hold(centre, mediation, parties)
    running.kill("notification")
    promises = loan_promises("2027-03-01")
    sides = {party["role"]: party["party_id"] for party in parties}
    for promise in promises:
        promise["obligation"]["debtor"] = sides["respondent"]
        promise["obligation"]["creditor"] = sides["applicant"]
    play.agree(centre, mediation, mediator, parties, promises)
    play.perform(centre, mediation)

    case = wait_for(
        lambda: _if_closed(play.court, loan["case_id"]), seconds=90, describe="the closing"
    )
    assert case["outcome"] == "agreed_written"
    for client, name in ((play.court, COURT), (centre, CENTRE), (first, FIRST_COMMITTEE)):
        wait_for(
            lambda client=client: any(
                e["type"] in ("liandiao.case.closed.v1", "liandiao.participation.ended.v1")
                for e in events_of(client, loan["case_id"])
            ),
            seconds=60,
            describe=f"the end in the feed of {name}",
        )
        assert_gapless(feed_of(client))
    told = [e["type"] for e in events_of(play.court, loan["case_id"])]
    for once in ("accepted", "offered", "returned", "ended"):
        wanted = 2 if once == "offered" else 1
        assert told.count(f"liandiao.assignment.{once}.v1") == wanted
    assert told.count("liandiao.agreement.effective.v1") == 1
    assert told.count("liandiao.case.closed.v1") == 1
    return str(loan["case_id"])


def _if_closed(client: Client, case_id: str) -> dict[str, Any] | None:
    case: dict[str, Any] = client.get("intake", f"/v1/cases/{case_id}")
    return case if case["state"] == "closed" else None


@pytest.mark.timeout(120)
def test_each_sender_of_the_same_case_sees_every_sequence_of_each_service_in_order(
    running: RunningStack, stack: Stack
) -> None:
    play = Play(stack)
    loan = play.post_loan()
    play.offered(play.court, loan["case_id"], 1)
    time.sleep(1)

    by_source: dict[str, list[int]] = {}
    for event in events_of(play.court, loan["case_id"]):
        if event.get("sequence"):
            by_source.setdefault(event["source"], []).append(int(event["sequence"]))

    assert by_source["/intake"][:2] == [1, 2]
    for sequences in by_source.values():
        assert sequences == sorted(set(sequences))


@pytest.mark.timeout(120)
def test_doctor_finds_nothing_after_all_that(running: RunningStack) -> None:
    wait_for(
        lambda: "nothing found" in running.command("doctor").stdout,
        seconds=60,
        describe="a clean doctor",
    )


@pytest.mark.timeout(180)
def test_verify_finds_no_broken_promise_after_all_that(running: RunningStack) -> None:
    done = running.command("verify", "--allow-empty", "commands")

    assert done.returncode == 0, done.stdout
    assert "everything holds" in done.stdout
