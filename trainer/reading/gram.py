"""Reads the Gram matrix that the workers keep in Redis.

Each pair is in one row there, `contracts.partitioning`; here the matrix becomes symmetric.

They keep writing during the read. Each row is as it was when it was read, so rows may differ by the
events in between, and a row may have an item whose own row did not exist yet: that pair is left out
until the next run. While nothing is written the matrix is exact.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from contracts.keyspace import NOT_ITEMS, Keyspace
from contracts.messages import MAX_INSTRUMENT_ID, Floats, Ints
from contracts.partitioning import are_in_row
from runtime.redis.stores import Store
from trainer.counts.blocks import Growing
from trainer.counts.matrices import Gram, Indices, csr, in_order, mirrored
from trainer.reading.hashes import Hashes
from trainer.reading.numerals import integers, numbers
from trainer.reading.pipelines import Quarantine, named, shown
from trainer.reading.replies import Fields, without
from trainer.stages import Stages

_NO_PLACE: Final = -1
_IDS_AN_ITEM: Final = 16
"""Up to which size ids are looked up in a table."""
_NO_IDS: Final = np.empty(0, np.int64)
_NO_COUNTS: Final = np.empty(0)


class Rows(NamedTuple):
    """Some rows of G as they are stored, one after the other."""

    data: Floats
    """(entries,) above zero"""
    columns: Indices
    """(entries,) index in `items`, ascending within a row"""
    lengths: Ints
    """(n_rows,) entries of each row"""
    below_zero: float
    """sum of the absolute values of counts below zero"""
    corrupt: dict[int, str]
    """row -> what is wrong with it; it has no entries"""


def read_gram(store: Store, keyspace: Keyspace, partitions: int, stages: Stages) -> Gram:
    """Return G of all items, from `partitions` partitions of `cooccurrences`.

    An item whose row is corrupt is left out, with its column.

    Raises:
        CorruptValueError: more than a few rows are corrupt.
        redis.exceptions.RedisError: Redis is unreachable.
    """
    quarantine = Quarantine()
    partition_of = _partitions(store, keyspace, partitions, quarantine)
    items = np.array(sorted(partition_of), np.int64)
    quarantine.check(len(items))

    def key_of(place: int) -> str:
        item = int(items[place])
        return keyspace.cooc(partition_of[item], item)

    data, columns, lengths = Growing(np.float64), Growing(np.int32), Growing(np.int64)
    kept, below_zero = np.ones(len(items), np.bool_), 0.0
    for block in Hashes(store, len(items), key_of).read(stages, "read counts"):
        rows = parse_rows(items, block.parts, range(block.start, block.stop))
        for place, problem in sorted((block.wrong_type | rows.corrupt).items()):
            quarantine.add(key_of(place), problem)
            kept[place] = False
        quarantine.check(len(items))
        data.extend(rows.data)
        columns.extend(rows.columns)
        lengths.extend(rows.lengths)
        below_zero += rows.below_zero
    counts = csr(data.whole(), columns.whole(), lengths.whole(), len(items))
    if not kept.all():
        counts, items = csr_array(counts[kept][:, kept]), items[kept]
    return Gram(items, mirrored(counts), below_zero, quarantine.shown, quarantine.n)


def parse_rows(items: Ints, parts: Sequence[Fields], rows: range) -> Rows:
    """Return the rows of G that stand in some `cooc` hashes, without items that are not in `items`.

    Args:
        items: (n_items,) ids of all items, ascending.
        parts: fields of the hashes; where one comes twice, the later one counts.
        rows: which hashes these are.
    """
    counted = [without(fields, NOT_ITEMS) for fields in parts]
    parsed = [_parse(items, fields, items[fields.rows]) for fields in counted]
    corrupt = {row: problem for part in parsed for row, problem in part.corrupt.items()}
    row = np.concatenate([_NO_IDS, *(fields.rows - rows.start for fields in counted)])
    column = np.concatenate([_NO_IDS, *(part.columns for part in parsed)])
    count = np.concatenate([_NO_COUNTS, *(part.counts for part in parsed)])
    taken = column != _NO_PLACE
    if corrupt:
        taken &= ~np.isin(row, np.array([*corrupt]) - rows.start)
    if not taken.all():
        row, column, count = row[taken], column[taken], count[taken]
    order = in_order(row, column)
    row, column, count = row[order], column[order], count[order]
    below_zero = -float(count[count < 0].sum())
    above = count > 0
    if not above.all():
        row, column, count = row[above], column[above], count[above]
    return Rows(count, column, np.bincount(row, minlength=len(rows)), below_zero, corrupt)


class _Parsed(NamedTuple):
    columns: Indices
    counts: Floats
    corrupt: dict[int, str]


def _parse(items: Ints, fields: Fields, row_items: Ints) -> _Parsed:
    """Return where each count belongs and what it is.

    Args:
        items: (n_items,) ids of all items, ascending.
        fields: (n,) of some hashes.
        row_items: (n,) the item whose row each field stands in.
    """
    ids, are_ids = integers(fields.buffer, fields.names)
    counts = numbers(fields.buffer, fields.values)
    are_counts = np.isfinite(counts)
    are_here = are_in_row(row_items, ids)
    corrupt: dict[int, str] = {}
    for place in np.flatnonzero(~(are_ids & are_counts & are_here))[::-1].tolist():
        name, value = shown(fields.name(place)), shown(fields.value(place))
        problem = f"count {value} of item {name}" if are_ids[place] else f"item {name}"
        if are_ids[place] and not are_here[place]:
            problem += f", which belongs in row {name}"
        corrupt[int(fields.rows[place])] = problem
    return _Parsed(_places(items, ids), counts, corrupt)


def _places(items: Ints, ids: Ints) -> Indices:
    """Return the place of each id in `items`, ascending; `_NO_PLACE` of one that is not there."""
    if not len(items):
        return np.full(len(ids), _NO_PLACE, np.int32)
    past = int(items[-1]) + 1
    if past > _IDS_AN_ITEM * len(items):
        places = np.minimum(np.searchsorted(items, ids), len(items) - 1)
        return np.where(items[places] == ids, places, _NO_PLACE).astype(np.int32)
    # Ids without large gaps, as numbered items have: a table takes a tenth of the time.
    place_of = np.full(past + 1, _NO_PLACE, np.int32)
    place_of[items] = np.arange(len(items))
    return place_of[np.minimum(ids, past)]


def _partitions(
    store: Store, keyspace: Keyspace, partitions: int, quarantine: Quarantine
) -> dict[int, int]:
    """Return the partition of each item."""
    partition_of: dict[int, int] = {}
    for partition in range(partitions):
        key = keyspace.items(partition)
        with named(key):
            for member in store.sscan_iter(key, count=1_000):
                if _is_item(member):
                    partition_of[int(member)] = partition
                else:
                    quarantine.add(key, f"member {shown(member)} is no item")
    return partition_of


def _is_item(text: str) -> bool:
    return (
        text.isascii()
        and text.isdecimal()
        and len(text) <= len(str(MAX_INSTRUMENT_ID))
        and str(int(text)) == text
        and int(text) <= MAX_INSTRUMENT_ID
    )
