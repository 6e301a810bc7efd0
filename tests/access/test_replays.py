"""A key remembers what was done, never who may see it: every replay passes the gate again.

Each keyed operation is asked as if the client had done it within the 72 hours, with a key, a path
and a body that are remembered: who has no part in the case any more finds nothing, as everywhere.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from intake.withdrawals import repository as withdrawals
from services.idempotency import fingerprint
from services.ids import new_id
from tests.access import contract
from tests.access.conftest import Place
from tests.access.requests import REQUESTS, Asked, about
from tests.access.scenes import SENDERS, Scene, a_document
from tests.access.test_matrix import ACCESS, STRANGERS, Caller, members_and_strangers

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="session")]

KEYED = {
    name
    for name, (_, operation) in contract.operations().items()
    if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))
}
# Asked by parties, whose token is of one case alone: no other can be shown what they did.
BY_PARTIES = {name for name in KEYED if name.startswith("POST /v1/party/")}
KEYED -= BY_PARTIES
# Belong to who made them: no other member of the case is shown them, however close to it.
MAKERS_OWN = {
    "POST /v1/cases/{case_id}/attachments",
    "POST /v1/cases/{case_id}/exports",
    "POST /v1/counter-entries",
    "POST /v1/imports",
    "POST /v1/incidents",
    "POST /v1/matters",
    "POST /v1/matters/{matter_id}/conversions",
    "POST /v1/rounds",
    "POST /v1/webhooks",
}
# What the key remembers where it is not the id in the path: the scene's id of this name.
REMEMBERED = {
    "POST /v1/referrals": "referral_id",
    "POST /v1/referrals/{referral_id}/receipts": "party_id",
    "POST /v1/referrals/{referral_id}/withdrawals": "withdrawal_id",
    "POST /v1/cases/{case_id}/representations": "representation_id",
    "POST /v1/cases/{case_id}/screenings": "screening_id",
    "POST /v1/cases/{case_id}/sharing-consents": "sharing_id",
    "POST /v1/cases/{case_id}/holds": "hold_id",
    "POST /v1/cases/{case_id}/publication-consents": "publication_id",
    "POST /v1/cases/{case_id}/mandates": "mandate_id",
    "POST /v1/cases/{case_id}/attachments": "attachment_id",
    "POST /v1/cases/{case_id}/exports": "export_id",
    "POST /v1/cases/{case_id}/joins": "join_id",
    "POST /v1/cases/{case_id}/links": "link_id",
    "POST /v1/cases/{case_id}/supplements": "supplement_id",
    "POST /v1/counter-entries": "entry_id",
    "POST /v1/imports": "import_id",
    "POST /v1/rounds": "round_id",
    "POST /v1/incidents": "incident_id",
    "POST /v1/matters": "matter_id",
    "POST /v1/webhooks": "webhook_id",
    "POST /v1/cases/{case_id}/erasures": "erasure_id",
    "POST /v1/records/{record_id}/holds": "record_hold_id",
    "POST /v1/records/{record_id}/erasures": "record_erasure_id",
    "POST /v1/decisions/{decision_id}/overrides": "decision_id",
    "POST /v1/conferences": "conference_id",
    "POST /v1/linkages": "linkage_id",
    "POST /v1/mediators": "mediator_id",
    "POST /v1/mediations/{mediation_id}/sessions": "session_id",
    "POST /v1/mediations/{mediation_id}/agreements": "agreement_id",
    "POST /v1/sessions/{session_id}/notes": "note_id",
    "POST /v1/agreements/{agreement_id}/confirmations": "confirmation_id",
}


@dataclass(frozen=True)
class Replay:
    """One operation about one scene, under a key."""

    place: Place
    scene: Scene
    name: str

    def _id(self) -> str:
        if self.name.endswith(("/corrections", "/secrets")):
            return "2"  # the version it led to
        in_path = [part[1:-1] for part in self.name.split("/") if part.startswith("{")]
        return self.scene.ids[REMEMBERED.get(self.name, in_path[-1] if in_path else "case_id")]

    def _status(self) -> int:
        """What the operation answers when it was done."""
        _, operation = contract.operations()[self.name]
        return min(int(status) for status in operation["responses"] if status.startswith("2"))

    async def asked_by(self, caller: Caller) -> httpx.Response:
        """The answer to a client that is remembered to have done it."""
        service, _ = contract.operations()[self.name]
        asked: Asked = REQUESTS[self.name](about(self.scene))
        method, route = self.name.split(" ", 1)
        key = f"replay-{new_id()}"
        sent = httpx.Request("POST", "http://x", json=asked.body).content
        await self.place.it.runtimes[service].pool.execute(
            """INSERT INTO idempotency
                 (client_id, method, route, key, fingerprint, status, location, resource_id)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
            await self._client(caller),
            method,
            route,
            key,
            # Of a file, which is never held whole, the hash of what was sent stands for it.
            fingerprint(f"{asked.path}?", hashlib.sha256(sent).hexdigest().encode())
            if self.name == "POST /v1/imports"
            else fingerprint(asked.path, sent),
            self._status(),
            asked.path,
            self._id(),
        )
        return await self.place.it.call(
            service,
            method,
            asked.path,
            asked.body,
            headers={**caller.headers, **asked.headers, "Idempotency-Key": key},
            version=asked.version,
        )

    async def _client(self, caller: Caller) -> str:
        token = caller.headers["Authorization"].removeprefix("Bearer ")
        claims, _ = await self.place.it.runtimes["routing"].tokens.claims(token)
        return str(claims["sub"])


async def test_what_was_done_under_a_key_is_shown_again_only_to_who_has_a_part_in_it(
    place: Place,
) -> None:
    """Courts send and decide on confirmation, centres handle and override: together, all of it."""
    wrong, seen, hidden = [], set(), set()
    for kind in ("court", "centre"):
        scene = await with_all_it_may_have(place, place.open[kind])
        for caller in members_and_strangers(place.it, scene):
            for name in sorted(KEYED):
                row = ACCESS[name]
                if not caller.alive or not caller.scopes.issuperset(row["scope"].split()):
                    continue
                stranger = caller.standing in STRANGERS
                if name in MAKERS_OWN:
                    stranger = caller.standing != "sender"
                elif row["allow"] == [caller.standing]:
                    stranger = False  # a reviewer stands outside the case
                elif not stranger and caller.standing not in _those_who_do(row["allow"]):
                    continue
                answer = await Replay(place, scene, name).asked_by(caller)
                again = answer.headers.get("Idempotency-Replayed") == "true"
                if (answer.status_code == 404, again) != (stranger, not stranger):
                    wrong.append(f"{name} as {caller.standing}: {answer.status_code} {answer.text}")
                assert not (stranger and "Location" in answer.headers), name
                (hidden if stranger else seen).add(name)

    assert not wrong, "\n".join(wrong)
    of_operators = {name for name in KEYED if ACCESS[name]["allow"] == ["operator"]}
    assert seen == hidden == KEYED - of_operators


async def with_all_it_may_have(place: Place, scene: Scene) -> Scene:
    """A round, a supplement, a counter entry, advice made a dispute and a withdrawal, by the case's
    sender."""
    it, head, ids = place.it, place.it.of(scene.sender), dict(scene.ids)
    kind = scene.kind if scene.kind in SENDERS else "court"

    async def done(path: str, body: Any, version: int | None = None) -> Any:
        return await it.ok("intake", "POST", path, body, headers=head, version=version)

    round_ = REQUESTS["POST /v1/rounds"](about(scene)).body
    ids["round_id"] = (await done("/v1/rounds", round_))["round_id"]
    path = f"/v1/cases/{ids['case_id']}/supplements"
    ids["supplement_id"] = (await done(path, {"kind": "repeat_call"}))["supplement_id"]
    entry = REQUESTS["POST /v1/counter-entries"](about(scene)).body
    ids["entry_id"] = (await done("/v1/counter-entries", entry))["submitted"]["referral_id"]
    matter = REQUESTS["POST /v1/matters"](about(scene)).body | {"kind": "advice"}
    ids["matter_id"] = (await done("/v1/matters", matter))["matter_id"]
    referral = a_document(kind, scene.sender, f"ADVICE-{kind}")
    path = f"/v1/matters/{ids['matter_id']}/conversions"
    await done(path, {"referral": referral}, version=1)
    ids["withdrawal_id"] = str(new_id())
    async with it.runtimes["intake"].unit_of_work() as uow:
        await withdrawals.add(
            uow,
            {
                "withdrawal_id": UUID(ids["withdrawal_id"]),
                "referral_id": UUID(ids["referral_id"]),
                "case_id": UUID(ids["case_id"]),
                "episode": 1,
                "organisation": scene.sender,
                "reason": "sent_in_error",
                "state": "others_go_on",
                "settled_at": uow.now,
                "occurred_at": uow.now,
                "recorded_at": uow.now,
            },
        )
    return replace(scene, ids=ids)


def _those_who_do(allow: list[str]) -> set[str]:
    """Who can have done it; an organisation's own roster is the handler's here."""
    return {"handler"} if allow == ["*"] else set(allow)


async def test_a_source_that_has_lost_the_case_is_not_shown_its_own_recall(place: Place) -> None:
    scene, pool = place.open["court"], place.it.runtimes["routing"].pool
    callers = members_and_strangers(place.it, scene)
    source = next(caller for caller in callers if caller.standing == "source")
    replay = Replay(place, scene, "POST /v1/assignments/{assignment_id}/recalls")
    ends = """UPDATE participation SET left_at = $3
              WHERE case_id = $1::text::uuid AND organisation = $2 AND role = 'source'"""
    part = scene.ids["case_id"], scene.organisation("source")

    before = await replay.asked_by(source)
    now = await pool.fetchval("SELECT now()")
    await pool.execute(ends, *part, now)
    try:
        after = await replay.asked_by(source)
    finally:
        await pool.execute(ends, *part, None)

    assert (before.status_code, after.status_code) == (201, 404)
