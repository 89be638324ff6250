"""Rows with one place in the log are found, wherever they are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.archive.quality.rows import Places

Place = tuple[int, int, int]
OFFSETS = st.one_of(st.integers(0, 20), st.integers(65_530, 65_540), st.integers(-3, 2**62))
places = st.tuples(st.integers(0, 1), st.integers(0, 2), OFFSETS)


@given(st.lists(st.lists(places, max_size=30), max_size=4))
def test_a_place_is_new_where_it_is_first_seen(batches: list[list[Place]]) -> None:
    seen: set[Place] = set()
    tested = Places()
    for batch in batches:
        columns = np.array(batch, np.int64).reshape(-1, 3).T
        is_new = tested.add(*columns)
        expected = []
        for place in batch:
            expected.append(place not in seen)
            seen.add(place)
        assert is_new.tolist() == expected
