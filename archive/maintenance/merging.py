"""Merges sorted streams of rows into one, with few rows in memory at a time. Pure."""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def merged(streams: Sequence[Iterator[pa.Table]], sorted_by: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows of all streams, in order, in pieces of any size.

    Args:
        streams: each in order; if one is not, all of its rows are yielded, but out of place.
        sorted_by: columns without nulls.
    """
    order = [(name, "ascending") for name in sorted_by]
    heads = [_Head(stream, sorted_by) for stream in streams]
    while heads := [head for head in heads if head.fill()]:
        bound = min(head.last for head in heads)
        ready = pa.concat_tables([head.take(bound) for head in heads])
        yield ready.take(pc.sort_indices(ready, sort_keys=order))


def in_pieces_of(rows: int, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of tables, so many at a time, and the rest at the end."""
    kept: list[pa.Table] = []
    n = 0
    for table in tables:
        kept.append(table)
        n += table.num_rows
        while n >= rows:
            whole = pa.concat_tables(kept)
            yield whole.slice(0, rows)
            kept, n = [whole.slice(rows)], n - rows
    if n:
        yield pa.concat_tables(kept)


class _Head:
    """The rows of a stream that come next."""

    def __init__(self, stream: Iterator[pa.Table], sorted_by: Sequence[str]) -> None:
        self._stream, self._sorted_by = stream, sorted_by
        self._rows: Any = ()
        """a table, once there is one"""

    def fill(self) -> bool:
        """Have some rows; return False if the stream is at its end."""
        while not len(self._rows):
            found = next(self._stream, None)
            if found is None:
                return False
            self._rows = found
        return True

    @property
    def last(self) -> tuple[Any, ...]:
        """The key of the last one."""
        return self._key(len(self._rows) - 1)

    def take(self, bound: tuple[Any, ...]) -> pa.Table:
        """Return those up to a key, which is included."""
        n = rows = len(self._rows)
        if self.last > bound:
            n = bisect.bisect_right(range(rows), bound, key=self._key)
        taken = self._rows.slice(0, n)
        self._rows = self._rows.slice(n)
        return taken

    def _key(self, row: int) -> tuple[Any, ...]:
        return tuple(self._rows[name][row].as_py() for name in self._sorted_by)
