"""A tombstone takes out what its user did before it, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from archive.maintenance.user_rows import Event, RecordPlace, TombstoneRow, taken_out
from contracts.messages import MAX_AHEAD_MS
from contracts.tombstones import Tombstone

USERS = ("a", "b")
places = st.builds(RecordPlace, st.integers(0, 1), st.just(0), st.integers(0, 30))


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Event], list[TombstoneRow]]:
    """One partition, each place of it once; brokers' times rise, and clients' are any."""
    taken = sorted(draw(st.sets(places, max_size=25)))
    events, tombstones = [], []
    for n, place in enumerate(taken):
        user = draw(st.sampled_from(USERS))
        if draw(st.booleans()):
            events.append(Event(user, place, draw(st.integers(0, len(taken)))))
        else:
            bound = draw(st.none() | st.integers(0, len(taken)))
            erased_at = draw(st.none() | st.integers(0, len(taken)))
            tombstones.append(TombstoneRow(user, place, n, bound, erased_at))
    return events, tombstones


@given(logs())
def test_erasure_leaves_what_a_fold_of_the_log_would_keep(
    log: tuple[list[Event], list[TombstoneRow]],
) -> None:
    events, tombstones = log
    kept: dict[str, list[Event]] = {user: [] for user in USERS}
    left_out_before = dict.fromkeys(USERS, 0)
    records: list[Event | TombstoneRow] = [*events, *tombstones]
    for record in sorted(records, key=lambda record: record.place):
        mine, user = kept[record.user_id], record.user_id
        if isinstance(record, Event):
            if record.ts_us >= left_out_before[user]:
                mine.append(record)
            continue
        last = max((event.ts_us for event in mine), default=-1)
        # Whatever the unit of its times is.
        tombstone = Tombstone(user, record.last_event_before_us, record.erased_at_us)
        if not tombstone.applies_to(last):
            continue
        before = tombstone.leaves_out_before_ms(last)
        left_out_before[user] = max(left_out_before[user], before)
        mine.clear()
    left = {place for of_user in kept.values() for _, place, _ in of_user}
    gone = taken_out(events, tombstones)
    assert {event.place for event in events} - gone.places == left


@given(logs())
def test_a_second_round_finds_nothing_more(log: tuple[list[Event], list[TombstoneRow]]) -> None:
    events, tombstones = log
    first = taken_out(events, tombstones)
    left = [event for event in events if event.place not in first.places]
    unconditional = [t for t in tombstones if t.last_event_before_us is None]
    assert not taken_out(left, unconditional).places


def test_in_another_partition_the_time_decides_and_clocks_may_be_ahead() -> None:
    tombstone = TombstoneRow("a", RecordPlace(1, 0, 5), 100)
    at_us = 100 + MAX_AHEAD_MS * 1_000
    events = [Event("a", RecordPlace(0, 3, n), us) for n, us in enumerate((99, at_us - 1, at_us))]
    assert {place.offset for place in taken_out(events, [tombstone]).places} == {0, 1}


def test_an_event_older_than_the_erasure_is_erased_however_late_it_arrives() -> None:
    """A round before has erased what came before the tombstone: its time is all that is known."""
    late = [Event("a", RecordPlace(0, 0, n), us) for n, us in enumerate((99, 100), start=3)]
    for bound_us, offsets in ((None, {3}), (200, set())):
        tombstone = TombstoneRow("a", RecordPlace(0, 0, 2), 1_000, bound_us, erased_at_us=100)
        assert {place.offset for place in taken_out(late, [tombstone]).places} == offsets
