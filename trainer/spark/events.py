"""Reads the archive's files on Spark's workers: rows of `interactions` to columns of numbers.

The files are read by Arrow, as pyiceberg reaches them: Spark needs no jar for Iceberg or S3.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from contracts.archive import ERASED, INTERACTIONS_TABLE
from contracts.times import US_PER_MS
from contracts.tombstones import NEVER_MS
from trainer.folding.running_history import UNCONDITIONAL_MS

ROWS_AT_ONCE: Final = 50_000
"""So many rows of a file are in memory, plus the row group that they are decoded from."""
SCHEMA: Final = (
    "user string, log int, partition int, offset long, item long, weight double, ts_ms long, "
    "value double, last_event_before_ms long, erased_at_ms long"
)
"""Of what is read, in Spark's words; the weight is that of the event's type, NaN of a tombstone."""
_COLUMNS: Final = [column.name for column in INTERACTIONS_TABLE.columns]


class RowsError(ValueError):
    """A file has rows that the archive's own program does not write."""


def read_events(
    places: Iterator[pa.RecordBatch],
    io: FileIO,
    files: Sequence[str],
    event_weights: Mapping[str, float],
) -> Iterator[pa.RecordBatch]:
    """Yield the events of some files, in batches of `SCHEMA`.

    Args:
        places: batches with one column, the places in `files` of those to be read.
        io: how they are reached.
        files: addresses of all.
        event_weights: of each type of event.

    Raises:
        RowsError: a row is none that the archive writes.
    """
    for batch in places:
        for place in batch.column(0).to_pylist():
            for rows in _read(io, files[place]):
                yield columns_of(rows, event_weights, files[place])


def _read(io: FileIO, file: str) -> Iterator[pa.RecordBatch]:
    with io.new_input(file).open() as stream:
        # Columns that other programs added are not asked for.
        parquet = pq.ParquetFile(stream, pre_buffer=False)
        yield from parquet.iter_batches(ROWS_AT_ONCE, columns=_COLUMNS)


def columns_of(
    rows: pa.RecordBatch, event_weights: Mapping[str, float], file: str
) -> pa.RecordBatch:
    """Return rows of the table as a batch of `SCHEMA`.

    Raises:
        RowsError: a row is none that the archive writes; names `file`.
    """
    names, weights = [*event_weights, ERASED], np.array([*event_weights.values(), math.nan])
    places = pc.index_in(rows["event"], pa.array(names)).fill_null(-1).to_numpy()
    if (places < 0).any():
        event = rows["event"][int(np.flatnonzero(places < 0)[0])].as_py()
        raise RowsError(
            f"{file}: event {event!r} is none of {', '.join(names)}: set EVENT_WEIGHTS as for the "
            "workers, unless the file was edited"
        )
    weight = weights[places]
    items = rows["instrument_id"]
    if (items.is_null().to_numpy(zero_copy_only=False) & ~np.isnan(weight)).any():
        raise RowsError(f"{file}: an event has no instrument_id: was it edited?")
    values = pc.multiply(rows["price"], pc.fill_null(rows["quantity"], 1.0))
    columns: dict[str, Any] = {
        "user": rows["user_id"].cast(pa.string()),
        "log": rows["log"],
        "partition": rows["partition"],
        "offset": rows["offset"],
        "item": pc.fill_null(items, 0),
        "weight": weight,
        "ts_ms": _epoch_ms(rows["ts"]),
        "value": pc.fill_null(values, float("nan")),
        "last_event_before_ms": pc.fill_null(
            _epoch_ms(rows["last_event_before"]), UNCONDITIONAL_MS
        ),
        "erased_at_ms": pc.fill_null(_epoch_ms(rows["erased_at"]), NEVER_MS),
    }
    return pa.RecordBatch.from_pydict(columns)


def _epoch_ms(times: Any) -> Any:
    return pc.divide(times.cast(pa.int64()), US_PER_MS)
