"""The play: a court's loan dispute and a police case to their ends, told by the feeds."""

import asyncio
import json
import os
import secrets
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from joserfc import jwe
from joserfc.jwk import ECKey

from services.client import Client, Refused, Stack, wait_for
from services.clock import SHANGHAI

COURT: Final = "330681-CT-0001"
POLICE: Final = "330681-PS-0002"
FIRST_COMMITTEE: Final = "330681-CM-0007"
CENTRE: Final = "330681-CE-0001"
ROOT: Final = Path(__file__).resolve().parent.parent
SEALING: Final = ["ECDH-ES+A256KW", "A256GCM"]


def say(line: str = "") -> None:
    """One line to the terminal at once."""
    print(line, flush=True)


def fresh(sample: str, organisation: str, reference: str) -> dict[str, Any]:
    """A sample referral under a fresh reference, its instants moved to now."""
    text = (ROOT / "samples" / "referrals" / sample).read_text(encoding="utf-8")
    referral: dict[str, Any] = json.loads(text)
    now = datetime.now(SHANGHAI).replace(microsecond=0)
    referral["source"]["organisation"] = organisation
    referral["source"]["reference"] = reference
    referral["source"]["received_at"] = (now - timedelta(minutes=2)).isoformat()
    referral["request_made_at"] = (now - timedelta(hours=3)).isoformat()
    context = referral["legal_context"]
    if "court_case_number" in context:
        context["court_case_number"] = reference
    if "incident_number" in context:
        context["incident_number"] = reference
    return referral


def seal(plaintext: bytes, public_jwk: dict[str, Any]) -> str:
    """Seal bytes to intake's published key, as a sender's system does."""
    header = {"alg": SEALING[0], "enc": SEALING[1], "kid": public_jwk["kid"]}
    known = {name: public_jwk[name] for name in ("kty", "crv", "x", "y")}
    return jwe.encrypt_compact(header, plaintext, ECKey.import_key(known), algorithms=SEALING)


async def send_command(
    stack: Stack, client: Client, type_: str, data: dict[str, Any], *, subject: str | None = None
) -> str:
    """Write one command to the connection's ``in`` topic; answers its id."""
    kafka = stack.description["kafka"]
    login = kafka["connections"][client.connection]
    command_id = str(uuid4())
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka["bootstrap"],
        security_protocol=kafka["security_protocol"],
        sasl_mechanism=kafka["mechanism"],
        sasl_plain_username=login["user"],
        sasl_plain_password=login["password"],
        acks="all",
    )
    try:
        await producer.start()
        headers = [("ce_id", command_id.encode()), ("ce_type", f"liandiao.{type_}.v1".encode())]
        if subject:
            headers.append(("ce_subject", subject.encode()))
        await producer.send_and_wait(
            f"agency.{client.connection}.in",
            json.dumps(data, ensure_ascii=False).encode(),
            key=command_id.encode(),
            headers=headers,
        )
    finally:
        await producer.stop()
    return command_id


async def read_answer(
    stack: Stack, client: Client, command_id: str, *, seconds: float = 60
) -> dict[str, Any]:
    """The one ``command.answered`` for a command, from the connection's ``out`` topic."""
    kafka = stack.description["kafka"]
    login = kafka["connections"][client.connection]
    consumer = AIOKafkaConsumer(
        f"agency.{client.connection}.out",
        bootstrap_servers=kafka["bootstrap"],
        security_protocol=kafka["security_protocol"],
        sasl_mechanism=kafka["mechanism"],
        sasl_plain_username=login["user"],
        sasl_plain_password=login["password"],
        group_id=f"{client.connection}.play-{secrets.token_hex(4)}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        async with asyncio.timeout(seconds):
            async for record in consumer:
                headers = dict(record.headers)
                if headers.get("ce_type") != b"liandiao.command.answered.v1":
                    continue
                answer: dict[str, Any] = json.loads(record.value)
                if answer.get("command_id") == command_id:
                    return answer
    finally:
        await consumer.stop()
    raise TimeoutError("no answer")


class Teller:
    """Prints each event once, as the sender's own feed brings it; others marked."""

    def __init__(self) -> None:
        self.labels: dict[str, str] = {}
        self._told: set[str] = set()
        self._after: dict[str, str] = {}

    def follow(self, client: Client) -> None:
        """Begin at the end of this connection's feed."""
        self._after[client.connection] = client.end_of_feed()

    def read(self, client: Client) -> list[dict[str, Any]]:
        """New entries of the feed that are about our cases."""
        items = client.feed(self._after[client.connection])["items"]
        if items:
            self._after[client.connection] = items[-1]["feed_sequence"]
        return [i["event"] for i in items if i["event"].get("subject") in self.labels]

    def tell(self, sender: Client, handler: Client | None = None) -> None:
        """Print what came: the handler's feed is read first, so that what only it has shows."""
        beside = self.read(handler) if handler is not None else []
        own = self.read(sender)
        seen = {event["id"] for event in own}
        lines = [(event, "") for event in own]
        lines += [(event, "  (handler's feed)") for event in beside if event["id"] not in seen]
        for event, mark in sorted(lines, key=lambda line: (line[0]["time"], line[0]["id"])):
            if event["id"] not in self._told:
                self._told.add(event["id"])
                say(self._line(event) + mark)

    def _line(self, event: dict[str, Any]) -> str:
        at = datetime.fromisoformat(event["time"]).astimezone(SHANGHAI).strftime("%H:%M:%S.%f")[:12]
        name = event["type"].removeprefix("liandiao.").rsplit(".", 1)[0]
        service = str(event.get("source", "")).lstrip("/")
        sequence = str(event.get("sequence") or "-").lstrip("0") or "-"
        case = self.labels[event["subject"]]
        return f"{at}  {case:<6} {service:<13}{sequence:>3}  {name:<38}{_about(event)}"


def _about(event: dict[str, Any]) -> str:
    """The most telling member of an event's data."""
    data = event.get("data") or {}
    deadline = data.get("deadline")
    if deadline:
        return f"{deadline['kind']} until {deadline['due_on']} ({deadline['rule']})"
    told = [
        str(data[name])
        for name in ("organisation", "ordinal", "role", "ground", "end", "outcome", "step", "mode")
        if data.get(name) is not None
    ]
    return " ".join(told)


class Play:
    """Two cases from the first word to the last."""

    def __init__(self, stack: Stack, *, patience_seconds: float = 60) -> None:
        self.stack = stack
        self.patience_seconds = patience_seconds
        self.court = stack.client(COURT)
        self.police = stack.client(POLICE)
        self.teller = Teller()
        for client in (self.court, self.police):
            self.teller.follow(client)
        self.run_mark = datetime.now(UTC).strftime("%m%d%H%M%S") + secrets.token_hex(2)

    # -- the two beginnings ------------------------------------------------------------------

    def post_loan(self) -> dict[str, Any]:
        """The court posts a loan dispute over REST."""
        reference = f"（{datetime.now(SHANGHAI).year}）浙0681民诉前调{self.run_mark}号"
        referral = fresh("court_pre-loan-between-friends.json", COURT, reference)
        answer: dict[str, Any] = self.court.post("intake", "/v1/referrals", referral)
        self.teller.labels[answer["case_id"]] = "loan"
        say(f"\nThe court posted {reference} over REST: case {answer['case_number']},")
        say(f"referral {answer['referral_id']}; each party has a receipt of its own.\n")
        return answer

    def submit_police_case(self) -> dict[str, Any]:
        """The police connection submits a sealed referral over Kafka."""
        reference = f"J3306815200{self.run_mark}"
        referral = fresh("police-boundary-wall.json", POLICE, reference)
        key = self.police.get("intake", "/v1/sealing-keys")["keys"][-1]
        sealed = seal(json.dumps(referral, ensure_ascii=False).encode(), key)
        data = {"organisation": POLICE, "reference": reference, "sealed": sealed}

        async def submit() -> dict[str, Any]:
            command_id = await send_command(self.stack, self.police, "referral.submit", data)
            return await read_answer(self.stack, self.police, command_id)

        answer = asyncio.run(submit())
        if answer["outcome"] != "accepted":
            raise RuntimeError(f"the police command was refused: {answer['problem']['code']}")
        case_id: str = answer.get("answered_case_id") or answer["case_id"]
        self.teller.labels[case_id] = "police"
        say(f"\nThe police connection {self.police.connection} submitted {reference} over Kafka;")
        say(f"the answer on its own topic: accepted, case {answer['case_number']}.\n")
        return {**answer, "case_id": case_id}

    # -- reading -----------------------------------------------------------------------------

    def offered(self, sender: Client, case_id: str, ordinal: int) -> dict[str, Any]:
        """The offer number ``ordinal`` of a case, once routing has made it."""

        def look() -> dict[str, Any] | None:
            items = sender.get("routing", "/v1/assignments", case_id=case_id)["items"]
            return next((i for i in items if i["ordinal"] == ordinal), None)

        found: dict[str, Any] = wait_for(
            look, seconds=self.patience_seconds, describe=f"offer {ordinal}"
        )
        return found

    def explain(self, sender: Client, offer: dict[str, Any]) -> None:
        """Print why routing decided so, in routing's own sentences."""
        decision = sender.get("routing", f"/v1/decisions/{offer['decision_id']}")
        say(f"           why {offer['organisation']}:")
        for sentence in _sentences(decision):
            say(f"             {sentence}")

    # -- the way of one case -----------------------------------------------------------------

    def item(self, handler: Client, assignment_id: str) -> dict[str, Any]:
        """The queue item, once mediation has heard of the offer."""
        path = f"/v1/queue/{assignment_id}"
        found: dict[str, Any] = wait_for(
            lambda: handler.get("mediation", path),
            seconds=self.patience_seconds,
            describe="the queue item",
        )
        return found

    def give_back(self, handler: Client, offer: dict[str, Any], ground: str) -> None:
        """The desk returns the offer."""
        assignment = offer["assignment_id"]
        self.item(handler, assignment)
        path = f"/v1/queue/{assignment}"
        handler.act(f"{path}/return", {"ground": ground}, on=path)

    def accept(self, handler: Client, offer: dict[str, Any]) -> str:
        """The desk accepts; answers the mediation's id."""
        assignment = offer["assignment_id"]
        self.item(handler, assignment)
        path = f"/v1/queue/{assignment}"
        accepted = handler.act(f"{path}/accept", {}, on=path)
        return str(accepted["mediation_id"])

    def appoint(self, handler: Client, mediation: str) -> str:
        """The first mediator of the roster who may take it; answers their staff id."""
        path = f"/v1/mediations/{mediation}"
        for mediator in handler.get("mediation", "/v1/mediators")["items"]:
            if mediator.get("role") not in ("mediator", "lead_mediator"):
                continue
            try:
                handler.act(
                    f"{path}/mediators",
                    {"mediator_id": mediator["mediator_id"], "mode": "appointed"},
                    on=path,
                )
            except Refused as refused:
                if refused.answer.status_code not in (409, 422):
                    raise
                continue
            return str(mediator["staff_id"])
        raise RuntimeError("no mediator is free")

    def consent(self, handler: Client, mediation: str, parties: list[dict[str, Any]]) -> None:
        """Every party consents to mediate, by phone or at the counter."""
        for party in parties:
            handler.post(
                "mediation",
                f"/v1/mediations/{mediation}/consents",
                {
                    "party_id": party["party_id"],
                    "step": "mediate",
                    "state": "given",
                    "channel": "counter",
                },
            )

    def hold(self, handler: Client, mediation: str, parties: list[dict[str, Any]]) -> None:
        """A session is set and held; where people may not meet, one with each of them."""
        people = [party["party_id"] for party in parties]
        together = handler.get("mediation", f"/v1/mediations/{mediation}")["joint_sessions"]
        for invited in [people] if together else [[person] for person in people]:
            session = self.schedule(handler, mediation, invited, joint=together)
            path = f"/v1/sessions/{session['session_id']}"
            handler.act(
                f"{path}/held",
                {
                    "attended": invited,
                    "rights_told": True,
                    "identity_checked": True,
                    "false_mediation_warned": True,
                },
                on=path,
            )

    def schedule(
        self, handler: Client, mediation: str, invited: list[str], *, joint: bool
    ) -> dict[str, Any]:
        """A session that has just begun; moved back while the mediator is taken at that time."""
        start = datetime.now(UTC) - timedelta(seconds=1)
        refusal: Refused | None = None
        for shift in range(0, 600, 10):
            begins = start - timedelta(seconds=shift)
            body = {
                "form": "joint" if joint else "separate",
                "mode": "in_person",
                "parties": invited,
                "starts_at": begins.isoformat(),
                "ends_at": (begins + timedelta(seconds=8)).isoformat(),
            }
            try:
                return dict(handler.post("mediation", f"/v1/mediations/{mediation}/sessions", body))
            except Refused as refused:
                faults = refused.problem.get("errors", ())
                if not any(fault["code"] == "double-booked" for fault in faults):
                    raise
                refusal = refused
        raise RuntimeError("no session could be set") from refusal

    def agree(
        self,
        handler: Client,
        mediation: str,
        mediator: str,
        parties: list[dict[str, Any]],
        promises: list[dict[str, Any]],
    ) -> dict[str, Any]:
        """The agreement is written down, signed by all, and takes effect by the lane's rule."""
        draft: dict[str, Any] = handler.post(
            "mediation",
            f"/v1/mediations/{mediation}/agreements",
            {
                "form": "paper",
                "parties": [party["party_id"] for party in parties],
                "clauses": [
                    {"kind": "obligation", "text": text, "obligation": obligation}
                    for text, obligation in (p.values() for p in promises)
                ],
                "text": "双方自愿达成以上协议。",
            },
        )
        agreement: dict[str, Any] = draft
        signed_at = datetime.now(UTC).isoformat()
        signers = [("party", party["party_id"]) for party in parties]
        signers += [("mediator", mediator), ("seal", handler.organisation)]
        path = f"/v1/agreements/{draft['agreement_id']}"
        for kind, signer in signers:
            if handler.get("mediation", path)["state"] != "draft":
                break
            agreement = handler.post(
                "mediation",
                f"{path}/signatures",
                {
                    "signer_kind": kind,
                    "signer": signer,
                    "method": "seal" if kind == "seal" else "wet",
                    "signed_at": signed_at,
                    "text_sha256": draft["text_sha256"],
                },
            )
        return agreement

    def perform(self, handler: Client, mediation: str) -> None:
        """Every obligation is performed in full."""
        for obligation in handler.get("mediation", f"/v1/mediations/{mediation}")["obligations"]:
            path = f"/v1/obligations/{obligation['obligation_id']}"
            body: dict[str, Any] = {"proved_by": "creditor"}
            if obligation["amount_fen"]:
                body["amount_fen"] = obligation["amount_fen"]
            handler.act(f"{path}/performances", body, on=path)

    def closed(self, sender: Client, case_id: str) -> dict[str, Any]:
        """The case file, once it is closed."""

        def look() -> dict[str, Any] | None:
            case: dict[str, Any] = sender.get("intake", f"/v1/cases/{case_id}")
            return case if case["state"] == "closed" else None

        found: dict[str, Any] = wait_for(
            look, seconds=self.patience_seconds, describe="the closing"
        )
        return found

    def to_the_end(
        self,
        sender: Client,
        handler: Client,
        offer: dict[str, Any],
        promises: list[dict[str, Any]],
    ) -> dict[str, Any]:
        """Accept, appoint, consent, hold, agree, perform, close; each step is told."""
        mediation = self.accept(handler, offer)
        self.settle(sender, handler)
        parties = handler.get("mediation", f"/v1/mediations/{mediation}")["parties"]
        mediator = self.appoint(handler, mediation)
        self.consent(handler, mediation, parties)
        self.settle(sender, handler)
        self.hold(handler, mediation, parties)
        self.settle(sender, handler)
        sides = {party["role"]: party["party_id"] for party in parties}
        for promise in promises:
            obligation = promise["obligation"]
            obligation["debtor"] = sides[obligation["debtor"]]
            obligation["creditor"] = sides[obligation["creditor"]]
        self.agree(handler, mediation, mediator, parties, promises)
        self.settle(sender, handler)
        self.perform(handler, mediation)
        case = self.closed(sender, offer["case_id"])
        self.settle(sender, handler, seconds=2.0)
        return case

    def settle(self, sender: Client, handler: Client | None, *, seconds: float = 0.6) -> None:
        """Tell what came, until nothing comes for a moment."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.teller.tell(sender, handler)
            time.sleep(0.15)

    # -- all of it ---------------------------------------------------------------------------

    def run(self) -> None:
        """Play both cases."""
        due_on = (datetime.now(SHANGHAI) + timedelta(days=30)).date().isoformat()
        first, centre = self.stack.client(FIRST_COMMITTEE), self.stack.client(CENTRE)
        for client in (first, centre):
            self.teller.follow(client)
        loan = self.post_loan()
        offer = self.offered(self.court, loan["case_id"], 1)
        self._expect(offer, FIRST_COMMITTEE)
        self.settle(self.court, first)
        self.explain(self.court, offer)
        self.give_back(first, offer, "no_mediator")
        offer = self.offered(self.court, loan["case_id"], 2)
        self._expect(offer, CENTRE)
        self.settle(self.court, first)
        self.settle(self.court, centre, seconds=0.2)
        self.explain(self.court, offer)
        case = self.to_the_end(self.court, centre, offer, loan_promises(due_on))
        say(f"\nThe loan case is closed: {case['outcome']}.\n")

        police_case = self.submit_police_case()
        offer = self.offered(self.police, police_case["case_id"], 1)
        if offer["organisation"] == POLICE:
            raise RuntimeError("the police case was offered to its own sender")
        handler = self.stack.client(offer["organisation"])
        self.teller.follow(handler)
        self.settle(self.police, None)
        self.explain(self.police, offer)
        case = self.to_the_end(self.police, handler, offer, wall_promises(due_on))
        say(f"\nThe police case is closed: {case['outcome']}.")

    @staticmethod
    def _expect(offer: dict[str, Any], organisation: str) -> None:
        if offer["organisation"] != organisation:
            raise RuntimeError(f"offered to {offer['organisation']}, expected {organisation}")


def _sentences(decision: dict[str, Any]) -> list[str]:
    reasons: dict[str, list[str]] = decision["reasons"]
    return reasons["en"]


def loan_promises(due_on: str) -> list[dict[str, Any]]:
    """Two instalments; debtor and creditor are named by role until the parties are known."""
    return [
        {
            "text": "被申请人分两期归还借款本金，本期21000元。",
            "obligation": {
                "kind": "pay",
                "debtor": "respondent",
                "creditor": "applicant",
                "amount_fen": 2_100_000,
                "due_on": due_on,
            },
        },
        {
            "text": "被申请人第二期归还借款本金21000元。",
            "obligation": {
                "kind": "pay",
                "debtor": "respondent",
                "creditor": "applicant",
                "amount_fen": 2_100_000,
                "due_on": due_on,
            },
        },
    ]


def wall_promises(due_on: str) -> list[dict[str, Any]]:
    """The wall moves back by a day."""
    return [
        {
            "text": "被申请人按丈量结果退让围墙，恢复排水沟。",
            "obligation": {
                "kind": "do",
                "debtor": "respondent",
                "creditor": "applicant",
                "due_on": due_on,
            },
        }
    ]


def main() -> int:
    """Play against the stack of this folder; answers the exit code."""
    file = Path(os.environ.get("LIANDIAO_HOME", ".liandiao")) / "stack.json"
    if not file.exists():
        say("Nothing runs here yet: start it with make run.")
        return 1
    stack = Stack(file, http_log=file.parent / "logs" / "http-play.jsonl")
    try:
        Play(stack).run()
    except (Refused, RuntimeError, TimeoutError, httpx.HTTPError) as error:
        sys.stderr.write(f"The play stopped: {error}\n")
        return 1
    finally:
        stack.close()
    return 0
