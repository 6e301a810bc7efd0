"""One case per kind of organisation, led through the four services until it has one of everything.

Of a kind, the same organisations stand around an open case and a closed one: its sender, another
source, supervisor, a body asked for help, one that has left, the accountable handler.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from intake.duplicates import repository as duplicates
from intake.imports.pool import Here
from intake.imports.working import Importer
from intake.linking import repository as linking
from mediation.confirmation import repository as confirmations
from routing import repository as routing_repository
from routing.handlers import offering
from routing.repository import Writes
from services.clock import SHANGHAI, wire
from services.ids import new_id
from tests.access.installation import KINDS, PLACE, SAMPLES, Installation, code_of

SAMPLE_OF = {
    "court": "court_pre-loan-between-friends",
    "police": "police-boundary-wall",
    "procuratorate": "proc_civil-loan-guarantor",
    "petition_office": "petition-demolition-compensation",
    "hotline": "property-fee-arrears",
    "department": "consumer-online-refund",
    "judicial_bureau": "review-administrative-compensation",
    "government": "admin-construction-noise",
    "centre": "pm-village-land",
    "committee": "pm-village-land",
    "commercial_mediator": "commercial-equipment-contract",
}
COORDINATOR = "330681-GO-0001"  # of the place the scenes lie in
HANDLERS = ("judicial_bureau", "government", "centre", "committee", "commercial_mediator")
# Messages about these are the handler's alone; a source hears nothing of sessions and consents.
FOR_THE_HANDLER = ("liandiao.consent.withdrawn.v1", "liandiao.session.scheduled.v1")
SENDERS = tuple(SAMPLE_OF)


@dataclass
class Scene:
    """A case and the ids of what hangs on it."""

    kind: str
    sender: str
    handler: str
    ids: dict[str, str] = field(default_factory=dict)
    parties: list[str] = field(default_factory=list)
    party_token: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    bodies: dict[str, Any] = field(default_factory=dict)

    def organisation(self, standing: str) -> str:
        """The organisation of this kind that stands so to the case."""
        return {"sender": self.sender, "handler": self.handler}.get(
            standing, code_of(self.kind, standing)
        )


def a_document(kind: str, sender: str, reference: str) -> dict[str, Any]:
    """A sample referral of the kind's lane in the sender's name."""
    text = (SAMPLES / "referrals" / f"{SAMPLE_OF[kind]}.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    now = datetime.now(SHANGHAI).replace(microsecond=0)
    document["source"] |= {
        "organisation": sender,
        "reference": reference,
        "received_at": (now - timedelta(minutes=2)).isoformat(),
    }
    document["request_made_at"] = (now - timedelta(hours=3)).isoformat()
    document["place"] = PLACE
    return document


class Maker:
    """Makes scenes by calling the services as clients do."""

    def __init__(self, it: Installation, *, webhooks: bool = True) -> None:
        self.it = it
        # A connection has ten at most: who makes more scenes makes them without.
        self.webhooks = webhooks

    async def register(self, kind: str, mark: str) -> Scene:
        """A referral is sent; answers with what the sender and a party got."""
        sends = kind if kind in SENDERS else "court"
        handles = kind if kind in HANDLERS else "committee"
        scene = Scene(kind, code_of(sends, "sender"), code_of(handles, "handler"))
        scene.document = a_document(sends, scene.sender, f"{mark}-{kind}-2026-001")
        head = self.it.of(scene.sender)
        answer = await self.it.ok(
            "intake", "POST", "/v1/referrals", scene.document, headers=head, key=False
        )
        scene.ids |= {name: answer[name] for name in ("referral_id", "case_id", "case_number")}
        receipt = answer["receipts"][0]
        scene.ids |= {"party_id": receipt["party_id"], "number": answer["case_number"]}
        scene.ids["connection"] = f"o-{scene.sender.lower()}"
        scene.bodies["secret"] = receipt["secret"]
        token = await self.it.ok(
            "intake",
            "POST",
            f"/v1/receipts/{answer['case_number']}/tokens",
            {"secret": receipt["secret"]},
            headers={},
        )
        scene.party_token = {"Authorization": f"Bearer {token['access_token']}"}
        await self._upload(scene, head)
        await self.beside(scene)
        await self.it.settle()
        await self.protect(scene)
        await self.hand_in(scene)
        return scene

    async def beside(self, scene: Scene) -> None:
        """What the sender has beside the case: matter, refusal, notice, incident, mandate."""
        head = self.it.of(scene.sender)
        matter = {"kind": "advice", "place": PLACE, "title": "样例", "text": "样例"}
        matter |= {"person": {"name": "样甲", "phone": "19900000001"}}
        answer = await self.it.ok("intake", "POST", "/v1/matters", matter, headers=head)
        scene.ids["matter_id"] = answer["matter_id"]
        view = await self.it.ok("intake", "GET", f"/v1/matters/{answer['matter_id']}", headers=head)
        scene.ids["notice_id"] = view["notices"][0]["notice_id"]
        barred = {**scene.document, "legal_context": {**scene.document["legal_context"]}}
        barred["source"] = {**barred["source"], "reference": f"N01-{scene.ids['case_number']}"}
        barred["legal_context"]["reserved_to"] = "arbitration"
        refused = await self.it.call(
            "intake", "POST", "/v1/referrals", barred, headers=head, key=False
        )
        told = refused.json()["refusal"]
        scene.ids["refusal_id"] = told["refusal_id"]
        scene.bodies["refused"] = {"number": told["number"], "secret": told["secret"]}
        if self.webhooks:
            sent = {"url": "https://receiver.example/liandiao"}
            webhook = await self.it.ok("notification", "POST", "/v1/webhooks", sent, headers=head)
            scene.ids["webhook_id"] = webhook["webhook_id"]
        scene.ids["record_id"] = told["refusal_id"]
        for what, ground in (("hold", "complaint"), ("erasure", "unlawful")):
            path, body = f"/v1/records/{told['refusal_id']}/{what}s", {"ground": ground}
            staff = {**head, "Acted-By": "s-1"}
            made = await self.it.ok("intake", "POST", path, body, headers=staff)
            scene.ids[f"record_{what}_id"] = made[f"record_{what}_id"]
        path = f"/v1/cases/{scene.ids['case_id']}/mandates"
        mandate = {"agent_name": "样代办", "form": "written"}
        answer = await self.it.ok("intake", "POST", path, mandate, headers=head)
        scene.ids["mandate_id"] = answer["mandate_id"]
        one = {"accident_number": scene.ids["case_number"], "referrals": [{}]}
        answer = await self.it.ok("intake", "POST", "/v1/incidents", one, headers=head)
        scene.ids["incident_id"] = answer["incident_id"]

    async def _upload(self, scene: Scene, head: dict[str, str]) -> None:
        """An export that was tried, and a list that was held against ours."""
        tried = await self.it.ok(
            "intake",
            "POST",
            "/v1/imports",
            {"数据": []},
            headers=head,
            key=False,
            mode="dry_run",
            layout="hotline_12345",
        )
        scene.ids["import_id"] = tried["import_id"]
        importer = Importer(self.it.runtimes["intake"], Here(self.it.runtimes["intake"]))
        await importer.work_off()
        await importer.close()
        listed = await self.it.ok(
            "intake",
            "POST",
            "/v1/reconciliations",
            {"编号": "X"},
            headers={**head, "Content-Type": "application/x-ndjson"},
            key=False,
        )
        scene.ids["reconciliation_id"] = listed["reconciliation_id"]

    async def protect(self, scene: Scene) -> None:
        """What hangs on the first party: a representative, a screen, an alert, its rights."""
        it, case = self.it, f"/v1/cases/{scene.ids['case_id']}"
        head = {**it.of(scene.sender), "Acted-By": "s-1"}
        forms = await it.ok("intake", "GET", "/v1/screening-forms", headers=head)
        questions = forms["forms"][-1]["questions"]
        scene.bodies["screening"] = {
            "form_version": forms["forms"][-1]["version"],
            "answers": {question["code"]: "not_said" for question in questions},
        }
        answers = {**scene.bodies["screening"]["answers"], "threatened_now": "yes"}
        screen = {**scene.bodies["screening"], "answers": answers, "party_ref": "p1"}
        lawyer = {"party_ref": "p1", "representative": {"name": "样"}, "relation": "lawyer"}
        for path, body in (
            (f"{case}/representations", {**lawyer, "authority": "general"}),
            (f"{case}/screenings", screen),
            (f"{case}/holds", {"ground": "complaint"}),
            (f"{case}/publication-consents", {"party_ref": "p1"}),
            (f"{case}/erasures", {"ground": "unlawful"}),
        ):
            made = await it.ok("intake", "POST", path, body, headers=head)
            if path.endswith("/publication-consents"):
                scene.ids["publication_id"] = made["consent_id"]
            for name in ("representation_id", "screening_id", "hold_id", "erasure_id"):
                scene.ids[name] = made.get(name) or scene.ids.get(name, "")
        alerts = await it.ok("intake", "GET", f"{case}/alerts", headers=head)
        scene.ids["alert_id"] = alerts["items"][0]["alert_id"]
        wish = {"member": "phone", "value": "19900000001", "reason": "换号"}
        asked = await it.ok(
            "intake",
            "POST",
            "/v1/party/correction-requests",
            wish,
            headers=scene.party_token,
            key=False,
        )
        scene.ids["request_id"] = asked["request_id"]
        sharing = {
            "agency": scene.handler,
            "papers": [scene.document["documents"][0]["sha256"]],
            "purpose": "mediation",
        }
        shared = await it.ok(
            "intake",
            "POST",
            "/v1/party/sharing-consents",
            sharing,
            headers=scene.party_token,
            key=False,
        )
        scene.ids["sharing_id"] = shared["consent_id"]
        await it.settle()

    async def hand_in(self, scene: Scene) -> None:
        """Sender and party hand a paper in; the sender shares it and has the file copied."""
        head, where = self.it.of(scene.sender), f"/v1/cases/{scene.ids['case_id']}"
        uploads = {
            "attachment_id": (head, f"{where}/attachments", "/v1/attachments"),
            "own_paper_id": (
                scene.party_token,
                "/v1/party/attachments",
                "/v1/party/attachments",
            ),
        }
        for name, (giver, path, base) in uploads.items():
            sent = {**giver, "Upload-Length": "4", "Upload-Metadata": "filename YS50eHQ="}
            paper = await self.it.ok("intake", "POST", path, headers=sent)
            scene.ids[name] = paper["attachment_id"]
            part = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
            taken = await self.it.http["intake"].patch(
                f"{base}/{paper['attachment_id']}", content=b"text", headers={**giver, **part}
            )
            assert taken.status_code == 204, taken.text
        wanted = {"purpose": "handling", "format": "bundle"}
        export = await self.it.ok("intake", "POST", f"{where}/exports", wanted, headers=head)
        scene.ids["export_id"] = export["export_id"]
        await self.it.settle()
        for name, (giver, _, base) in uploads.items():
            paper = f"{base}/{scene.ids[name]}"
            body = {"purpose": "handling"} if giver is head else {}
            opened = await self.it.ok("intake", "POST", f"{paper}/downloads", body, headers=giver)
            link = "paper_link" if giver is head else "own_paper_link"
            scene.ids[link] = opened["url"].rsplit("/", 1)[1]
            share = {"organisation": "330681-PS-0003"}
            if giver is head:
                share["basis"] = "个人信息保护法 13"
            await self.it.ok("intake", "POST", f"{paper}/shares", share, headers=giver)
        ready = await self.it.ok(
            "intake", "GET", f"/v1/exports/{export['export_id']}", headers=head
        )
        scene.ids["export_link"] = ready["url"].rsplit("/", 1)[1]
        given = await self.it.ok(
            "intake",
            "POST",
            f"{where}/representative-receipts",
            {
                "party_id": scene.ids["party_id"],
                "document_seen": "mandate",
                "representation_id": scene.ids["representation_id"],
            },
            headers=head,
        )
        scene.ids["receipt_id"] = given["receipt_id"]

    async def offer(self, scene: Scene) -> None:
        """The coordinator sends the case to the scene's handler."""
        head = self.it.of(scene.sender)
        where = {"case_id": scene.ids["case_id"]}
        decisions = await self.it.ok("routing", "GET", "/v1/decisions", headers=head, **where)
        decision = decisions["items"][-1]["decision_id"]
        await self.it.ok(
            "routing",
            "POST",
            f"/v1/decisions/{decision}/overrides",
            {"organisation": scene.handler, "ground": "nearer-to-the-parties"},
            headers=self.it.of(COORDINATOR),
        )
        await self.it.settle()
        turns = await self.it.ok("routing", "GET", "/v1/assignments", headers=head, **where)
        turn = turns["items"][-1]
        assert turn["organisation"] == scene.handler, turns
        scene.ids |= {"assignment_id": turn["assignment_id"], "decision_id": decision}

    async def contest(self, scene: Scene) -> None:
        """Those asked first give the case back; the sender records who is to hold it."""
        head = self.it.of(scene.sender)
        where = {"case_id": scene.ids["case_id"]}
        for _ in range(3):
            turns = await self.it.ok("routing", "GET", "/v1/assignments", headers=head, **where)
            standing = [t for t in turns["items"] if t["state"] == "offered"]
            if not standing:
                break
            await self._refuse(scene, standing[0])
        settled = await self.it.ok(
            "routing",
            "POST",
            "/v1/conferences",
            {**where, "stage": "agreement", "outcome": "lead_named", "lead": scene.handler},
            headers=head,
        )
        scene.ids["conference_id"] = settled["conference_id"]
        await self.it.settle()
        turns = await self.it.ok("routing", "GET", "/v1/assignments", headers=head, **where)
        scene.ids |= {
            "assignment_id": turns["items"][-1]["assignment_id"],
            "decision_id": turns["items"][-1]["decision_id"],
        }

    async def _refuse(self, scene: Scene, turn: dict[str, Any]) -> None:
        head = self.it.of(turn["organisation"])
        path = f"/v1/queue/{turn['assignment_id']}"
        for act in ("return", "object"):
            answer = await self.it.call(
                "mediation",
                "POST",
                f"{path}/{act}",
                {"ground": "not_competent"},
                headers=head,
                version=1,
            )
            if answer.status_code == 200:
                break
        assert answer.status_code == 200, answer.text
        await self.it.settle()
        if act == "object":
            await self.it.ok(
                "routing",
                "POST",
                f"/v1/assignments/{turn['assignment_id']}/objection-decisions",
                {"upheld": True},
                headers=self.it.of(scene.sender),
            )
            await self.it.settle()

    async def accept(self, scene: Scene) -> None:
        """The handler accepts."""
        item = await self.act(scene, f"/v1/queue/{scene.ids['assignment_id']}", "accept", {})
        scene.ids["mediation_id"] = item["mediation_id"]
        await self.it.settle()
        head = self.it.of(scene.handler)
        view = await self.it.ok(
            "mediation", "GET", f"/v1/mediations/{item['mediation_id']}", headers=head
        )
        scene.parties = [p["party_id"] for p in view["parties"]]

    async def act(self, scene: Scene, path: str, act: str, body: Any) -> Any:
        """An act of the handler on the version that stands."""
        head = self.it.of(scene.handler)
        answer = await self.it.call("mediation", "GET", path, headers=head)
        assert answer.status_code == 200, answer.text
        version = int(answer.headers["ETag"].strip('"'))
        return await self.it.ok(
            "mediation", "POST", f"{path}/{act}", body, headers=head, version=version
        )

    async def post(self, scene: Scene, path: str, body: Any, **headers: str) -> Any:
        """A POST of the handler."""
        head = {**self.it.of(scene.handler), **headers}
        return await self.it.ok("mediation", "POST", path, body, headers=head)

    async def surround(self, scene: Scene) -> None:
        """Another source, a supervisor, a body asked for help, and one that has left."""
        routing = self.it.runtimes["routing"]
        case_id = UUID(scene.ids["case_id"])
        async with routing.unit_of_work() as uow:
            await uow.lock_case(case_id)
            case = await routing_repository.case_of(uow.db, case_id)
            assert case is not None
            writes = Writes()
            for standing in ("source", "supervisor"):
                offering.join(uow, writes, case, scene.organisation(standing), standing)
            offering.join(uow, writes, case, scene.organisation("left"), "handler")
            await writes.write(uow.db)
            parts = await routing_repository.participations_of(uow.db, case_id, ["handler"])
            for part in parts:
                if part["organisation"] == scene.organisation("left"):
                    await offering.leave(uow, part, "returned")
        for standing in ("helper", "linked"):
            linkage = await self.it.ok(
                "routing",
                "POST",
                "/v1/linkages",
                {
                    "case_id": scene.ids["case_id"],
                    "asked": scene.organisation(standing),
                    "items": ["scene-record"],
                    "legal_basis": "人民警察法 6",
                },
                headers=self.it.of(scene.sender),
            )
        scene.ids["linkage_id"] = linkage["linkage_id"]
        await self.it.settle()

    async def work(self, scene: Scene) -> None:
        """Mediator, consents, sessions, a note, an agreement in effect with an obligation."""
        it, ids = self.it, scene.ids
        head = it.of(scene.handler)
        mediation = f"/v1/mediations/{ids['mediation_id']}"
        roster = await it.ok("mediation", "GET", "/v1/mediators", headers=head)
        mediator = next(m for m in roster["items"] if m["staff_id"].endswith("-s1"))
        ids["mediator_id"] = mediator["mediator_id"]
        scene.bodies["staff"] = mediator["staff_id"]
        await self.act(scene, mediation, "mediators", {"mediator_id": mediator["mediator_id"]})
        for party in scene.parties:
            consent = {"party_id": party, "step": "mediate", "state": "given", "channel": "phone"}
            await self.post(scene, f"{mediation}/consents", consent)
        scene.bodies["consent"] = consent
        record = {**consent, "step": "record"}
        taken_back = await self.post(scene, f"{mediation}/consents", record)
        ids["consent_id"] = taken_back["consent_id"]
        await self.post(scene, f"/v1/consents/{ids['consent_id']}/withdrawals", {})
        view = await it.ok("mediation", "GET", mediation, headers=head)
        joint = bool(view["joint_sessions"])
        invited = scene.parties if joint else scene.parties[:1]
        start = datetime.now(UTC) - timedelta(days=1, minutes=KINDS.index(scene.kind) * 7)
        session = {
            "form": "joint" if joint else "separate",
            "parties": invited,
            "starts_at": wire(start),
            "ends_at": wire(start + timedelta(minutes=5)),
        }
        held = await self.post(scene, f"{mediation}/sessions", session)
        told = {
            "attended": invited,
            "rights_told": True,
            "identity_checked": True,
            "false_mediation_warned": True,
        }
        await self.act(scene, f"/v1/sessions/{held['session_id']}", "held", told)
        scene.bodies["session"] = session
        ids["session_id"] = held["session_id"]
        note = await self.post(
            scene,
            f"/v1/sessions/{held['session_id']}/notes",
            {"text": "只有本人能看"},
            **{"Acted-By": mediator["staff_id"]},
        )
        ids["note_id"] = note["note_id"]
        scene.bodies["agreement"] = {
            "form": "paper",
            "parties": scene.parties,
            "flags_told": True,
            "clauses": [
                {
                    "kind": "obligation",
                    "text": "一周内归还",
                    "obligation": {
                        "kind": "pay",
                        "debtor": scene.parties[1],
                        "creditor": scene.parties[0],
                        "amount_fen": 100,
                        "due_on": (datetime.now(SHANGHAI) + timedelta(days=7)).date().isoformat(),
                    },
                }
            ],
        }
        agreement = await self.post(scene, f"{mediation}/agreements", scene.bodies["agreement"])
        ids["agreement_id"] = agreement["agreement_id"]
        while agreement["missing"] and agreement["effective_at"] is None:
            missing = agreement["missing"][0]
            scene.bodies["signature"] = {
                "signer_kind": missing["signer_kind"],
                "signer": missing["signer"],
                "signed_at": wire(datetime.now(UTC)),
                "text_sha256": agreement["text_sha256"],
            }
            agreement = await self.post(
                scene, f"/v1/agreements/{ids['agreement_id']}/signatures", scene.bodies["signature"]
            )
        ids["obligation_id"] = agreement["obligations"][0]
        await it.settle()
        await self.confirm(scene, agreement)
        clocks = await it.ok(
            "routing", "GET", "/v1/clocks", headers=head, case_id=ids["case_id"], limit=200
        )
        ids["clock_id"] = clocks["items"][-1]["clock_id"]
        messages = await it.ok(
            "notification", "GET", "/v1/messages", headers=head, case_id=ids["case_id"]
        )
        ids["message_id"] = next(
            item["id"] for item in messages["items"] if item["event_type"] in FOR_THE_HANDLER
        )

    async def confirm(self, scene: Scene, agreement: dict[str, Any]) -> None:
        """The parties apply to a court; written in where the law knows no confirmation."""
        court = scene.sender if scene.kind == "court" else code_of("court", "sender")
        scene.bodies["application"] = {"court": court, "applied_by": scene.parties}
        if agreement["confirmable"]:
            path = f"/v1/agreements/{agreement['agreement_id']}"
            made = await self.act(scene, path, "confirmations", scene.bodies["application"])
            scene.ids["confirmation_id"] = made["confirmation_id"]
            await self.it.settle()
            return
        named = ("agreement_id", "mediation_id", "case_id", "organisation")
        async with self.it.runtimes["mediation"].unit_of_work() as uow:
            row = await confirmations.put(
                uow.db,
                {
                    **{name: agreement[name] for name in named},
                    "confirmation_id": new_id(),
                    "court": court,
                    "applied_by": scene.parties,
                    "state": "applied",
                    "remedies": [],
                    "occurred_at": uow.now,
                },
            )
        scene.ids["confirmation_id"] = str(row["confirmation_id"])

    async def end(self, scene: Scene) -> None:
        """The mediation fails, the hand-over is built, the case closes."""
        path = f"/v1/mediations/{scene.ids['mediation_id']}"
        roster = await self.it.ok(
            "mediation", "GET", "/v1/mediators", headers=self.it.of(scene.handler)
        )
        mediator = next(m for m in roster["items"] if m["staff_id"].endswith("-s2"))
        await self.act(scene, path, "mediators", {"mediator_id": mediator["mediator_id"]})
        refusal = {"party_id": scene.parties[0], "step": "mediate", "state": "refused"}
        await self.post(
            scene,
            f"{path}/consents",
            {**refusal, "channel": "phone", "remedies_told": True},
        )
        await self.it.settle()

    async def join(self, surviving: Scene, joined: Scene) -> None:
        """A person once joined the two files of a kind, and linked them."""
        join_id, link_id = new_id(), new_id()
        async with self.it.runtimes["intake"].unit_of_work() as uow:
            await duplicates.join(
                uow,
                {
                    "join_id": join_id,
                    "surviving_case_id": UUID(surviving.ids["case_id"]),
                    "joined_case_id": UUID(joined.ids["case_id"]),
                    "ground": "same_dispute",
                    "decided_by": surviving.handler,
                    "decided_by_staff": f"{surviving.handler}-s1",
                    "joined_at": uow.now,
                },
            )
            await linking.add(
                uow,
                {
                    "link_id": link_id,
                    "case_id": UUID(surviving.ids["case_id"]),
                    "other_case_id": UUID(joined.ids["case_id"]),
                    "kind": "same_parties",
                    "linked_by": surviving.handler,
                    "linked_at": uow.now,
                    "recorded_at": uow.now,
                },
            )
        surviving.ids["join_id"] = joined.ids["join_id"] = str(join_id)
        surviving.ids["link_id"] = joined.ids["link_id"] = str(link_id)

    async def open_scene(self, kind: str) -> Scene:
        """A case at work."""
        scene = await self.register(kind, "OPEN")
        await self.contest(scene)
        await self.accept(scene)
        await self.surround(scene)
        await self.work(scene)
        return scene

    async def closed_scene(self, kind: str) -> Scene:
        """A case that is over, for the same organisations."""
        scene = await self.register(kind, "SHUT")
        await self.offer(scene)
        await self.accept(scene)
        await self.surround(scene)
        await self.end(scene)
        case = await self.it.ok(
            "intake",
            "GET",
            f"/v1/cases/{scene.ids['case_id']}",
            headers=self.it.of(scene.sender),
        )
        assert case["state"] == "closed", case
        return scene


__all__ = ["HANDLERS", "SENDERS", "Maker", "Scene", "a_document"]
