"""A feed with too many bad records stops its partition."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.partition.dead_letters import WINDOW, BadRecords, TooManyBadRecordsError

Piece = tuple[int, list[int]]
"""Records, and the indices of bad ones."""
pieces = st.lists(
    st.integers(1, 2_500).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)).map(sorted))
    ),
    max_size=8,
)


@given(pieces, st.floats(0.001, 0.5))
def test_it_stops_at_the_first_record_where_the_share_of_the_latest_1000_is_above_the_settings(
    seen: list[Piece], share_max: float
) -> None:
    bad_records = BadRecords(share_max)
    starts = accumulate((records for records, _ in seen), initial=0)
    numbers: list[int] = []
    for start, (records, bad) in zip(starts, seen, strict=False):
        for nth, place in enumerate(bad):
            numbers.append(start + place)
            among = sum(number > start + place - WINDOW for number in numbers)
            if among > share_max * WINDOW:
                with pytest.raises(TooManyBadRecordsError, match=f"{among} of the latest") as found:
                    bad_records.add(records, bad)
                assert found.value.before == nth
                return
        bad_records.add(records, bad)


def test_the_error_names_the_setting_and_what_to_do() -> None:
    with pytest.raises(TooManyBadRecordsError, match=r"DEAD_LETTER_RATIO_MAX=0\.5 .* dead letters"):
        BadRecords(0.5).add(WINDOW, list(range(WINDOW)))
