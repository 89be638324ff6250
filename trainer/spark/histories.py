"""Folds sorted events into histories on Spark's workers, as a stream: users in memory are few."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.messages import Floats, Ints
from runtime.settings import FoldingSettings
from trainer.folding.histories import Events, Folded, fold, of_running, run
from trainer.folding.running_history import RunningHistory

SCHEMA: Final = (
    "user string, log int, offset long, last_ts_ms long, scale double, "
    "items binary, affinities binary, ts_ms binary, first_ms binary"
)
"""Of a history; the last four are arrays of 8-byte numbers, as `Folded` has them."""


def fold_histories(
    batches: Iterator[pa.RecordBatch], rules: FoldingSettings
) -> Iterator[pa.RecordBatch]:
    """Yield the histories of users, in batches of `SCHEMA`.

    What is in memory is a batch, and one history: that of the user whose events may go on in the
    next batch, however many these are.

    Args:
        batches: of `trainer.spark.events`, sorted by user, then by the place in the log.
        rules: how events become histories.
    """
    user, history = "", RunningHistory(rules)
    for batch in batches:
        if not batch.num_rows:
            continue
        users, events = batch["user"], _events(batch)
        starts = _starts(users)
        if users[0].as_py() == user:
            stop = int(starts[1]) if len(starts) > 1 else batch.num_rows
            run(history, events.where(slice(stop)))
            starts = starts[1:]
        if not len(starts):
            continue
        yield from _as_batches([of_running([history], rules)], pa.array([user]))
        first, last = int(starts[0]), int(starts[-1])
        whole = fold(events.where(slice(first, last)), np.diff(starts), rules)
        yield from _as_batches(whole, users.take(pa.array(starts)))
        user, history = users[last].as_py(), RunningHistory(rules)
        run(history, events.where(slice(last, None)))
    yield from _as_batches([of_running([history], rules)], pa.array([user]))


def numbers(column: pa.Array, dtype: type[Any]) -> tuple[Any, Ints]:
    """Return the numbers in a column of binaries one after the other, and how many each row has."""
    bounds = np.frombuffer(column.buffers()[1], np.int32)
    bounds = bounds[column.offset : column.offset + len(column) + 1].astype(np.int64)
    buffer = column.buffers()[2]
    held = np.frombuffer(buffer, np.uint8) if buffer is not None else np.empty(0, np.uint8)
    return held[bounds[0] : bounds[-1]].view(dtype), np.diff(bounds) // np.dtype(dtype).itemsize


def _events(batch: pa.RecordBatch) -> Events:
    def ints(name: str) -> Ints:
        return np.asarray(batch[name].to_numpy(), np.int64)

    return Events(
        log=ints("log"),
        offset=ints("offset"),
        item=ints("item"),
        weight=batch["weight"].to_numpy(),
        ts_ms=ints("ts_ms"),
        value=batch["value"].to_numpy(),
        last_event_before_ms=ints("last_event_before_ms"),
        erased_at_ms=ints("erased_at_ms"),
    )


def _starts(users: pa.Array) -> Ints:
    """Return the places at which another user's events begin, 0 among them."""
    differ = pc.not_equal(users[1:], users[:-1]).to_numpy(zero_copy_only=False)
    return np.append(0, np.flatnonzero(differ) + 1)


def _as_batches(parts: list[Folded], users: pa.Array) -> Iterator[pa.RecordBatch]:
    for part in parts:
        if len(part.users):
            yield _as_batch(part, users)


def _as_batch(folded: Folded, users: pa.Array) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        "user": users.take(pa.array(folded.users)),
        "log": pa.array(folded.log, pa.int32()),
        "offset": pa.array(folded.offset),
        "last_ts_ms": pa.array(folded.last_ts_ms),
        "scale": pa.array(folded.scales),
        "items": _binaries(folded.items, folded.lengths),
        "affinities": _binaries(folded.affinities, folded.lengths),
        "ts_ms": _binaries(folded.ts_ms, folded.lengths),
        "first_ms": _binaries(folded.first_ms, folded.lengths),
    }
    return pa.RecordBatch.from_pydict(columns)


def _binaries(values: Ints | Floats, lengths: Ints) -> pa.Array:
    """Return (n_users,) the bytes of each user's numbers."""
    bounds = np.append(0, np.cumsum(lengths) * values.itemsize).astype(np.int32)
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.binary(), len(lengths), buffers)
