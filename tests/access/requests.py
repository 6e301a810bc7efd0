"""One request per operation, about one scene: what the matrix sends in every standing."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from services.clock import wire
from services.ids import new_id
from tests.access.installation import PLACE, code_of
from tests.access.scenes import Scene
from tests.architecture.source import ROOT


@dataclass(frozen=True)
class Asked:
    """A request, and the id by which a list shows what it must not show to others."""

    path: str
    body: Any = None
    version: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    shows: str | None = None


@dataclass(frozen=True)
class About:
    """The scene's ids, or others that nobody ever had."""

    ids: Mapping[str, str]
    scene: Scene

    def __getitem__(self, name: str) -> str:
        return self.ids[name]


def about(scene: Scene) -> About:
    """What is there."""
    return About(scene.ids, scene)


def about_nothing(scene: Scene) -> About:
    """Ids of the same shape that do not exist."""
    ids = {name: str(new_id()) for name in scene.ids}
    ids["connection"] = "o-330681-zz-9999"
    ids["number"] = ids["case_number"] = "LD2026-330681-9999999-" + "8"
    return About(ids, scene)


def _soon(minutes: int) -> str:
    return wire(datetime.now(UTC) + timedelta(minutes=minutes))


def _list(path: str, id_: str, *, of_case: bool = False) -> Callable[[About], Asked]:
    def ask(it: About) -> Asked:
        params: dict[str, Any] = {"limit": 200}
        if of_case:
            params["case_id"] = it["case_id"]
        return Asked(path, params=params, shows=it[id_])

    return ask


def _get(path: str, **params: str) -> Callable[[About], Asked]:
    return lambda it: Asked(
        path.format_map(it), params={name: text.format_map(it) for name, text in params.items()}
    )


def _post(path: str, body: Any = None, *, version: int | None = None) -> Callable[[About], Asked]:
    def ask(it: About) -> Asked:
        made = body(it) if callable(body) else (body if body is not None else {})
        return Asked(path.format_map(it), made, version)

    return ask


def _layout() -> Any:
    """The hotline's mapping file, as a connection's own."""
    file = ROOT / "intake/data/layouts/hotline_12345.json"
    return json.loads(file.read_text("utf-8"))


SEEN = {"document_seen": "resident_id_card"}


def _at_desk(it: About) -> dict[str, str]:
    return {"party_id": it["party_id"], **SEEN}


def _announce(path: str) -> Callable[[About], Asked]:
    name = base64.b64encode(b"a.txt").decode()
    head = {"Upload-Length": "4", "Upload-Metadata": f"filename {name}"}
    return lambda it: Asked(path.format_map(it), None, headers=head)


def _part(path: str) -> Callable[[About], Asked]:
    """At a place where the upload does not stand: who may go on with it is told so."""
    head = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "999999"}
    return lambda it: Asked(path.format_map(it), None, headers=head)


STALE = 999_999  # a version nobody has: who may act is told that it is stale, and nothing changes

BY_STAFF = {"Acted-By": "staff-7"}  # what a person decides names the person

REQUESTS: dict[str, Callable[[About], Asked]] = {
    # intake
    "POST /v1/referrals": _post("/v1/referrals", lambda it: it.scene.document),
    "GET /v1/referrals": _list("/v1/referrals", "referral_id"),
    "GET /v1/referrals/{referral_id}": _get("/v1/referrals/{referral_id}", purpose="handling"),
    "GET /v1/referrals/{referral_id}/receipt": _get("/v1/referrals/{referral_id}/receipt"),
    "POST /v1/referrals/{referral_id}/receipts": _post(
        "/v1/referrals/{referral_id}/receipts", {"party_ref": "p1", **SEEN}
    ),
    "POST /v1/referrals/{referral_id}/corrections": _post(
        "/v1/referrals/{referral_id}/corrections",
        {"reason": "错字", "changes": [{"pointer": "/title", "value": "更正"}]},
        version=STALE,
    ),
    "POST /v1/referrals/{referral_id}/withdrawals": _post(
        "/v1/referrals/{referral_id}/withdrawals", {"reason": "sent_in_error"}
    ),
    "POST /v1/imports": lambda it: Asked("/v1/imports", {"数据": []}),
    "GET /v1/imports": _list("/v1/imports", "import_id"),
    "GET /v1/imports/{import_id}": _get("/v1/imports/{import_id}"),
    "GET /v1/imports/{import_id}/rows": _get("/v1/imports/{import_id}/rows"),
    "GET /v1/imports/{import_id}/refused": _get(
        "/v1/imports/{import_id}/refused", purpose="handling"
    ),
    "POST /v1/imports/{import_id}/runs": _post("/v1/imports/{import_id}/runs"),
    "POST /v1/imports/{import_id}/cancellations": _post("/v1/imports/{import_id}/cancellations"),
    "GET /v1/layouts": _get("/v1/layouts"),
    "GET /v1/layouts/{name}": _get("/v1/layouts/hotline_12345"),
    "PUT /v1/layouts/{name}": lambda it: Asked("/v1/layouts/hotline_12345", _layout()),
    "POST /v1/reconciliations": lambda it: Asked(
        "/v1/reconciliations", {"编号": "X"}, headers={"Content-Type": "application/x-ndjson"}
    ),
    "GET /v1/reconciliations": _list("/v1/reconciliations", "reconciliation_id"),
    "GET /v1/reconciliations/{reconciliation_id}": _get("/v1/reconciliations/{reconciliation_id}"),
    "GET /v1/reconciliations/{reconciliation_id}/differences": _get(
        "/v1/reconciliations/{reconciliation_id}/differences"
    ),
    "POST /v1/referrals/checks": _post("/v1/referrals/checks", lambda it: it.scene.document),
    "GET /v1/refusals": _list("/v1/refusals", "refusal_id"),
    "GET /v1/refusals/counts": _get("/v1/refusals/counts"),
    "GET /v1/refusals/{refusal_id}": _get("/v1/refusals/{refusal_id}"),
    "GET /v1/refusals/{refusal_id}/receipt": _get("/v1/refusals/{refusal_id}/receipt"),
    "POST /v1/refusals/{refusal_id}/reviews": _post(
        "/v1/refusals/{refusal_id}/reviews", {"outcome": "upheld", "reason": "样例"}
    ),
    "POST /v1/matters": _post(
        "/v1/matters", {"kind": "hazard", "place": PLACE, "title": "样例", "text": "样例"}
    ),
    "GET /v1/matters": _list("/v1/matters", "matter_id"),
    "GET /v1/matters/counts": _get("/v1/matters/counts"),
    "GET /v1/matters/{matter_id}": _get("/v1/matters/{matter_id}", purpose="handling"),
    "POST /v1/matters/{matter_id}/transfers": _post(
        "/v1/matters/{matter_id}/transfers",
        {"to": "330681-GO-0001", "ground": "competent_there"},
        version=STALE,
    ),
    "POST /v1/matters/{matter_id}/answers": _post(
        "/v1/matters/{matter_id}/answers", {"text": "样例"}, version=STALE
    ),
    "POST /v1/matters/{matter_id}/conversions": _post(
        "/v1/matters/{matter_id}/conversions",
        lambda it: {"referral": it.scene.document},
        version=STALE,
    ),
    "POST /v1/receipts/{number}/erasures": lambda it: Asked(
        f"/v1/receipts/{it.scene.bodies['refused']['number']}/erasures",
        {"secret": it.scene.bodies["refused"]["secret"], "ground": "unlawful"},
    ),
    "GET /v1/records/{record_id}/retention": _get("/v1/records/{record_id}/retention"),
    "POST /v1/records/{record_id}/holds": _post(
        "/v1/records/{record_id}/holds", {"ground": "complaint"}
    ),
    "POST /v1/record-holds/{record_hold_id}/liftings": _post(
        "/v1/record-holds/{record_hold_id}/liftings"
    ),
    "POST /v1/records/{record_id}/erasures": lambda it: Asked(
        f"/v1/records/{it['record_id']}/erasures",
        {"ground": "unlawful"},
        headers={"Acted-By": "s-1"},
    ),
    "GET /v1/record-erasures": _list("/v1/record-erasures", "record_erasure_id"),
    "GET /v1/record-erasures/{record_erasure_id}": _get("/v1/record-erasures/{record_erasure_id}"),
    "POST /v1/record-erasures/{record_erasure_id}/decisions": lambda it: Asked(
        f"/v1/record-erasures/{it['record_erasure_id']}/decisions",
        {"approved": False, "refusal": "no_ground"},
        headers={"Acted-By": "s-2"},
    ),
    "GET /v1/notices": _list("/v1/notices", "notice_id"),
    "GET /v1/cases/{case_id}/notices": _get("/v1/cases/{case_id}/notices"),
    "POST /v1/notices/{notice_id}/proofs": _post(
        "/v1/notices/{notice_id}/proofs", {"means": "phone"}
    ),
    "POST /v1/receipts/{number}/readings": lambda it: Asked(
        f"/v1/receipts/{it.scene.bodies['refused']['number']}/readings",
        {"secret": it.scene.bodies["refused"]["secret"]},
    ),
    "POST /v1/place-suggestions": _post("/v1/place-suggestions", {"address": "诸暨市枫桥镇"}),
    "POST /v1/counter-entries": _post(
        "/v1/counter-entries",
        {"who": {"name": "样甲"}, "whom": {"name": "样乙"}, "text": "样例", "place": PLACE},
    ),
    "GET /v1/counter-entries/counts": _get("/v1/counter-entries/counts"),
    "POST /v1/cases/{case_id}/supplements": _post(
        "/v1/cases/{case_id}/supplements", {"kind": "repeat_call"}
    ),
    "GET /v1/cases/{case_id}/supplements": _get(
        "/v1/cases/{case_id}/supplements", purpose="handling"
    ),
    "POST /v1/cases/{case_id}/mandates": _post(
        "/v1/cases/{case_id}/mandates", {"agent_name": "样代办", "form": "written"}
    ),
    "POST /v1/mandates/{mandate_id}/revocations": _post("/v1/mandates/{mandate_id}/revocations"),
    "GET /v1/party/mandates": _get("/v1/party/mandates"),
    "POST /v1/party/mandates/revocations": _post("/v1/party/mandates/revocations"),
    "POST /v1/rounds": _post(
        "/v1/rounds",
        {
            "place": PLACE,
            "began_on": "2026-01-01",
            "ended_on": "2026-01-02",
            "nothing_found": True,
        },
    ),
    "GET /v1/rounds": _get("/v1/rounds"),
    "GET /v1/rounds/due": _get("/v1/rounds/due"),
    "POST /v1/incidents": _post(
        "/v1/incidents",
        lambda it: {"accident_number": "样例", "referrals": [it.scene.document]},
    ),
    "POST /v1/cases/{case_id}/links": _post(
        "/v1/cases/{case_id}/links",
        lambda it: {"other_case_id": it["case_id"], "kind": "counterclaim"},
    ),
    "GET /v1/cases/{case_id}/links": _get("/v1/cases/{case_id}/links"),
    "POST /v1/case-links/{link_id}/removals": _post("/v1/case-links/{link_id}/removals"),
    "GET /v1/incidents/{incident_id}": _get("/v1/incidents/{incident_id}"),
    "GET /v1/cases/{case_id}/shared-evidence": _get("/v1/cases/{case_id}/shared-evidence"),
    "GET /v1/cases": _list("/v1/cases", "case_id"),
    "GET /v1/cases/{case_id}": _get("/v1/cases/{case_id}"),
    "GET /v1/cases/{case_id}/timeline": _get("/v1/cases/{case_id}/timeline"),
    "GET /v1/cases/{case_id}/parties": _get("/v1/cases/{case_id}/parties", purpose="handling"),
    "GET /v1/cases/{case_id}/access-log": _get("/v1/cases/{case_id}/access-log"),
    "POST /v1/cases/{case_id}/lane-changes": _post(
        "/v1/cases/{case_id}/lane-changes",
        {"to_lane": "pm", "ground": "reclassified"},
        version=STALE,
    ),
    "POST /v1/cases/searches": lambda it: Asked(
        "/v1/cases/searches", {}, params={"limit": 200}, shows=it["case_id"]
    ),
    "GET /v1/cases/{case_id}/duplicates": _get("/v1/cases/{case_id}/duplicates"),
    "POST /v1/cases/{case_id}/duplicates/dismissals": lambda it: Asked(
        f"/v1/cases/{it['case_id']}/duplicates/dismissals",
        {"other_case_id": it["case_id"], "reason": "no_sign"},
        headers=BY_STAFF,
    ),
    "POST /v1/cases/{case_id}/joins": lambda it: Asked(
        f"/v1/cases/{it['case_id']}/joins",
        {"other_case_id": it["case_id"], "ground": "repeat"},
        headers=BY_STAFF,
    ),
    "POST /v1/joins/{join_id}/undoings": lambda it: Asked(
        f"/v1/joins/{it['join_id']}/undoings", {"reason": "joined_in_error"}, headers=BY_STAFF
    ),
    "POST /v1/cases/{case_id}/departures": _post(
        "/v1/cases/{case_id}/departures", {"party_ref": "p1"}
    ),
    "POST /v1/cases/{case_id}/continuations": _post(
        "/v1/cases/{case_id}/continuations", {"party_ref": "p1"}
    ),
    "POST /v1/cases/{case_id}/reopenings": _post(
        "/v1/cases/{case_id}/reopenings", {"ground": "new_facts"}, version=STALE
    ),
    "POST /v1/receipts/{number}/tokens": _post(
        "/v1/receipts/{number}/tokens", lambda it: {"secret": it.scene.bodies["secret"]}
    ),
    "GET /v1/party/case": _get("/v1/party/case"),
    "GET /v1/party/access-log": _get("/v1/party/access-log"),
    "POST /v1/party/departures": _post("/v1/party/departures"),
    "POST /v1/party/continuations": _post("/v1/party/continuations"),
    "POST /v1/cases/{case_id}/representations": _post(
        "/v1/cases/{case_id}/representations",
        {
            "party_ref": "p1",
            "representative": {"name": "样"},
            "relation": "lawyer",
            "authority": "general",
        },
    ),
    "GET /v1/cases/{case_id}/representations": _get(
        "/v1/cases/{case_id}/representations", purpose="handling"
    ),
    "POST /v1/representations/{representation_id}/revocations": _post(
        "/v1/representations/{representation_id}/revocations"
    ),
    "POST /v1/cases/{case_id}/objectors": _post(
        "/v1/cases/{case_id}/objectors", {"party_ref": "p1"}
    ),
    "GET /v1/party/representations": _get("/v1/party/representations"),
    "POST /v1/party/representations/{representation_id}/revocations": _post(
        "/v1/party/representations/{representation_id}/revocations"
    ),
    "GET /v1/screening-forms": _get("/v1/screening-forms"),
    "POST /v1/cases/{case_id}/screenings": _post(
        "/v1/cases/{case_id}/screenings",
        lambda it: {"party_ref": "p1", **it.scene.bodies["screening"]},
    ),
    "GET /v1/cases/{case_id}/screenings": _get(
        "/v1/cases/{case_id}/screenings", purpose="handling"
    ),
    "GET /v1/cases/{case_id}/alerts": _get("/v1/cases/{case_id}/alerts"),
    "GET /v1/alerts/{alert_id}": _get("/v1/alerts/{alert_id}", purpose="handling"),
    "POST /v1/alerts/{alert_id}/dismissals": lambda it: Asked(
        f"/v1/alerts/{it['alert_id']}/dismissals",
        {"ground": "recorded_twice"},
        headers={"Acted-By": "s-1"},
    ),
    "POST /v1/party/screenings": _post(
        "/v1/party/screenings", lambda it: it.scene.bodies["screening"]
    ),
    "POST /v1/party/correction-requests": _post(
        "/v1/party/correction-requests",
        {"member": "phone", "value": "19900000001", "reason": "换号"},
    ),
    "GET /v1/party/correction-requests": _get("/v1/party/correction-requests"),
    "GET /v1/cases/{case_id}/correction-requests": _get(
        "/v1/cases/{case_id}/correction-requests", purpose="correction"
    ),
    "POST /v1/correction-requests/{request_id}/decisions": _post(
        "/v1/correction-requests/{request_id}/decisions", {"accepted": False, "reason": "无据"}
    ),
    "POST /v1/party/copies": _post("/v1/party/copies"),
    "POST /v1/party/sharing-consents": _post("/v1/party/sharing-consents", lambda it: _sharing(it)),
    "GET /v1/party/sharing-consents": _get("/v1/party/sharing-consents"),
    "POST /v1/party/sharing-consents/{consent_id}/withdrawals": _post(
        "/v1/party/sharing-consents/{sharing_id}/withdrawals"
    ),
    "POST /v1/cases/{case_id}/sharing-consents": _post(
        "/v1/cases/{case_id}/sharing-consents", lambda it: {"party_ref": "p1", **_sharing(it)}
    ),
    "GET /v1/cases/{case_id}/sharing-consents": _get("/v1/cases/{case_id}/sharing-consents"),
    "GET /v1/cases/{case_id}/paper-uses": _get(
        "/v1/cases/{case_id}/paper-uses", purpose="mediation", sha256="a" * 64
    ),
    "GET /v1/cases/{case_id}/retention": _get("/v1/cases/{case_id}/retention"),
    "POST /v1/cases/{case_id}/retention": _post(
        "/v1/cases/{case_id}/retention", {"retention_class": "long", "ground": "content"}
    ),
    "POST /v1/cases/{case_id}/holds": _post("/v1/cases/{case_id}/holds", {"ground": "complaint"}),
    "POST /v1/holds/{hold_id}/liftings": _post("/v1/holds/{hold_id}/liftings"),
    "GET /v1/public-cases/{number}": _get("/v1/public-cases/{number}"),
    "POST /v1/cases/{case_id}/publication-consents": _post(
        "/v1/cases/{case_id}/publication-consents", {"party_ref": "p1"}
    ),
    "POST /v1/cases/{case_id}/publication-consents/withdrawals": _post(
        "/v1/cases/{case_id}/publication-consents/withdrawals", {"party_ref": "p1"}
    ),
    "POST /v1/party/publication-consents": _post("/v1/party/publication-consents"),
    "POST /v1/party/publication-consents/withdrawals": _post(
        "/v1/party/publication-consents/withdrawals"
    ),
    "POST /v1/party/erasures": _post("/v1/party/erasures", {"ground": "unlawful"}),
    "GET /v1/party/erasures": _get("/v1/party/erasures"),
    "POST /v1/cases/{case_id}/erasures": lambda it: Asked(
        f"/v1/cases/{it['case_id']}/erasures",
        {"ground": "unlawful"},
        headers={"Acted-By": "s-1"},
    ),
    "GET /v1/cases/{case_id}/erasures": _get("/v1/cases/{case_id}/erasures"),
    "GET /v1/erasures/{erasure_id}": _get("/v1/erasures/{erasure_id}"),
    "POST /v1/erasures/{erasure_id}/decisions": lambda it: Asked(
        f"/v1/erasures/{it['erasure_id']}/decisions",
        {"approved": False, "refusal": "no_ground"},
        headers={"Acted-By": "s-2"},
    ),
    "GET /v1/dispute-types": _get("/v1/dispute-types"),
    # receipts in use
    "GET /v1/referrals/{referral_id}/receipts/{party_ref}": _get(
        "/v1/referrals/{referral_id}/receipts/p1"
    ),
    "POST /v1/cases/{case_id}/receipts": _post("/v1/cases/{case_id}/receipts", _at_desk),
    "POST /v1/cases/{case_id}/receipt-unlocks": _post(
        "/v1/cases/{case_id}/receipt-unlocks", _at_desk
    ),
    "POST /v1/cases/{case_id}/representative-receipts": _post(
        "/v1/cases/{case_id}/representative-receipts",
        lambda it: {**_at_desk(it), "representation_id": it["representation_id"]},
    ),
    "POST /v1/cases/{case_id}/representative-receipts/{receipt_id}/revocations": _post(
        "/v1/cases/{case_id}/representative-receipts/{receipt_id}/revocations"
    ),
    "GET /v1/party/receipt": _get("/v1/party/receipt"),
    "GET /v1/party/representative-receipts": _get("/v1/party/representative-receipts"),
    "POST /v1/party/representative-receipts": _post("/v1/party/representative-receipts"),
    "POST /v1/party/representative-receipts/{receipt_id}/revocations": _post(
        "/v1/party/representative-receipts/{receipt_id}/revocations"
    ),
    # papers
    "POST /v1/cases/{case_id}/attachments": _announce("/v1/cases/{case_id}/attachments"),
    "GET /v1/cases/{case_id}/attachments": _get("/v1/cases/{case_id}/attachments"),
    "GET /v1/attachments/{attachment_id}": _get("/v1/attachments/{attachment_id}"),
    "PATCH /v1/attachments/{attachment_id}": _part("/v1/attachments/{attachment_id}"),
    "POST /v1/attachments/{attachment_id}/downloads": _post(
        "/v1/attachments/{attachment_id}/downloads", {"purpose": "handling"}
    ),
    "GET /v1/attachments/downloads/{link}": _get("/v1/attachments/downloads/{paper_link}"),
    "POST /v1/attachments/{attachment_id}/shares": _post(
        "/v1/attachments/{attachment_id}/shares",
        {"organisation": "330681-PS-0003", "basis": "个人信息保护法 13"},
    ),
    "POST /v1/attachments/{attachment_id}/shares/{organisation}/withdrawals": _post(
        "/v1/attachments/{attachment_id}/shares/330681-PS-0003/withdrawals"
    ),
    "POST /v1/party/attachments": _announce("/v1/party/attachments"),
    "GET /v1/party/attachments": _get("/v1/party/attachments"),
    "GET /v1/party/attachments/{attachment_id}": _get("/v1/party/attachments/{own_paper_id}"),
    "PATCH /v1/party/attachments/{attachment_id}": _part("/v1/party/attachments/{own_paper_id}"),
    "POST /v1/party/attachments/{attachment_id}/downloads": _post(
        "/v1/party/attachments/{own_paper_id}/downloads"
    ),
    "GET /v1/party/attachments/downloads/{link}": _get(
        "/v1/party/attachments/downloads/{own_paper_link}"
    ),
    "POST /v1/party/attachments/{attachment_id}/shares": _post(
        "/v1/party/attachments/{own_paper_id}/shares", {"organisation": "330681-PS-0003"}
    ),
    "POST /v1/party/attachments/{attachment_id}/shares/{organisation}/withdrawals": _post(
        "/v1/party/attachments/{own_paper_id}/shares/330681-PS-0003/withdrawals"
    ),
    # copies of the file
    "POST /v1/cases/{case_id}/exports": _post(
        "/v1/cases/{case_id}/exports", {"purpose": "handling", "format": "bundle"}
    ),
    "GET /v1/exports/{export_id}": _get("/v1/exports/{export_id}"),
    "GET /v1/exports/downloads/{link}": _get("/v1/exports/downloads/{export_link}"),
    "GET /v1/sealing-keys": _get("/v1/sealing-keys"),
    "GET /v1/cases/{case_id}/party-sheet": lambda it: Asked(
        f"/v1/cases/{it['case_id']}/party-sheet", params={"assignment_id": it["assignment_id"]}
    ),
    "GET /v1/contacts": _get("/v1/contacts", purpose="notice", party_id="{party_id}"),
    # routing
    "POST /oauth/token": _post(
        "/oauth/token",
        {
            "grant_type": "client_credentials",
            "client_id": "operator",
            "client_secret": "secret-of-operator",
        },
    ),
    "GET /oauth/jwks": _get("/oauth/jwks"),
    "GET /v1/organisations": _get("/v1/organisations"),
    "GET /v1/organisations/{code}": _get("/v1/organisations/330681-CT-0001"),
    "GET /v1/places": _get("/v1/places"),
    "GET /v1/places/{code}": _get("/v1/places/330681001000"),
    "GET /v1/calendars/{year}": _get("/v1/calendars/2026"),
    "GET /v1/connections": _list("/v1/connections", "connection"),
    "GET /v1/connections/{name}": _get("/v1/connections/{connection}"),
    "POST /v1/directory/imports": _post("/v1/directory/imports"),
    "GET /v1/rule-sets": _get("/v1/rule-sets"),
    "GET /v1/rule-sets/{version}": lambda it: Asked("/v1/rule-sets/" + _rule_set()),
    "GET /v1/decisions": _list("/v1/decisions", "decision_id", of_case=True),
    "GET /v1/decisions/{decision_id}": _get("/v1/decisions/{decision_id}"),
    "POST /v1/decisions/{decision_id}/overrides": _post(
        "/v1/decisions/{decision_id}/overrides",
        {"organisation": code_of("committee", "handler"), "ground": "nearer"},
    ),
    "GET /v1/assignments": _list("/v1/assignments", "assignment_id", of_case=True),
    "GET /v1/assignments/{assignment_id}": _get("/v1/assignments/{assignment_id}"),
    "POST /v1/assignments/{assignment_id}/recalls": _post(
        "/v1/assignments/{assignment_id}/recalls"
    ),
    "POST /v1/assignments/{assignment_id}/objection-decisions": _post(
        "/v1/assignments/{assignment_id}/objection-decisions", {"upheld": True}
    ),
    "POST /v1/conferences": _post(
        "/v1/conferences",
        lambda it: {"case_id": it["case_id"], "stage": "agreement", "outcome": "no_agreement"},
    ),
    "GET /v1/conferences": _list("/v1/conferences", "conference_id", of_case=True),
    "GET /v1/conferences/{conference_id}": _get("/v1/conferences/{conference_id}"),
    "POST /v1/linkages": _post(
        "/v1/linkages",
        lambda it: {
            "case_id": it["case_id"],
            "asked": "330681-PS-0003",
            "items": ["scene-record"],
            "legal_basis": "人民警察法 6",
        },
    ),
    "GET /v1/linkages": _list("/v1/linkages", "linkage_id", of_case=True),
    "GET /v1/linkages/{linkage_id}": _get("/v1/linkages/{linkage_id}"),
    "POST /v1/linkages/{linkage_id}/answers": _post(
        "/v1/linkages/{linkage_id}/answers", {"result": "done"}, version=1
    ),
    "POST /v1/linkages/{linkage_id}/cancellations": _post(
        "/v1/linkages/{linkage_id}/cancellations", version=1
    ),
    "GET /v1/clocks": _list("/v1/clocks", "clock_id", of_case=True),
    "GET /v1/clocks/{clock_id}": _get("/v1/clocks/{clock_id}"),
    "POST /v1/clocks/{clock_id}/pauses": _post(
        "/v1/clocks/{clock_id}/pauses", {"ground": "appraisal"}, version=STALE
    ),
    "POST /v1/clocks/{clock_id}/resumptions": _post(
        "/v1/clocks/{clock_id}/resumptions", version=STALE
    ),
    "POST /v1/clocks/{clock_id}/extensions": _post(
        "/v1/clocks/{clock_id}/extensions",
        {"n": 1, "unit": "day", "agreed_by": "both"},
        version=STALE,
    ),
    "POST /v1/test-clock/advances": _post("/v1/test-clock/advances", {"seconds": 1}),
    # mediation
    "GET /v1/queue": lambda it: Asked(
        "/v1/queue",
        params={"limit": 200, "state": ["accepted", "ended", "offered"]},
        shows=it["assignment_id"],
    ),
    "GET /v1/queue/counts": _get("/v1/queue/counts"),
    "GET /v1/queue/{assignment_id}": _get("/v1/queue/{assignment_id}"),
    "POST /v1/queue/{assignment_id}/accept": _post(
        "/v1/queue/{assignment_id}/accept", version=STALE
    ),
    "POST /v1/queue/{assignment_id}/return": _post(
        "/v1/queue/{assignment_id}/return", {"ground": "not_competent"}, version=STALE
    ),
    "POST /v1/queue/{assignment_id}/object": _post(
        "/v1/queue/{assignment_id}/object", {"ground": "not_competent"}, version=STALE
    ),
    "GET /v1/party/mediation-access-log": _get("/v1/party/mediation-access-log"),
    "GET /v1/mediators": _list("/v1/mediators", "mediator_id"),
    "GET /v1/mediators/{mediator_id}": _get("/v1/mediators/{mediator_id}"),
    "POST /v1/mediators": _post(
        "/v1/mediators", lambda it: {"staff_id": f"new-{new_id()}", "name": "样例"}
    ),
    "GET /v1/mediations": _list("/v1/mediations", "mediation_id"),
    "GET /v1/mediations/{mediation_id}": _get("/v1/mediations/{mediation_id}"),
    "POST /v1/mediations/{mediation_id}/mediators": _post(
        "/v1/mediations/{mediation_id}/mediators",
        lambda it: {"mediator_id": it["mediator_id"]},
        version=STALE,
    ),
    "POST /v1/mediations/{mediation_id}/consents": _post(
        "/v1/mediations/{mediation_id}/consents", lambda it: it.scene.bodies["consent"]
    ),
    "POST /v1/mediations/{mediation_id}/sessions": _post(
        "/v1/mediations/{mediation_id}/sessions",
        lambda it: {
            **it.scene.bodies["session"],
            "starts_at": _soon(100_000),
            "ends_at": _soon(100_005),
        },
    ),
    "POST /v1/mediations/{mediation_id}/agreements": _post(
        "/v1/mediations/{mediation_id}/agreements", lambda it: it.scene.bodies["agreement"]
    ),
    "POST /v1/mediations/{mediation_id}/endings": _post(
        "/v1/mediations/{mediation_id}/endings", {"outcome": "failed"}, version=STALE
    ),
    "GET /v1/mediations/{mediation_id}/party-sheet": _get(
        "/v1/mediations/{mediation_id}/party-sheet", purpose="contact"
    ),
    "GET /v1/mediations/{mediation_id}/sessions": _get("/v1/mediations/{mediation_id}/sessions"),
    "GET /v1/mediations/{mediation_id}/hand-over": _get("/v1/mediations/{mediation_id}/hand-over"),
    "GET /v1/consents/{consent_id}": _get("/v1/consents/{consent_id}"),
    "POST /v1/consents/{consent_id}/withdrawals": _post("/v1/consents/{consent_id}/withdrawals"),
    "GET /v1/sessions/{session_id}": _get("/v1/sessions/{session_id}"),
    "POST /v1/sessions/{session_id}/moves": _post(
        "/v1/sessions/{session_id}/moves",
        lambda it: {"starts_at": _soon(1000), "ends_at": _soon(1010)},
        version=STALE,
    ),
    "POST /v1/sessions/{session_id}/cancellations": _post(
        "/v1/sessions/{session_id}/cancellations", {"reason": "illness"}, version=STALE
    ),
    "POST /v1/sessions/{session_id}/held": _post(
        "/v1/sessions/{session_id}/held", {"attended": []}, version=STALE
    ),
    "POST /v1/sessions/{session_id}/notes": _post(
        "/v1/sessions/{session_id}/notes", {"text": "笔记"}
    ),
    "GET /v1/sessions/{session_id}/notes": _get("/v1/sessions/{session_id}/notes"),
    "POST /v1/agreements/{agreement_id}/signatures": _post(
        "/v1/agreements/{agreement_id}/signatures", lambda it: it.scene.bodies["signature"]
    ),
    "GET /v1/agreements/{agreement_id}": _get("/v1/agreements/{agreement_id}"),
    "POST /v1/agreements/{agreement_id}/confirmations": _post(
        "/v1/agreements/{agreement_id}/confirmations",
        lambda it: it.scene.bodies["application"],
        version=STALE,
    ),
    "GET /v1/confirmations/{confirmation_id}": _get("/v1/confirmations/{confirmation_id}"),
    "POST /v1/confirmations/{confirmation_id}/decisions": _post(
        "/v1/confirmations/{confirmation_id}/decisions", {"confirmed": True}, version=STALE
    ),
    "GET /v1/obligations": _list("/v1/obligations", "obligation_id"),
    "GET /v1/obligations/{obligation_id}": _get("/v1/obligations/{obligation_id}"),
    "POST /v1/obligations/{obligation_id}/performances": _post(
        "/v1/obligations/{obligation_id}/performances", {"proved_by": "debtor"}, version=STALE
    ),
    "POST /v1/obligations/{obligation_id}/breaches": _post(
        "/v1/obligations/{obligation_id}/breaches", version=STALE
    ),
    # notification
    "GET /v1/feeds/{connection}": _get("/v1/feeds/{connection}"),
    "GET /v1/webhooks": _list("/v1/webhooks", "webhook_id"),
    "POST /v1/webhooks": _post("/v1/webhooks", {"url": "https://receiver.example/liandiao"}),
    "GET /v1/webhooks/{webhook_id}": _get("/v1/webhooks/{webhook_id}"),
    "GET /v1/webhooks/{webhook_id}/attempts": _get("/v1/webhooks/{webhook_id}/attempts"),
    "POST /v1/webhooks/{webhook_id}/endings": _post("/v1/webhooks/{webhook_id}/endings"),
    "POST /v1/webhooks/{webhook_id}/pauses": _post("/v1/webhooks/{webhook_id}/pauses"),
    "POST /v1/webhooks/{webhook_id}/pings": _post("/v1/webhooks/{webhook_id}/pings"),
    "POST /v1/webhooks/{webhook_id}/replays": _post(
        "/v1/webhooks/{webhook_id}/replays", {"from": "0000000001", "to": "0000000002"}
    ),
    "POST /v1/webhooks/{webhook_id}/resumptions": _post("/v1/webhooks/{webhook_id}/resumptions"),
    "POST /v1/webhooks/{webhook_id}/secrets": _post("/v1/webhooks/{webhook_id}/secrets"),
    "GET /v1/messages": _list("/v1/messages", "message_id", of_case=True),
    "GET /v1/messages/{message_id}": _get("/v1/messages/{message_id}"),
    "GET /v1/templates": _get("/v1/templates"),
    "GET /v1/templates/{code}": lambda it: Asked("/v1/templates/" + _template()),
}


def _sharing(it: About) -> dict[str, Any]:
    """A party lets the handler use the first paper of the referral."""
    return {
        "agency": it.scene.handler,
        "papers": [it.scene.document["documents"][0]["sha256"]],
        "purpose": "mediation",
    }


def _rule_set() -> str:
    from routing.rules import RULE_SET

    return RULE_SET


def _template() -> str:
    from notification import templates

    return next(iter(templates.load()))
