"""A feed of which too much is bad stops its partition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.partition.bad_records import WINDOW, BadRecords, TooManyBadRecordsError

batches = st.lists(
    st.integers(1, 700).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=30
)


@given(batches)
def test_however_bad_it_is_a_share_of_1_stops_nothing(seen: list[tuple[int, int]]) -> None:
    bad_records = BadRecords(1.0)
    for records, bad in seen:
        bad_records.add(records, bad)


@given(batches, st.floats(0.01, 0.99))
def test_it_stops_where_the_share_of_the_latest_records_is_above_the_settings(
    seen: list[tuple[int, int]], share_max: float
) -> None:
    bad_records = BadRecords(share_max)
    for place, (records, bad) in enumerate(seen):
        window = latest(seen[: place + 1])
        total, its_bad = (sum(column) for column in zip(*window, strict=True))
        if total >= WINDOW and its_bad > share_max * total:
            with pytest.raises(TooManyBadRecordsError, match=f"{its_bad} of the latest {total}"):
                bad_records.add(records, bad)
            return
        bad_records.add(records, bad)


def latest(seen: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The fewest latest batches that have a window's records, all if there are not as many."""
    for n in range(1, len(seen) + 1):
        if sum(records for records, _ in seen[-n:]) >= WINDOW:
            return seen[-n:]
    return seen


def test_a_few_bad_records_at_the_start_say_nothing_yet() -> None:
    bad_records = BadRecords(0.1)
    bad_records.add(10, 10)
    bad_records.add(WINDOW - 11, 0)
    bad_records.add(5, 0)


def test_the_error_names_the_setting_and_what_to_do() -> None:
    with pytest.raises(TooManyBadRecordsError, match=r"DEAD_LETTER_RATIO_MAX=0\.5 .* dead letters"):
        BadRecords(0.5).add(WINDOW, WINDOW)
