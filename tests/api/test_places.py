"""Places of items."""

from hypothesis import given
from hypothesis import strategies as st

from api.recommendations.places import _TABLE_MOST, Places
from contracts.messages import MAX_INSTRUMENT_ID

items = st.one_of(
    st.integers(0, 2_000),
    st.integers(_TABLE_MOST - 2, _TABLE_MOST + 2),
    st.integers(0, MAX_INSTRUMENT_ID),
)


@given(st.lists(st.lists(items, max_size=8), max_size=12))
def test_each_item_has_one_place_whatever_its_size_and_the_next_one_when_it_is_new(
    asked: list[list[int]],
) -> None:
    places, expected = Places(), dict[int, int]()
    for some in asked:
        for item in some:
            expected.setdefault(item, len(expected))
        assert places.of_all(some).tolist() == [expected[item] for item in some]
    assert places.item_at.tolist() == [*expected]
    assert places.of_known([*expected, -1]) == [*expected.values()]
