"""Counts by item and time: once each, whatever arrives late, twice, or in parts."""

import numpy as np
import pytest

from contracts.keyspace import OFFSET_FIELD
from contracts.log_position import mark
from contracts.times import DAY_S
from contracts.topics import INTERACTIONS
from contracts.trending import BUCKETS_S, PAGES
from stream_processors.trending import trending as trending_module
from stream_processors.trending.tally import Events
from stream_processors.trending.trending import TrendingFold
from tests.stream_processors.folding import InMemoryClaim
from tests.stream_processors.simulated_store import Hashes

NOW_S = 1_700_000_000
LONG_GONE_S = 12 * DAY_S

Event = tuple[int, int]
"""item and event time, s"""


def trending_of(data: Hashes, incarnation: int = 0) -> tuple[TrendingFold, InMemoryClaim]:
    claim = InMemoryClaim(data, INTERACTIONS, incarnation=incarnation)
    return TrendingFold(claim.as_claim(), lambda: NOW_S), claim


def given_events(log: list[Event], first: int, end: int, incarnation: int = 0) -> Events:
    columns = np.array(log[first:end], np.int64).reshape(-1, 2).T
    marks = mark(incarnation, 0) + np.arange(first, end)
    return Events(columns[0], columns[1] * 1000, marks)


async def test_a_recreated_log_adds_to_the_counts() -> None:
    data: Hashes = {}
    log = [(4, NOW_S)] * 3
    for incarnation in (0, 1):
        trending, claim = trending_of(data, incarnation)
        trending.add(given_events(log, 0, 3, incarnation))
        claim.write((await trending.unwritten()).groups)
    counts = [n for its in data.values() for field, n in its.items() if field != OFFSET_FIELD]
    assert counts == ["6"] * len(BUCKETS_S)


async def test_a_bucket_expires_when_no_window_includes_any_of_it_and_is_not_written_then() -> None:
    trending, claim = trending_of({})
    trending.add(given_events([(4, NOW_S - LONG_GONE_S)], 0, 1))
    assert list((await trending.unwritten()).groups) == []
    assert claim.reads == 0
    trending.add(given_events([(4, NOW_S)], 0, 1))
    expires = {}
    for group in (await trending.unwritten()).groups:
        length, start, _ = map(int, group.key.split(":")[-3:])
        assert group.commands[-4:-1] == ["EXPIREAT", 1, 1]
        expires[length] = int(group.commands[-1]) - start
    assert expires == {600: 600 + 3600, 3600: 3600 + DAY_S, DAY_S: DAY_S + 7 * DAY_S}


async def test_what_a_worker_has_in_memory_is_not_read_again() -> None:
    data: Hashes = {}
    trending, claim = trending_of(data)
    log = [(4, NOW_S), (4, NOW_S), (5, NOW_S), (4 + PAGES, NOW_S), (4, NOW_S)]
    reads = []
    for offset in range(len(log)):
        trending.add(given_events(log, offset, offset + 1))
        claim.write((await trending.unwritten()).groups)
        reads.append(claim.reads)
    assert reads == [3, 3, 6, 6, 6]


async def test_it_reports_when_more_waits_than_memory_should_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trending_module, "_MAX_UNCOUNTED", 2)
    trending, _ = trending_of({})
    said = []
    for _ in range(2):
        trending.add(given_events([(4, NOW_S)], 0, 1))
        said.append(trending.is_full)
    await trending.unwritten()
    assert [*said, trending.is_full] == [False, True, False]
