"""The seeded faults: what is taken out of which file, and the test that must notice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """One change of the source; ``before`` stands in the file exactly once."""

    name: str
    file: str
    before: str
    after: str
    test: str

    def mutated(self, root: Path = ROOT) -> str:
        """The file with the fault in it. Raises ``ValueError`` when it does not apply."""
        text = (root / self.file).read_text("utf-8")
        if text.count(self.before) != 1:
            raise ValueError(f"{self.name}: stands {text.count(self.before)} times in {self.file}")
        return text.replace(self.before, self.after)


MUTANTS: Final = (
    Mutant(
        "frozen transaction never ends",
        "services/messaging/inbox.py",
        "'idle_in_transaction_session_timeout', '10s'",
        "'idle_in_transaction_session_timeout', '0'",
        "tests/crash/test_14_frozen_processes.py",
    ),
    Mutant(
        "lease goes to whoever asks",
        "services/messaging/lease.py",
        "WHERE l.holder = excluded.holder OR l.expires_at < clock_timestamp()",
        "WHERE true",
        "tests/crash/test_14_frozen_processes.py",
    ),
    Mutant(
        "inbox check removed for every subscription",
        "services/messaging/inbox.py",
        "    if sequence == last + 1:\n        return Verdict.NEXT\n",
        "    if sequence <= last + 1:\n        return Verdict.NEXT\n",
        "tests/crash/test_05_consumer_dies.py",
    ),
    Mutant(
        "stamp before acknowledgement",
        "services/messaging/relay.py",
        '            failpoint("relay.after_send")\n',
        '            await self.pool.execute("UPDATE outbox SET published_at = now(),"\n'
        '                " partition = 0, \\"offset\\" = 0 WHERE id = ANY($1)",\n'
        "                [row.id for batch, _ in sent for row in batch.rows])\n"
        '            failpoint("relay.after_send")\n            failpoint("relay.after_ack")\n',
        "tests/crash/test_02_relay_dies.py",
    ),
    Mutant(
        "stamp moves to the later copy",
        "services/messaging/relay.py",
        'OR (o.partition = s.partition AND o."offset" > s."offset"))',
        'OR (o.partition = s.partition AND o."offset" < s."offset"))',
        "tests/crash/test_03_frozen_leader.py",
    ),
    Mutant(
        "id greater than the last",
        "services/messaging/relay.py",
        "WHERE o.published_at IS NULL AND o.held_reason IS NULL\n",
        "WHERE o.published_at IS NULL AND o.held_reason IS NULL AND o.id > coalesce(\n"
        "                 (SELECT max(id) FROM outbox WHERE published_at IS NOT NULL), 0)\n",
        "tests/crash/test_04_late_commit.py",
    ),
    Mutant(
        "inbox check removed",
        "services/messaging/inbox.py",
        "    if sequence == last + 1:\n        return Verdict.NEXT\n",
        "    if sequence <= last + 1:\n        return Verdict.NEXT\n",
        "tests/crash/test_02_relay_dies.py",
    ),
    Mutant(
        "position is not compared",
        "services/messaging/inbox.py",
        "            if found.get(partition) != offset:\n",
        "            if partition not in found:\n",
        "tests/crash/test_06_zombie.py",
    ),
    Mutant(
        "parking does not compare the position",
        "services/messaging/group.py",
        "        if found != expected:\n",
        "        if found is None:\n",
        "tests/crash/test_06_zombie.py",
    ),
    Mutant(
        "a fork passes as a copy",
        "services/messaging/inbox.py",
        "    if head and sequence == last and event_id != head.event_id:\n",
        "    if head and sequence < last and event_id != head.event_id:\n",
        "tests/crash/test_08_twice.py",
    ),
    Mutant(
        "a gap passes as the next",
        "services/messaging/inbox.py",
        "    if sequence == last + 1:\n        return Verdict.NEXT\n",
        "    if sequence > last:\n        return Verdict.NEXT\n",
        "tests/crash/test_08_twice.py",
    ),
    Mutant(
        "a case waits for whom it waited for first",
        "services/messaging/parking.py",
        'code, source = "gap", queue[0][1].envelope().source',
        'code, source = "gap", None',
        "tests/crash/test_08_twice.py",
    ),
    Mutant(
        "replay without order",
        "services/messaging/parking.py",
        'SELECT id, topic, partition, "offset", key, headers, data FROM parked_event\n'
        "           WHERE consumer = $1 AND key = $2 ORDER BY id",
        'SELECT id, topic, partition, "offset", key, headers, data FROM parked_event\n'
        "           WHERE consumer = $1 AND key = $2 ORDER BY id DESC LIMIT 1",
        "tests/crash/test_07_poison.py",
    ),
    Mutant(
        "the consumer does not wait for a replay",
        "services/messaging/inbox.py",
        '                   ORDER BY key FOR UPDATE""",\n',
        '                   ORDER BY key""",\n',
        "tests/crash/test_07_poison.py",
    ),
    Mutant(
        "a lost topic is filled one service after the other",
        "services/messaging/recovery.py",
        '            yield row["partition"], row["offset"], name, row\n',
        '            yield row["partition"], 0, name, row\n',
        "tests/crash/test_09_broker_gone.py",
    ),
    Mutant(
        "topics have one replica on three brokers",
        "services/topics.py",
        "        replicas = 3 if len(found.brokers) >= 3 else 1\n",
        "        replicas = 1\n",
        "tests/crash/test_13_brokers.py",
    ),
    Mutant(
        "recovery raises no stream head",
        "services/messaging/recovery.py",
        "WHERE c.last_sequence < excluded.last_sequence RETURNING true",
        "WHERE c.last_sequence > excluded.last_sequence RETURNING true",
        "tests/crash/test_10_database_gone.py",
    ),
    Mutant(
        "writes allowed before recovery",
        "services/unit_of_work.py",
        "        if pending.outbox and not self.runtime.writes_allowed:\n",
        "        if not pending and not self.runtime.writes_allowed:\n",
        "tests/crash/test_10_database_gone.py",
    ),
    Mutant(
        "a commit is answered before it is on the disk",
        "services/unit_of_work.py",
        "f\"{_BEGIN}, set_config('plan_cache_mode'",
        "f\"{_BEGIN}, set_config('synchronous_commit', 'off', true), set_config('plan_cache_mode'",
        "tests/crash/test_10_database_gone.py",
    ),
    Mutant(
        "idempotency key not stored",
        "services/idempotency.py",
        "        if self._scope is None:\n            return\n        await self._uow.db.execute(",
        "        if self._scope is None or self.status == 201:\n            return\n"
        "        await self._uow.db.execute(",
        "tests/crash/test_01_posting.py",
    ),
    Mutant(
        "a message nobody can account for is sent again",
        "notification/sender.py",
        '        return Outcome(row, "unknown", "interrupted")',
        '        return Outcome(row, "waiting", "interrupted", retry_seconds=0)',
        "tests/crash/test_12_last_hop.py",
    ),
    Mutant(
        "sender without a comparison of attempts",
        "notification/repository.py",
        "WHERE m.id = g.id AND m.attempts = g.ordinal AND m.state = 'sending'",
        "WHERE m.id = g.id AND m.state <> 'waiting'",
        "tests/crash/test_12_last_hop.py",
    ),
    Mutant(
        "a feed is numbered without the lock of its head",
        "notification/repository.py",
        """  INSERT INTO feed_head AS h (connection, feed_sequence)
  SELECT connection, count(*) FROM fresh GROUP BY connection ORDER BY connection
  ON CONFLICT (connection) DO UPDATE SET feed_sequence = h.feed_sequence + excluded.feed_sequence
  RETURNING connection, feed_sequence),
""",
        """  SELECT connection, count(*) + coalesce((SELECT max(e.feed_sequence) FROM feed_entry e
    WHERE e.connection = fresh.connection), 0) AS feed_sequence
  FROM fresh GROUP BY connection),
""",
        "tests/crash/test_12_last_hop.py",
    ),
    Mutant(
        "silence overrides an answer",
        "mediation/queue/handlers.py",
        '    if row["state"] != "offered":\n        return\n    move, meaning',
        "    move, meaning",
        "tests/crash/test_11_crossing.py",
    ),
    Mutant(
        "the same holder is written down again",
        "intake/repository.py",
        "WHERE case_id = $1 AND holder <> $3 RETURNING held_since",
        "WHERE case_id = $1 RETURNING held_since",
        "tests/crash/test_11_crossing.py",
    ),
    Mutant(
        "the feed is stamped before it is acknowledged",
        "notification/feed.py",
        '        failpoint("feeder.before_send")\n',
        "        await repository.stamp_delivered(\n"
        '            self.runtime.pool, connection, rows[-1]["feed_sequence"], 0, 0\n        )\n'
        '        failpoint("feeder.before_send")\n',
        "tests/crash/test_12_last_hop.py",
    ),
    Mutant(
        "a refused record's followers go on",
        "services/messaging/relay.py",
        "if row.topic not in there or (left_out and (row.topic, row.key) in left_out):",
        "if row.topic not in there:",
        "tests/properties/test_relay.py",
    ),
    Mutant(
        "a recall that crosses an answer is forgotten",
        "routing/handlers/turns.py",
        "    elif withdrawn:\n",
        "    elif False:\n",
        "tests/properties/test_assignment.py",
    ),
    Mutant(
        "an agreement stands though its party left before",
        "mediation/proceeding/handlers.py",
        'if agreement is None or agreement["effective_at"] <= left_at:',
        "if agreement is not None:",
        "tests/properties/test_mediation.py",
    ),
    Mutant(
        "an ended turn can end again",
        "routing/handlers/turns.py",
        """    return turn["state"] in ("offered", "accepted", "objected", "recalling")
""",
        """    return turn["state"] is not None
""",
        "tests/routing/test_turns.py",
    ),
    Mutant(
        "a mediator is not booked",
        "mediation/session/handlers.py",
        """    keys = [f"mediator:{row['mediator_id']}", *(f"party:{p}" for p in row["parties"])]
""",
        """    keys = [f"party:{p}" for p in row["parties"]]
""",
        "tests/properties/test_mediation.py",
    ),
    Mutant(
        "a former handler keeps its part when a case is reopened",
        "routing/handlers/turns.py",
        """        uow.db, case["case_id"], ["handler", "linked", "supervisor"]
""",
        """        uow.db, case["case_id"], ["linked", "supervisor"]
""",
        "tests/properties/test_assignment.py",
    ),
    Mutant(
        "a case is over while a court decides on confirmation",
        "mediation/proceeding/handlers.py",
        ' or await awaited(uow.db, row["mediation_id"]):',
        ":",
        "tests/properties/test_mediation.py",
    ),
    Mutant(
        "a replaced mediator's signature counts",
        "mediation/agreement/handlers.py",
        "    mediator = await mediator_staff_id(mediation, uow)",
        '    mediator = next((s.signer for s in signatures if s.signer_kind == "mediator"), "")',
        "tests/mediation/test_mediation.py",
    ),
    Mutant(
        "a lost topic is filled by its stamps alone",
        "services/messaging/recovery.py",
        "        ordered = in_order(batch, later)\n",
        "        ordered = list(batch)\n",
        "tests/services/test_recovery.py",
    ),
    Mutant(
        "a replay is shown without asking the gate",
        "routing/endpoints.py",
        """    row = await _mine(uow, caller, await repository.clock_of(uow.db, clock_id))
""",
        """    row = _found(await repository.clock_of(uow.db, clock_id))
""",
        "tests/access/test_replays.py",
    ),
    Mutant(
        "an agreed turn is taken back",
        "mediation/proceeding/handlers.py",
        """        if row["state"] == "agreed":
            return
        await cancel_planned""",
        """        await cancel_planned""",
        "tests/mediation/test_queue.py",
    ),
    Mutant(
        "what is on its way to a webhook waits no more",
        "notification/webhooks/sender.py",
        "            task = asyncio.create_task(self._try(row))\n",
        "            await self.runtime.pool.execute(\n"
        '                "DELETE FROM webhook_waiting"\n'
        '                " WHERE webhook_id = $1 AND feed_sequence = $2",\n'
        '                row["webhook_id"],\n'
        '                row["feed_sequence"],\n'
        "            )\n"
        "            task = asyncio.create_task(self._try(row))\n",
        "tests/notification/webhooks/test_sending.py",
    ),
    Mutant(
        "a webhook is brought a case's next entry before the first was taken",
        "notification/webhooks/repository.py",
        "SELECT DISTINCT ON (d.webhook_id, d.case_id) d.*",
        "SELECT d.*",
        "tests/notification/webhooks/test_sending.py",
    ),
    Mutant(
        "a webhook's name is asked again after its address was checked",
        "notification/webhooks/post.py",
        "return await self._inner.connect_tcp(addresses[-1], port",
        "return await self._inner.connect_tcp(host, port",
        "tests/notification/webhooks/test_guard.py",
    ),
    Mutant(
        "a webhook's name may have an inner address among others",
        "notification/webhooks/post.py",
        "if not all(allowed(",
        "if not any(allowed(",
        "tests/notification/webhooks/test_guard.py",
    ),
)
