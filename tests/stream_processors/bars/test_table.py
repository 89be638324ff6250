"""The table together with a store matches a batch recomputation, whatever happens in between.

The store is a dict that mimics the agent's HSET and HDEL; bars are encoded and decoded, as with a
real store.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.bars import BarValue
from contracts.log_position import mark
from contracts.times import MAX_TS_MS, MINUTE_MS
from stream_processors.bars import table as tables
from stream_processors.bars.fold import BAR
from stream_processors.bars.stored import from_values, to_values
from stream_processors.bars.table import NO_MINUTE, BarTable, Changed
from tests.examples import examples

from .plain_bars import Quote, columns_of, quotes, recomputed

INCARNATION = 1
RENEW_AFTER_S = 100.0


streams = st.lists(quotes, min_size=1, max_size=10) | st.lists(quotes, min_size=15, max_size=40)

Step = tuple[Literal["fold", "flush", "crash", "lose a flush at"], int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("fold"), st.integers(1, 8)),
        st.tuples(st.just("fold"), st.integers(1, 8)),
        st.tuples(st.sampled_from(["flush", "crash"]), st.just(0)),
        st.tuples(st.just("lose a flush at"), st.integers(0, 3)),
    ),
    min_size=2,
    max_size=25,
)
retentions = st.integers(1, 5)


@pytest.fixture(autouse=True, scope="module")
def _evict_often() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_EVICT_AT_LEAST", 1)
        patch.setattr(tables, "_CACHED_MINUTES", 1)
        patch.setattr(tables, "_INSTRUMENTS_AT_MOST", 2)
        yield


@dataclass
class Stored:
    newest: int | None = None
    bars: dict[int, str] = field(default_factory=dict)


@dataclass
class Worker:
    """The agent's use of a table, with a dict as the store."""

    log: list[Quote]
    retention: int
    store: dict[int, Stored] = field(default_factory=lambda: defaultdict(Stored))
    position: int = 0
    late: int = 0
    replayed: int = 0
    table: BarTable = field(init=False)
    next_offset: int = field(init=False)

    def __post_init__(self) -> None:
        self.crash()

    def crash(self) -> None:
        """Restart: memory is lost, and the log is read from the position on."""
        self.table, self.next_offset = BarTable(self.retention, RENEW_AFTER_S), self.position

    def fold(self, n: int) -> None:
        batch = self.log[self.next_offset : self.next_offset + n]
        ids, prices, sizes, times = zip(*batch, strict=True) if batch else ((),) * 4
        ts_ms = np.array(times, np.int64)
        keys = self.table.keys(np.array(ids, np.int64), ts_ms)
        missing = self.table.missing(keys)
        stored = [self.store[m.instrument_id] for m in missing]
        found = [
            (
                self.table.key(m.number, minute),
                msgspec.json.decode(its.bars[minute], type=BarValue),
            )
            for m, its in zip(missing, stored, strict=True)
            for minute in m.minutes
            if minute in its.bars
        ]
        bars = from_values([key for key, _ in found], [value for _, value in found])
        newest = [NO_MINUTE if its.newest is None else its.newest for its in stored]
        self.table.insert(missing, newest, bars)
        marks = mark(INCARNATION, self.next_offset) + np.arange(len(batch))
        late, replayed = self.table.add(keys, columns_of(prices, sizes, ts_ms), marks)
        self.late, self.replayed = self.late + late, self.replayed + replayed
        self.next_offset += len(batch)

    def flush(self, stop_at: int | None = None) -> None:
        """Write everything and then the position; or only the first bars, and crash.

        Due bars count as published: `test_publishing` checks that.
        """
        self.table.take_due(MAX_TS_MS // MINUTE_MS)
        self.write(self.table.take_changed(0.0), stop_at)
        if stop_at is not None:
            self.crash()
            return
        self.position = self.next_offset
        self.table.evict()

    def write(self, changed: Changed, stop_at: int | None = None) -> None:
        columns = (changed.instrument_id, changed.minute, to_values(changed.bars))
        for place, (instrument, minute, value) in enumerate(zip(*columns, strict=True)):
            if place == stop_at:
                break
            stored = self.store[instrument]
            for expired in changed.expired.get(place, ()):
                stored.bars.pop(expired, None)
            stored.bars[minute] = value
            stored.newest = changed.newest.get(place, stored.newest)

    def follow(self, steps: list[Step]) -> None:
        """Do the steps, and then the rest of the log."""
        for what, n in steps:
            match what:
                case "fold":
                    self.fold(n)
                case "flush":
                    self.flush()
                case "crash":
                    self.crash()
                case "lose a flush at":
                    self.flush(stop_at=n)
        while self.next_offset < len(self.log):
            self.fold(5)
        self.flush()


def bars_in(store: dict[int, Stored]) -> dict[int, dict[int, BarValue]]:
    return {
        instrument: {
            minute: msgspec.json.decode(value, type=BarValue)
            for minute, value in stored.bars.items()
        }
        for instrument, stored in store.items()
    }


@example(  # after an older minute, the newest one is read as well
    log=[Quote(0, 1.0, 1.0, minute * MINUTE_MS) for minute in (5, 9, 5, 9)],
    steps=[("fold", 2), ("flush", 0), ("crash", 0), ("fold", 1), ("fold", 1)],
    retention=60,
)
@examples(200)
@given(log=streams, steps=steps, retention=retentions)
def test_the_store_ends_with_the_bars_of_a_batch_recomputation_and_no_others(
    log: list[Quote], steps: list[Step], retention: int
) -> None:
    worker = Worker(log, retention)
    worker.follow(steps)
    assert bars_in(worker.store) == recomputed(log, retention, INCARNATION)
    newest = {i: stored.newest for i, stored in worker.store.items()}
    assert newest == {i: max(q.minute for q in log if q.instrument_id == i) for i in newest}


@given(log=streams, steps=steps, retention=retentions)
def test_without_a_crash_nothing_is_a_replay(
    log: list[Quote], steps: list[Step], retention: int
) -> None:
    worker = Worker(log, retention)
    worker.follow([step for step in steps if step[0] in ("fold", "flush")])
    assert worker.replayed == 0


@given(log=streams, retention=retentions, flush_every=st.integers(1, 5))
def test_a_quote_is_late_if_its_bar_is_not_retained_when_it_comes(
    log: list[Quote], retention: int, flush_every: int
) -> None:
    worker = Worker(log, retention)
    late = 0
    newest: dict[int, int] = defaultdict(lambda: -1)
    for n, quote in enumerate(log):
        worker.fold(1)
        if n % flush_every == 0:
            worker.flush()
        late += quote.minute <= newest[quote.instrument_id] - retention
        newest[quote.instrument_id] = max(newest[quote.instrument_id], quote.minute)
    assert worker.late == late


@given(log=streams, retention=retentions)
def test_a_replay_skips_what_a_lost_flush_had_written(log: list[Quote], retention: int) -> None:
    worker = Worker(log, retention)
    worker.fold(len(log))
    worker.write(worker.table.take_changed(0.0))
    worker.crash()
    worker.fold(len(log))
    assert worker.late + worker.replayed == len(log)
    assert worker.table.take_changed(0.0).minute == []


def test_clean_bars_behind_the_newest_leave_memory_and_are_read_again() -> None:
    log = [Quote(0, float(minute + 1), 1.0, minute * MINUTE_MS) for minute in range(5)]
    worker = Worker([*log, log[0]], retention=60)
    worker.fold(5)
    assert (len(worker.table), worker.table.changed) == (5, 5)
    worker.flush()
    assert (len(worker.table), worker.table.changed) == (1, 0)
    keys = worker.table.keys(np.array([0]), np.array([0]))
    assert [missing.minutes for missing in worker.table.missing(keys)] == [[0]]


def test_a_minute_after_the_newest_is_not_asked_of_the_store() -> None:
    worker = Worker([Quote(0, 1.0, 1.0, 0)], retention=60)
    worker.fold(1)
    keys = worker.table.keys(np.array([0, 0]), np.array([MINUTE_MS, 5 * MINUTE_MS]))
    assert worker.table.missing(keys) == []


def test_the_last_minute_of_all_has_a_key_of_its_own() -> None:
    table = BarTable(60, RENEW_AFTER_S)
    keys = table.keys(np.array([0, 1, 1]), np.array([MAX_TS_MS, MAX_TS_MS, 0]))
    assert len(set(keys.tolist())) == 3
    assert table.unknown(np.array([2, 1, 0, 2])).tolist() == [2]


def test_bars_are_stored_as_json_that_a_person_reads() -> None:
    worker = Worker([Quote(0, 30.72, 100.0, 1_000), Quote(0, 30.5, 0.0, 2_000)], retention=60)
    worker.follow([])
    assert (
        worker.store[0]
        .bars[0]
        .startswith(
            '{"o":30.72,"h":30.72,"l":30.5,"c":30.5,"v":100.0,"n":2,"pv":3072.0,'
            '"ot":1000,"ct":2000,"off":[1,1]'
        )
    )


def due(table: BarTable, closed_minute: int) -> list[tuple[int, int, int]]:
    """Instrument, minute and number of quotes of each bar that is due."""
    its = table.take_due(closed_minute)
    columns = its.instrument_id, its.minute, its.bars["count"]
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def test_a_bar_is_due_once_its_minute_is_closed_and_again_when_a_quote_changes_it() -> None:
    worker = Worker([Quote(0, 1.0, 1.0, m * MINUTE_MS) for m in (0, 0, 1, 0)], retention=60)
    worker.fold(3)
    assert worker.table.open_minutes == (0, 1)
    assert due(worker.table, NO_MINUTE) == []
    assert due(worker.table, 0) == [(0, 0, 2)]
    assert due(worker.table, 0) == []
    worker.fold(1)
    assert due(worker.table, 0) == [(0, 0, 3)]
    assert worker.table.open_minutes == (1, 1)


def test_a_bar_that_is_no_longer_retained_is_due_as_nothing_changes_it_any_more() -> None:
    worker = Worker([Quote(0, 1.0, 1.0, m * MINUTE_MS) for m in (0, 2)], retention=2)
    worker.fold(2)
    assert due(worker.table, NO_MINUTE) == [(0, 0, 1)]


def test_a_bar_read_from_the_store_is_due_if_its_minute_was_not_closed() -> None:
    worker = Worker([Quote(0, 1.0, 1.0, m * MINUTE_MS) for m in (0, 1, 0, 1)], retention=60)
    worker.fold(2)
    worker.flush()
    worker.crash()
    worker.table = BarTable(60, RENEW_AFTER_S, closed_minute=0)
    worker.position = worker.next_offset = 0  # so all that is folded was folded before
    worker.fold(2)
    assert worker.replayed == 2
    assert due(worker.table, 1) == [(0, 1, 1)]


def test_instruments_without_recent_quotes_are_forgotten() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_INSTRUMENTS_AT_MOST", 20)
        table = BarTable(60, RENEW_AFTER_S)
        for first in range(0, 1_000, 10):
            ids = np.arange(first, first + 10)
            times = np.full(10, (9 + first) * MINUTE_MS)
            keys = table.keys(ids, times)
            missing = table.missing(keys)
            assert [m.instrument_id for m in missing] == ids.tolist()
            table.insert(missing, [NO_MINUTE] * 10, np.empty(0, BAR))
            table.add(keys, columns_of([1] * 10, [1] * 10, times), np.arange(10))
            table.take_due(MAX_TS_MS // MINUTE_MS)
            assert len(table.take_changed(0.0).minute) == 10
            table.evict()
            assert len(table) <= 30
            assert len(table.unknown(np.arange(1_000))) >= 970
            assert len(table.unknown(ids)) == 0, "the latest are known"


def test_instruments_whose_bars_are_not_published_are_not_forgotten() -> None:
    table = BarTable(60, RENEW_AFTER_S)
    for instrument in range(20):
        one, ts_ms = np.array([instrument]), np.array([9 * MINUTE_MS])
        keys = table.keys(one, ts_ms)
        table.insert(table.missing(keys), [NO_MINUTE], np.empty(0, BAR))
        table.add(keys, columns_of([1], [1], ts_ms), np.array([instrument]))
        table.take_changed(0.0)
        table.evict()
    assert table.take_due(9).instrument_id.tolist() == list(range(20))


def test_the_newest_minute_is_rewritten_after_half_of_its_lifetime() -> None:
    worker = Worker([(4, 1.0, 1.0, 9 * MINUTE_MS)] * 4, retention=60)
    for now_s, is_told in ((0.0, True), (99.0, False), (100.0, True), (101.0, False)):
        worker.fold(1)
        assert bool(worker.table.take_changed(now_s).newest) == is_told
        worker.table.evict()
