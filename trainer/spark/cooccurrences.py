"""Counts co-occurrences of items on Spark's workers, by blocks of users, and makes G of them.

G is a sum over users, so it is the sum of the G of blocks of users. A block hands each of its pairs
on once, however many of its users have it; the shuffle adds up what the blocks say of a pair.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array, triu

from contracts.log_position import LogPosition
from contracts.messages import Floats, Ints
from trainer.counts.blocks import blocks
from trainer.counts.matrices import Gram, Indices, Matrix, UserItems, cells, csr, mirrored, ranges
from trainer.spark.histories import numbers

PAIRS_PER_BLOCK: Final = 4_000_000
"""Products of a block's users, each pair's once: 16 bytes each, twice, while they are added up."""
CELLS_AT_ONCE: Final = 100_000
"""How many go to Spark in a batch."""
SCHEMA: Final = "cell long, count double"
"""row x n_items + column, of the upper triangle and the diagonal; and G there."""


def count_blocks(histories: Iterator[pa.RecordBatch], items: Any) -> Iterator[pa.RecordBatch]:
    """Yield the counts of blocks of users, in batches of `SCHEMA`.

    Args:
        histories: batches of scale, items and affinities as in `trainer.spark.histories`.
        items: the broadcast ids of all items, (n_items,), ascending.
    """
    ids: Ints = items.value
    for batch in histories:
        held, lengths = numbers(batch["items"], np.int64)
        affinities, _ = numbers(batch["affinities"], np.float64)
        values = affinities * np.repeat(batch["scale"].to_numpy(), lengths)
        columns = np.searchsorted(ids, held)
        bounds = np.append(0, np.cumsum(lengths))
        # By pairs, not by users: one with 500 items has as many as a hundred with 50.
        for start, stop in blocks(lengths * (lengths + 1) // 2, PAIRS_PER_BLOCK):
            its = slice(bounds[start], bounds[stop])
            yield from _as_batches(
                *counts_of(columns[its], values[its], lengths[start:stop], len(ids))
            )


def items_of(histories: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the ids of the items in some histories, each once; a column `item`."""
    found: Ints = np.empty(0, np.int64)
    for batch in histories:
        found = np.union1d(found, numbers(batch["items"], np.int64)[0])
    yield pa.RecordBatch.from_pydict({"item": pa.array(found)})


def counts_of(columns: Indices, values: Floats, lengths: Ints, n_items: int) -> tuple[Ints, Floats]:
    """Return the cells of the upper triangle of G = R^T R, the diagonal among them, and G there.

    Args:
        columns: (entries,) of R, ascending within a row.
        values: (entries,) r_ui.
        lengths: (n_users,) entries of each row.
        n_items: how many columns there are.

    >>> cell, count = counts_of(np.array([0, 2, 2]), np.array([1., 3, 2]), np.array([2, 1]), 4)
    >>> sorted(zip(cell.tolist(), count.tolist()))
    [(0, 1.0), (2, 3.0), (10, 13.0)]
    """
    # A block has few of all items: a matrix of these alone is as small as the block is.
    here, places = np.unique(columns, return_inverse=True)
    rows: Matrix = csr(values, places.astype(np.int32), lengths, len(here))
    upper = triu(csr_array(rows.T) @ rows, format="coo")
    row, column = upper.coords
    return cells(here[row], here[column], n_items), upper.data


def _as_batches(cell: Ints, count: Floats) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(cell), CELLS_AT_ONCE):
        some = slice(start, start + CELLS_AT_ONCE)
        yield pa.RecordBatch.from_pydict(
            {"cell": pa.array(cell[some]), "count": pa.array(count[some])}
        )


def gram_of_cells(items: Ints, counted: pa.Table) -> Gram:
    """Return G of the cells of its upper triangle.

    Args:
        items: (n_items,) ids, ascending.
        counted: of `trainer.spark.cooccurrences`, each cell once, in any order.
    """
    n = len(items)
    cell, count = counted["cell"].to_numpy(), counted["count"].to_numpy()
    row, column = (cell // n).astype(np.int32), (cell % n).astype(np.int32)
    return Gram(items, mirrored(csr_array((count, (row, column)), (n, n))))


def user_items_of(histories: pa.Table) -> UserItems:
    """Return what users have, those with the latest events first; equally late ones by id, down.

    Args:
        histories: of `trainer.spark.histories`, in any order.
    """
    order = sorted(
        zip(
            histories["last_ts_ms"].to_pylist(),
            histories["user"].to_pylist(),
            range(histories.num_rows),
            strict=True,
        ),
        reverse=True,
    )
    rows = np.array([place for *_, place in order], np.int64)
    held, lengths = _numbers(histories["items"], np.int64)
    entries = ranges((np.cumsum(lengths) - lengths)[rows], lengths[rows])
    unscaled = _numbers(histories["affinities"], np.float64)[0][entries]
    items, places = np.unique(held[entries], return_inverse=True)
    lengths, scales = lengths[rows], histories["scale"].to_numpy()[rows]
    affinities = unscaled if (scales == 1).all() else unscaled * np.repeat(scales, lengths)
    log, offset = histories["log"].to_numpy(), histories["offset"].to_numpy()
    return UserItems(
        users=[user for _, user, _ in order],
        offsets=list(map(LogPosition, log[rows].tolist(), offset[rows].tolist())),
        items=items,
        affinities=csr(affinities, places.astype(np.int32), lengths, len(items)),
        unscaled=unscaled,
        ts_ms=_numbers(histories["ts_ms"], np.int64)[0][entries],
        first_ms=_numbers(histories["first_ms"], np.int64)[0][entries],
    )


def _numbers(column: pa.ChunkedArray, dtype: type[Any]) -> tuple[Any, Ints]:
    parts = [numbers(chunk, dtype) for chunk in column.chunks]
    held = np.concatenate([np.empty(0, dtype), *(part for part, _ in parts)])
    return held, np.concatenate([np.empty(0, np.int64), *(lengths for _, lengths in parts)])
