"""What is logged of an exploration says how probable each item was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.exploration import (
    DRAW_CHARACTERS,
    EXPLORATION_MOST,
    PARTS,
    Draw,
    decode_draw,
    encode_draw,
    parts_of,
)
from contracts.feedback import MAX_SHOWN

sizes = st.integers(1, MAX_SHOWN)


@given(
    n=sizes, parts=st.integers(0, PARTS // 2), pool=st.integers(0, 4 * MAX_SHOWN), data=st.data()
)
def test_a_draw_is_read_back_as_it_was_logged(
    n: int, parts: int, pool: int, data: st.DataObject
) -> None:
    slots = st.frozensets(st.integers(0, n - 1))
    draw = Draw(parts, pool, data.draw(slots))
    text = encode_draw(draw, n)
    assert decode_draw(text) == draw
    assert len(text) <= DRAW_CHARACTERS


@given(n=sizes, share=st.floats(0, EXPLORATION_MOST), pool=st.integers(0, 4 * MAX_SHOWN))
def test_of_all_that_a_slot_may_show_the_probabilities_sum_up_to_one(
    n: int, share: float, pool: int
) -> None:
    parts = parts_of(share)
    own, other = Draw(parts, pool), Draw(parts, pool, frozenset(range(n)))
    for slot in range(n):
        of_pool = pool * other.propensity(slot, n) if slot >= own.first(n) else 0
        assert own.propensity(slot, n) + of_pool == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "AA", "AgAAAAAA", "Ac0M"])
def test_a_draw_of_another_version_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="not a draw of version 1"):
        decode_draw(text)
