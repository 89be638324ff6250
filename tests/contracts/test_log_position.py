import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.log_position import (
    MAX_INCARNATION,
    MAX_OFFSET,
    LogPosition,
    mark,
    mark_of,
    next_position,
    parse_log_position,
    positions_of,
    text_of,
)

positions = st.builds(LogPosition, st.integers(0, MAX_INCARNATION), st.integers(0, MAX_OFFSET))


@given(position=positions)
def test_a_mark_has_the_whole_position(position: LogPosition) -> None:
    assert LogPosition.of(position.mark) == position
    assert list(positions_of(np.array([position.mark]))) == [position]


@given(one=positions, other=positions)
def test_positions_and_marks_are_ordered_by_incarnation_and_then_by_offset(
    one: LogPosition, other: LogPosition
) -> None:
    is_before = (one.incarnation, one.offset) < (other.incarnation, other.offset)
    assert (one < other) == (one.mark < other.mark) == is_before


def test_a_mark_is_the_documented_revision() -> None:
    assert mark(3, 7) == 3 * 2**48 + 7


@given(position=positions)
def test_a_position_is_written_as_two_numbers_in_brackets(position: LogPosition) -> None:
    text = f"[{position.incarnation},{position.offset}]"
    assert str(position) == text_of(position.mark) == text
    assert parse_log_position(text) == parse_log_position(text.encode()) == position
    assert mark_of(text) == position.mark


@pytest.mark.parametrize("text", ["", "7", "0:7", "[7]", "[0,7,1]", "[0,7.5]", "[0,7]]"])
def test_another_text_is_no_position(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        parse_log_position(text)


def test_a_partition_continues_nowhere_before_it_was_folded() -> None:
    assert next_position(b"2", b"7") == LogPosition(2, 7)
    assert next_position("0", None) is None
