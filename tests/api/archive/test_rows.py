"""Rows read from a file are cached, up to a bound."""

import time
import tracemalloc
from pathlib import Path
from typing import Final

import pytest

from api.bars.archive import rows
from api.bars.archive.files import Files
from api.bars.archive.rows import Rows
from runtime.archive.config import ArchiveConfig

from .market import INSTRUMENT, RUNNING_MS, Quote, append, row, table_of

ROW_BYTES: Final = 72


def test_instruments_missing_from_a_file_stay_within_the_size_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_ROWS", 10_000)
    table = table_of(ArchiveConfig(warehouse=str(tmp_path)))
    append(table, [row(INSTRUMENT, RUNNING_MS, [Quote(RUNNING_MS, 2, 3)], 1)])
    listing = Files(lambda: table.refresh(), time.monotonic).listing()
    (file,) = listing.of(INSTRUMENT, listing.days(INSTRUMENT, 0, RUNNING_MS)[0], 0, RUNNING_MS + 1)
    kept = Rows()
    kept.of(listing.io, file.path, INSTRUMENT)
    tracemalloc.start()
    for instrument_id in range(1_000, 1_600):
        assert not len(kept.of(listing.io, file.path, instrument_id)["minute"])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 20_000 * ROW_BYTES
