"""Sorted streams become one, whatever their pieces are."""

from collections.abc import Iterator
from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from archive.maintenance.compaction import in_pieces_of, merged

SCHEMA = pa.schema([("user", pa.string()), ("place", pa.int64()), ("stream", pa.int64())])
keys = st.tuples(st.sampled_from(("", "a", "b", "é", "\U0001f600")), st.integers(0, 5))


def table_of(rows: list[tuple[str, int, int]]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA
    )


@st.composite
def streams(draw: st.DrawFn, *, is_sorted: bool = True) -> list[list[pa.Table]]:
    every = []
    for number in range(draw(st.integers(0, 4))):
        rows = [(*key, number) for key in draw(st.lists(keys, max_size=15))]
        if is_sorted:
            rows.sort()
        cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=6)))
        every.append([table_of(rows[i:j]) for i, j in pairwise([0, *cuts, len(rows)])])
    return every


def rows_of(tables: list[pa.Table]) -> list[tuple[str, int, int]]:
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def merge(of: list[list[pa.Table]]) -> Iterator[pa.Table]:
    return merged([iter(pieces) for pieces in of], ("user", "place"))


@given(streams(), st.integers(1, 9))
def test_all_rows_come_in_order_and_in_pieces_of_one_size(
    of: list[list[pa.Table]], size: int
) -> None:
    pieces = list(in_pieces_of(size, merge(of)))
    found = rows_of(pieces)
    assert [row[:2] for row in found] == sorted(row[:2] for p in of for row in rows_of(p))
    assert sorted(found) == sorted(row for p in of for row in rows_of(p))
    assert [piece.num_rows for piece in pieces[:-1]] == [size] * (len(pieces) - 1)


@given(streams(is_sorted=False))
def test_unsorted_streams_lose_no_row(of: list[list[pa.Table]]) -> None:
    assert sorted(rows_of(list(merge(of)))) == sorted(row for p in of for row in rows_of(p))


def test_no_more_than_a_piece_of_each_stream_is_read_ahead() -> None:
    """So memory is bounded, however many rows have the same id."""
    ahead, most = 0, 0

    def stream(number: int) -> Iterator[pa.Table]:
        nonlocal ahead, most
        for first in range(0, 1_000, 10):
            ahead += 10
            most = max(most, ahead)
            yield table_of([("a", first + n, number) for n in range(10)])

    for piece in merged([stream(number) for number in range(4)], ("user", "place")):
        ahead -= piece.num_rows
    assert (ahead, most <= 2 * 4 * 10) == (0, True)
