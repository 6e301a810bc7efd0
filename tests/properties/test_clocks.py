"""Clocks against plain sense: a pause never brings an end nearer, an extension never takes away."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from routing.clocks import Extension, Measure, due_of, warnings_of
from services.calendar import Interval, shipped
from services.ids import new_id

CALENDARS = shipped()
STARTS = st.integers(0, 540 * 1440).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
LENGTHS = st.tuples(st.integers(1, 90), st.sampled_from(["day", "workday", "hour"])) | st.tuples(
    st.integers(1, 6), st.just("month")
)


@st.composite
def pauses(draw: st.DrawFn, start: datetime) -> list[Interval]:
    """Stretches after the start, in any order, overlapping or not."""
    made = []
    for _ in range(draw(st.integers(0, 4))):
        begin = start + timedelta(minutes=draw(st.integers(0, 40 * 1440)))
        made.append((begin, begin + timedelta(minutes=draw(st.integers(1, 20 * 1440)))))
    return made


@given(start=STARTS, length=LENGTHS, data=st.data())
def test_a_pause_never_brings_the_end_nearer_whatever_the_order(
    start: datetime, length: tuple[int, str], data: st.DataObject
) -> None:
    measure = Measure(start, *length)
    stretches = data.draw(pauses(start))

    plain = due_of(measure, CALENDARS)
    paused = due_of(measure, CALENDARS, stretches)

    assert plain.due_at > start
    assert paused.due_at >= plain.due_at
    assert paused == due_of(measure, CALENDARS, list(reversed(stretches)))
    assert paused == due_of(measure, CALENDARS, stretches + stretches)
    fewer = due_of(measure, CALENDARS, stretches[1:])
    assert fewer.due_at <= paused.due_at


@given(
    start=STARTS,
    length=LENGTHS,
    extensions=st.lists(st.integers(1, 30), max_size=3),
)
def test_an_extension_never_takes_time_away(
    start: datetime, length: tuple[int, str], extensions: list[int]
) -> None:
    added = tuple(Extension(n, "day") for n in extensions)
    before = due_of(Measure(start, *length), CALENDARS)
    for count in range(1, len(added) + 1):
        after = due_of(Measure(start, *length, extensions=added[:count]), CALENDARS)
        # Not always later: it counts from the last day itself, before that rolled over a rest day.
        assert after.due_at >= before.due_at
        assert after.last_on > before.last_on
        before = after


@given(start=STARTS, length=LENGTHS, kind=st.sampled_from(["acceptance", "term", "obligation"]))
def test_warnings_come_in_order_between_the_start_and_the_end(
    start: datetime, length: tuple[int, str], kind: str
) -> None:
    due = due_of(Measure(start, *length), CALENDARS)

    steps = warnings_of(kind, new_id(), start, due, length[1])

    moments = [at for _, at in steps]
    assert moments == sorted(moments)
    assert all(start < at < due.due_at for at in moments)
    assert len({step for step, _ in steps}) == len(steps)
