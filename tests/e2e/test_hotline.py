"""A hotline's urgent order on the whole stack: passed on hot, and told back by its number."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.client import Client, Stack, wait_for
from services.clock import SHANGHAI
from services.play import Play, wall_promises
from tests.e2e.receiving import brought, receiver

pytestmark = pytest.mark.stack
HOTLINE = "330681-HL-0001"


def ordered(hotline: Client, reference: str, **members: Any) -> Any:
    """An order that the hotline passes on while the caller is still on the line."""
    body = {
        "channel": "hotline",
        "reference": reference,
        "text": "围墙占道，双方正在争执",
        "address": "诸暨市枫桥镇栎桥村",
        "lane": "pm",
        "dispute_type": "neighbor",
        "no_party_yet": "hot_transfer",
        **members,
    }
    return hotline.post("intake", "/v1/counter-entries", body)["submitted"]


def named(hotline: Client, order: Any) -> None:
    """Who called, and about whom: by correction, once it is known."""
    path = f"/v1/referrals/{order['referral_id']}"
    people = [
        {
            "ref": f"p{number}", "role": role, "kind": "person", "name": name,
            "consent": {"state": "unknown", "on": None},
        }
        for number, (role, name) in enumerate(
            (("applicant", "样热线甲"), ("respondent", "样热线乙")), 1
        )
    ]  # fmt: skip
    changes = [{"pointer": "/parties/-", "value": person} for person in people]
    body = {"reason": "来电人留下姓名", "changes": changes}
    hotline.act(f"{path}/corrections", body, on=path, service="intake")


def waiting_at(desk: Client) -> list[str]:
    """The desk's queue as it is worked through, first to last."""
    items = desk.get("mediation", "/v1/queue", state="offered", limit=200)["items"]
    return [item["assignment_id"] for item in items]


def told(hotline: Client, after: str, case_id: str) -> list[Any]:
    """What the hotline's feed says of a case."""
    items = hotline.feed(after)["items"]
    return [item for item in items if item["event"].get("subject") == case_id]


def test_an_urgent_order_is_passed_on_hot_and_its_result_comes_back_under_its_number(
    stack: Stack,
) -> None:
    """Checklist 1.22: number kept, no way back to the hotline, calls attach and raise nothing;

    status and result are pushed, signed, under its own number.
    """
    with receiver() as (url, got):
        webhook = stack.client(HOTLINE).post("notification", "/v1/webhooks", {"url": url})
        try:
            case_id, entries = _an_order_to_its_end(stack)

            def pushed() -> Any:
                found = brought(got, webhook["secret"], case_id)
                return found if len(found) >= len(entries) else None

            found = wait_for(pushed, seconds=90, describe="the result at the hotline")
            assert found[: len(entries)] == entries
        finally:
            stack.client(HOTLINE).post(
                "notification", f"/v1/webhooks/{webhook['webhook_id']}/endings"
            )


def _an_order_to_its_end(stack: Stack) -> tuple[str, list[Any]]:
    """Answers the case and what the hotline's feed says of it."""
    play, hotline = Play(stack), stack.client(HOTLINE)
    after, mark = hotline.end_of_feed(), uuid4().hex[:8]
    first = ordered(hotline, f"12345-{mark}-1")
    second = ordered(hotline, f"12345-{mark}-2")
    offers = [play.offered(hotline, order["case_id"], 1) for order in (first, second)]
    desk = stack.client(offers[1]["organisation"])
    item = play.item(desk, offers[1]["assignment_id"])

    # A hot transfer needs nobody's name, and does not come back by a desk's refusal alone.
    assert first["receipts"] == []
    assert item["refusal_kind"] == "objection"
    path = f"/v1/queue/{offers[1]['assignment_id']}"
    version = desk.request("GET", "mediation", path).headers["ETag"]
    back = desk.request(
        "POST",
        "mediation",
        f"{path}/return",
        json={"ground": "no_mediator"},
        headers={"If-Match": version, "Idempotency-Key": uuid4().hex},
    )
    assert back.status_code in (409, 422), back.text

    # However often somebody calls again, the order stays where it is.
    queue, accept_by = waiting_at(desk), item["accept_by"]
    for kind in ("supplement", "repeat_call", "repeat_call", "repeat_call"):
        hotline.post(
            "intake",
            f"/v1/cases/{second['case_id']}/supplements",
            {"kind": kind, "text": "又来电催问", "reference": f"12345-{mark}-2-{uuid4().hex[:4]}"},
        )
    named(hotline, second)

    added = hotline.get("intake", f"/v1/cases/{second['case_id']}/supplements")["items"]
    assert [each["kind"] for each in added] == ["supplement", *["repeat_call"] * 3]
    assert [each for each in waiting_at(desk) if each in queue] == queue
    assert desk.get("mediation", path)["accept_by"] == accept_by

    mediation = play.accept(desk, offers[1])

    def both_named() -> Any:
        found = desk.get("mediation", f"/v1/mediations/{mediation}")["parties"]
        return found if len(found) == 2 else None

    parties = wait_for(both_named, describe="the parties to be heard")
    mediator = play.appoint(desk, mediation)
    play.consent(desk, mediation, parties)
    play.hold(desk, mediation, parties)
    sides = {party["role"]: party["party_id"] for party in parties}
    promises = wall_promises((datetime.now(SHANGHAI) + timedelta(days=30)).date().isoformat())
    for promise in promises:
        obligation = promise["obligation"]
        obligation["debtor"] = sides[obligation["debtor"]]
        obligation["creditor"] = sides[obligation["creditor"]]
    play.agree(desk, mediation, mediator, parties, promises)
    play.perform(desk, mediation)
    case = play.closed(hotline, second["case_id"])

    def over() -> Any:
        entries = told(hotline, after, second["case_id"])
        ends = [e for e in entries if e["event"]["type"] == "liandiao.case.closed.v1"]
        return entries if ends else None

    entries = wait_for(over, describe="the result in the hotline's feed")
    assert {entry["reference"] for entry in entries} == {f"12345-{mark}-2"}
    types = [entry["event"]["type"].removeprefix("liandiao.")[:-3] for entry in entries]
    status = ("case.registered", "assignment.offered", "assignment.accepted", "agreement.effective")
    assert [name for name in types if name in status] == list(status)
    (end,) = [entry for entry in entries if entry["event"]["type"].endswith("case.closed.v1")]
    assert end["event"]["data"]["outcome"] == case["outcome"]
    assert "样热线" not in str(entries)
    waiting = hotline.get("intake", f"/v1/cases/{first['case_id']}")
    assert (waiting["state"], waiting["your_roles"]) == ("open", ["source"])
    return second["case_id"], entries
