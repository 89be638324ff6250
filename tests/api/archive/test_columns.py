"""Rows of the table `bars`, in any files and revisions, give the same bars as their minutes."""

import time
import tracemalloc
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bars.aggregation import MinuteBars, Window, roll_up
from api.bars.archive.files import Files
from api.bars.archive.rows import (
    COLUMNS,
    MinuteColumns,
    Rows,
    joined,
    newest_revisions,
    partial_bars,
)
from api.bars.intervals import DAY, parse_interval
from api.http.reply import encode
from contracts.bars import BarValue, Minute, fields_of, structs_of
from contracts.times import MINUTE_MS
from runtime.archive.config import ArchiveConfig

from .market import INSTRUMENT, RUNNING_MS, Quote, append, row, table_of

FIRST_MS = 1_629_000_000_000
GREATEST: Final = float(np.finfo(np.float64).max)

rows = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3)), max_size=60)


def minutes_of(chosen: list[tuple[int, int]]) -> MinuteColumns:
    """Return rows of (minute, revision) whose other values follow from these."""
    minute = np.array([FIRST_MS + m * MINUTE_MS for m, _ in chosen], np.int64)
    revision = np.array([r for _, r in chosen], np.int64)
    price = 10 + (minute // MINUTE_MS % 7 + revision) / 8
    count = revision + 1
    unset = dict.fromkeys(COLUMNS, np.zeros(len(chosen)))
    return unset | {
        "minute": minute,
        "open": price,
        "high": price + 1,
        "low": price - 1,
        "close": price + 0.5,
        "volume": count * 2.0,
        "count": count,
        "notional": count * 2 * price,
        "revision": revision,
    }


def plain(chosen: list[tuple[int, int]]) -> list[tuple[int, Minute]]:
    """Return each minute with its greatest revision, as Redis would hold it."""
    newest: dict[int, int] = {}
    for minute, revision in chosen:
        newest[minute] = max(revision, newest.get(minute, 0))
    found = minutes_of(sorted(newest.items()))
    columns = {letter: found[field.name] for letter, field in fields_of(Minute).items()}
    return list(zip(found["minute"].tolist(), structs_of(Minute, columns), strict=True))


@given(
    chosen=rows,
    cut=st.integers(0, 60),
    interval=st.sampled_from(["1m", "7m", "1h", "4h", "1d", "1w"]),
)
def test_files_in_any_parts_come_to_the_bars_of_the_greatest_revisions(
    chosen: list[tuple[int, int]], cut: int, interval: str
) -> None:
    parts = joined([minutes_of(chosen[cut:]), minutes_of(chosen[:cut])])
    minutes = newest_revisions(parts, FIRST_MS, FIRST_MS + 3001 * MINUTE_MS)
    window = Window.between(0, FIRST_MS + 3001 * MINUTE_MS, parse_interval(interval))
    bars = partial_bars(minutes, window.interval)
    assert roll_up(bars, window, 0) == roll_up(plain(chosen), window, 0)


@given(chosen=rows, first=st.integers(0, 3000), end=st.integers(0, 3000))
def test_minutes_outside_are_left_out(chosen: list[tuple[int, int]], first: int, end: int) -> None:
    first_ms, end_ms = (FIRST_MS + minute * MINUTE_MS for minute in (first, end))
    minutes = newest_revisions(minutes_of(chosen), first_ms, end_ms)
    kept = sorted({FIRST_MS + m * MINUTE_MS for m, _ in chosen if first <= m < end})
    assert minutes["minute"].tolist() == kept


def test_of_rows_with_one_revision_the_one_with_most_quotes_holds() -> None:
    """A log that lost the first quotes of a minute, refolded, ends at the same quote."""
    whole = minutes_of([(0, 3)])
    cut = {**whole, "count": np.array([2])}
    for parts in ([whole, cut], [cut, whole]):
        found = newest_revisions(joined(parts), FIRST_MS, FIRST_MS + 1)
        assert found["count"].tolist() == [4]


ROW_BYTES: Final = 72


def test_instruments_missing_from_a_file_stay_within_the_size_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.bars.archive.rows._ROWS", 10_000)
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


extremes = st.floats(5e-324, GREATEST)  # valid, if unrealistic
sums = st.floats(0, GREATEST)


def minute(price: float, volume: float, notional: float) -> BarValue:
    return BarValue(price, price, price, price, volume, 1, notional, 0, 0, (0, 0))


@given(st.lists(st.builds(minute, extremes, sums, sums), min_size=1, max_size=60))
def test_a_bar_of_any_minutes_is_one_of_its_schema(minutes: list[BarValue]) -> None:
    stored: MinuteBars = [(MINUTE_MS * at, value) for at, value in enumerate(minutes)]
    (bar,) = roll_up(stored, Window(0, 0, DAY), now_ms=DAY.length_ms)
    assert msgspec.json.decode(encode(bar), type=type(bar)) == bar
    assert bar.vw is None or bar.l <= bar.vw <= bar.h


@given(st.lists(st.tuples(extremes, sums, sums), min_size=1, max_size=60))
def test_archived_minutes_come_to_what_minutes_of_redis_do(
    rows: list[tuple[float, float, float]],
) -> None:
    price, volume, notional = (np.array(column) for column in zip(*rows, strict=True))
    at = np.arange(len(rows))
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    sums = {"volume": volume, "count": np.ones_like(at), "notional": notional}
    unset = dict.fromkeys(COLUMNS, np.full(len(at), np.nan))
    minutes = {**unset, "minute": MINUTE_MS * at, **prices, **sums}
    ((_, bar),) = partial_bars(minutes, DAY)
    assert bar.v == pytest.approx(min(sum(volume.tolist()), GREATEST))
    assert bar.pv == pytest.approx(min(sum(notional.tolist()), GREATEST))
