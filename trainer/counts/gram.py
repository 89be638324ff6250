"""Reads the Gram matrix that the workers keep in Redis.

They go on writing meanwhile. Each row is as it was when it was read, so G_ij and G_ji may differ by
what came in between, and a row may have an item whose own row was not there yet: that pair is left
out, and is in the next run. While nothing is written the matrix is exact.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from contracts.keyspace import NOT_ITEMS, Keyspace
from contracts.messages import Floats, Ints
from runtime.stores import Store
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Gram, Indices, matrix
from trainer.counts.pipelines import CorruptValueError, ask_each
from trainer.stages import Stages

FIELDS_PER_BLOCK: Final = 200_000
"""About 40 MB of Python objects while a block is parsed."""
LONG_ROW: Final = 5_000
"""Fields from which a row is read bit by bit: HGETALL of more would block Redis for over 1 ms."""


class Rows(NamedTuple):
    """Some rows of G, one after the other."""

    data: Floats
    """(entries,)"""
    columns: Indices
    """(entries,) index in `items`"""
    lengths: Ints
    """(n_rows,) entries of each row"""


_NO_PLACE: Final = -1
_IDS_AN_ITEM: Final = 16
"""Up to which places of ids are looked up in a table."""
_NO_ROWS: Final = Rows(np.empty(0), np.empty(0, np.int32), np.empty(0, np.int64))
_NO_ENTRIES: Final = (np.empty(0, np.int64), np.empty(0))


def read_gram(store: Store, keyspace: Keyspace, partitions: int, stages: Stages) -> Gram:
    """Return G of all items, from `partitions` partitions of `cooccurrences`.

    Raises:
        CorruptValueError: a row has something else than numbers.
    """
    keys_of = _item_keys(store, keyspace, partitions)
    items = np.array(sorted(keys_of), np.int64)
    keys = [keys_of[item] for item in items.tolist()]
    sizes = _sizes(store, keys)
    rows = [
        parse_rows(items, _hashes(store, keys[start:stop], sizes[start:stop]))
        for start, stop in stages.each(blocks(sizes, FIELDS_PER_BLOCK), "read counts")
    ]
    data, columns, lengths = (np.concatenate(part) for part in zip(_NO_ROWS, *rows, strict=True))
    below_zero = abs(float(data[data < 0].sum()))
    return Gram(items, matrix(data, columns, lengths, len(items)), below_zero)


def parse_rows(items: Ints, hashes: Mapping[str, Mapping[str, str]]) -> Rows:
    """Return the rows of G that stand in some `cooc` hashes, without items that are not in `items`.

    Args:
        items: (n_items,) ids of all items, ascending.
        hashes: key -> hash, without what is no item.

    Raises:
        CorruptValueError: a hash has something else than numbers.
    """
    parsed = [_parse_row(key, fields) for key, fields in hashes.items()]
    ids, values = (np.concatenate(part) for part in zip(_NO_ENTRIES, *parsed, strict=True))
    columns = _places(items, ids)
    known = columns != _NO_PLACE
    ends = np.cumsum([0, *(len(row_ids) for row_ids, _ in parsed)])
    lengths = np.diff(np.concatenate([[0], np.cumsum(known)])[ends])
    return Rows(values[known], columns[known], lengths)


def _parse_row(key: str, row: Mapping[str, str]) -> tuple[Ints, Floats]:
    """Return the item ids and the counts of a `cooc` hash."""
    try:
        ids = np.fromiter(map(int, row), np.int64, len(row))
        counts = np.fromiter(map(float, row.values()), np.float64, len(row))
    except (ValueError, OverflowError) as error:
        raise CorruptValueError(key, str(error)) from error
    if not np.isfinite(counts).all():
        raise CorruptValueError(key, f"count {counts[~np.isfinite(counts)][0]}")
    return ids, counts


def _places(items: Ints, ids: Ints) -> Indices:
    """Return the place of each id in `items`, ascending; `_NO_PLACE` of one that is not there."""
    past = int(items[-1]) + 1
    if past > _IDS_AN_ITEM * len(items):
        places = np.minimum(np.searchsorted(items, ids), len(items) - 1)
        return np.where(items[places] == ids, places, _NO_PLACE).astype(np.int32)
    # Ids without great gaps, as numbered items have them: a table is a tenth of the time.
    place_of = np.full(past + 1, _NO_PLACE, np.int32)
    place_of[items] = np.arange(len(items))
    return place_of[np.minimum(ids.view(np.uint64), past)]  # one below zero is a great one so


def _item_keys(store: Store, keyspace: Keyspace, partitions: int) -> dict[int, str]:
    """Return the key of each item's row."""
    return {
        int(item): keyspace.cooc(partition, int(item))
        for partition in range(partitions)
        for item in store.sscan_iter(keyspace.items(partition), count=1_000)
    }


def _sizes(store: Store, keys: Sequence[str]) -> Ints:
    """Return (n_keys,) the number of fields of each hash."""
    return np.array(ask_each(store, keys, lambda pipeline, key: pipeline.hlen(key)), np.int64)


def _hashes(store: Store, keys: Sequence[str], sizes: Ints) -> dict[str, dict[str, str]]:
    """Return the hashes, without what is no item, in the order of the keys."""
    long = {key for key, size in zip(keys, sizes.tolist(), strict=True) if size > LONG_ROW}
    short = [key for key in keys if key not in long]
    replies = ask_each(store, short, lambda pipeline, key: pipeline.hgetall(key))
    hashes: dict[str, dict[str, str]] = dict(zip(short, replies, strict=True))
    for key in long:
        # A field that is changed meanwhile may come twice: the later one counts.
        hashes[key] = dict(store.hscan_iter(key, count=1_000))
    for fields in hashes.values():
        for field in NOT_ITEMS:
            fields.pop(field, None)
    return {key: hashes[key] for key in keys}
