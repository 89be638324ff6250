"""The table and its store have the bars of a recomputation, and published all that are closed.

The store is a dict that mimics the agent's HSET and HDEL; bars are encoded and decoded, as with a
real store.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from contracts.bars import BarValue
from contracts.log_position import LogPosition, mark
from contracts.messages import Quote
from contracts.times import MAX_TS_MS, MINUTE_MS
from stream_processors.bars import table as tables
from stream_processors.bars.fold import BAR
from stream_processors.bars.stored import from_values, to_values
from stream_processors.bars.table import NO_MINUTE, BarTable, Missing
from tests.examples import examples

from .plain_bars import columns_of, minute_of, quotes, recomputed

INCARNATION = 1
RENEW_AFTER_S, EXPIRE_S = 100.0, 200.0
LAST_MINUTE = MAX_TS_MS // MINUTE_MS
logs = st.lists(quotes, min_size=1, max_size=10) | st.lists(quotes, min_size=15, max_size=40)
sizes = st.integers(0, 8)
minutes = st.just(NO_MINUTE) | st.integers(NO_MINUTE, 9)


@pytest.fixture(autouse=True, scope="module")
def _evict_often() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_EVICT_AT_LEAST", 1)
        patch.setattr(tables, "_CACHED_MINUTES", 1)
        patch.setattr(tables, "_INSTRUMENTS_AT_MOST", 2)
        yield


@dataclass
class Stored:
    """An instrument's key."""

    newest: int = NO_MINUTE
    bars: dict[int, str] = field(default_factory=dict)
    ends_s: float = 0.0


def decode(bar: str) -> BarValue:
    return msgspec.json.decode(bar, type=BarValue)


class TableAndStore(RuleBasedStateMachine):
    """The fold's use of a table. A crash loses memory; the log is read from the position on."""

    @initialize(log=logs, retention=st.integers(1, 5))
    def begin(self, log: list[Quote], retention: int) -> None:
        self.log = log
        self.retention = retention
        self.store: dict[int, Stored] = defaultdict(Stored)
        self.published: dict[tuple[int, int], BarValue] = {}
        self.position, self.closed = 0, NO_MINUTE
        self.now_s = 0.0
        self.newest: dict[int, int] = defaultdict(lambda: NO_MINUTE)
        self.has_crashed = False
        self.start()

    def start(self) -> None:
        """Start a worker, which reads the bars that its predecessor has not published."""
        self.table = BarTable(self.retention, RENEW_AFTER_S, self.closed)
        self.next_offset = self.position
        for instrument, stored in self.store.items():
            first = max(self.closed, stored.newest - self.retention) + 1
            (number,) = self.table.number(np.array([instrument])).tolist()
            minutes = list(range(first, stored.newest + 1))
            self.read([Missing(number, instrument, minutes)] if minutes else [])

    def read(self, missing: list[Missing]) -> None:
        found = {
            self.table.key(m.number, minute): decode(self.store[m.instrument_id].bars[minute])
            for m in missing
            for minute in m.minutes
            if minute in self.store[m.instrument_id].bars
        }
        newest = [self.store[m.instrument_id].newest for m in missing]
        self.table.insert(missing, newest, from_values([*found], [*found.values()]))

    @rule(n=st.integers(1, 8))
    def fold(self, n: int) -> None:
        batch = self.log[self.next_offset : self.next_offset + n]
        columns = columns_of(batch)
        keys = self.table.keys(columns.instrument_id, columns.ts_ms)
        self.read(self.table.missing(keys))
        marks = mark(INCARNATION, self.next_offset) + np.arange(len(batch))
        late, replayed = self.table.add(keys, columns, marks)
        self.next_offset += len(batch)
        fresh = [q for q in batch if minute_of(q) > self.newest[q.instrument_id] - self.retention]
        for quote in batch:
            newest = max(self.newest[quote.instrument_id], minute_of(quote))
            self.newest[quote.instrument_id] = newest
        if not self.has_crashed:
            assert (late, replayed) == (len(batch) - len(fresh), 0)
            if fresh:
                its = [minute_of(quote) for quote in fresh]
                assert self.table.open_minutes is not None
                first, last = self.table.open_minutes
                assert first <= min(its) <= max(its) <= last

    @rule()
    def crash(self) -> None:
        self.has_crashed = True
        self.start()

    @rule(n=sizes, closes=minutes, passed_s=st.sampled_from([0, RENEW_AFTER_S - 1, EXPIRE_S]))
    def flush(self, n: int, closes: int, passed_s: float) -> None:
        self.fold(n)
        self.now_s += passed_s
        self.closed = self.publish(closes)
        self.write(None)
        self.position = self.next_offset
        assert self.table.changed == 0
        self.table.evict()

    @rule(n=sizes, closes=minutes, stop_at=st.integers(0, 3))
    def lose_a_flush(self, n: int, closes: int, stop_at: int) -> None:
        self.fold(n)
        self.publish(closes)
        self.write(stop_at)
        self.crash()

    def publish(self, closes: int) -> int:
        """Publish what is due; return the newest closed minute."""
        closed = max(self.closed, closes)
        due = self.table.take_due(closed)
        bars = map(decode, to_values(due.bars))
        columns = due.instrument_id.tolist(), due.minute.tolist()
        for instrument, minute, bar in zip(*columns, bars, strict=True):
            assert minute <= max(closed, self.newest[instrument] - self.retention)
            assert self.has_crashed or bar != self.published.get((instrument, minute))
            self.published[instrument, minute] = bar
        assert self.table.open_minutes is None or self.table.open_minutes[0] > closed
        return closed

    def write(self, stop_at: int | None) -> None:
        """Write everything, or only the first bars."""
        changed = self.table.take_changed(self.now_s)
        columns = (changed.instrument_id, changed.minute, to_values(changed.bars))
        for place, (instrument, minute, value) in enumerate(zip(*columns, strict=True)):
            if place == stop_at:
                return
            stored = self.store[instrument]
            for expired in changed.expired.get(place, ()):
                stored.bars.pop(expired, None)
            stored.bars[minute] = value
            if place in changed.newest:
                stored.newest, stored.ends_s = changed.newest[place], self.now_s + EXPIRE_S
            assert self.now_s < stored.ends_s, "the key has no expiry"

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        while self.next_offset < len(self.log):
            self.fold(5)
        self.flush(0, LAST_MINUTE, 0)
        expected = recomputed(self.log, self.retention, INCARNATION)
        found = {i: dict(zip(s.bars, map(decode, s.bars.values()))) for i, s in self.store.items()}  # noqa: B905 (its own keys)
        assert found == expected
        assert {i: stored.newest for i, stored in self.store.items()} == {
            i: max(bars) for i, bars in expected.items()
        }
        published = {
            i: {m: self.published.get((i, m)) for m in bars} for i, bars in expected.items()
        }
        assert published == expected


TestTableAndStore = TableAndStore.TestCase
TestTableAndStore.settings = examples(300, stateful_step_count=20)


def test_clean_bars_behind_the_newest_leave_memory_and_are_read_again() -> None:
    pair = TableAndStore()
    pair.begin([Quote(instrument_id=0, price=m + 1.0, ts=m * MINUTE_MS) for m in range(5)], 60)
    pair.fold(5)
    assert (len(pair.table), pair.table.changed) == (5, 5)
    pair.flush(0, LAST_MINUTE, 0)
    assert (len(pair.table), pair.table.changed) == (1, 0)
    keys = pair.table.keys(np.zeros(2, np.int64), np.array([0, 5 * MINUTE_MS]))
    assert [m.minutes for m in pair.table.missing(keys)] == [[0]]  # none is after the newest


def test_the_last_minute_of_all_has_a_key_of_its_own() -> None:
    table = BarTable(60, RENEW_AFTER_S)
    keys = table.keys(np.array([0, 1, 1]), np.array([MAX_TS_MS, MAX_TS_MS, 0]))
    assert len(set(keys.tolist())) == 3
    assert table.unknown(np.array([2, 1, 0, 2])).tolist() == [2]


def test_instruments_without_recent_quotes_are_forgotten() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_INSTRUMENTS_AT_MOST", 20)
        table = BarTable(60, RENEW_AFTER_S)
        for first in range(0, 1_000, 10):
            ids = np.arange(first, first + 10)
            ts = (9 + first) * MINUTE_MS
            columns = columns_of([Quote(instrument_id=n, price=1.0, ts=ts) for n in ids.tolist()])
            keys = table.keys(ids, columns.ts_ms)
            missing = table.missing(keys)
            assert [m.instrument_id for m in missing] == ids.tolist()
            table.insert(missing, [NO_MINUTE] * 10, np.empty(0, BAR))
            table.add(keys, columns, np.arange(10))
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
