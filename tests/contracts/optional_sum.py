"""What bars from before an optional sum come to, once it is in the table of a bar's fields.

`test_add_a_bar_field` runs this in a copy of the project that has the field, on the archive that
the project without it wrote.
"""

import os
import time

import msgspec
import numpy as np

from api.bars.aggregation import Window, roll_up
from api.bars.answers import Bars, as_csv
from api.bars.archive.files import Files
from api.bars.archive.rows import Rows, joined, newest_revisions, partial_bars
from api.bars.intervals import DAY
from archive.checks import check
from archive.maintenance.compaction import Rule, compact
from contracts.archive import BARS_TABLE
from contracts.bar_messages import decode_closed_bars, encode_closed_bars
from contracts.bars import FIELDS
from contracts.messages import Quote
from contracts.times import DAY_MS
from runtime.archive.catalog import open_catalog
from runtime.archive.config import ArchiveConfig
from stream_processors.bars.fold import fold_quotes
from stream_processors.bars.stored import decode_bar, from_values, to_values
from tests.archive.tables import TODAY_US, Tables
from tests.contracts.test_add_a_bar_field import CLOSED, LETTER, NAME, ROW, STORED, WAREHOUSE
from tests.stream_processors.bars.test_bars import columns_of

DAY_START_MS = TODAY_US // 1000


def test_a_bar_in_redis_from_before_takes_later_quotes() -> None:
    assert FIELDS[LETTER].is_optional
    bars = from_values([5], [decode_bar(STORED)])
    quote = {"instrument_id": 5, "price": 2.0, "size": 3.0, "ts": 61_500, "levy": 9.0}
    later = columns_of([msgspec.convert(quote, Quote)])
    fold_quotes(bars, np.array([0]), later, np.array([9]))
    (value,) = to_values(bars)
    before = msgspec.json.decode(STORED)
    assert msgspec.json.decode(value) == before | {
        "h": 2.0, "c": 2.0, "v": 4.0, "n": 2, "pv": 7.0, "ct": 61_500, "off": [0, 9], LETTER: 9.0,
    }  # fmt: skip


def test_a_closed_bar_from_before_counts_as_0() -> None:
    decoded, rejections = decode_closed_bars([CLOSED])
    assert rejections == []
    assert decoded.columns[NAME].tolist() == [0.0]
    columns = {"t": decoded.columns["minute"]} | {
        letter: decoded.columns[field.name] for letter, field in FIELDS.items()
    }
    (value,) = encode_closed_bars(decoded.columns | columns)
    assert msgspec.json.decode(value) == msgspec.json.decode(CLOSED) | {LETTER: 0.0}


def test_an_archive_from_before_is_read_written_merged_and_checked() -> None:
    config = ArchiveConfig(warehouse=os.environ[WAREHOUSE])
    tables = Tables(open_catalog(config), config)
    assert served(tables) == (1, 0.0)
    assert [len(checked.failed) for checked in check(*tables, [BARS_TABLE], None)] == [0]
    minute = {"minute": TODAY_US + 60_000_000, "open_ts": TODAY_US + 60_000_000}
    tables.commit(BARS_TABLE, [ROW | minute | {"close_ts": minute["minute"], NAME: 5.0}])
    assert served(tables) == (2, 5.0)
    assert compact(tables.stored(BARS_TABLE), Rule(2**20, 60, is_forced=True), 0) == 2
    assert sorted(tables.rows(BARS_TABLE, NAME), key=str) == [(5.0,), (None,)]
    assert served(tables) == (2, 5.0)
    assert [len(checked.failed) for checked in check(*tables, [BARS_TABLE], None)] == [0]


def served(tables: Tables) -> tuple[int, float]:
    """Return the number of quotes of the day, and the sum, as the API serves its bar as CSV."""
    listing = Files(lambda: tables.found(BARS_TABLE), time.monotonic).listing()
    end_ms = DAY_START_MS + DAY_MS
    files = listing.of(4, DAY_START_MS // DAY_MS, DAY_START_MS, end_ms)
    found = joined([Rows().of(listing.io, file.path, 4) for file in files])
    minutes = partial_bars(newest_revisions(found, DAY_START_MS, end_ms), DAY)
    (bar,) = roll_up(minutes, Window.between(DAY_START_MS, end_ms, DAY), end_ms)
    body = msgspec.json.encode(Bars("4", "1d", [bar], None))  # type: ignore[arg-type]
    names, values = as_csv(Bars)(body)[0].decode().splitlines()
    row = dict(zip(names.split(","), values.split(","), strict=True))
    return int(row["n"]), float(row[LETTER])
