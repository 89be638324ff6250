"""What the table of bars holds in memory; `test_folds` shows that its bars are those of the log."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.bars import BarValue
from contracts.log_position import LogPosition
from contracts.messages import Quote
from contracts.times import MAX_TS_MS, MINUTE_MS
from stream_processors.bars import table as tables
from stream_processors.bars.fold import BAR
from stream_processors.bars.stored import from_values, to_values
from stream_processors.bars.table import NO_MINUTE, BarTable

from .plain_bars import columns_of

LAST_MINUTE = MAX_TS_MS // MINUTE_MS


def add(table: BarTable, quotes: list[Quote], mark: int = 0) -> tuple[int, int]:
    """Add quotes of bars that Redis does not have; return how many were late and repeated."""
    columns = columns_of(quotes)
    keys = table.keys(columns.instrument_id, columns.ts_ms)
    missing = table.missing(keys)
    table.insert(missing, [NO_MINUTE] * len(missing), np.empty(0, BAR))
    return table.add(keys, columns, mark + np.arange(len(quotes)))


def test_clean_bars_behind_the_newest_leave_memory_and_are_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "_EVICT_AT_LEAST", 1)
    monkeypatch.setattr(tables, "_CACHED_MINUTES", 1)
    table = BarTable(60, 100.0)
    quotes = [Quote(instrument_id=0, price=m + 1.0, ts=m * MINUTE_MS) for m in range(5)]
    assert add(table, quotes) == (0, 0)
    assert add(table, quotes) == (0, 5), "they are repeated"
    assert add(table, quotes[:1], mark=9) == (0, 0)
    assert (len(table), table.changed) == (5, 5)
    table.take_due(LAST_MINUTE)
    assert list(table.take_changed(0.0).minute) == [0, 1, 2, 3, 4]
    table.evict()
    assert (len(table), table.changed) == (1, 0)
    keys = table.keys(np.zeros(2, np.int64), np.array([0, 5 * MINUTE_MS]))
    assert [m.minutes for m in table.missing(keys)] == [[0]]  # none is after the newest
    add(table, [Quote(instrument_id=0, price=1.0, ts=100 * MINUTE_MS)])
    assert add(table, quotes) == (5, 0), "they are late"
    edge = [Quote(instrument_id=0, price=1.0, ts=m * MINUTE_MS) for m in (40, 41)]
    assert add(table, edge) == (1, 0), "60 minutes are retained"
    # Redis has a later minute than the one that was asked for.
    asked, newest, later = table.keys(np.full(3, 7), np.array([3, 5, 6]) * MINUTE_MS)[:, None]
    table.insert(table.missing(asked), [5], np.empty(0, BAR))
    assert [m.minutes for m in table.missing(np.append(newest, later))] == [[5]]


def test_the_last_minute_of_all_has_a_key_of_its_own() -> None:
    table = BarTable(60, 100.0)
    keys = table.keys(np.array([0, 1, 1]), np.array([MAX_TS_MS, MAX_TS_MS, 0]))
    assert len(set(keys.tolist())) == 3
    assert table.unknown(np.array([2, 1, 0, 2])).tolist() == [2]


def test_instruments_without_recent_quotes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_INSTRUMENTS_AT_MOST", 20)
    monkeypatch.setattr(tables, "_EVICT_AT_LEAST", 1)
    monkeypatch.setattr(tables, "_CACHED_MINUTES", 1)
    table = BarTable(60, 100.0)
    for first in range(0, 1_000, 10):
        ids = np.arange(first, first + 10)
        ts = (9 + first) * MINUTE_MS
        assert len(table.unknown(ids)) == 10
        add(table, [Quote(instrument_id=n, price=1.0, ts=ts) for n in ids.tolist()])
        table.take_due(LAST_MINUTE)
        assert len(table.take_changed(0.0).minute) == 10
        table.evict()
        assert len(table) <= 30
        assert len(table.unknown(np.arange(1_000))) >= 970
        assert len(table.unknown(ids)) == 0, "the latest are known"


prices = st.floats(0, exclude_min=True, allow_nan=False, allow_infinity=False)


@given(
    bar=st.builds(
        BarValue,
        o=prices,
        h=prices,
        l=prices,
        c=prices,
        v=prices,
        n=st.integers(1, 2**53),
        pv=prices,
        ot=st.integers(0, 2**53),
        ct=st.integers(0, 2**53),
        off=st.builds(LogPosition, st.integers(0, 2**15 - 1), st.integers(0, 2**48 - 1)),
    )
)
def test_a_stored_bar_is_read_back_to_the_last_digit(bar: BarValue) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(bar), type=BarValue)
    (written,) = to_values(from_values([5], [stored]))
    assert msgspec.json.decode(written, type=BarValue) == bar
