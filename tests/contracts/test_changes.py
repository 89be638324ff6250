"""Changes are read back as they were written, and what is no such message is an error."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import Changes, decode_changes, encode_changes

small, any_id = st.integers(-200, 200), st.integers(-(2**63), 2**63 - 1)
offsets = st.integers(0, 300) | st.integers(0, 2**48)
deltas = st.integers(-300, 300).map(float) | st.floats(allow_nan=False)
rows = st.lists(st.tuples(offsets, small, small, st.just(1.0)), max_size=20) | st.lists(
    st.tuples(offsets, any_id, any_id, deltas), max_size=20
)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 2**48), rows)
def test_changes_are_read_back_as_they_were_written(
    source: int, incarnation: int, lineage: int, rows: list[tuple[int, int, int, float]]
) -> None:
    offset, i, j = (np.array([row[at] for row in rows], dtype=np.int64) for at in range(3))
    delta = np.array([row[3] for row in rows], dtype=np.float64)
    written = Changes(source, incarnation, lineage, offset, i, j, delta)
    read = decode_changes(encode_changes(written))
    assert (read.source, read.incarnation, read.lineage) == (source, incarnation, lineage)
    assert len(read) == len(rows)
    for name in ("offset", "i", "j", "delta"):
        assert getattr(read, name).tolist() == getattr(written, name).tolist()
        assert getattr(read, name).dtype == getattr(written, name).dtype


def test_a_row_of_small_numbers_takes_six_bytes() -> None:
    n = 1_000
    offset, item = np.arange(n) + 2**40, np.arange(n) % 50_000 + 2**10
    changes = Changes(0, 0, 0, offset, item, item, np.ones(n))
    assert len(encode_changes(changes)) < 8 * n


GOOD: dict[str, Any] = {
    "source": 0,
    "incarnation": 0,
    "lineage": 0,
    "rows": 2,
    "first_offset": 0,
    "offset": b"\0\1",
    "i": b"\0\1",
    "j": b"\0\1",
    "delta": b"\1\1",
    "is_whole": True,
}


def test_the_message_that_is_broken_below_is_one() -> None:
    assert decode_changes(msgspec.msgpack.encode(GOOD)).i.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "truncated"),
        (b"not msgpack", "Expected `object`"),
        (msgspec.msgpack.encode(GOOD | {"source": -1}), "source"),
        (msgspec.msgpack.encode(GOOD | {"i": b"\0\1\2"}), "column i has 3 bytes for 2 rows"),
        (msgspec.msgpack.encode(GOOD | {"j": b""}), "column j has 0 bytes for 2 rows"),
        (msgspec.msgpack.encode(GOOD | {"i": b"\0" * 6}), "column i has 6 bytes for 2 rows"),
        (msgspec.msgpack.encode(GOOD | {"rows": 0}), "column offset has 2 bytes for 0 rows"),
        (msgspec.msgpack.encode(GOOD | {"rows": 2**63}), "bytes for 9223372036854775808 rows"),
        (msgspec.msgpack.encode(GOOD | {"is_whole": False}), "column delta has 2 bytes"),
    ],
)
def test_what_are_no_changes_is_an_error(value: bytes | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_changes(value)
