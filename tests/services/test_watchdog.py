"""The watchdog and the supervision of a work process, with doubles: no server is needed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.messaging import failpoints
from services.messaging.kafka import Incoming, key_text
from services.messaging.watchdog import STATUS, Watchdog
from services.messaging.worker import _after, _supervise

NOW = 1_000.0


def a_watchdog(mine: tuple[int, ...] = (0, 1), **runtime: Any) -> tuple[Watchdog, list[int]]:
    consumer = SimpleNamespace(expected={TopicPartition("cases", p): 0 for p in mine})
    process = SimpleNamespace(
        service=SimpleNamespace(name="mediation"),
        settings=SimpleNamespace(cases_topic="cases", generation=1),
        state={"case_consumer": consumer},
        progress={},
        writes_allowed=True,
        last_consumed_monotonic=0.0,
    )
    for name, value in runtime.items():
        setattr(process, name, value)
    left: list[int] = []
    return Watchdog(process, leave=left.append), left


def test_a_partition_of_ours_that_stands_still_for_20_seconds_ends_the_process():
    watchdog, left = a_watchdog()

    watchdog._judge({0: 20.0}, NOW)
    assert left == []
    watchdog._judge({0: 20.1}, NOW)
    assert left == [STATUS]


def test_a_partition_of_another_process_is_not_ours_to_judge():
    watchdog, left = a_watchdog()

    watchdog._judge({5: 3_600.0}, NOW)

    assert left == []


def test_a_process_that_never_got_a_partition_leaves_after_a_minute():
    watchdog, left = a_watchdog(mine=())

    watchdog._judge({0: 60.0}, NOW)
    assert left == []
    watchdog._judge({0: 60.1}, NOW)
    assert left == [STATUS]


@pytest.mark.parametrize(
    "runtime",
    [
        {"progress": {"retrying_monotonic": NOW - 1}},
        {"progress": {"stopped": "10 cases in a row could not be handled"}},
        {"writes_allowed": False},
    ],
)
def test_a_process_that_knows_why_it_waits_stays(runtime):
    watchdog, left = a_watchdog(**runtime)

    watchdog._judge({0: 600.0}, NOW)

    assert left == []


async def test_a_part_that_fails_is_started_again_and_the_others_go_on():
    stop, runs = asyncio.Event(), []

    async def work():
        runs.append(1)
        if len(runs) == 3:
            stop.set()
        raise RuntimeError

    await asyncio.wait_for(_supervise("part", work, stop), 10)

    assert len(runs) == 3


async def test_nothing_is_sent_or_consumed_before_the_topic_was_compared():
    stop, checked, began = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work():
        began.set()

    waiting = asyncio.create_task(_after(checked, stop, work))
    await asyncio.sleep(0.2)
    assert not began.is_set()
    checked.set()
    await asyncio.wait_for(waiting, 5)
    assert began.is_set()


def test_a_failpoint_acts_at_the_hit_that_was_asked_for_and_then_never_again():
    hits = []
    failpoints.arm("relay.after_ack", 2, lambda: hits.append(1))

    for _ in range(4):
        failpoints.failpoint("relay.after_ack")

    assert hits == [1]
    failpoints.disarm()


def test_failpoints_are_read_from_the_environment_and_a_wrong_name_is_refused():
    with pytest.raises(ValueError, match="failpoint"):
        failpoints.arm_from_environment("not a place=1")
    failpoints.disarm()


def test_a_key_that_is_no_text_stays_visible():
    assert key_text(b"\xff\x00a") == "\\xff\\0a"
    assert key_text(None) == ""


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type", "ce_subject", "ce_sequence"])
def test_an_event_without_a_header_is_poison(missing):
    from services.errors import Poison

    case_id = "018f0000-0000-7000-8000-000000000000"
    headers = {
        "ce_id": case_id,
        "ce_source": "/intake",
        "ce_type": "liandiao.case.registered.v1",
        "ce_subject": case_id,
        "ce_time": "2026-01-01T00:00:00.000Z",
        "ce_recordedtime": "2026-01-01T00:00:00.000Z",
        "ce_sequence": "0000000001",
    }
    whole = [[name, value] for name, value in headers.items()]
    assert Incoming("cases", 0, 0, case_id, whole, b"{}").envelope().sequence == 1

    part = [pair for pair in whole if pair[0] != missing]
    with pytest.raises(Poison):
        Incoming("cases", 0, 0, case_id, part, b"{}").envelope()
    with pytest.raises(Poison):
        Incoming("cases", 0, 0, "another key", whole, b"{}").envelope()
