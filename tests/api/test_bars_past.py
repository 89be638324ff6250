"""Windows read again are the same as read for the first time, whatever happened in between."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from api.bars.reading import BarReader
from api.http.metrics import Metrics
from api.market.reading import LatestReader
from api.redis.store import Store
from contracts.keyspace import (
    CHUNK_FIELD_PREFIX,
    EPOCH_FIELD,
    FOLDING_FIELD,
    NEWEST_FIELD,
    REVISED_FIELD,
)
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES
from tests.examples import examples

from .conftest import NOW_MS, RUNNING_S, TOPOLOGY, Filled
from .test_bars_reading import Readers, Stored, no_hours, value

MINUTE_S: Final = 60
HOUR_S: Final = 3600
PARTITION: Final = instrument_partition(4, TOPOLOGY.quotes)


class Worker:
    """Writes instrument 4's bars as a worker does."""

    def __init__(self, filled: Filled, retention: int, ages: set[int]) -> None:
        self._store = filled.store
        self._key = filled.keys.bars(PARTITION, 4)
        self._position = filled.keys.position(QUOTES, PARTITION)
        self.retention = retention
        self._epoch, self._revisions = 1, 0
        self._store.delete(self._key, self._position)
        self.bars: Stored = {}
        self.claim()
        self.write(*(RUNNING_S - MINUTE_S * age for age in sorted(ages, reverse=True)))

    @property
    def newest_s(self) -> int:
        return max(self.bars)

    def claim(self, *, is_begun: bool = True) -> None:
        """Begin a new epoch; the first write after the claim comes a moment later."""
        self._epoch, self._revisions = self._epoch + 1, 0
        self._store.hset(self._position, EPOCH_FIELD, self._epoch)
        self._store.hdel(self._position, f"{CHUNK_FIELD_PREFIX}1", f"{CHUNK_FIELD_PREFIX}2")
        if is_begun:
            self.commit()

    def write(self, *minutes_s: int) -> None:
        """Change bars, in a flush."""
        self.write_chunk(*minutes_s)
        self.commit()

    def write_chunk(self, *minutes_s: int, number: int = 1) -> None:
        """Change bars, in a flush that is not finished."""
        for minute_s in minutes_s:
            before_s = max(self.bars, default=minute_s)
            newest_s = max(minute_s, before_s)
            if minute_s <= newest_s - self.retention * MINUTE_S:
                continue
            self._revisions += minute_s // HOUR_S < newest_s // HOUR_S
            self.bars[minute_s] = value(len(self.bars) + self._revisions)
            encoded = msgspec.json.encode(self.bars[minute_s])
            kept_s = self.retention * MINUTE_S
            gone = [s for s in self.bars if before_s - kept_s < s <= newest_s - kept_s]
            for second in gone:
                del self.bars[second]
            self._store.hset(self._key, mapping={str(minute_s): encoded, NEWEST_FIELD: newest_s})
            if gone:
                self._store.hdel(self._key, *map(str, gone))
        self._store.hset(self._position, f"{CHUNK_FIELD_PREFIX}{number}", "flush")

    def commit(self) -> None:
        self._store.hdel(self._position, f"{CHUNK_FIELD_PREFIX}1", f"{CHUNK_FIELD_PREFIX}2")
        folding = f'{{"bars_retention_minutes":{self.retention}}}'
        revised = f"{self._epoch}:{self._revisions}"
        self._store.hset(self._position, mapping={FOLDING_FIELD: folding, REVISED_FIELD: revised})


Serving = Callable[[], Readers]


@pytest.fixture
def serving(store_url: str, filled: Filled) -> Serving:
    """Return a new process's reads."""

    def start() -> Readers:
        store = Store(store_url, filled.keys.namespace, Metrics().store_errors)
        clock = lambda: NOW_MS  # noqa: E731
        return Readers(BarReader(store, clock, no_hours), LatestReader(store, clock), filled)

    return start


steps = st.one_of(
    st.tuples(st.just("on time"), st.integers(0, 200)),
    st.tuples(st.just("late"), st.integers(0, 3000)),
    st.tuples(st.just("late, unfinished"), st.integers(0, 3000)),
    st.tuples(st.just("claim"), st.integers(0, 1)),
    st.tuples(st.just("fewer are retained"), st.integers(1, 3000)),
    st.tuples(st.just("expired"), st.integers(0, 100)),
)
questions = st.fixed_dictionaries(
    {
        "interval": st.sampled_from(["5m", "1h", "1h", "1d", "1w"]),
        "limit": st.sampled_from([24, 240, 240, 1000]),
        "end": st.none() | st.integers(0, 3000).map(lambda age: 1000 * (RUNNING_S - 60 * age)),
        "fill": st.sampled_from(["none", "previous"]),
    }
)


def take(worker: Worker, filled: Filled, step: str, minutes: int) -> None:
    before_s = worker.newest_s - MINUTE_S * minutes
    if step == "on time":
        worker.write(worker.newest_s + MINUTE_S * minutes)
    elif step == "late":
        worker.write(before_s)
    elif step == "late, unfinished":
        worker.write_chunk(before_s, number=1 + minutes % 2)
    elif step == "claim":
        worker.claim(is_begun=bool(minutes))
    elif step == "fewer are retained":
        worker.retention = min(worker.retention, minutes)
        worker.claim()
    else:
        newest_s = worker.newest_s
        filled.store.delete(filled.keys.bars(PARTITION, 4))
        worker.bars.clear()
        worker.write(newest_s + MINUTE_S * minutes)


HOURS: Final = {"interval": "1h", "limit": 1000, "end": None, "fill": "none"}


@example(  # of a flush that was cut off, part is there before the next worker's first write
    ages={0, 90},
    retention=200,
    history=[(("late, unfinished", 90), HOURS), (("claim", 0), HOURS)],
    first=HOURS,
)
@example(ages={0, 90}, retention=200, history=[(("expired", 0), HOURS)], first=HOURS)
@example(  # a past hour loses a minute as the newest one moves on
    ages={0, 150, 199}, retention=200, history=[(("on time", 1), HOURS)], first=HOURS
)
@example(
    ages={0, 1},
    retention=200,
    history=[(("fewer are retained", 1), HOURS)],
    first=HOURS | {"limit": 24, "end": 1000 * RUNNING_S},
)
@examples(80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ages=st.sets(st.integers(0, 3000) | st.integers(0, 200), min_size=1, max_size=40),
    retention=st.sampled_from([200, 1500, 10_080]),
    history=st.lists(st.tuples(steps, questions), min_size=1, max_size=8),
    first=questions,
)
def test_a_window_read_again_is_the_same_as_if_it_were_read_for_the_first_time(
    serving: Serving,
    filled: Filled,
    ages: set[int],
    retention: int,
    history: list[tuple[tuple[str, int], dict[str, Any]]],
    first: dict[str, Any],
) -> None:
    worker, readers = Worker(filled, retention, ages), serving()
    assert readers.one(**first) == serving().one(**first)
    for (step, minutes), question in history:
        take(worker, filled, step, minutes)
        readers.bars._seam._partitions.clear()  # it says for some seconds what is retained
        for asked in (first, question):
            assert readers.one(**asked) == serving().one(**asked)
