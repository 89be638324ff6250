"""The machines for a demand in closed form, and what the smallest deployment exhausts first. Pure.

Each kind of machine does its total work at a stated utilization. A core is one of the
machine that costs were measured on; a worker, a shard and an API process use one each.
"""

import math
from dataclasses import dataclass
from typing import Final

from api.models.generations import POINTER_KEPT_S
from benchmarks.capacity.costs import Costs
from benchmarks.capacity.demand import (
    POINTED,
    PUBLISH,
    READS,
    Demand,
    distinct,
    entries_of_pairs,
    partitions_for,
    share_of_hottest,
)
from contracts.topics import INTERACTIONS, QUOTES

REPLICATION: Final = 3
RETENTION_MINUTES: Final = 60
_US: Final = 1e-6
_FETCHES_A_SECOND: Final = 20
_PACKED_ENTRIES: Final = 512
"""of a hash, up to which Redis packs it"""
_GB: Final = 1e9
_DAY_H: Final = 24
SHARD_GB: Final = 16.0
"""of data in a shard: a replica is made of it in a minute or two at 1 Gbit/s"""


@dataclass(frozen=True, slots=True)
class Work:
    """What a demand costs in its busiest hour, in cores and bytes."""

    bars_per_s: float
    """that are written"""
    quotes_cores: float
    """of workers"""
    events_cores: float
    """of workers"""
    store_quotes_cores: float
    store_events_cores: float
    store_reads_cores: float
    hot_counts_cores: float
    """at most, of the one shard that has the partition of the most popular item's counts"""
    api_cores: float
    broker_cores: float
    store_gb: float
    pairs: float
    """counts, of what the store holds"""
    log_gb_a_day: float
    """compressed, before it is replicated"""
    log_gb: float
    """that the topics' retention keeps, before it is replicated"""
    log_mb_per_s: float
    """that producers send in the busiest hour"""

    @property
    def store_cores(self) -> float:
        """Of all shards of Redis."""
        return self.store_quotes_cores + self.store_events_cores + self.store_reads_cores


@dataclass(frozen=True, slots=True)
class Plan:
    """Machines for a demand."""

    work: Work
    partitions: int
    """of `quotes` and of `interactions`"""
    workers: int
    shards: int
    shard_gb: float
    """that each holds"""
    apis: int
    brokers_cores: int
    log_tb: float
    """on all brokers together"""
    network_mb_per_s: float
    """into all brokers together, replicas included"""
    exhausted: tuple[tuple[str, float], ...]
    """what the smallest deployment runs out of, worst first, and how many times it needs it"""
    undivided: tuple[tuple[str, float], ...]
    """cores of work that no more machines take over, most first"""


def work(costs: Costs, demand: Demand, partitions: int) -> Work:
    """Return what a demand costs with so many partitions a topic."""
    feed, events, reads, keys = costs.feed, costs.events, costs.reads, costs.keys
    quotes_per_s, events_per_s = demand.published_quotes_per_s, demand.of_each_per_s
    bars_per_s = distinct(quotes_per_s, demand.instruments)
    batches_cores = _FETCHES_A_SECOND * partitions * feed.batch_us * _US
    event_us = events.worker_us + events.worker_item_us * demand.items
    event_store_us = events.store_us + events.store_item_us * demand.items
    event_broker_us = events.broker_us + events.broker_item_us * demand.items
    event_bytes = events.log_bytes + events.log_item_bytes * demand.items
    pairs = entries_of_pairs(demand.instruments, demand.users, demand.items)
    hottest = share_of_hottest(demand.instruments)
    is_long = pairs / demand.instruments > _PACKED_ENTRIES
    api_us = sum(one.api_us + reads.turn_us for one in reads.endpoints.values())
    store_us = sum(reads.endpoints[name].store_us + reads.store_write_us for name in READS)
    instrument_bytes = keys.instrument_bytes + keys.bar_bytes * RETENTION_MINUTES
    user_bytes = keys.user_bytes + keys.item_bytes * demand.items
    quotes_gb = demand.quotes_a_day * feed.log_bytes / _GB
    events_gb = demand.events_a_day * event_bytes / _GB
    return Work(
        bars_per_s=bars_per_s,
        quotes_cores=(quotes_per_s * feed.record_us + bars_per_s * feed.value_us) * _US
        + batches_cores,
        events_cores=events_per_s * event_us * _US + batches_cores,
        store_quotes_cores=bars_per_s * feed.store_value_us * _US,
        store_events_cores=events_per_s * event_store_us * _US,
        store_reads_cores=demand.of_each_per_s * store_us * _US,
        hot_counts_cores=events_per_s
        * event_store_us
        * _US
        * (hottest + (1 - hottest) / partitions),
        api_cores=demand.of_each_per_s * api_us * _US,
        broker_cores=(quotes_per_s * feed.broker_live_us + events_per_s * event_broker_us) * _US,
        store_gb=(
            demand.instruments * instrument_bytes
            + demand.users * user_bytes
            + pairs * (keys.pair_bytes if is_long else keys.short_pair_bytes)
        )
        / _GB,
        pairs=pairs,
        log_gb_a_day=quotes_gb + events_gb,
        log_gb=quotes_gb * QUOTES.retention_h / _DAY_H
        + events_gb * INTERACTIONS.retention_h / _DAY_H,
        log_mb_per_s=(quotes_per_s * feed.log_bytes + events_per_s * event_bytes) / 1e6,
    )


def pointer_cores(costs: Costs, demand: Demand, apis: int) -> float:
    """Return what so many API processes take of the one shard that has `model:current`.

    Each asks it, alone in a turn, with the first request for lists that comes when the time is over
    for which it keeps the answer.
    """
    reads = costs.reads
    pointed = [reads.endpoints[name] for name in POINTED]
    a_process_per_s = demand.of_each_per_s * len(pointed) / apis
    asked_per_s = apis * a_process_per_s / (1 + a_process_per_s * POINTER_KEPT_S)
    asking_us = min(one.store_us for one in pointed)
    return asked_per_s * (reads.store_turn_us + reads.store_write_us + asking_us) * _US


def plan(costs: Costs, demand: Demand, utilization: float) -> Plan:
    """Return the machines that do a demand at a share of their time."""
    partitions = QUOTES.partitions
    while True:
        found = work(costs, demand, partitions)
        workers = _machines(found.quotes_cores + found.events_cores, utilization)
        shards = max(
            _machines(found.store_cores, utilization), math.ceil(found.store_gb / SHARD_GB)
        )
        # All keys of a partition stand in one shard.
        if partitions >= partitions_for(max(workers, shards)):
            break
        partitions = partitions_for(max(workers, shards))
    apis = _machines(found.api_cores, utilization)
    return Plan(
        work=found,
        partitions=partitions,
        workers=workers,
        shards=shards,
        shard_gb=found.store_gb / shards,
        apis=apis,
        brokers_cores=_machines(found.broker_cores * REPLICATION, utilization),
        log_tb=found.log_gb * REPLICATION / 1000,
        network_mb_per_s=found.log_mb_per_s * REPLICATION,
        exhausted=_exhausted(found),
        undivided=_undivided(found, pointer_cores(costs, demand, apis)),
    )


def _exhausted(found: Work) -> tuple[tuple[str, float], ...]:
    """Compare with one worker, one Redis of `SHARD_GB`, and one API process."""
    needed = {
        "one worker's core": found.quotes_cores + found.events_cores,
        "one Redis's core": found.store_cores,
        f"one Redis's {SHARD_GB:g} GB": found.store_gb / SHARD_GB,
        "one API process's core": found.api_cores,
    }
    return tuple(sorted(needed.items(), key=lambda one: -one[1]))


def _undivided(found: Work, of_pointer: float) -> tuple[tuple[str, float], ...]:
    each = {
        "the shard that has model:current": of_pointer,
        "the shard of the most popular item's counts": found.hot_counts_cores,
    }
    return tuple(sorted(each.items(), key=lambda one: -one[1]))


def _machines(cores: float, utilization: float) -> int:
    return max(1, math.ceil(cores / utilization))


def describe(demand: Demand) -> str:
    """Return a demand in words."""
    users = (
        f", {demand.users:,.0f} users a day x {demand.calls:g} calls to each of "
        f"{len((*READS, PUBLISH))} endpoints: {demand.calls_per_s:,.0f}/s, "
        f"{demand.peak_calls_per_s:,.0f}/s at peak; {demand.items:g} items a user"
    )
    feed = f"{demand.quotes_per_s:,.0f} quotes/s of {demand.instruments:,.0f} instruments"
    return feed + (users if demand.users else "")
