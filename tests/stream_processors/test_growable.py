"""Values in an array are kept, however often it moves."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.growable import Growable

RECORD = np.dtype([("id", np.int64), ("is_read", "?")])
steps = st.lists(st.integers(0, 30) | st.just("cut"), max_size=20)


@given(steps=steps, begin=st.integers(0, 5))
def test_values_stay_in_their_places(steps: list[int | str], begin: int) -> None:
    expected = [(n, True) for n in range(begin)]
    array = Growable(np.array(expected, RECORD))
    for step in steps:
        if isinstance(step, str):
            expected = expected[: len(expected) // 2]
            array.cut(len(expected))
        else:
            more = [(n, False) for n in range(step)]
            array.grow(step)[:] = more
            expected += more
        assert array.values.tolist() == expected
        assert len(array) == len(expected)


def test_growing_one_by_one_moves_the_values_a_few_times_only() -> None:
    array = Growable(np.empty(0, np.int64))
    moves, before = 0, None
    for n in range(10_000):
        array.grow(1)[0] = n
        moves += array.values.base is not before
        before = array.values.base
    assert array.values.tolist() == list(range(10_000))
    assert moves < 15
