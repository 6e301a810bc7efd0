"""The audit chain holds, and each human act has exactly one entry beside its event."""

import hashlib
from collections import Counter
from datetime import UTC
from typing import Any, Final

import orjson

from services.verify.databases import side_by_side
from services.verify.look import Look
from services.verify.report import Checked
from services.verify.run import NAMES

_CONTENT: Final = (
    "id", "action", "case_id", "subject", "actor", "organisation", "acted_by", "purpose",
    "correlation_id", "detail", "recorded_at",
)  # fmt: skip
# Service -> event -> the entry that the same act leaves, and the member it is filed under.
ACTS: Final[dict[str, dict[str, tuple[str, str | None]]]] = {
    "intake": {
        "liandiao.referral.received.v1": ("referral.submitted", "referral_id"),
        "liandiao.party.left.v1": ("party.left", "party_id"),
        "liandiao.referral.withdrawn.v1": ("referral.withdrawn", "withdrawal_id"),
        "liandiao.case.lane-changed.v1": ("case.lane_changed", None),
        "liandiao.case.closed.v1": ("case.closed", None),
        "liandiao.case.reopened.v1": ("case.reopened", None),
        "liandiao.case.erased.v1": ("case.erased", "erasure_id"),
        "liandiao.alert.raised.v1": ("alert.raised", "alert_id"),
        "liandiao.alert.withdrawn.v1": ("alert.dismissed", "alert_id"),
    },
    "routing": {
        "liandiao.linkage.requested.v1": ("linkage.requested", "linkage_id"),
        "liandiao.assignment.objection-decided.v1": ("objection.decided", "assignment_id"),
        "liandiao.erasure.done.v1": ("erasure.obeyed", "erasure_id"),
    },
    "mediation": {
        "liandiao.assignment.accepted.v1": ("assignment.accept", "assignment_id"),
        "liandiao.assignment.returned.v1": ("assignment.return", "assignment_id"),
        "liandiao.assignment.objected.v1": ("assignment.object", "assignment_id"),
        "liandiao.mediator.appointed.v1": ("mediator.appoint", "mediation_id"),
        "liandiao.consent.given.v1": ("consent.given", "consent_id"),
        "liandiao.session.scheduled.v1": ("session.schedule", "session_id"),
        "liandiao.session.moved.v1": ("session.move", "session_id"),
        "liandiao.session.held.v1": ("session.held", "session_id"),
        "liandiao.mediation.ended.v1": ("mediation.end", "mediation_id"),
        "liandiao.obligation.breached.v1": ("obligation.breach", "obligation_id"),
        "liandiao.erasure.done.v1": ("erasure.obeyed", "erasure_id"),
    },
    "notification": {"liandiao.erasure.done.v1": ("erasure.obeyed", "erasure_id")},
}
_ENTRIES = """
SELECT case_id::text AS key, action, subject, correlation_id, id FROM audit_entry
WHERE case_id IS NOT NULL AND action = ANY($1::text[]) ORDER BY audit_entry.case_id
"""
_EVENTS = """
SELECT key, type, event_id, data FROM outbox
WHERE topic = $1 AND type = ANY($2::text[]) ORDER BY key
"""
_CHAIN = "SELECT * FROM audit_entry WHERE chain_number IS NOT NULL ORDER BY chain_number"


async def check(look: Look, done: Checked) -> None:
    """Each service's chain, then its acts."""
    for name in NAMES:
        await _chain(look, done, name)
        if name in ACTS:
            await _acts(look, done, name)


def link(previous: bytes, number: int, entry: Any) -> bytes:
    """The hash of an entry: SHA-256 over the previous hash and the sorted JSON of its content."""
    content = {name: entry[name] for name in _CONTENT}
    content["detail"] = orjson.loads(entry["detail"])
    content["recorded_at"] = entry["recorded_at"].astimezone(UTC).isoformat()
    content["chain_number"] = number
    text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(previous + text).digest()


async def _chain(look: Look, done: Checked, name: str) -> None:
    previous, number = bytes(32), 0
    async for row in look.databases.rows(name, _CHAIN):
        done.items += 1
        number += 1
        where = {"service": name, "case_id": row["case_id"]}
        if row["chain_number"] != number:
            done.found(
                f"the chain has no entry {number}; {row['chain_number']} follows {number - 1}",
                "entries were removed: compare with a backup, tell the data officer",
                **where,
            )
            number = row["chain_number"]
        elif link(previous, number, row) != row["chain_hash"]:
            done.found(
                f"entry {number} ({row['id']}) is not as it was chained",
                "it or the one before it was changed: compare with a backup, tell the data officer",
                **where,
            )
        previous = row["chain_hash"]
    if look.run.wait_seconds > 0:
        left = await look.databases.one(
            name, "SELECT count(*) FROM audit_entry WHERE chain_number IS NULL"
        )
        if left:
            done.found(
                f"{left} entries are not chained", "see whether the sequencer runs", service=name
            )


async def _acts(look: Look, done: Checked, name: str) -> None:
    acts = ACTS[name]
    streams = {
        "events": look.databases.rows(name, _EVENTS, look.run.cases_topic, list(acts)),
        "entries": look.databases.rows(name, _ENTRIES, [action for action, _ in acts.values()]),
    }
    async for case_id, group in side_by_side(streams, "key"):
        wanted: Counter[tuple[str, str | None]] = Counter()
        event_of: dict[tuple[str, str | None], Any] = {}
        for event in group["events"]:
            action, member = acts[event["type"]]
            data = orjson.loads(event["data"])
            act = (action, data[member] if member else None)
            wanted[act] += 1
            event_of[act] = event["event_id"]
        given = Counter((row["action"], row["subject"]) for row in group["entries"])
        done.items += sum(wanted.values())
        for act in wanted.keys() | given.keys():
            if wanted[act] != given[act]:
                done.found(
                    f"{wanted[act]} events and {given[act]} audit entries of {act[0]} "
                    f"{act[1] or ''}".rstrip(),
                    "an act without its trace or a trace without its act: both are one transaction",
                    service=name,
                    case_id=case_id,
                    event_id=event_of.get(act),
                )
