"""Bars that may miss minutes in Redis are marked so by every endpoint."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest

from api.http.parameters import RequestedInstruments
from contracts.keyspace import FOLDING_FIELD, NOT_WHOLE_YET_S, WHOLE_FIELD
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES

from .conftest import RUNNING_S, TOPOLOGY, Filled
from .test_bars_reading import DAY_S, Readers, dense
from .test_bars_reading import readers as readers  # a fixture

RETAINED: Final = 60
HOUR: Final = RUNNING_S // 3600 * 3600
Position = Callable[..., None]


@pytest.fixture
def position(filled: Filled) -> Position:
    """Write the workers' position of instrument 4's partition."""

    def write(**fields: str | int) -> None:
        key = filled.keys.position(QUOTES, instrument_partition(4, TOPOLOGY.quotes))
        folding = f'{{"bars_retention_minutes":{RETAINED}}}'
        filled.store.hset(key, mapping={FOLDING_FIELD: folding, **fields})

    return write


def partial(bars: list[dict[str, Any]]) -> list[int]:
    """Return the starts of the bars that say they are partial, epoch s; the others do not speak."""
    assert all(bar.get("partial", True) is True for bar in bars)
    return [bar["t"] // 1000 for bar in bars if "partial" in bar]


def test_a_bucket_that_begins_before_what_is_retained_is_partial_and_no_other(
    readers: Readers, position: Position
) -> None:
    position()
    readers.filled.bars(4, dense(RETAINED))
    first = RUNNING_S - 60 * (RETAINED - 1)
    for query in ({}, {"start": 0}, {"fill": "previous"}, {"start": 0, "fill": "previous"}):
        hours = readers.one(interval="1h", limit=1000, **query)["bars"]
        assert partial(hours) == [HOUR - 3600 if first < HOUR else HOUR]
        assert [bar["closed"] for bar in hours][:1] == [True]
        assert partial(readers.one(interval="1d", limit=2, **query)["bars"]) == [DAY_S]
        assert partial(readers.one(interval="1m", limit=1000, **query)["bars"]) == []
    assert partial(readers.one(interval="5m", limit=5)["bars"]) == []
    snapshots = readers.run(readers.latest.snapshots(RequestedInstruments({4: "4"}, [])))
    found = snapshots["snapshots"]["4"]
    assert [name for name, part in found.items() if part and part.get("partial")] == ["day"]


@pytest.mark.parametrize(
    ("fields", "ages"),
    [
        ({WHOLE_FIELD: RUNNING_S - 60 * 10}, range(29, 10, -1)),
        ({WHOLE_FIELD: NOT_WHOLE_YET_S}, range(29, -1, -1)),  # until the first record after a loss
        ({}, ()),
    ],
)
def test_after_records_were_lost_what_lies_before_is_partial(
    readers: Readers, position: Position, fields: dict[str, int], ages: Iterable[int]
) -> None:
    readers.filled.bars(4, dense(30))
    position(**fields)
    assert partial(readers.one(limit=30)["bars"]) == [RUNNING_S - 60 * age for age in ages]
