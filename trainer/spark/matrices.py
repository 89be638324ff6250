"""What Spark's workers found out, as the matrices that the trainer makes models from. Pure."""

from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from contracts.log_position import LogPosition
from contracts.messages import Ints
from trainer.counts.matrices import Gram, UserItems, csr, mirrored, ranges
from trainer.spark.histories import numbers


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
