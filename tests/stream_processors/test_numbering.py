"""Each id has one number, whatever its size."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_processors.numbering import NONE, Numbering

ids = st.lists(
    st.integers(-3, 9)
    | st.integers((1 << 20) - 2, (1 << 20) + 2)
    | st.integers(-(2**63), 2**63 - 1),
    max_size=20,
)


@given(steps=st.lists(ids, max_size=5), asked=ids)
def test_each_id_that_was_added_has_a_number_of_its_own_and_no_other_has_one(
    steps: list[list[int]], asked: list[int]
) -> None:
    numbering = Numbering()
    added: list[int] = []
    for step in steps:
        new = [i for i in dict.fromkeys(step) if i not in added]
        numbering.add(np.array(new, np.int64))
        added += new
    assert len(numbering) == len(added)
    assert numbering.ids.tolist() == added
    both = [*asked, *added]
    expected = [added.index(i) if i in added else NONE for i in both]
    assert numbering.of(np.array(both, np.int64)).tolist() == expected
    assert numbering.of(np.array(added, np.int64)).tolist() == list(range(len(added)))
