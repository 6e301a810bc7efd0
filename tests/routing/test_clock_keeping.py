"""Clocks on a real database: fire once, late facts, pause, extension, calendars, test clock."""

import json
import time
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from routing import sweeper
from routing.directory_import import import_values
from services.events.intake import CaseLaneChanged
from services.events.mediation import (
    AgreementEffective,
    ConfirmationApplied,
    ConfirmationDecided,
    MediationEnded,
    Obligation,
    ObligationPerformed,
    ObligationsChanged,
)
from services.events.notification import OfferNumberedLate
from services.ids import new_id
from tests.routing.world import COURT, Case, World

pytestmark = pytest.mark.postgres


async def the_clock(world: World, case: Case, kind: str) -> dict:
    """The newest clock of a kind."""
    return await world.one("/v1/clocks", case, kind=kind)


def numbered_late(case: Case, turn: dict, at: datetime) -> OfferNumberedLate:
    """Notification could number the offer at ``at`` only."""
    return OfferNumberedLate(
        case_id=case.case_id,
        assignment_id=UUID(turn["assignment_id"]),
        organisation=turn["organisation"],
        offered_at=datetime.fromisoformat(turn["offered_at"]),
        numbered_at=at,
    )


async def test_silence_is_told_once_and_the_lane_says_what_it_means(world: World) -> None:
    case = await world.registered()
    await world.sweep()
    assert "deadline.missed" not in await world.names(case)

    world.pass_time(days=12)
    await world.sweep()
    await world.sweep()

    names = await world.names(case)
    assert names.count("deadline.missed") == 1
    elapsed = await world.last(case, "assignment.acceptance-window-elapsed")
    assert elapsed["on_silence"] == "reoffer"
    await world.end(case, "not_confirmed")
    assert (await world.turn(case))["organisation"] == "330681-CE-0001"


@pytest.mark.parametrize(("seconds", "fires"), [(59, False), (61, True)])
async def test_a_clock_fires_a_minute_after_it_is_due(
    world: World, seconds: int, fires: bool
) -> None:
    case = await world.registered()
    due = datetime.fromisoformat((await world.turn(case))["accept_by"])

    world.pass_time(seconds=(due - await world.now()).total_seconds() + seconds)
    await world.sweep()

    assert ("deadline.missed" in await world.names(case)) is fires


async def test_nothing_fires_before_everything_was_heard(world: World) -> None:
    case = await world.registered()
    world.pass_time(days=12)
    runtime = world.runtime

    for progress in (
        {},
        {"lag_records": 3, "lag_seen_monotonic": time.monotonic()},
        {"lag_records": 0, "lag_seen_monotonic": time.monotonic() - 60},
    ):
        runtime.progress.clear()
        runtime.progress.update(progress)
        await sweeper.sweep(runtime)
        assert "deadline.missed" not in await world.names(case)


def test_a_jump_of_the_test_clock_waits_for_what_was_under_way() -> None:
    class Fake:
        state: dict = {}
        progress = {"lag_records": 0, "lag_seen_monotonic": 100.0}

        class clock:
            offset = timedelta(0)

    assert sweeper.has_heard_everything(Fake, 100.0)
    Fake.clock.offset = timedelta(days=3)
    assert not sweeper.has_heard_everything(Fake, 100.5)
    Fake.progress["lag_seen_monotonic"] = 102.0
    assert not sweeper.has_heard_everything(Fake, 102.0)
    Fake.progress["lag_seen_monotonic"] = 104.0
    assert sweeper.has_heard_everything(Fake, 104.0)


async def test_a_parked_case_does_not_fire(world: World) -> None:
    case = await world.registered()
    await world.runtime.pool.execute(
        """INSERT INTO parked_case (consumer, key, source, code, reason)
           VALUES ('routing.cases', $1, '/mediation', 'x', 'x')""",
        str(case.case_id),
    )

    world.pass_time(days=12)
    await world.sweep()

    assert "deadline.missed" not in await world.names(case)


async def test_a_window_counts_from_the_day_the_offer_could_be_read(world: World) -> None:
    case = await world.registered()
    turn = await world.turn(case)
    read_at = datetime.fromisoformat(turn["offered_at"]) + timedelta(days=3)

    await world.hear(case, "notification", numbered_late(case, turn, read_at))

    moved = await world.last(case, "deadline.changed")
    assert moved["reason"] == "numbered-late"
    assert moved["previous_due_at"] == turn["accept_by"]
    assert moved["deadline"]["original_due_at"] == turn["accept_by"]
    due_at = datetime.fromisoformat(moved["deadline"]["due_at"])
    # Three days later may be a weekend: how many workdays lie between depends on today.
    assert due_at > datetime.fromisoformat(turn["accept_by"])
    world.pass_time(seconds=(due_at - await world.now()).total_seconds() + 59)
    await world.sweep()
    assert "deadline.missed" not in await world.names(case)
    world.pass_time(seconds=3)
    await world.sweep()
    elapsed = await world.last(case, "assignment.acceptance-window-elapsed")
    assert elapsed["accept_by"] == moved["deadline"]["due_at"]


async def test_a_late_number_moves_no_window_that_is_over_and_none_to_an_earlier_end(
    world: World,
) -> None:
    case, answered = await world.registered(), await world.registered()
    turn, offered = await world.turn(case), await world.turn(answered)
    earlier = datetime.fromisoformat(turn["offered_at"]) - timedelta(days=2)
    await world.accept(answered)

    await world.hear(case, "notification", numbered_late(case, turn, earlier))
    later = datetime.fromisoformat(offered["offered_at"]) + timedelta(days=2)
    await world.hear(answered, "notification", numbered_late(answered, offered, later))

    assert "deadline.changed" not in await world.names(case)
    assert "deadline.changed" not in await world.names(answered)


async def test_a_late_record_of_an_early_act_takes_the_alarm_back(world: World) -> None:
    case = await world.registered()
    early = await world.now()
    world.pass_time(days=12)
    await world.sweep()

    await world.accept(case, at=early)

    names = await world.names(case)
    assert "deadline.miss-withdrawn" in names
    assert (await the_clock(world, case, "term"))["state"] == "running"


async def test_warnings_come_once_each(world: World) -> None:
    case = await world.registered()
    await world.accept(case)

    for _ in range(25):
        world.pass_time(days=1)
        await world.sweep()

    steps = [
        item["step"]
        for item in await world.told(case)
        if item["name"] == "deadline.approaching" and item["deadline"]["kind"] == "term"
    ]
    assert steps == ["half", "four-fifths"]


async def test_a_clock_pauses_only_on_its_rules_ground(world: World) -> None:
    case = await world.registered()
    await world.accept(case)
    clock = await the_clock(world, case, "term")
    path = f"/v1/clocks/{clock['clock_id']}"
    assert clock["exclude"] == ["appraisal"]
    body = {"ground": "holiday"}
    refused = await world.refused("POST", f"{path}/pauses", body, version=1)
    assert refused == (422, "ground_not_in_rule")
    assert (await world.refused("POST", f"{path}/pauses", {"ground": "appraisal"}))[0] == 428

    paused = await world.ok("POST", f"{path}/pauses", {"ground": "appraisal"}, version=1)
    assert paused["state"] == "paused"
    world.pass_time(days=10)
    await world.sweep()
    resumed = await world.ok("POST", f"{path}/resumptions", version=2)

    assert resumed["state"] == "running"
    assert resumed["original_due_at"] == clock["due_at"]
    moved = date.fromisoformat(resumed["due_on"]) - date.fromisoformat(clock["due_on"])
    assert moved >= timedelta(days=8)  # ten days, less what the roll over rest days gave
    assert [n for n in await world.names(case) if n in ("deadline.paused", "deadline.resumed")]


async def test_an_extension_needs_whom_the_rule_says_and_comes_before_the_end(
    world: World,
) -> None:
    case = await world.registered()
    await world.accept(case)
    clock = await the_clock(world, case, "term")
    path = f"/v1/clocks/{clock['clock_id']}/extensions"
    body = {"n": 15, "unit": "day", "agreed_by": "mediator"}
    assert await world.refused("POST", path, body, version=1) == (
        422,
        "not-agreed-by-whom-the-rule-says",
    )

    longer = await world.ok("POST", path, {**body, "agreed_by": "both_parties"}, version=1)

    assert longer["due_at"] > clock["due_at"]
    assert longer["original_due_at"] == clock["original_due_at"]
    assert (await world.last(case, "deadline.changed"))["reason"] == "extended"
    world.pass_time(days=100)
    late = {**body, "agreed_by": "both_parties"}
    assert (await world.refused("POST", path, late, version=2))[0] == 409
    assert (await world.refused("POST", path, late, version=1)) == (412, "version-mismatch")


async def agree(world: World, case: Case) -> UUID:
    """An agreement of the accepted case takes effect."""
    turn, agreement_id, now = await world.turn(case), new_id(), await world.now()
    common = {"case_id": case.case_id, "mediation_id": new_id()}
    event = AgreementEffective(
        **common,
        agreement_id=agreement_id,
        assignment_id=turn["assignment_id"],
        organisation=turn["organisation"],
        form="written",
        effect_rule="both_parties_signed",
        sha256="0" * 64,
        confirmable=True,
        effective_at=now,
    )
    await world.hear(case, "mediation", event)
    ended = MediationEnded(
        **common,
        assignment_id=turn["assignment_id"],
        organisation=turn["organisation"],
        outcome="agreed_written",
        succeeded=True,
        ended_at=now,
    )
    await world.hear(case, "mediation", ended)
    return agreement_id


async def test_an_agreement_starts_the_confirmation_window(world: World) -> None:
    case = await world.registered()
    await world.accept(case)

    agreement_id = await agree(world, case)

    assert (await the_clock(world, case, "term"))["state"] == "stopped"
    clock = await the_clock(world, case, "confirmation")
    assert (clock["rule_id"], clock["n"], clock["unit"]) == ("DL-JC-01", 30, "day")
    for _ in range(30):  # the 29th day's reminder has its hour, which may be later than now
        world.pass_time(days=1)
        await world.sweep()
    steps = [i["step"] for i in await world.told(case) if i["name"] == "deadline.approaching"]
    assert steps[-3:] == ["day-20", "day-27", "day-29"]
    await world.hear(case, "mediation", application(case, agreement_id, await world.now()))
    assert (await the_clock(world, case, "confirmation"))["state"] == "stopped"


def application(case: Case, agreement_id: UUID, at: datetime) -> ConfirmationApplied:
    return ConfirmationApplied(
        case_id=case.case_id,
        confirmation_id=new_id(),
        agreement_id=agreement_id,
        mediation_id=new_id(),
        court="330681-CT-0001",
        applied_by=(new_id(), new_id()),
        applied_at=at,
    )


async def test_an_application_starts_the_courts_time_and_its_ruling_ends_it(world: World) -> None:
    case = await world.registered()
    await world.accept(case)
    applied = application(case, await agree(world, case), await world.now())
    await world.hear(case, "mediation", applied, again=2)
    clock = await the_clock(world, case, "ruling")
    decided = ConfirmationDecided(
        **applied.model_dump(include={"confirmation_id", "agreement_id", "mediation_id", "court"}),
        case_id=case.case_id,
        confirmed=True,
        decided_at=await world.now(),
    )

    await world.hear(case, "mediation", decided)

    assert (clock["rule_id"], clock["n"], clock["unit"]) == ("DL-JC-02", 30, "day")
    assert clock["subject_id"] == str(applied.confirmation_id)
    assert (await the_clock(world, case, "ruling"))["state"] == "stopped"


async def test_windows_that_nobody_used_and_rulings_that_did_not_come_are_told(
    world: World,
) -> None:
    case = await world.registered()
    await world.accept(case)
    agreement_id = await agree(world, case)
    for _ in range(40):
        world.pass_time(days=1)
        await world.sweep()
    assert (await the_clock(world, case, "confirmation"))["state"] == "fired"

    in_time = application(case, agreement_id, await world.now() - timedelta(days=20))
    await world.hear(case, "mediation", in_time)
    for _ in range(21):
        world.pass_time(days=1)
        await world.sweep()

    missed = [i for i in await world.told(case) if i["name"] == "deadline.missed"]
    assert [(m["deadline"]["kind"], m["on_expiry"]) for m in missed][-2:] == [
        ("confirmation", "lost"),
        ("ruling", "info"),
    ]
    assert "deadline.miss-withdrawn" in [i["name"] for i in await world.told(case)]


async def test_a_clock_shows_what_its_citation_stands_for(world: World) -> None:
    case = await world.registered()
    await world.accept(case)

    term = await the_clock(world, case, "term")

    assert term["citation"] == "L-08"
    assert [(s["code"], s["article"]) for s in term["sources"]] == [("L-08", "27"), ("L-08", "24")]
    assert "法释〔2016〕14号" in term["sources"][0]["title"]


async def test_obligations_have_their_own_clocks(world: World) -> None:
    case = await world.registered()
    await world.accept(case)
    agreement_id = await agree(world, case)
    now, first, second = await world.now(), new_id(), new_id()

    def promise(obligation_id: UUID, days: int, state: str = "open") -> Obligation:
        return Obligation(
            obligation_id=obligation_id,
            ordinal=1,
            kind="pay",
            debtor=new_id(),
            creditor=new_id(),
            due_at=now + timedelta(days=days),
            state=state,
        )

    async def change(*items: Obligation) -> None:
        event = ObligationsChanged(
            case_id=case.case_id,
            agreement_id=agreement_id,
            obligations=items,
            changed_at=await world.now(),
        )
        await world.hear(case, "mediation", event)

    await change(promise(first, 5), promise(second, 10))
    await change(promise(first, 7), promise(second, 10))
    assert (await world.last(case, "deadline.changed"))["reason"] == "agreement_restated"
    done = ObligationPerformed(
        case_id=case.case_id,
        agreement_id=agreement_id,
        obligation_id=first,
        ordinal=1,
        performed_at=await world.now(),
        in_time=True,
    )
    await world.hear(case, "mediation", done)
    world.pass_time(days=11)
    await world.sweep()

    missed = [
        i["deadline"]["subject_id"]
        for i in await world.told(case)
        if i["name"] == "deadline.missed" and i["deadline"]["kind"] == "obligation"
    ]
    assert missed == [str(second)]


async def test_a_lane_change_restates_the_term_from_its_own_start(world: World) -> None:
    case = await world.registered()
    await world.accept(case)
    before = await the_clock(world, case, "term")
    event = CaseLaneChanged(
        case_id=case.case_id,
        from_lane="court_pre",
        to_lane="court_post",
        ground="filed",
        decided_by=COURT,
        changed_at=await world.now(),
    )

    await world.hear(case, "intake", event)

    after = await the_clock(world, case, "term")
    assert (after["rule_id"], after["n"], after["unit"]) == ("DL-CT-06", 15, "day")
    assert after["started_at"] == before["started_at"]
    assert after["original_due_at"] == before["original_due_at"]
    assert (await world.last(case, "deadline.changed"))["reason"] == "lane_changed"


async def test_a_published_calendar_recomputes_projected_deadlines(own_world: World) -> None:
    world = own_world
    year = (await world.now()).year + 1
    far = datetime(year, 6, 1, tzinfo=UTC) - await world.now()
    world.pass_time(seconds=far.total_seconds())
    case = await world.registered()
    await world.accept(case)
    clock = await the_clock(world, case, "term")
    assert clock["projected"] is True
    official = {
        "year": year,
        "status": "official",
        "source": "a notice",
        "holidays": [{"day": clock["due_on"], "name": "x"}],
        "workdays": [],
    }

    async with world.runtime.unit_of_work() as uow:
        changed = await import_values(uow, {"calendars": [official]})
    await world.runtime.refresh_directory()
    moved = await sweeper.recompute_projected(world.runtime)

    assert changed["calendars"] == [str(year)]
    assert moved >= 1
    after = await the_clock(world, case, "term")
    assert after["due_on"] > clock["due_on"]
    assert after["projected"] is False
    jobs = await world.runtime.pool.fetch("SELECT kind FROM job")
    assert {job["kind"] for job in jobs} == {"recompute-projected-clocks"}


async def test_the_clock_of_a_test_installation_moves_forward_only(own_world: World) -> None:
    world = own_world
    path, more = "/v1/test-clock/advances", {"by": "operator", "scopes": "installation:write"}

    first = await world.ok("POST", path, {"seconds": 3600}, **more)
    second = await world.ok("POST", path, {"seconds": 60}, **more)

    assert (first["offset_seconds"], second["offset_seconds"]) == (3600, 3660)
    assert (await world.refused("POST", path, {"seconds": -1}, **more))[0] == 422
    await world.runtime.refresh_directory()
    assert world.runtime.clock.offset == timedelta(seconds=3660)
    row = await world.runtime.pool.fetchval(
        "SELECT data FROM outbox WHERE key = 'clock:offset' ORDER BY id DESC LIMIT 1"
    )
    assert json.loads(row)["seconds"] == 3660


async def test_a_clock_that_cannot_fire_holds_up_no_other(world: World) -> None:
    broken, fine = await world.registered(), await world.registered()
    await world.runtime.pool.execute(
        "UPDATE case_stream SET case_id = gen_random_uuid() WHERE case_id = $1", broken.case_id
    )

    world.pass_time(days=12)
    await world.sweep()

    assert "deadline.missed" not in await world.names(broken)
    assert "deadline.missed" in await world.names(fine)


async def test_ten_waiting_cases_all_fire_after_an_outage(world: World) -> None:
    cases = [await world.registered() for _ in range(10)]

    world.pass_time(days=30)
    await world.sweep()

    for case in cases:
        assert (await world.names(case)).count("assignment.acceptance-window-elapsed") == 1
    assert await sweeper.oldest_unfired(world.runtime) == 0.0
