"""Positions are what their snapshot says; rows with one place in the log are found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.archive import QUOTES_TABLE
from runtime.archive.positions import (
    POSITIONS_PROPERTY,
    ROWS_PROPERTY,
    Moved,
    MovedOnError,
    Position,
    PositionsError,
    decode_positions,
    encode_positions,
    positions_in,
    stepped,
)
from runtime.archive.quality.rows import Places

offsets = st.integers(0, 2**62)
positions = st.builds(Position, st.text(max_size=22), st.integers(0, 2**31 - 1), offsets)
vectors = st.dictionaries(st.integers(0, 300), positions, max_size=8)


@given(vectors)
def test_positions_come_back_from_a_summary_as_they_were(vector: dict[int, Position]) -> None:
    assert decode_positions(encode_positions(vector)) == vector


@given(vectors, st.dictionaries(st.integers(0, 300), positions, max_size=4))
def test_a_step_moves_its_partitions_and_no_other(
    vector: dict[int, Position], after: dict[int, Position]
) -> None:
    moved = {p: Moved(vector.get(p), 0, position) for p, position in after.items()}
    assert stepped(vector, moved) == {**vector, **after}


@given(vectors, st.integers(0, 300), positions, positions)
def test_a_repeated_step_is_refused(
    vector: dict[int, Position], partition: int, before: Position, after: Position
) -> None:
    vector[partition] = before
    moved = {partition: Moved(before, before.next, after)}
    then = stepped(vector, moved)
    if before != after:
        with pytest.raises(MovedOnError, match=f"partition {partition}: begins from"):
            stepped(then, moved)


def test_a_foreign_snapshot_keeps_the_positions_of_the_one_before() -> None:
    ours = {POSITIONS_PROPERTY: encode_positions({0: Position("a", 0, 7)})}
    later = {POSITIONS_PROPERTY: encode_positions({0: Position("a", 0, 9)}), ROWS_PROPERTY: "5"}
    assert positions_in(QUOTES_TABLE, [{}, ours], later, 5) == {0: Position("a", 0, 7)}
    assert positions_in(QUOTES_TABLE, [{}], later, 5) == {0: Position("a", 0, 9)}
    assert positions_in(QUOTES_TABLE, [], later, 5) == {}


@pytest.mark.parametrize(
    ("summary", "properties", "rows", "says"),
    [
        ({}, {}, 0, "roll the table back"),
        ({}, {POSITIONS_PROPERTY: "{}", ROWS_PROPERTY: "2"}, 3, "none for 3 rows"),
        ({}, {POSITIONS_PROPERTY: "{}", ROWS_PROPERTY: "None"}, None, "roll the table back"),
        ({POSITIONS_PROPERTY: "nonsense"}, {}, 0, "nonsense"),
        ({POSITIONS_PROPERTY: '{"0":{"log":0}}'}, {}, 0, "topic_id"),
    ],
)
def test_a_table_without_positions_is_not_started_over(
    summary: dict[str, str], properties: dict[str, str], rows: int | None, says: str
) -> None:
    with pytest.raises(PositionsError, match=says):
        positions_in(QUOTES_TABLE, [summary], properties, rows)


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
