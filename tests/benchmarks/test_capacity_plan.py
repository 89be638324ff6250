"""A plan multiplies costs out as one would by hand."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.capacity.costs import (
    MEASURED,
    Costs,
    EventCosts,
    FeedCosts,
    KeyCosts,
    ReadCosts,
    Request,
    read_costs,
)
from benchmarks.capacity.demand import Demand, distinct, entries_of_pairs
from benchmarks.capacity.plan import plan, pointer_cores, work

ROUND = Costs(
    measured="round numbers",
    feed=FeedCosts(
        record_us=2.0,
        batch_us=0.0,
        value_us=10.0,
        store_value_us=5.0,
        broker_live_us=1.0,
        log_bytes=40.0,
    ),
    events=EventCosts(
        worker_us=50.0,
        worker_item_us=1.0,
        store_us=20.0,
        store_item_us=2.0,
        broker_us=10.0,
        broker_item_us=0.0,
        log_bytes=100.0,
        log_item_bytes=2.0,
    ),
    reads=ReadCosts(
        turn_us=10.0,
        store_turn_us=3.0,
        store_write_us=5.0,
        endpoints={
            "bars": Request(40.0, 5.0),
            "similar": Request(50.0, 5.0),
            "recommendations": Request(100.0, 15.0),
            "publish": Request(300.0, 0.0),
        },
    ),
    keys=KeyCosts(
        instrument_bytes=1_000.0,
        bar_bytes=100.0,
        user_bytes=100.0,
        item_bytes=20.0,
        pair_bytes=40.0,
        short_pair_bytes=10.0,
    ),
)

FEED = Demand(500_000, 50_000, users=0, calls=0, peak=1, items=50)
AUDIENCE = Demand(0, 50_000, users=86.4e6, calls=1, peak=2, items=50)
"""Of each endpoint 1,000 calls a second, 2,000 at peak."""


def test_a_feed_costs_its_quotes_and_a_bar_of_each_instrument_a_second() -> None:
    found = work(ROUND, FEED, partitions=8)
    assert found.bars_per_s == 50_000  # ten quotes a second each: all change in every second
    assert found.quotes_cores == pytest.approx(500_000 * 2e-6 + 50_000 * 10e-6)
    assert found.store_quotes_cores == pytest.approx(50_000 * 5e-6)
    assert found.broker_cores == pytest.approx(0.5)
    assert found.log_gb_a_day == pytest.approx(500_000 * 86_400 * 40 / 1e9)
    assert found.log_gb == pytest.approx(found.log_gb_a_day)  # kept for a day
    assert found.log_mb_per_s == pytest.approx(20)
    assert found.store_gb == pytest.approx(50_000 * (1_000 + 60 * 100) / 1e9)


def test_an_audience_costs_its_peak_in_cores_and_its_days_in_bytes() -> None:
    found = work(ROUND, AUDIENCE, partitions=8)
    assert AUDIENCE.calls_per_s == pytest.approx(4_000)
    assert AUDIENCE.peak_calls_per_s == pytest.approx(8_000)
    assert found.events_cores == pytest.approx(2_000 * (50 + 50) * 1e-6)
    assert found.store_events_cores == pytest.approx(2_000 * (20 + 100) * 1e-6)
    # Three kinds of read, each with a write of its own: 5 + 5, 5 + 5, 15 + 5 us.
    assert found.store_reads_cores == pytest.approx(2_000 * 40e-6)
    # Of 120 us an event, the share of an eighth, and of the most popular of 50,000.
    hottest = 0.0256 + (1 - 0.0256) / 8
    assert found.hot_counts_cores == pytest.approx(2_000 * 120e-6 * hottest, rel=0.02)
    assert found.api_cores == pytest.approx(2_000 * (50 + 60 + 110 + 310) * 1e-6)
    a_day = 86.4e6 * (40 + 100 + 2 * 50) / 1e9
    assert found.log_gb_a_day == pytest.approx(a_day)
    # A trade is a quote, kept for a day, and an event, kept for a year.
    assert found.log_gb == pytest.approx(86.4e6 * (40 + 200 * 365) / 1e9)


def test_all_pairs_occur_with_so_many_users_and_their_rows_are_long() -> None:
    found = work(ROUND, AUDIENCE, partitions=8)
    assert found.pairs == pytest.approx(50_000**2 / 2, rel=0.001)
    of_users = 86.4e6 * (100 + 50 * 20)
    of_instruments = 50_000 * 7_000
    assert found.store_gb == pytest.approx((of_users + of_instruments + found.pairs * 40) / 1e9)


def test_machines_are_what_the_work_takes_at_a_share_of_their_time() -> None:
    found = plan(ROUND, FEED, utilization=0.6)
    assert found.workers == 3  # 1.5 cores at 60 % each are 2.5
    assert found.shards == 1
    assert found.brokers_cores == 3  # 0.5 cores for each of three replicas, at 60 %
    assert found.log_tb == pytest.approx(3 * 1.728)
    assert found.network_mb_per_s == pytest.approx(60)


def test_memory_makes_shards_and_shards_make_partitions() -> None:
    found = plan(ROUND, AUDIENCE, utilization=0.6)
    assert found.shards == 10  # 145.4 GB in 16 GB each
    assert found.partitions == 32  # two for each shard, a power of two
    assert found.apis == 2  # 1.06 cores
    assert found.shards * found.shard_gb == pytest.approx(found.work.store_gb)


def test_the_scarcest_resource_of_the_smallest_deployment_breaks_first() -> None:
    assert plan(ROUND, FEED, 0.6).exhausted[0][0] == "one worker's core"
    name, times = plan(ROUND, AUDIENCE, 0.6).exhausted[0]
    assert name == "one Redis's 16 GB"
    assert times == pytest.approx(145.4 / 16, rel=0.01)


def test_each_process_asks_for_the_pointer_when_it_kept_it_long_enough() -> None:
    # Of 4,000 requests a second 2,000 come to each of two: one every 0.5 ms, after 20 ms each;
    # alone in a turn, 3 + 5 + 5 us.
    assert pointer_cores(ROUND, AUDIENCE, apis=2) == pytest.approx(2 / 20.5e-3 * 13e-6)
    assert pointer_cores(ROUND, FEED, apis=1) == 0


def test_work_that_more_machines_cannot_share_is_listed_separately() -> None:
    (first, counts), (second, pointer) = plan(ROUND, AUDIENCE, 0.6).undivided
    assert first == "the shard of the most popular item's counts"
    assert counts == pytest.approx(0.013, rel=0.05)  # of 32 partitions
    assert second == "the shard that has model:current"
    assert pointer == pytest.approx(0.00127, rel=0.01)


def test_more_of_anything_never_needs_fewer_machines() -> None:
    def machines(demand: Demand) -> tuple[int, ...]:
        found = plan(read_costs(MEASURED), demand, 0.6)
        return found.workers, found.shards, found.apis, found.brokers_cores

    both = replace(FEED, users=1e6, calls=10, peak=3)
    for name in ("quotes_per_s", "instruments", "users", "calls", "peak", "items"):
        more = replace(both, **{name: 3 * getattr(both, name)})
        pairs = zip(machines(both), machines(more), strict=True)
        assert all(few <= many for few, many in pairs), name


@pytest.mark.parametrize("records", [100, 500, 900, 1_100, 1_700, 2_500])
def test_the_distinct_instruments_of_a_window_are_those_of_permuted_rounds(records: int) -> None:
    values, seed = 500, 7
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    feed = np.concatenate([rng.permutation(values) for _ in range(60)])
    starts = range(0, len(feed) - records, 37)
    found = np.mean([len(np.unique(feed[start : start + records])) for start in starts])
    assert distinct(records, values) == pytest.approx(found, rel=0.02)


def test_entries_of_pairs_are_those_of_users_who_choose_by_zipf() -> None:
    instruments, users, items, seed = 200, 40, 8, 3
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    expected = np.arange(1, instruments + 1) ** -0.8
    expected = np.minimum(1, items * expected / expected.sum())
    found = []
    for _ in range(20):
        user_items = (rng.random((users, instruments)) < expected).astype(float)
        found.append(np.count_nonzero(np.triu(user_items.T @ user_items, k=1)))
    assert entries_of_pairs(instruments, users, items) == pytest.approx(np.mean(found), rel=0.1)
