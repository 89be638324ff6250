"""Rows of the Gram matrix as stored in Redis: a hash per item, with the offset. Pure."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from contracts.columns import integers
from contracts.keyspace import HOLDERS_FIELD, OFFSET_FIELD, Keyspace
from contracts.log_position import text_of
from contracts.messages import Floats, Ints
from stream_processors.cooccurrences.table import UNKNOWN, CountTable, i_of, j_of, rows_in
from stream_processors.sorted_runs import starts_of_runs
from stream_processors.store.chunks import ON_INDEX, Commands, Group, command

# Counts formatted at once: they wait in memory until they are written.
_COUNTS_AT_ONCE: Final = 20_000

# Several times as fast as `str`.
_SMALL: Final = np.array(list(map(str, range(10_000))), object)


class StoredRows:
    """Encodes one partition's rows for Redis."""

    def __init__(self, keyspace: Keyspace, partition: int, table: CountTable) -> None:
        """Take the location of the rows, and the table that numbers their items."""
        self._keyspace = keyspace
        self._partition = partition
        self._table = table

    def key(self, item: int) -> str:
        """Return the key of an item's row."""
        return self._keyspace.cooc(self._partition, item)

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
        offset = [OFFSET_FIELD, text_of(at)]
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

    def _rows(self, keys: Ints, counts: Floats, offset: list[str]) -> Iterator[Group]:
        """Yield the write groups of some rows."""
        numbers = rows_in(keys)
        is_empty = np.isin(numbers, self.emptied(keys, counts))
        is_new = self._table.list_items(numbers, ~is_empty)
        kept, gone = np.flatnonzero(counts), np.flatnonzero(counts == 0)
        fields: list[str] = [""] * (2 * len(kept))
        fields[::2] = self._table.texts(j_of(keys[kept]))
        fields[1::2] = texts_of(counts[kept])
        gone_fields = self._table.texts(j_of(keys[gone]))
        holders, is_recounted = self._table.take_holders(numbers)
        starts = np.append(starts_of_runs(i_of(keys)), len(keys))
        kept_starts = (2 * np.searchsorted(kept, starts)).tolist()
        gone_starts = np.searchsorted(gone, starts).tolist()
        items = self._table.items(numbers).tolist()
        for row, (item, its_empty, its_new) in enumerate(
            zip(items, is_empty.tolist(), is_new.tolist(), strict=True)
        ):
            commands: Commands = []
            if its_empty:
                commands += [*command("SREM", [str(item)], ON_INDEX), *command("UNLINK", [])]
            elif its_new:
                commands += command("SADD", [str(item)], ON_INDEX)
            its_gone = gone_fields[gone_starts[row] : gone_starts[row + 1]]
            its_fields = fields[kept_starts[row] : kept_starts[row + 1]]
            if is_recounted[row] or its_empty:
                if holders[row] == UNKNOWN:
                    its_gone.append(HOLDERS_FIELD)
                else:
                    its_fields += (HOLDERS_FIELD, str(holders[row]))
            if its_gone and not its_empty:
                commands += command("HDEL", its_gone)
            yield Group(self.key(item), commands + command("HSET", offset + its_fields))

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
    if whole is None:
        return list(map(str, counts.tolist()))
    if whole.max(initial=0) < len(_SMALL) and whole.min(initial=0) >= 0:
        texts: list[str] = _SMALL[whole].tolist()
        return texts
    return list(map(str, whole.tolist()))
