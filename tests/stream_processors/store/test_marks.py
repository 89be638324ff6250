from hypothesis import given
from hypothesis import strategies as st

from stream_processors.store.marks import NOTHING, incarnation_and_offset, mark

incarnations = st.integers(0, 2**15 - 1)
offsets = st.integers(0, 2**48 - 1)
places = st.tuples(incarnations, offsets)


@given(place=places)
def test_a_mark_contains_incarnation_and_offset(place: tuple[int, int]) -> None:
    assert incarnation_and_offset(mark(*place)) == place


@given(one=places, other=places)
def test_marks_are_ordered_by_incarnation_and_then_by_offset(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    assert (mark(*one) < mark(*other)) == (one < other)


@given(place=places)
def test_a_mark_is_above_nothing_and_fits_64_bits(place: tuple[int, int]) -> None:
    assert NOTHING < mark(*place) < 2**63


@given(place=st.tuples(incarnations, st.integers(0, 2**47)), more=st.integers(0, 2**47 - 1))
def test_offsets_may_be_added_to_an_incarnations_first_mark(
    place: tuple[int, int], more: int
) -> None:
    incarnation, offset = place
    assert mark(incarnation, offset) + more == mark(incarnation, offset + more)
