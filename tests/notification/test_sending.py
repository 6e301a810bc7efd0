import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from notification import sender as sender_module
from notification.channels import Answer, FileChannel, Letter, Receipt
from notification.errors import SendingFailed, SendingUnknown
from notification.sender import ASK, Sender, ask_again
from services.events import mediation
from services.events.intake import CaseErased
from services.messaging import failpoints
from services.messaging.jobs import run_due_jobs
from services.runtime import Runtime
from tests.notification.builders import (
    ANNA,
    AT,
    BORIS,
    CENTRE,
    COURT,
    a_deadline,
    a_referral,
    a_registration,
    a_session,
    accepted,
    an_offer,
    joined,
    started,
)
from tests.notification.conftest import Case

pytestmark = pytest.mark.postgres

CONTACTS: dict[str, dict[str, Any]] = {
    str(ANNA): {"name": "安样一", "phone": "19900001111", "languages": ["zh"]},
    str(BORIS): {
        "name": "博样二",
        "phone": "19900002222",
        "address": "样例路2号",
        "protected": {"address": True},
    },
}


class Intake:
    """Answers for contacts, or does not."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("away")
        assert request.url.params["purpose"] == "notice"
        wanted = request.url.params.get_list("party_id")
        self.asked += wanted
        known = [{"party_id": p, **CONTACTS[p]} for p in wanted if p in CONTACTS]
        return httpx.Response(200, json={"items": known})


@pytest.fixture
def intake_service(runtime: Runtime) -> Intake:
    """Intake, as the runtime's HTTP client sees it."""
    answering = Intake()
    runtime.http = httpx.AsyncClient(transport=httpx.MockTransport(answering))
    runtime._service_token = (2**40, "token")
    return answering


class Crash(BaseException):
    """The process ends here."""


def _crash() -> None:
    raise Crash


class Doubtful:
    """A channel that loses its connection after handing over."""

    name = "doubtful"

    def __init__(self, fault: Exception) -> None:
        self.fault = fault
        self.sent = 0
        self.knows: Receipt | Answer = Answer.CANNOT_SAY

    def takes(self, address: Any) -> bool:
        return True

    async def send(self, letter: Letter) -> Receipt:
        self.sent += 1
        raise self.fault

    async def ask(self, message_id: Any) -> Receipt | Answer:
        return self.knows


async def _states(runtime: Runtime) -> dict[str, str]:
    rows = await runtime.pool.fetch("SELECT recipient, state FROM message ORDER BY id")
    return {row["recipient"]: row["state"] for row in rows}


async def _said(runtime: Runtime) -> list[dict[str, Any]]:
    rows = await runtime.pool.fetch("SELECT type, data FROM outbox ORDER BY id")
    return [{"type": r["type"], **json.loads(r["data"])} for r in rows]


def _delivered(said: list[dict[str, Any]]) -> list[str]:
    """The messages that the stream calls delivered, each as often as it says so."""
    return [
        each["message_id"]
        for event in said
        if event["type"] == "liandiao.message.delivered.v1"
        for each in event["deliveries"]
    ]


def _files(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(p.read_text()) for p in sorted(folder.rglob("*.json"))]


async def test_each_party_gets_one_message_and_the_stream_hears_of_it(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    sender = Sender(runtime)

    await sender.step()
    await sender.step()

    files = _files(runtime.settings.spool_dir)
    assert {f["to"]["value"] for f in files} == {"19900001111", "19900002222"}
    assert await _states(runtime) == {
        f"party:{ANNA}": "delivered",
        f"party:{BORIS}": "delivered",
    }
    (said,) = await _said(runtime)
    assert said["type"] == "liandiao.message.delivered.v1"
    assert {d["party_id"] for d in said["deliveries"]} == {str(ANNA), str(BORIS)}
    assert len(intake_service.asked) == 2


async def test_nothing_of_the_contact_is_kept_but_a_mask_and_a_hash(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    await Sender(runtime).step()

    tables = ("message", "attempt", "outbox", "feed_entry", "case_copy", "audit_entry")
    kept = ""
    for table in tables:
        for row in await runtime.pool.fetch(f"SELECT t::text AS text FROM {table} t"):
            kept += row["text"]
    for row in await runtime.pool.fetch("SELECT convert_from(data, 'UTF8') AS text FROM outbox"):
        kept += row["text"]
    for secret in ("19900001111", "安样一", "样例路2号"):
        assert secret not in kept
    assert "199****11" in kept


async def test_a_protected_party_gets_the_neutral_text(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    await Sender(runtime).step()

    by_phone = {f["to"]["value"]: f for f in _files(runtime.settings.spool_dir)}
    assert by_phone["19900002222"]["subject"] == "通知"
    assert "博样二" not in by_phone["19900002222"]["body"]
    assert "安样一" in by_phone["19900001111"]["body"]


async def test_a_message_whose_fact_was_replaced_is_dropped(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    session = a_session(case.case_id, parties=(ANNA,))
    await case.hear(session)
    await case.hear(
        mediation.SessionCancelled(
            case_id=case.case_id,
            session_id=session.session_id,
            mediation_id=session.mediation_id,
            reason="party_left",
            cancelled_at=AT,
        )
    )
    await Sender(runtime).step()

    rows = await runtime.pool.fetch("SELECT purpose, state, reason FROM message")
    found = {r["purpose"]: (r["state"], r["reason"]) for r in rows}
    assert found["session-scheduled"] == ("dropped", "superseded")
    assert found["session-cancelled"] == ("delivered", None)


async def _accepted_with_term(case: Case) -> mediation.AssignmentAccepted:
    await case.hear(a_registration(case.case_id, parties=()))
    await case.hear(joined(case.case_id, COURT, "source"))
    offer = an_offer(case.case_id)
    acceptance = accepted(offer)
    for event in (offer, acceptance, started(case.case_id, a_deadline("term"))):
        await case.hear(event)
    return acceptance


async def _outcome(runtime: Runtime, purpose: str) -> tuple[str, str | None]:
    row = await runtime.pool.fetchrow(
        "SELECT state, reason FROM message WHERE purpose = $1", purpose
    )
    return row["state"], row["reason"]


async def test_an_acceptance_is_told_with_its_term(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await _accepted_with_term(case)
    await Sender(runtime).step()

    assert await _outcome(runtime, "case-accepted") == ("delivered", None)


async def test_an_acceptance_that_ended_before_it_was_told_is_dropped(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    acceptance = await _accepted_with_term(case)
    await case.hear(
        mediation.AssignmentEnded(
            case_id=case.case_id,
            assignment_id=acceptance.assignment_id,
            organisation=acceptance.organisation,
            ordinal=1,
            end="recalled",
            ended_at=AT,
        )
    )
    await Sender(runtime).step()

    assert await _outcome(runtime, "case-accepted") == ("dropped", "superseded")


async def test_a_message_that_came_too_late_is_dropped(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    await case.hear(a_session(case.case_id, parties=(ANNA,), starts_at=AT))
    runtime.clock.offset = timedelta(days=3650)
    await Sender(runtime).step()

    row = await runtime.pool.fetchrow("SELECT * FROM message WHERE purpose = 'session-scheduled'")
    assert (row["state"], row["reason"]) == ("dropped", "over")


async def test_an_offer_goes_to_the_desk_of_the_body_without_asking_intake(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_referral(case.case_id))
    await case.hear(a_registration(case.case_id, parties=()))
    await case.hear(an_offer(case.case_id))
    await Sender(runtime).step()

    (file,) = [f for f in _files(runtime.settings.spool_dir) if f["to"]["kind"] == "desk"]
    assert file["to"]["value"] == CENTRE
    assert "示范中心" in file["body"]
    assert intake_service.asked == []


async def test_an_outage_of_intake_delays_and_loses_nothing(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    intake_service.away = True
    sender = Sender(runtime)
    await sender.step()

    assert set((await _states(runtime)).values()) == {"waiting"}
    assert await _said(runtime) == []
    intake_service.away = False
    await runtime.pool.execute("UPDATE message SET next_attempt_at = now()")
    await sender.step()
    assert set((await _states(runtime)).values()) == {"delivered"}
    tries = await runtime.pool.fetch("SELECT ordinal, outcome FROM attempt ORDER BY 1")
    assert [(t["ordinal"], t["outcome"]) for t in tries] == [
        (1, "failed"),
        (1, "failed"),
        (2, "delivered"),
        (2, "delivered"),
    ]


async def test_the_last_failure_is_said_on_the_stream_once(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    channel = Doubtful(SendingFailed("mail_refused"))
    sender = Sender(runtime, (channel,))
    for _ in range(len(runtime.settings.retry_seconds) + 3):
        await runtime.pool.execute("UPDATE message SET next_attempt_at = now()")
        await sender.step()

    assert set((await _states(runtime)).values()) == {"failed"}
    said = await _said(runtime)
    assert [(s["type"], s["reason"]) for s in said] == [
        ("liandiao.message.failed.v1", "mail_refused")
    ] * 2
    assert channel.sent == 2 * (len(runtime.settings.retry_seconds) + 1)


async def test_a_party_intake_does_not_know_any_more_fails_at_once(
    case: Case, runtime: Runtime, intake_service: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await case.hear(a_registration(case.case_id))
    monkeypatch.setitem(CONTACTS, str(ANNA), {"name": None})
    monkeypatch.delitem(CONTACTS, str(BORIS))
    await Sender(runtime).step()

    assert (await _states(runtime))[f"party:{BORIS}"] == "failed"
    (file,) = _files(runtime.settings.spool_dir)
    assert file["to"]["kind"] == "desk"


async def test_a_crash_between_handing_over_and_recording_sends_nothing_twice(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    failpoints.arm("sender.after_send", 1, _crash)
    with pytest.raises(Crash):
        await Sender(runtime).step()
    await runtime.pool.execute("UPDATE message SET claimed_at = now() - interval '1 hour'")

    again = Sender(runtime)
    await again.step()
    await again.step()

    assert len(_files(runtime.settings.spool_dir)) == 2
    assert set((await _states(runtime)).values()) == {"delivered"}
    said = _delivered(await _said(runtime))
    assert len(said) == len(set(said)) == 2


async def test_what_nobody_can_account_for_is_never_sent_again(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    channel = Doubtful(SendingUnknown("connection_lost"))
    sender = runtime.state["sender"] = Sender(runtime, (channel,))
    for _ in range(3):
        await sender.step()

    assert channel.sent == 2
    assert set((await _states(runtime)).values()) == {"unknown"}
    jobs = await runtime.pool.fetch("SELECT id, kind, payload FROM job")
    assert [j["kind"] for j in jobs] == [ASK] * 2
    for job in [*jobs, *jobs]:
        await ask_again(job["id"], job["payload"], runtime)
    said = await _said(runtime)
    assert [(s["type"], s["reason"]) for s in said] == [
        ("liandiao.message.failed.v1", "unknown")
    ] * 2


async def test_a_former_sender_settles_nothing(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    old = Sender(runtime)
    async with runtime.unit_of_work() as uow:
        from notification import repository

        rows = await repository.claim(uow.db, uow.now, 10)
    await runtime.pool.execute("UPDATE message SET state = 'waiting', next_attempt_at = now()")
    await Sender(runtime).step()
    await old._round(rows, AT)

    said = _delivered(await _said(runtime))
    assert len(said) == len(set(said)) == 2
    assert len(_files(runtime.settings.spool_dir)) == 2


async def test_reminders_wait_for_the_morning_and_statutory_notices_do_not(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    await case.hear(a_registration(case.case_id))
    offer = an_offer(case.case_id)
    await case.hear(offer)
    await case.hear(accepted(offer))
    await runtime.pool.execute("UPDATE message SET statutory = false WHERE party_id = $1", ANNA)
    sender = Sender(runtime)
    sender._quiet = lambda uow: True  # type: ignore[method-assign]
    await sender.step()

    assert (await _states(runtime))[f"party:{ANNA}"] == "waiting"
    assert (await _states(runtime))[f"party:{BORIS}"] == "delivered"


async def test_the_file_of_a_message_is_found_by_its_id(runtime: Runtime, tmp_path: Path) -> None:
    channel = FileChannel(tmp_path)

    assert channel.path(ANNA).name == f"{ANNA}.json"


async def test_a_try_that_cannot_be_recorded_keeps_no_other_from_being_recorded(
    case: Case, runtime: Runtime, intake_service: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await case.hear(a_registration(case.case_id))
    say = sender_module.say_delivered

    def stumble(uow: Any, deliveries: list[tuple[Any, str]]) -> None:
        if any(row["party_id"] == ANNA for row, _ in deliveries):
            raise ValueError("cannot be said")
        say(uow, deliveries)

    monkeypatch.setattr(sender_module, "say_delivered", stumble)
    with pytest.raises(ValueError, match="cannot be said"):
        await Sender(runtime).step()

    states = await _states(runtime)
    assert states == {f"party:{ANNA}": "sending", f"party:{BORIS}": "delivered"}

    monkeypatch.setattr(sender_module, "say_delivered", say)
    await runtime.pool.execute("UPDATE message SET claimed_at = now() - interval '1 hour'")
    await Sender(runtime).step()

    assert set((await _states(runtime)).values()) == {"delivered"}
    assert len(_files(runtime.settings.spool_dir)) == 2


@pytest.mark.parametrize("phone", ["19955550000", None])
async def test_a_party_with_a_safe_channel_is_reached_by_it_alone_and_told_nothing(
    case: Case, runtime: Runtime, intake_service: Intake, phone: str | None
) -> None:
    """checklist 1.12: the safe number, else the desk; neither letter nor representative."""
    guardian = {"name": "监护样", "phone": "19900009999", "authority": "statutory"}
    told = {
        "name": "安样一",
        "phone": phone,
        "address": "样例路1号",
        "neutral": True,
        "safe_only": True,
        "representative": guardian,
    }
    CONTACTS[str(ANNA)], before = told, CONTACTS[str(ANNA)]
    try:
        await case.hear(a_registration(case.case_id))
        await Sender(runtime).step()
    finally:
        CONTACTS[str(ANNA)] = before

    files = _files(runtime.settings.spool_dir)
    (letter,) = [f for f in files if f["to"]["value"] != "19900002222"]
    assert letter["to"] == (
        {"kind": "phone", "value": phone} if phone else {"kind": "desk", "value": COURT}
    )
    assert "安样一" not in letter["body"] + letter["subject"]


async def test_an_erasure_forgets_where_a_party_was_reached(
    case: Case, runtime: Runtime, intake_service: Intake
) -> None:
    """checklist 1.30: address, mask and the letter in the spool go; that it was sent stays."""
    await case.hear(a_registration(case.case_id))
    await Sender(runtime).step()
    event = CaseErased(
        case_id=case.case_id,
        erasure_id=case.case_id,
        parties=(ANNA,),
        whole=False,
        ground="unlawful",
        erased_at=AT,
    )

    await case.hear(event)
    await run_due_jobs(runtime)

    rows = await runtime.pool.fetch(
        """SELECT m.party_id, m.state, a.address_masked, a.address_hash FROM attempt a
           JOIN message m ON m.id = a.message_id"""
    )
    found = {row["party_id"]: row for row in rows}
    assert (found[ANNA]["state"], found[ANNA]["address_masked"]) == ("delivered", None)
    assert found[ANNA]["address_hash"] is None
    assert found[BORIS]["address_masked"]
    assert [f["to"]["value"] for f in _files(runtime.settings.spool_dir)] == ["19900002222"]
    (done,) = [s for s in await _said(runtime) if s["type"] == "liandiao.erasure.done.v1"]
    assert done["removed"] == 1
