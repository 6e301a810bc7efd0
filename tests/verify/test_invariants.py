"""For every invariant: what breaks it is planted into a real run, found and named."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from services.verify import Report, Violation
from tests.verify.conftest import SERVICES, Record, World

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]


def of(report: Report, invariant: str) -> list[Violation]:
    """The violations of one invariant."""
    return [violation for violation in report.violations if violation.invariant == invariant]


def one(report: Report, invariant: str, words: str) -> Violation:
    """The first violation of an invariant that says these words."""
    found = [v for v in of(report, invariant) if words in v.message]
    assert found, "\n".join(v.line() for v in report.violations) or "nothing was found"
    assert found[0].remedy
    return found[0]


async def test_a_clean_run_holds_and_everything_was_looked_at(world: World) -> None:
    report = await world.look()

    assert report.violations == []
    assert [each.name for each in report.checked if not each.items] == []


# -- acknowledged --------------------------------------------------------------------------------


async def test_an_acknowledged_event_that_is_gone_is_a_lost_write(world: World) -> None:
    case_id = await world.one(
        "mediation",
        "SELECT key FROM outbox WHERE type LIKE '%mediator.appointed%' ORDER BY id LIMIT 1",
    )
    await world.sql(
        "mediation",
        f"DELETE FROM outbox WHERE key = '{case_id}' AND type LIKE '%mediator.appointed%'",
    )

    report = await world.look("acknowledged")

    lost = one(report, "acknowledged", "there is no such event")
    assert (lost.service, lost.case_id) == ("mediation", case_id)


async def test_an_acknowledged_row_that_is_gone_is_a_lost_write(world: World) -> None:
    await world.sql("mediation", "DELETE FROM session")

    report = await world.look("acknowledged")

    assert "/v1/sessions/" in one(report, "acknowledged", "no such row in session").message
    assert one(report, "acknowledged", "were acknowledged, and there is none")


async def test_an_answer_that_was_not_kept_with_its_key_is_named(world: World) -> None:
    await world.sql(
        "routing", "DELETE FROM idempotency", "DELETE FROM assignment WHERE state = 'x'"
    )

    report = await world.look("acknowledged")

    assert "/recalls" in one(report, "acknowledged", "is kept nowhere").message


async def test_a_key_that_made_two_rows_is_named(world: World) -> None:
    await world.sql(
        "mediation",
        """INSERT INTO performance (id, obligation_id, amount_fen, waived, proved_by, occurred_at)
           SELECT gen_random_uuid(), obligation_id, amount_fen, waived, proved_by, occurred_at
           FROM performance LIMIT 1""",
    )

    report = await world.look("acknowledged")

    assert one(report, "acknowledged", "and there are 2")


async def test_a_key_that_was_answered_with_two_things_is_named(world: World, tmp_path) -> None:
    text = world.run.http_logs[0].read_text()
    line = next(each for each in text.splitlines() if '"location": "/v1/sessions/' in each)
    number = line.index("/v1/sessions/") + len("/v1/sessions/")
    other = line[:number] + "00000000" + line[number + 8 :]
    log = tmp_path / "http-two.jsonl"
    log.write_text(f"{text}{other}\n")

    report = await world.look("acknowledged", http_logs=(log,))

    assert one(report, "acknowledged", "was answered with 2 different effects")


# -- effects -------------------------------------------------------------------------------------


async def test_an_event_without_its_effect_is_named(world: World) -> None:
    event_id = await world.one(
        "intake", "SELECT event_id FROM timeline_entry WHERE type LIKE '%consent.given%' LIMIT 1"
    )
    await world.sql("intake", f"DELETE FROM timeline_entry WHERE event_id = '{event_id}'")

    missing = one(await world.look("effects"), "effects", "has no entry on the timeline")

    assert missing.event_id == str(event_id)
    assert missing.topic == "cases"
    assert missing.partition is not None
    assert missing.offset is not None


async def test_an_event_with_two_effects_is_named(world: World) -> None:
    await world.sql(
        "intake",
        "ALTER TABLE timeline_entry DROP CONSTRAINT pk_timeline_entry",
        """INSERT INTO timeline_entry (event_id, case_id, source, sequence, episode, type, data,
             occurred_at, recorded_at)
           SELECT event_id, case_id, source, sequence, episode, type, data, occurred_at,
             recorded_at FROM timeline_entry LIMIT 1""",
    )

    assert one(await world.look("effects"), "effects", "has 2 entries on the timeline")


@pytest.mark.parametrize(
    ("service", "statement", "words"),
    [
        ("routing", "UPDATE inbox SET sequence = sequence - 1", "handled intake's events up to"),
        ("routing", "UPDATE inbox SET sequence = sequence + 1", "were handled, it said"),
        ("notification", "UPDATE inbox SET event_id = gen_random_uuid()", "was handled as event"),
        ("mediation", "UPDATE position SET next_offset = next_offset - 1", "have not been handled"),
        ("mediation", "UPDATE position SET next_offset = next_offset + 9", "behind the end"),
        (
            "mediation",
            """INSERT INTO parked_case (consumer, key, code, reason)
               SELECT 'mediation.cases', key, 'gap', 'events before' FROM outbox LIMIT 1""",
            "is parked (gap)",
        ),
        (
            "intake",
            """UPDATE timeline_entry SET data = data || '{"extra": 1}'""",
            "says something else than the event",
        ),
        (
            "intake",
            "UPDATE timeline_entry SET event_id = gen_random_uuid() WHERE id = 1",
            "about an event that nobody has",
        ),
    ],
)
async def test_inbox_positions_and_effects_must_be_equal(
    world: World, service: str, statement: str, words: str
) -> None:
    await world.sql(service, statement)

    assert one(await world.look("effects"), "effects", words).service == service


# -- sequences -----------------------------------------------------------------------------------


async def test_a_gap_in_an_outbox_is_named_with_what_is_missing(world: World) -> None:
    case_id = await world.one("routing", "SELECT key FROM outbox WHERE sequence = 3 LIMIT 1")
    await world.sql("routing", f"DELETE FROM outbox WHERE key = '{case_id}' AND sequence = 2")

    gap = one(await world.look("sequences"), "sequences", "a gap")

    assert "missing [2]" in gap.message
    assert (gap.service, gap.case_id) == ("routing", case_id)


async def test_a_fork_in_an_outbox_is_named(world: World) -> None:
    await world.sql(
        "intake",
        "ALTER TABLE outbox DROP CONSTRAINT uq_outbox_topic_key_sequence",
        """INSERT INTO outbox (event_id, topic, key, sequence, type, headers, data, recorded_at)
           SELECT gen_random_uuid(), topic, key, sequence, type, headers, data, recorded_at
           FROM outbox WHERE topic = 'cases' LIMIT 1""",
    )

    assert one(await world.look("sequences"), "sequences", "a fork").service == "intake"


async def test_a_stream_head_that_is_not_the_last_event_is_named(world: World) -> None:
    await world.sql("mediation", "UPDATE case_stream SET last_sequence = last_sequence + 1")

    assert (
        one(await world.look("sequences"), "sequences", "the stream head says").service
        == "mediation"
    )


async def test_events_out_of_order_on_the_topic_are_named(world: World) -> None:
    def swap(partition: int, records: list[Record]) -> list[Record]:
        places = [n for n, r in enumerate(records) if dict(r[2]).get("ce_source") == b"/routing"]
        for first, second in itertools.pairwise(places):
            if records[first][0] == records[second][0]:
                records[first], records[second] = records[second], records[first]
                break
        return records

    await world.copy_cases(swap)

    report = await world.look("sequences", "published")

    assert one(report, "sequences", "a gap on the topic").offset is not None
    assert one(report, "published", "holds another one")


# -- outbox and topic ----------------------------------------------------------------------------


async def test_a_payload_changed_in_the_outbox_is_named_on_both_sides(world: World) -> None:
    event_id = await world.one("mediation", "SELECT event_id FROM outbox ORDER BY id LIMIT 1")
    await world.sql(
        "mediation",
        f"UPDATE outbox SET data = data || ' '::bytea WHERE event_id = '{event_id}'",
    )

    report = await world.look("published", "untrue")

    changed = one(report, "published", "the payload of the record differs")
    assert changed.event_id == str(event_id)
    assert (changed.topic, changed.partition is None, changed.offset is None) == (
        "cases",
        False,
        False,
    )
    assert one(report, "untrue", "never committed like this").event_id == str(event_id)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("""UPDATE outbox SET headers = headers || '[["x", "y"]]'""", "the headers of the record"),
        ("""UPDATE outbox SET "offset" = "offset" + 100000""", "no record stands at its place"),
        (
            """UPDATE outbox SET published_at = NULL, "offset" = NULL""",
            "a committed event is not on the topic",
        ),
    ],
)
async def test_a_row_that_is_not_what_the_topic_has_is_named(
    world: World, statement: str, words: str
) -> None:
    await world.sql(
        "routing", f"{statement} WHERE id = (SELECT max(id) FROM outbox WHERE topic = 'cases')"
    )

    report = await world.look("published")

    assert one(report, "published", words).event_id


async def test_an_unpublished_event_means_that_it_never_became_quiet(world: World) -> None:
    await world.sql("intake", "UPDATE outbox SET published_at = NULL WHERE topic = 'cases'")

    assert (
        "intake unpublished" in one(await world.look("quiet"), "quiet", "not quiet after").message
    )


async def test_what_is_on_its_way_is_no_violation_when_nobody_waits(world: World) -> None:
    await world.sql(
        "intake",
        """UPDATE outbox SET published_at = NULL, partition = NULL, "offset" = NULL
           WHERE id = (SELECT max(id) FROM outbox WHERE topic = 'cases')""",
    )

    report = await world.look("published", "quiet", wait_seconds=0)

    assert of(report, "published") == []
    assert of(report, "quiet") == []


async def test_a_record_that_nobody_committed_is_named(world: World) -> None:
    await world.sql(
        "intake",
        "DELETE FROM outbox WHERE id = (SELECT min(id) FROM outbox WHERE topic = 'cases')",
    )

    untrue = one(await world.look("untrue"), "untrue", "no service has committed this event")

    assert (untrue.topic, untrue.service) == ("cases", "intake")
    assert untrue.event_id
    assert untrue.offset is not None


async def test_a_copy_is_counted_and_a_changed_copy_is_named(world: World) -> None:
    def again(partition: int, records: list[Record]) -> list[Record]:
        return records + records[:1]

    await world.copy_cases(again)
    report = await world.look("untrue", "published", "sequences")
    assert of(report, "untrue") == of(report, "published") == of(report, "sequences") == []
    copies = next(c for c in report.checked if c.name == "published").notes[0]
    assert not copies.startswith("0 copies")

    def changed(partition: int, records: list[Record]) -> list[Record]:
        return records + [(key, value + b" ", headers) for key, value, headers in records[:1]]

    await world.copy_cases(changed)

    assert one(await world.look("untrue"), "untrue", "the payload of a copy differs")


# -- folds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "statement", "words"),
    [
        ("intake", "UPDATE case_file SET lane = 'pm'", "case_file.lane is 'pm'"),
        ("intake", "UPDATE case_file SET outcome = 'other'", "case_file.outcome is 'other'"),
        ("intake", "UPDATE party SET left_at = now() WHERE left_at IS NULL", "parties have left"),
        ("intake", "DELETE FROM deadline", "has no row"),
        ("routing", "UPDATE assignment SET state = 'returned'", "mediation said"),
        ("routing", "UPDATE clock SET due_at = due_at + interval '1 day'", "is due at"),
        ("routing", "UPDATE clock SET state = 'running'", "its events say stopped"),
        ("mediation", "UPDATE assignment SET organisation = '330681-XX-0001'", "its events say"),
        ("mediation", "UPDATE mediation SET succeeded = NOT succeeded", "its events say"),
        ("mediation", "UPDATE mediation SET mediator_id = NULL", "another mediator"),
        ("mediation", "UPDATE session SET state = 'scheduled'", "its events say held"),
        (
            "mediation",
            "UPDATE agreement SET state = 'void', effective_at = NULL",
            "its events say effective",
        ),
        ("mediation", "UPDATE obligation SET state = 'breached'", "its events say performed"),
        ("mediation", "DELETE FROM obligation", "is performed by its events and has no row"),
        ("mediation", "DELETE FROM participation", "is not in the copy"),
        ("notification", "UPDATE participation SET left_at = now()", "has ended here"),
        ("notification", "UPDATE case_copy SET closed = NOT closed", "another round"),
        ("routing", "UPDATE case_stream SET episode = 2", "case_stream says episode 2"),
        ("routing", "DELETE FROM routed_case", "has no copy of the case"),
    ],
)
async def test_state_that_is_not_the_fold_of_its_events_is_named(
    world: World, service: str, statement: str, words: str
) -> None:
    await world.sql(service, statement)

    difference = one(await world.look("folds"), "folds", words)

    assert difference.service == service
    assert difference.case_id


async def test_an_event_that_lost_a_member_is_named_and_the_others_are_still_folded(
    world: World,
) -> None:
    case_id = await world.one(
        "mediation", "SELECT key FROM outbox WHERE type LIKE '%held%' LIMIT 1"
    )
    await world.sql(
        "mediation",
        f"""UPDATE outbox SET data = convert_to((convert_from(data, 'UTF8')::jsonb - 'session_id')
              ::text, 'UTF8') WHERE type LIKE '%session.held%' AND key = '{case_id}'""",
    )

    report = await world.look("folds")

    assert one(report, "folds", "cannot be folded: KeyError('session_id')").case_id == case_id
    assert len(of(report, "folds")) == 1


async def test_an_act_that_took_effect_twice_is_named(world: World) -> None:
    await world.sql(
        "mediation",
        """INSERT INTO outbox (event_id, topic, key, sequence, type, headers, data, recorded_at)
           SELECT gen_random_uuid(), topic, key, sequence + 1000, type, headers, data, recorded_at
           FROM outbox WHERE type LIKE '%obligation.performed%' LIMIT 1""",
    )

    assert one(await world.look("folds"), "folds", "it happened twice: obligation").event_id


# -- feeds ---------------------------------------------------------------------------------------


async def test_a_number_cut_out_of_a_feed_is_named(world: World) -> None:
    await world.sql("notification", "DELETE FROM feed_entry WHERE feed_sequence = 2")

    report = await world.look("feeds")

    assert "missing [2]" in one(report, "feeds", "the feed of").message
    assert one(report, "feeds", "the table has no such entry").offset is not None


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            """UPDATE feed_entry SET event = jsonb_set(event, '{data,x}', '1')
               WHERE feed_sequence = 1""",
            "its data differs",
        ),
        ("UPDATE feed_entry SET event = jsonb_set(event, '{data,x}', '1')", "says something else"),
        ("UPDATE feed_entry SET read_after = 'intake=9'", "its headers differ"),
        ("UPDATE feed_entry SET event_id = gen_random_uuid()", "has no such event"),
        (
            """DELETE FROM feed_entry WHERE (connection, feed_sequence) IN
               (SELECT connection, max(feed_sequence) FROM feed_entry GROUP BY 1)""",
            "the table has no such entry",
        ),
        (
            """INSERT INTO feed_entry (connection, feed_sequence, event_id, case_id, episode, type,
                 read_after, event, occurred_at)
               SELECT connection, feed_sequence + 100000, gen_random_uuid(), case_id, episode, type,
                 read_after, event, occurred_at
               FROM feed_entry ORDER BY feed_sequence DESC LIMIT 1""",
            "and ends at number",
        ),
        ("UPDATE feed_head SET feed_sequence = feed_sequence - 1", "the head of the feed of"),
    ],
)
async def test_feed_table_and_topic_must_be_the_same(
    world: World, statement: str, words: str
) -> None:
    await world.sql("notification", statement)

    assert one(await world.look("feeds"), "feeds", words)


# -- holders -------------------------------------------------------------------------------------


async def test_two_open_holdings_are_named(world: World) -> None:
    await world.sql(
        "intake",
        """INSERT INTO holding (case_id, episode, holder, ground, occurred_at)
           SELECT case_id, episode, '330681-XX-0001', 'accepted', now() FROM case_file LIMIT 1""",
    )

    both = one(await world.look("holders"), "holders", "two hold the case: 330681-XX-0001")

    assert both.case_id


async def test_two_open_turns_are_named(world: World) -> None:
    await world.sql("routing", "DROP INDEX uq_assignment_one_open_turn")
    await world.sql(
        "routing",
        """INSERT INTO assignment SELECT (jsonb_populate_record(NULL::assignment, to_jsonb(a) ||
             jsonb_build_object('id', gen_random_uuid(), 'ordinal', n, 'state', 'offered'))).*
           FROM (SELECT * FROM assignment LIMIT 1) a, generate_series(8, 9) n""",
    )

    assert one(await world.look("holders"), "holders", "2 turns are open at routing")


async def test_a_holder_whom_no_event_made_is_named(world: World) -> None:
    await world.sql("intake", "UPDATE case_file SET holder = '330681-XX-0001'")

    assert one(await world.look("holders"), "holders", "330681-XX-0001 by its file")


async def test_an_acceptance_while_another_holds_is_named(world: World) -> None:
    await world.sql(
        "mediation",
        """INSERT INTO outbox (event_id, topic, key, sequence, type, headers, data, recorded_at)
           SELECT gen_random_uuid(), topic, key, sequence + 1, type, headers,
             convert_to((convert_from(data, 'UTF8')::jsonb ||
               '{"assignment_id": "00000000-0000-7000-8000-000000000000"}')::text, 'UTF8'),
             recorded_at
           FROM outbox o WHERE type LIKE '%assignment.accepted%' AND NOT EXISTS
             (SELECT 1 FROM outbox n WHERE n.key = o.key AND n.sequence > o.sequence + 20)
           ORDER BY id LIMIT 1
           ON CONFLICT (topic, key, sequence) DO UPDATE SET data = excluded.data,
             type = excluded.type""",
    )

    assert one(await world.look("holders"), "holders", "held the case")


# -- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "statement", "words"),
    [
        ("intake", "DELETE FROM command", "was answered 0 times, by nobody"),
        (
            "intake",
            "DELETE FROM outbox WHERE type LIKE '%command.answered%'",
            "is not in the outbox",
        ),
        (
            "notification",
            "DELETE FROM feed_entry WHERE type LIKE '%command.answered%'",
            "is not in the feed of",
        ),
    ],
)
async def test_a_command_without_its_one_answer_is_named(
    world: World, service: str, statement: str, words: str
) -> None:
    await world.sql(service, statement)

    found = one(await world.look("commands"), "commands", words)

    assert found.topic == "agency.o-330681-ps-0002.in"
    assert found.offset is not None


async def test_a_command_with_two_answers_is_named(world: World) -> None:
    answered = await world.one("intake", "SELECT connection || ' ' || command_id FROM command")
    connection, command = answered.split()
    await world.sql(
        "routing",
        f"""INSERT INTO command (connection, command_id, type, outcome, event_id)
            VALUES ('{connection}', '{command}', 'x', 'accepted', gen_random_uuid())""",
    )

    assert one(await world.look("commands"), "commands", "2 times, by intake, routing")


# -- audit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE audit_entry SET detail = '{\"x\": 1}' WHERE chain_number = 2", "not as it was"),
        ("UPDATE audit_entry SET chain_hash = sha256('x') WHERE chain_number = 2", "not as it was"),
        ("DELETE FROM audit_entry WHERE chain_number = 2", "the chain has no entry 2"),
        (
            "DELETE FROM audit_entry WHERE action = 'session.held'",
            "events and 0 audit entries of session.held",
        ),
        (
            """INSERT INTO audit_entry SELECT (r).* FROM (SELECT jsonb_populate_record(a,
                 jsonb_build_object('id', gen_random_uuid(), 'chain_number', NULL)) AS r
               FROM audit_entry a WHERE action = 'assignment.accept' LIMIT 1) t""",
            "1 events and 2 audit entries of assignment.accept",
        ),
        ("UPDATE audit_entry SET chain_number = NULL", "entries are not chained"),
    ],
)
async def test_a_broken_audit_trail_is_named(world: World, statement: str, words: str) -> None:
    await world.sql("mediation", statement)

    assert one(await world.look("audit"), "audit", words).service == "mediation"


# -- canaries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "statement", "place"),
    [
        ("routing", "UPDATE routed_case SET lane = '{canary}'", "table routed_case"),
        ("mediation", "UPDATE case_copy SET parties = '[\"{canary}\"]'", "table case_copy"),
        ("intake", "UPDATE party_vault SET name = convert_to('{canary}', 'UTF8')", "party_vault"),
        ("notification", 'UPDATE job SET payload = \'{{"to": "{canary}"}}\'', "table job"),
        ("intake", 'UPDATE audit_entry SET detail = \'{{"n": "13900001111"}}\'', "audit_entry"),
    ],
)
async def test_a_canary_in_a_table_is_named_and_not_repeated(
    world: World, service: str, statement: str, place: str
) -> None:
    canary = world.run.canaries[4]
    await world.sql(service, statement.format(canary=canary))
    if place == "table job":
        await world.sql(
            service,
            f"""INSERT INTO job (id, kind, payload, run_after, done_at)
                VALUES (gen_random_uuid(), 'x', '{{"to": "{canary}"}}', now(), now())""",
        )

    found = one(await world.look("canaries"), "canaries", place)

    assert found.service == service
    assert canary not in found.line()


@pytest.mark.parametrize("where", ["logs", "metrics", "http_logs"])
async def test_a_canary_in_a_file_is_named_with_its_line(
    world: World, where: str, tmp_path: Any
) -> None:
    file = tmp_path / "some.txt"
    line = '{{"service": "intake", "method": "POST", "path": "/x", "problem": "{}"}}\n'
    file.write_text(line.format("well") + line.format(world.run.canaries[1]))

    report = await world.look(
        "canaries", **{where: (file,)}, allow_empty=frozenset({"acknowledged"})
    )

    assert one(report, "canaries", "canary 2 in the").message.endswith("some.txt, line 2")


@pytest.mark.parametrize(
    "change",
    [
        lambda r, c: (r[0], r[1] + c, r[2]),
        lambda r, c: (r[0], r[1], [*r[2], ("ce_x", c)]),
        lambda r, c: (c, r[1], r[2]),
    ],
    ids=["value", "header", "key"],
)
async def test_a_canary_in_a_record_is_named_with_its_place(
    world: World, change: Callable[[Record, bytes], Record]
) -> None:
    canary = world.run.canaries[8].encode()
    seen: list[int] = []

    def spoil(partition: int, records: list[Record]) -> list[Record]:
        if records and not seen:
            seen.append(partition)
            return [*records[:-1], change(records[-1], canary)]
        return records

    topic = await world.copy_cases(spoil)

    found = one(await world.look("canaries"), "canaries", "canary 9 in the")

    assert (found.topic, found.partition) == (topic, seen[0])
    assert found.offset is not None


# -- what cannot be known ------------------------------------------------------------------------


async def test_a_check_that_looked_at_nothing_fails_unless_it_is_allowed(world: World) -> None:
    report = await world.look("acknowledged", http_logs=())
    assert one(report, "acknowledged", "there was nothing to look at")

    allowed = await world.look(
        "acknowledged", http_logs=(), allow_empty=frozenset({"acknowledged"})
    )

    assert allowed.violations == []


async def test_every_service_is_in_the_run(world: World) -> None:
    assert tuple(world.run.databases) == SERVICES
