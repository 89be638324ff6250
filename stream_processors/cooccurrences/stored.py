"""Rows of the Gram matrix as stored in Redis: a hash per item, with the offset. Pure."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np

from contracts.columns import integers
from contracts.keyspace import HOLDERS_FIELD, OFFSET_FIELD, Keyspace
from contracts.log_position import text_of
from contracts.messages import Floats, Ints
from stream_processors.cooccurrences.table import UNKNOWN, CountTable, i_of, j_of
from stream_processors.ids import starts_of_runs
from stream_processors.store.chunks import (
    NUMBER_LIMIT,
    ON_INDEX,
    Commands,
    Group,
    command,
    packed,
    packed_pairs,
    packed_texts,
)

# Counts encoded at once: they wait in memory until they are written.
_COUNTS_AT_ONCE: Final = 20_000

_encode: Final = msgspec.json.Encoder().encode
_LEAST_DECIMAL: Final = 1e-4


class StoredRows:
    """Encodes one partition's rows for Redis."""

    def __init__(self, keyspace: Keyspace, partition: int, table: CountTable) -> None:
        """Take the location of the rows, and the table that numbers their items."""
        self._prefix = keyspace.cooc_prefix(partition)
        self._table = table

    def key(self, item: int) -> str:
        """Return the key of an item's row."""
        return f"{self._prefix}{item}"

    def ask_for_rows(self, numbers: Ints) -> Iterator[Group]:
        """Yield a query for offset and holders in each item's row."""
        for item in self._table.items(numbers).tolist():
            yield Group(self.key(item), command("HMGET", [OFFSET_FIELD, HOLDERS_FIELD]))

    def ask_for_counts(self, keys: Ints) -> Iterator[Group]:
        """Yield a query for the counts of each row."""
        fields = self._table.texts(j_of(keys))
        for item, start, end in self._runs(keys):
            yield Group(self.key(item), command("HMGET", fields[start:end]))

    def groups(self, keys: Ints, counts: Floats, at: int) -> Iterator[Group]:
        """Yield the writes of rows and index.

        Args:
            keys: of counts that changed, ascending.
            counts: their current values.
            at: mark of the last message.
        """
        offset = packed([OFFSET_FIELD, text_of(at)])
        starts = np.append(starts_of_runs(i_of(keys)), len(keys))
        start = 0
        while start < len(keys):
            # Up to the end of the row that reaches the limit.
            end = int(starts[np.searchsorted(starts[:-1], start + _COUNTS_AT_ONCE)])
            yield from self._rows(keys[start:end], counts[start:end], offset)
            start = end

    def emptied(self, keys: Ints, counts: Floats) -> Ints:
        """Return the numbers of the items that no user has any more, ascending."""
        numbers = i_of(keys)
        emptied: Ints = numbers[(numbers == j_of(keys)) & (counts == 0)]
        return emptied

    def delete_bare(self, items: Ints) -> Iterator[Group]:
        """Yield the deletion of rows that have only an offset, below the position."""
        for item in items.tolist():
            yield Group(self.key(item), command("UNLINK", []))

    def _rows(self, keys: Ints, counts: Floats, offset: bytes) -> Iterator[Group]:
        """Yield the write groups of some rows."""
        starts = starts_of_runs(i_of(keys))
        numbers = i_of(keys[starts])
        is_empty = np.isin(numbers, self.emptied(keys, counts))
        is_new = self._table.list_items(numbers, ~is_empty)
        holders, is_recounted = self._table.take_holders(numbers)
        kept, gone = np.flatnonzero(counts), np.flatnonzero(counts == 0)
        kept_starts = np.searchsorted(kept, starts)
        n = np.diff(kept_starts, append=len(kept)).tolist()
        fields = self._fields(j_of(keys[kept]), counts[kept], kept_starts)
        gone_fields = self._table.texts(j_of(keys[gone]))
        gone_starts = np.searchsorted(gone, np.append(starts, len(keys))).tolist()
        for row, (item, its_fields, its_empty, its_new, (first, end)) in enumerate(
            zip(
                *(self._table.texts(numbers), fields, is_empty.tolist(), is_new.tolist()),
                pairwise(gone_starts),
                strict=True,
            )
        ):
            commands: Commands = []
            if its_empty:
                commands += [*command("SREM", [item], ON_INDEX), *command("UNLINK", [])]
            elif its_new:
                commands += command("SADD", [item], ON_INDEX)
            its_gone = gone_fields[first:end]
            packed_fields, m = offset + its_fields, 1 + n[row]
            if is_recounted[row] or its_empty:
                if holders[row] == UNKNOWN:
                    its_gone.append(HOLDERS_FIELD)
                else:
                    packed_fields += packed([HOLDERS_FIELD, str(holders[row])])
                    m += 1
            if its_gone and not its_empty:
                commands += command("HDEL", its_gone)
            yield Group(f"{self._prefix}{item}", commands, (), packed_fields, 2 * m)

    def _fields(self, numbers: Ints, counts: Floats, starts: Ints) -> list[bytes]:
        """Return the packed counts of each row.

        Args:
            numbers: (n,) of the items j.
            counts: (n,)
            starts: (m,) where those of each row begin.
        """
        items, whole = self._table.items(numbers), integers(counts)
        if whole is not None and _are_small(items) and _are_small(whole):
            return packed_pairs(items, whole, starts)
        fields: list[str] = [""] * (2 * len(items))
        fields[::2] = self._table.texts(numbers)
        fields[1::2] = texts_of(counts)
        return packed_texts(fields, 2 * starts)

    def _runs(self, keys: Ints) -> Iterator[tuple[int, int, int]]:
        """Yield each row's item, and where its keys begin and end."""
        first = starts_of_runs(i_of(keys))
        items = self._table.items(i_of(keys[first]))
        ends = np.append(first, len(keys))[1:]
        yield from zip(items.tolist(), first.tolist(), ends.tolist(), strict=True)


def texts_of(counts: Floats) -> list[str]:
    """Format whole numbers as integers, 3 and not 3.0.

    If some are not whole, or too large for exact floats, all are formatted as floats.

    >>> texts_of(np.array([3.0, 70_000.0])), texts_of(np.array([3.0, 2.0**70]))
    (['3', '70000'], ['3.0', '1.1805916207174113e+21'])
    """
    whole = integers(counts)
    return _texts_of_floats(counts) if whole is None else list(map(str, whole.tolist()))


def _texts_of_floats(counts: Floats) -> list[str]:
    """Format floats as `str` does, in a quarter of the time: as JSON, at once.

    Its digits are the same, but 1e+16 is 1e16, and numbers below 0.0001 have no exponent.
    """
    texts = _encode(counts.tolist())[1:-1].replace(b"e", b"e+").decode().split(",")
    size = np.abs(counts)
    is_alike = (size == 0) | (size >= _LEAST_DECIMAL) & np.isfinite(counts)
    for place in np.flatnonzero(~is_alike).tolist():
        texts[place] = str(float(counts[place]))
    return texts


def _are_small(numbers: Ints) -> bool:
    return bool(numbers.min(initial=0) >= 0 and numbers.max(initial=0) < NUMBER_LIMIT)
