"""Simulated workers and API processes do what their costs allow, and their waits what they say."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import simpy

from benchmarks.capacity.costs import DEFAULT, ReadCosts, Request, StoreCosts
from benchmarks.capacity.demand import Demand
from benchmarks.capacity.plan import plan
from benchmarks.capacity.simulated import deployment, here
from benchmarks.capacity.simulated.api import Api, Clients
from benchmarks.capacity.simulated.cores import Cores
from benchmarks.capacity.simulated.deployment import Fleet, zipf_shares
from benchmarks.capacity.simulated.shards import Shard
from benchmarks.capacity.simulated.streams import evenly, quotes
from benchmarks.capacity.simulated.workers import Worker
from benchmarks.keepup.publisher import Load
from tests.benchmarks.capacity_costs import ROUND

FEED = msgspec.structs.replace(
    ROUND.feed,
    record_us=1.0,
    batch_us=300.0,
    value_us=3.0,
    store_value_us=1.8,
    store_call_us=700.0,
    broker_live_us=4.0,
)
FREE = msgspec.structs.replace(
    FEED, record_us=0.0, batch_us=0.0, value_us=0.0, store_value_us=0.0, broker_us=0.0
)
PLAIN = msgspec.structs.replace(
    ROUND.reads,
    turn_us=0.0,
    store=StoreCosts(turn_us=0.0, write_us=0.0),
    endpoints={"bars": Request(api_us=100.0, store_us=10.0)},
)
COSTS = msgspec.structs.replace(DEFAULT, feed=FEED)
ONLY_QUOTES = Demand(100_000, 50_000, users=0, calls=0, peak=1, items=1)


def ask(
    costs: ReadCosts, connections: int, apis: int = 1, shards: int = 1, seconds: float = 0.1
) -> tuple[list[float], list[Shard]]:
    env, rng = simpy.Environment(), np.random.default_rng(1)
    stores = [Shard(Cores(env, 1), costs.store, costs.wake_us) for _ in range(shards)]
    its = [Api(Cores(env, 1), costs, stores, rng) for _ in range(apis)]
    clients = Clients(its, [costs.endpoints["bars"]], evenly(shards), rng)
    clients.wait_in_turn(connections)
    env.run(seconds)
    return clients.latency_s, stores


def test_a_process_alone_takes_the_sum_of_its_costs() -> None:
    latency_s, _ = ask(PLAIN, connections=1, seconds=0.01)
    assert latency_s[0] == pytest.approx(110e-6)


def test_two_turns_and_three_hops_are_added_to_a_request_that_is_alone() -> None:
    costs = msgspec.structs.replace(PLAIN, turn_us=20.0, store=StoreCosts(2.0, 3.0), wake_us=7.0)
    latency_s, _ = ask(costs, connections=1, seconds=0.01)
    assert latency_s[0] == pytest.approx((110 + 2 * 20 + 5 + 3 * 7) * 1e-6)


def test_a_saturated_process_answers_one_request_in_the_time_that_one_costs() -> None:
    latency_s, _ = ask(PLAIN, connections=32)
    assert len(latency_s) / 0.1 == pytest.approx(10_000, rel=0.04)


def test_the_fixed_cost_of_a_turn_is_shared_by_what_comes_together() -> None:
    costs = msgspec.structs.replace(PLAIN, turn_us=100.0)
    alone, many = (len(ask(costs, n, seconds=0.05)[0]) for n in (1, 32))
    # 310 us each alone; 100 us, and a share of the turn, where 32 wait.
    assert many > 2.5 * alone


def test_each_process_asks_the_one_shard_that_has_the_pointer_once_in_20_ms() -> None:
    pointed = Request(api_us=100.0, store_us=10.0, is_pointed=True)
    costs = msgspec.structs.replace(PLAIN, store=StoreCosts(0.0, 10.0))
    env, rng = simpy.Environment(), np.random.default_rng(1)
    stores = [Shard(Cores(env, 1), costs.store, costs.wake_us) for _ in range(2)]
    apis = [Api(Cores(env, 1), costs, stores, rng) for _ in range(3)]
    # The first shard has nothing but the pointer.
    clients = Clients(apis, [pointed], [0.0, 1.0], rng)
    clients.wait_in_turn(3)
    env.run(0.099)
    assert stores[0].busy_s == pytest.approx(3 * 5 * 20e-6)


def test_a_worker_folds_a_log_as_fast_as_its_interpreter_allows() -> None:
    feed = msgspec.structs.replace(FREE, record_us=2.0)
    costs = msgspec.structs.replace(COSTS, feed=feed)
    records = 20_000_000
    # 40 s of work, and less than a second until the last partition's write is due.
    assert records / 41.1 < here.drain(costs, records, 50_000) <= 500_001


def test_a_quote_waits_half_a_flush_interval_on_average_where_nothing_costs() -> None:
    costs = msgspec.structs.replace(COSTS, feed=FREE)
    env = simpy.Environment()
    cores = Cores(env, 1)
    worker = Worker(cores, cores)
    stream = quotes(costs, 2e5, 50_000, evenly(8))
    worker.assign(stream, range(8), [Shard(cores, PLAIN.store)])
    env.run(6)
    # The first flush of a partition is due after a part of an interval.
    waited_s = np.concatenate([some for one in worker.partitions for some in one.fresh[1:]])
    assert waited_s.mean() == pytest.approx(0.5, abs=0.03)
    assert waited_s.max() < 1.06


def test_fresher_than_written_is_nothing_and_more_quotes_are_never_fresher() -> None:
    found = []
    for per_s in (100_000, 400_000, 800_000):
        load = Load(4.0, workers=1, quotes_per_s=per_s, events_per_s=0)
        found.append(here.follow(COSTS, load, look_every_s=0.0).latency.p99_s)
    assert found == sorted(found)
    assert found[0] > 1.0


def test_every_quote_is_written_once() -> None:
    env = simpy.Environment()
    cores = Cores(env, 2)
    worker = Worker(cores, cores)
    stream = quotes(COSTS, 0.0, 1_000, evenly(8), backlog=80_000)
    worker.assign(stream, range(8), [Shard(cores, PLAIN.store)])
    env.run(10)
    assert [one.flushed for one in worker.partitions] == pytest.approx([10_000] * 8)


def test_more_workers_fold_more_and_a_part_stands_for_the_whole() -> None:
    rates = []
    for workers in (1, 2, 4):
        fleet = Fleet(workers, shards=2, apis=1, shares=evenly(8))
        rates.append(deployment.saturation_of_quotes(COSTS, ONLY_QUOTES, fleet, part=1))
    assert rates[1] == pytest.approx(2 * rates[0], rel=0.1)
    assert rates[2] == pytest.approx(4 * rates[0], rel=0.1)
    half = Fleet(2, shards=1, apis=1, shares=evenly(4))
    of_all = deployment.saturation_of_quotes(COSTS, ONLY_QUOTES, half, part=2)
    assert of_all == pytest.approx(rates[2], rel=0.05)


def test_a_plan_that_is_too_small_is_refused() -> None:
    fleet = Fleet(1, shards=1, apis=1, shares=evenly(8))
    much = replace(ONLY_QUOTES, quotes_per_s=3_000_000)
    with pytest.raises(RuntimeError, match="plan more"):
        deployment.simulate(COSTS, much, fleet, part=1, seconds=8)


def test_a_planned_deployment_keeps_up() -> None:
    its = Fleet.of(plan(COSTS, ONLY_QUOTES, 0.6), 1, 0, 50_000)
    load = deployment.simulate(COSTS, ONLY_QUOTES, its, 1, 6)
    assert load.freshness.p99_s < 1.2
    assert load.reads is None


def test_shares_of_partitions_add_up_and_skew_makes_one_hot() -> None:
    even, skewed = (zipf_shares(5_000, 8, exponent) for exponent in (0.0, 1.0))
    assert sum(even) == pytest.approx(1)
    assert sum(skewed) == pytest.approx(1)
    # The most popular of 5,000 has a share of 1 / H(5,000) = 0.11 of its own.
    assert max(skewed) > max(even) + 0.05


def test_a_trade_costs_its_process_and_asks_nothing_of_redis() -> None:
    costs = msgspec.structs.replace(
        PLAIN,
        store=StoreCosts(0.0, 10.0),
        endpoints={"bars": Request(api_us=100.0, store_us=0.0)},
    )
    env, rng = simpy.Environment(), np.random.default_rng(1)
    store = Shard(Cores(env, 1), costs.store)
    clients = Clients(
        [Api(Cores(env, 1), costs, [store], rng)], list(costs.endpoints.values()), [1.0], rng
    )
    clients.wait_in_turn(4)
    env.run(0.05)
    assert clients.answered == pytest.approx(500, abs=5)
    assert (clients.latency_s, store.busy_s) == ([], 0.0)


def test_writes_that_come_together_share_a_turn_of_redis() -> None:
    env = simpy.Environment()
    store = Shard(Cores(env, 1), StoreCosts(turn_us=50.0, write_us=10.0))
    first, *others = [store.call(5.0) for _ in range(9)]
    env.run(simpy.AllOf(env, [first, *others]))
    # All nine have come before it wakes: one turn, nine writes, nine commands.
    assert env.now == pytest.approx((50 + 9 * 15) * 1e-6)
