"""Rows read from a file are cached, up to a bound."""

import time
import tracemalloc
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bars.archive import rows
from api.bars.archive.files import Files
from api.bars.archive.rows import Rows, _Recent
from runtime.archive.config import ArchiveConfig

from .market import INSTRUMENT, RUNNING_MS, Quote, append, row, table_of

ROW_BYTES: Final = 72


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12)), max_size=40))
def test_what_is_kept_was_put_last_and_fits(puts: list[tuple[int, int]]) -> None:
    recent = _Recent[int](10)
    sizes: dict[int, int] = {}
    for number, (key, size) in enumerate(puts):
        recent.put(key, number, size)
        sizes.pop(key, None)
        sizes[key] = size
        while sum(sizes.values()) > 10:
            sizes.pop(next(iter(sizes)))
    assert {key for key in range(6) if recent.get(key) is not None} == sizes.keys()


def test_what_is_used_stays_before_what_is_not() -> None:
    recent = _Recent[str](2)
    recent.put(1, "used")
    recent.put(2, "not")
    assert recent.get(1) == "used"
    recent.put(3, "new")
    assert (recent.get(1), recent.get(2), recent.get(3)) == ("used", None, "new")


def test_instruments_missing_from_a_file_stay_within_the_size_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_ROWS", 20_000)
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
