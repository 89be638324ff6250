"""A planned deployment under its demand: workers, shards and API processes. Simulated.

Each worker, shard and API process has a core of its own, and the network costs nothing. Partitions
are spread round robin over workers and over shards. A part of it, 1/n of the machines with 1/n of
the load, may stand for the whole, as records, histories and bars are spread by a hash and parts
share nothing: nothing but the brokers, which are not the bottleneck here, and the shard that has
`model:current`, whose load a part therefore understates; it is in the closed form.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import simpy

from benchmarks.capacity.costs import Costs
from benchmarks.capacity.demand import Demand, mix
from benchmarks.capacity.plan import Plan
from benchmarks.capacity.simulated.api import Api, Clients
from benchmarks.capacity.simulated.cores import Cores
from benchmarks.capacity.simulated.here import SEED, Latency
from benchmarks.capacity.simulated.shards import Shard
from benchmarks.capacity.simulated.streams import Stream, evenly, interactions, quotes
from benchmarks.capacity.simulated.workers import Worker
from contracts.messages import Floats, Ints
from contracts.partitioning import instrument_partitions

_WARM_S: Final = 2.0
_READS_S: Final = 1.0
_BROKER_CORES: Final = 64
_BACKLOG: Final = 5e6
"""quotes for each worker, to find out how many it can"""
_CONNECTIONS: Final = 64
"""to each API process, to find out how much it can"""
_KEEPS_UP: Final = 0.98


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a demand."""

    freshness: Latency
    """of quotes, from published to written"""
    reads: Latency | None
    """of requests answered, and how long reads took; None where nobody asks"""
    busiest_worker: float
    """of its time"""
    busiest_shard: float
    busiest_api: float

    @property
    def breaks_first(self) -> str:
        """What is busiest."""
        each = {
            "a worker": self.busiest_worker,
            "a shard of Redis": self.busiest_shard,
            "an API process": self.busiest_api,
        }
        return max(each, key=lambda name: each[name])


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many there are of each, and how the records are spread."""

    workers: int
    shards: int
    apis: int
    shares: Sequence[float]
    """of quotes that each partition gets"""

    @property
    def shards_shares(self) -> list[float]:
        """Of requests that each shard gets: as many as of the quotes whose bars it has."""
        return [sum(self.shares[shard :: self.shards]) for shard in range(self.shards)]

    @classmethod
    def of(cls, plan: Plan, part: int, skew: float, instruments: int) -> "Fleet":
        """Return 1/part of a plan; instruments quote by Zipf's law of an exponent, 0: evenly."""
        partitions = max(1, plan.partitions // part)
        shares = zipf_shares(instruments, partitions, skew) if skew else evenly(partitions)
        workers, shards, apis = (
            math.ceil(n / part) for n in (plan.workers, plan.shards, plan.apis)
        )
        return cls(workers, shards, apis, shares)


def simulate(costs: Costs, demand: Demand, fleet: Fleet, part: int, seconds: float) -> Load:
    """Put 1/part of a demand on a fleet, and let it work for so many seconds.

    Raises:
        RuntimeError: it does not keep up.
    """
    env = simpy.Environment()
    shards, apis = _stores(env, costs, fleet), []
    quotes_per_s = demand.published_quotes_per_s / part
    events_per_s = demand.of_each_per_s / part
    streams = [quotes(costs, quotes_per_s, demand.instruments / part, fleet.shares)]
    if events_per_s:
        shares = evenly(len(fleet.shares))
        streams.append(interactions(costs, events_per_s, demand.items, shares))
    workers = _workers(env, streams, fleet, shards)
    env.run(seconds - _READS_S)
    before_s = [one.busy_s for one in shards]
    clients = None
    if demand.of_each_per_s:
        rng = np.random.default_rng(SEED)
        apis = [Api(Cores(env, 1), costs.reads, shards, rng) for _ in range(fleet.apis)]
        clients = Clients(apis, mix(costs), fleet.shards_shares, rng)
        clients.arrive(demand.peak_calls_per_s / part)
    env.run(seconds)
    reads = None if clients is None else Latency.of(
        clients.answered / _READS_S, np.array(clients.latency_s)
    )  # fmt: skip
    return Load(
        freshness=_freshness(workers, quotes_per_s, seconds),
        reads=reads,
        busiest_worker=max(one.thread.busy_s for one in workers) / seconds,
        busiest_shard=max(one.busy_s - before for one, before in zip(shards, before_s, strict=True))
        / _READS_S,
        busiest_api=max((one.busy_s for one in apis), default=0.0) / _READS_S,
    )


def saturation_of_quotes(costs: Costs, demand: Demand, fleet: Fleet, part: int) -> float:
    """Return how many quotes a second all of it folds of a log that is there beforehand."""
    env = simpy.Environment()
    backlog = _BACKLOG * fleet.workers
    stream = quotes(costs, 0.0, demand.instruments / part, fleet.shares, backlog)
    workers = _workers(env, [stream], fleet, _stores(env, costs, fleet))
    partitions = [one for worker in workers for one in worker.partitions]
    while sum(one.flushed for one in partitions) < backlog - 1:
        env.run(env.now + 1)
    return backlog / max(one.flushed_at_s for one in partitions) * part


def saturation_of_reads(costs: Costs, fleet: Fleet, part: int) -> float:
    """Return how many requests a second all API processes answer, when nothing is folded."""
    env, rng = simpy.Environment(), np.random.default_rng(SEED)
    shards = _stores(env, costs, fleet)
    apis = [Api(Cores(env, 1), costs.reads, shards, rng) for _ in range(fleet.apis)]
    clients = Clients(apis, mix(costs), fleet.shards_shares, rng)
    clients.wait_in_turn(_CONNECTIONS * fleet.apis)
    env.run(_READS_S)
    return clients.answered / _READS_S * part


def zipf_shares(instruments: int, partitions: int, exponent: float) -> tuple[float, ...]:
    """Return the shares of quotes by partition if instruments quote by Zipf's law.

    Which instrument has which rank is drawn, as an id says nothing about it.
    """
    rank = np.random.default_rng(SEED).permutation(instruments) + 1
    weight: Floats = rank.astype(np.float64) ** -exponent
    partition: Ints = instrument_partitions(np.arange(instruments), partitions)
    shares = np.bincount(partition, weights=weight, minlength=partitions) / weight.sum()
    return tuple(shares.tolist())


def _stores(env: simpy.Environment, costs: Costs, fleet: Fleet) -> list[Shard]:
    reads = costs.reads
    return [Shard(Cores(env, 1), reads.store, reads.wake_us) for _ in range(fleet.shards)]


def _workers(
    env: simpy.Environment, streams: Sequence[Stream], fleet: Fleet, shards: Sequence[Shard]
) -> list[Worker]:
    broker = Cores(env, _BROKER_CORES)
    workers = [Worker(Cores(env, 1), broker) for _ in range(fleet.workers)]
    for stream in streams:
        for number, worker in enumerate(workers):
            worker.assign(stream, range(number, len(stream.shares), len(workers)), shards)
    return workers


def _freshness(workers: Sequence[Worker], per_s: float, seconds: float) -> Latency:
    its = [one for worker in workers for one in worker.partitions if one.stream.name == "quotes"]
    if sum(one.flushed for one in its) < per_s * (seconds - _WARM_S) * _KEEPS_UP:
        raise RuntimeError("the workers do not keep up with the quotes: plan more of them")
    fresh = np.concatenate([some for one in its for some in one.fresh])
    return Latency.of(per_s, fresh)
