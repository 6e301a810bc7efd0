"""Receipts in people's hands: the paper, the way to follow a case, what replaces a lost one."""

import io
import re
from datetime import timedelta
from typing import Any

import pypdfium2
import pytest

from services.clock import wire
from services.documents.glyphs import shown
from services.events.mediation import AssignmentReturned
from tests.intake.test_cases import a_case, party_token
from tests.intake.world import CENTRE, COURT, POLICE, Intake, bearer, token

pytestmark = pytest.mark.postgres
SEEN = {"document_seen": "resident_id_card"}


def text_of(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(io.BytesIO(pdf))
    return "\n".join(page.get_textpage().get_text_bounded() for page in document)


async def test_a_receipt_is_printed_in_both_languages_and_its_qr_code_holds_no_secret(
    intake: Intake,
) -> None:
    """checklist 1.16: number and secret, printable without a phone; 1.3: it prints the request."""
    done, _ = await a_case(intake)
    given = done["receipts"][0]
    path = f"/v1/referrals/{done['referral_id']}/receipts/p1"

    data = (await intake.get(path)).json()
    first = await intake.get(f"{path}?form=pdf")
    again = await intake.get(f"{path}?form=pdf")

    assert (data["number"], data["secret"]) == (given["number"], given["secret"])
    assert data["follow_url"].endswith(f"/track/{given['number']}")
    assert given["secret"] not in data["follow_url"]
    assert data["request_made_at"] == done["request_made_at"]
    assert first.headers["content-type"] == "application/pdf"
    assert first.content == again.content
    words = text_of(first.content)
    for shown_ in (given["number"], given["secret"], "回执", "Receipt", "申请人", "applicant"):
        assert shown_ in words
    assert (await intake.get(path, POLICE)).status_code == 404
    assert (await intake.get(f"/v1/referrals/{done['referral_id']}/receipts/p9")).status_code == 404


async def test_a_party_prints_its_receipt_again_without_the_secret(intake: Intake) -> None:
    done, _ = await a_case(intake)
    head = await party_token(intake, done["receipts"][0])

    data = await intake.http.get("/v1/party/receipt", headers=head)
    paper = await intake.http.get("/v1/party/receipt?form=pdf", headers=head)

    assert data.json()["secret"] is None
    assert done["receipts"][0]["secret"] not in text_of(paper.content)


async def test_a_party_sees_holder_due_date_earlier_holders_and_remedies_in_both_languages(
    intake: Intake,
) -> None:
    """checklist 1.16: holder, step, due date with basis, every earlier holder, next remedy."""
    done, story = await a_case(intake)
    await story.offered()
    await story.say(
        AssignmentReturned(
            **story.turn(), ground="wrong_place", returned_at=intake.runtime.clock.now()
        )
    )
    await story.offered()
    await story.accepted()
    head = await party_token(intake, done["receipts"][0])

    case = (await intake.http.get("/v1/party/case", headers=head)).json()

    assert case["holder"]["organisation"]["code"] == CENTRE
    assert [h["organisation"]["code"] for h in case["holders"]] == [COURT, CENTRE]
    assert case["holders"][0]["until"] == case["holders"][1]["since"]
    assert case["holders"][0]["words"]["zh"].startswith("首接责任")
    assert case["words"]["stage"] == {
        "zh": "已接收，正在安排调解员",
        "en": "accepted; a mediator is being appointed",
    }
    given_back = next(s for s in case["steps"] if s["what"] == "assignment.returned")
    assert given_back["ground"] == {
        "zh": "不属于该机构辖区",
        "en": "another place is competent",
    }
    assert case["next_step"]["zh"].startswith("接下来")
    assert all(r["citation"] and r["zh"] and r["en"] for r in case["remedies"])
    assert "court_registers" in [r["code"] for r in case["remedies"]]


async def test_a_due_date_is_told_with_its_basis(intake: Intake) -> None:
    done, story = await a_case(intake)
    await story.offered()
    head = await party_token(intake, done["receipts"][0])

    due = (await intake.http.get("/v1/party/case", headers=head)).json()["due"]

    assert (due["due_on"], due["citation"]) == ("2026-11-27", "法释〔2021〕23号 12")
    assert due["words"]["zh"] == "接收期限"


# -- lost, locked, unlocked


async def a_lock(intake: Intake, number: str) -> None:
    for _ in range(11):
        answer = await intake.http.post(f"/v1/receipts/{number}/tokens", json={"secret": "A" * 10})
    assert answer.status_code == 429


async def test_a_desk_unlocks_a_receipt_for_a_party_that_shows_who_it_is(intake: Intake) -> None:
    """checklist 1.16: ten wrong tries lock, unlock at a desk."""
    done, story = await a_case(intake)
    await story.offered()
    receipt = done["receipts"][0]
    await a_lock(intake, receipt["number"])
    path = f"/v1/cases/{done['case_id']}/receipt-unlocks"
    body = {"party_id": receipt["party_id"], **SEEN}

    unsaid = await intake.post(path, {"party_id": receipt["party_id"]}, CENTRE)
    stranger = await intake.post(path, body, POLICE)
    opened = await intake.post(path, body, CENTRE)

    assert (unsaid.status_code, stranger.status_code) == (422, 404)
    assert (opened.status_code, opened.json()["unlocked"]) == (200, 1)
    head = await party_token(intake, receipt)
    log = (await intake.http.get("/v1/party/access-log", headers=head)).json()["items"]
    assert [(e["what"], e["organisation"]) for e in log] == [("receipt.unlocked", CENTRE)]


async def test_a_lost_secret_is_replaced_at_the_desk_that_states_the_paper_it_saw(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    old = done["receipts"][0]
    await a_lock(intake, old["number"])
    path, body = f"/v1/cases/{done['case_id']}/receipts", {"party_id": old["party_id"]}

    unsaid = await intake.post(path, body, CENTRE, **intake.key())
    new = (await intake.post(path, {**body, **SEEN}, CENTRE, **intake.key())).json()

    assert unsaid.status_code == 422
    assert new["secret"] != old["secret"]
    await party_token(intake, new)
    detail = await intake.runtime.pool.fetchval(
        "SELECT detail FROM audit_entry WHERE action = 'receipt.replaced'"
    )
    assert detail["document_seen"] == "resident_id_card"


async def test_unknown_numbers_cost_as_many_hashes_as_known_ones(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """checklist 1.16: an unknown number answers equal, also in time."""
    from intake import receipt, receipts

    done, _ = await a_case(intake)
    counts: dict[str, int] = {}
    real = receipt.secret_hash

    for number in (done["case_number"], "LD2026-330681-9999999-0", "nonsense"):
        made = 0

        def counted(*arguments: Any) -> bytes:
            nonlocal made
            made += 1
            return real(*arguments)

        monkeypatch.setattr(receipts.receipt, "secret_hash", counted)
        await intake.http.post(f"/v1/receipts/{number}/tokens", json={"secret": "B" * 10})
        counts[number] = made

    assert len(set(counts.values())) == 1
    assert min(counts.values()) > len(done["receipts"])


# -- representatives


async def test_a_representative_has_its_own_secret_that_the_party_can_end_at_once(
    intake: Intake,
) -> None:
    """checklist 1.16: a representative has its own secret, revocable; 1.10: effective at once."""
    done, _ = await a_case(intake)
    head = await party_token(intake, done["receipts"][0])
    path = "/v1/party/representative-receipts"
    nobody = await intake.http.post(path, headers={**head, **intake.key()})
    assert nobody.json()["errors"][0]["code"] == "representation_needed"
    await acts(intake, done)

    given = (await intake.http.post(path, headers={**head, **intake.key()})).json()
    theirs = await party_token(intake, given)

    assert given["secret"] != done["receipts"][0]["secret"]
    assert (await intake.http.get("/v1/party/case", headers=theirs)).status_code == 200
    leaving = await intake.http.post("/v1/party/departures", headers=theirs)
    passing_on = await intake.http.post(path, headers={**theirs, **intake.key()})
    ending = await intake.http.post("/v1/party/mandates/revocations", headers=theirs)
    assert (leaving.status_code, passing_on.status_code, ending.status_code) == (403, 403, 403)
    ended = await intake.http.post(f"{path}/{given['receipt_id']}/revocations", headers=head)
    assert ended.json()["revoked_at"] is not None
    for closed in ("/v1/party/case", "/v1/party/mandates", "/v1/party/access-log"):
        assert (await intake.http.get(closed, headers=theirs)).status_code == 401
    again = await intake.http.post(
        f"/v1/receipts/{given['number']}/tokens", json={"secret": given["secret"]}
    )
    assert again.status_code == 401
    await party_token(intake, done["receipts"][0])


async def acts(intake: Intake, case: Any, **more: Any) -> str:
    """Somebody has authority to act for the first party."""
    lawyer = {"name": "样律师", "phone": "19900000999"}
    body = {"party_ref": "p1", "representative": lawyer, "relation": "lawyer"}
    head = {**bearer(token(COURT, "party:write")), **intake.key()}
    made = await intake.http.post(
        f"/v1/cases/{case['case_id']}/representations",
        json={**body, "authority": "general", **more},
        headers=head,
    )
    assert made.status_code == 201, made.text
    id_: str = made.json()["representation_id"]
    return id_


@pytest.mark.parametrize("end", ["revoked by the desk", "revoked by the party", "run out"])
async def test_a_representatives_secret_ends_with_its_authority_at_once(
    intake: Intake, end: str
) -> None:
    """Checklist 1.16, 1.10: the secret and every token had by it; another's stays as it is."""
    done, _ = await a_case(intake)
    head = await party_token(intake, done["receipts"][0])
    until = intake.runtime.clock.now() + timedelta(minutes=5)
    first = await acts(intake, done, **({"valid_until": wire(until)} if end == "run out" else {}))
    second = await acts(intake, done)
    path = f"/v1/cases/{done['case_id']}/representative-receipts"
    body = {"party_id": done["receipts"][0]["party_id"], "document_seen": "mandate"}
    which = await intake.post(path, body, **intake.key())
    given, other = [
        (await intake.post(path, {**body, "representation_id": id_}, **intake.key())).json()
        for id_ in (first, second)
    ]
    theirs = await party_token(intake, given)

    if end == "run out":
        intake.runtime.clock.offset += timedelta(minutes=6)
    elif end == "revoked by the desk":
        desk = {**bearer(token(COURT, "party:write")), **intake.key()}
        await intake.http.post(f"/v1/representations/{first}/revocations", json={}, headers=desk)
    else:
        own = f"/v1/party/representations/{first}/revocations"
        await intake.http.post(own, headers=head)

    assert which.json()["errors"][0]["code"] == "representation_which"
    assert (await intake.http.get("/v1/party/case", headers=theirs)).status_code == 401
    secret = {"secret": given["secret"]}
    again = await intake.http.post(f"/v1/receipts/{given['number']}/tokens", json=secret)
    assert again.status_code == 401
    late = await intake.post(path, {**body, "representation_id": first}, **intake.key())
    assert late.json()["errors"][0]["code"] == "representation_needed"
    await party_token(intake, other)


async def test_a_desk_admits_a_representative_by_its_mandate_and_the_party_sees_it(
    intake: Intake,
) -> None:
    done, _ = await a_case(intake)
    party = done["receipts"][0]
    path = f"/v1/cases/{done['case_id']}/representative-receipts"
    body = {"party_id": party["party_id"], "document_seen": "mandate"}
    key = intake.key()
    await acts(intake, done)

    given = (await intake.post(path, body, **key)).json()
    again = (await intake.post(path, body, **key)).json()
    stranger = await intake.post(path, body, POLICE, **intake.key())

    assert (again, stranger.status_code) == (given, 404)
    head = await party_token(intake, party)
    (seen,) = (await intake.http.get("/v1/party/representative-receipts", headers=head)).json()[
        "items"
    ]
    assert (seen["issued_by"], seen["revoked_at"]) == (COURT, None)
    ended = await intake.post(f"{path}/{given['receipt_id']}/revocations", None)
    assert ended.json()["revoked_at"] is not None


# -- the page


async def test_the_page_shows_where_the_case_is_without_script_or_anything_from_outside(
    intake: Intake,
) -> None:
    done, story = await a_case(intake)
    await story.offered()
    given = done["receipts"][0]

    form = await intake.http.get(f"/track/{given['number']}")
    shown_ = await intake.http.post(
        "/track", data={"number": given["number"].lower(), "secret": given["secret"].lower()}
    )

    for page in (form, shown_):
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert "set-cookie" not in page.headers
        assert not re.search(r"<script|javascript:|https?://|\son[a-z]+=", page.text)
        assert given["secret"] not in page.text
    assert f'value="{given["number"]}"' in form.text
    for words in ("已分派，等待接收", "offered to a body", "2026-11-27", "法释〔2021〕23号 12"):
        assert words in shown_.text


async def test_the_page_answers_a_wrong_secret_and_an_unknown_number_alike_and_locks(
    intake: Intake,
) -> None:
    done, _ = await a_case(intake)
    unknown = "LD2026-330681-9999999-0"

    wrong = await intake.http.post("/track", data={"number": done["case_number"], "secret": "x"})
    nobody = await intake.http.post("/track", data={"number": unknown, "secret": "x"})
    for _ in range(10):
        last = await intake.http.post("/track", data={"number": unknown, "secret": "x"})

    assert (wrong.status_code, nobody.status_code, last.status_code) == (401, 401, 429)
    assert wrong.text.replace(done["case_number"], "") == nobody.text.replace(unknown, "")


async def test_what_is_typed_into_the_page_comes_back_as_text_only(intake: Intake) -> None:
    evil = '"><script>alert(1)</script>'

    answers = [
        await intake.http.get("/track/" + evil.replace("/", "%2F")),
        await intake.http.post("/track", data={"number": evil, "secret": evil}),
    ]

    assert all("script>alert" not in answer.text for answer in answers)


def test_a_character_without_a_glyph_is_named_instead_of_lost() -> None:
    assert shown("䶮和张") == "䶮和张"
    assert shown("𠮷") == "〓U+20BB7"
