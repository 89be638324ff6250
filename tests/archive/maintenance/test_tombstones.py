"""A tombstone takes out what its user did before it, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from archive.maintenance.tombstones import Event, RecordPlace, TombstoneRow, taken_out

USERS = ("a", "b")
places = st.builds(RecordPlace, st.integers(0, 1), st.just(0), st.integers(0, 30))


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Event], list[TombstoneRow]]:
    """One partition, each place of it once, with times that rise with the places."""
    taken = sorted(draw(st.sets(places, max_size=25)))
    events, tombstones = [], []
    for n, place in enumerate(taken):
        user = draw(st.sampled_from(USERS))
        if draw(st.booleans()):
            events.append(Event(user, place, n))
        else:
            bound = draw(st.none() | st.integers(0, len(taken)))
            tombstones.append(TombstoneRow(user, place, n, bound))
    return events, tombstones


@given(logs())
def test_what_is_left_is_what_a_fold_of_the_log_would_keep(
    log: tuple[list[Event], list[TombstoneRow]],
) -> None:
    events, tombstones = log
    kept: dict[str, list[Event]] = {user: [] for user in USERS}
    for record in sorted([*events, *tombstones], key=lambda record: record.place):
        mine = kept[record.user_id]
        if isinstance(record, Event):
            mine.append(record)
            continue
        bound = record.last_event_before_us
        if bound is None or max((event.ts_us for event in mine), default=-1) < bound:
            mine.clear()
    left = {place for of_user in kept.values() for _, place, _ in of_user}
    gone = taken_out(events, tombstones)
    assert {event.place for event in events} - gone.places == left


@given(logs())
def test_a_second_round_finds_nothing_more(
    log: tuple[list[Event], list[TombstoneRow]],
) -> None:
    events, tombstones = log
    first = taken_out(events, tombstones)
    left = [event for event in events if event.place not in first.places]
    unconditional = [t for t in tombstones if t.last_event_before_us is None]
    assert not taken_out(left, unconditional).places


def test_where_the_partition_is_another_one_the_time_tells() -> None:
    tombstone = TombstoneRow("a", RecordPlace(1, 0, 5), 100, None)
    events = [Event("a", RecordPlace(0, 3, 900), 99), Event("a", RecordPlace(0, 3, 1), 100)]
    assert taken_out(events, [tombstone]).places == {RecordPlace(0, 3, 900)}
