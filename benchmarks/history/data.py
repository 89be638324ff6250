"""Writes the archive that `history` reads."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from pyiceberg.transforms import BucketTransform
from pyiceberg.types import LongType

from archive.writing.files import FileWriter
from contracts.archive import BARS_TABLE, BUCKETS
from contracts.messages import Ints
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import arrow_schema_of, open_table

MINUTES_A_DAY: Final = 1_440
DAY_MS: Final = 86_400_000
_MINUTE_US: Final = 60_000_000
_AT_ONCE: Final = 100
"""Instruments whose rows are in memory at a time."""


def write_day(config: ArchiveConfig, instruments: int, day: int, seed: int) -> list[int]:
    """Write a day, counted from the epoch; return the instruments of which it has every minute."""
    table, buckets = open_table(open_catalog(config), config, BARS_TABLE), _by_bucket(instruments)
    full = max(buckets, key=lambda bucket: len(buckets[bucket]))
    files = []
    for bucket, ids in buckets.items():
        writer = FileWriter(table, BARS_TABLE, (day, bucket))
        for rows in _rows(ids if bucket == full else ids[:2], day, seed):
            writer.write(rows)
        files.append(writer.close())
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        for file in files:
            append.append_data_file(file)
    return list(map(int, buckets[full]))


def _by_bucket(instruments: int) -> dict[int, Ints]:
    bucket = BucketTransform(BUCKETS).pyarrow_transform(LongType())
    ids = np.arange(instruments)
    of = bucket(pa.array(ids)).to_numpy()
    return {number: ids[of == number] for number in np.unique(of).tolist()}


def _rows(ids: Ints, day: int, seed: int) -> Iterator[pa.Table]:
    """Yield the minutes of instruments in the table's order."""
    rng = np.random.default_rng(seed)
    for first in range(0, len(ids), _AT_ONCE):
        own = ids[first : first + _AT_ONCE]
        n = len(own) * MINUTES_A_DAY
        minute = np.tile(np.arange(MINUTES_A_DAY), len(own)) * _MINUTE_US + day * DAY_MS * 1000
        price = np.round(rng.uniform(5, 500, n), 2)
        volume = rng.integers(1_000, 100_000, n).astype(float)
        columns = {
            "log": np.zeros(n, np.int32),
            "partition": np.zeros(n, np.int32),
            "offset": np.arange(n),
            "instrument_id": np.repeat(own, MINUTES_A_DAY),
            "minute": minute,
            "open": price,
            "high": np.round(price * 1.001, 2),
            "low": np.round(price * 0.999, 2),
            "close": price,
            "volume": volume,
            "count": np.full(n, 60),
            "notional": volume * price,
            "open_ts": minute + 1_000,
            "close_ts": minute + _MINUTE_US - 1_000,
            "revision": rng.integers(1, 1 << 40, n),
        }
        schema = arrow_schema_of(BARS_TABLE)
        yield pa.table([pa.array(columns[one.name], one.type) for one in schema], schema=schema)
