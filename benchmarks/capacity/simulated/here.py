"""This machine as the other benchmarks use it: two cores, and tools of load on them. Simulated.

Worker, broker, store and publisher share both cores. For reads the API process has one of them, and
store and tool of load share the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import simpy

from benchmarks.capacity.costs import Costs
from benchmarks.capacity.simulated.api import Api, Clients
from benchmarks.capacity.simulated.cores import Cores, Steps, Thread
from benchmarks.capacity.simulated.shards import Shard
from benchmarks.capacity.simulated.streams import Stream, evenly, interactions, quotes
from benchmarks.capacity.simulated.workers import Worker
from benchmarks.keepup.publisher import Load
from contracts.messages import Floats
from contracts.topics import INTERACTIONS, QUOTES

SEED: Final = 1
_US: Final = 1e-6
_CORES: Final = 2
_DRAINED_WITHIN_S: Final = 600
_LOOK_S: Final = 0.1
_WARM_S: Final = 0.2
_PUBLISHING_EVERY_S: Final = 0.01
_LINGER_S: Final = 0.01
"""of the prober's producer"""


@dataclass(frozen=True, slots=True)
class Latency:
    """What came of requests, or of quotes."""

    per_s: float
    p50_s: float
    p99_s: float

    @classmethod
    def of(cls, per_s: float, latency_s: Floats) -> "Latency":
        """Summarize latencies, (n,), n of 1 or more."""
        p50_s, p99_s = np.quantile(latency_s, [0.5, 0.99], method="inverted_cdf").tolist()
        return cls(per_s, p50_s, p99_s)


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of a live feed."""

    latency: Latency
    worker_cores: float


def drain(costs: Costs, records: float, instruments: float) -> float:
    """Return how many quotes a second one worker folds of a log that is there beforehand."""
    env = simpy.Environment()
    cores = Cores(env, _CORES)
    stream = quotes(costs, 0.0, instruments, evenly(QUOTES.partitions), backlog=records)
    worker = _worker(cores, costs, stream)
    while env.now < _DRAINED_WITHIN_S:
        env.run(env.now + _LOOK_S)
        if sum(one.flushed for one in worker.partitions) >= records - 1:
            return records / max(one.flushed_at_s for one in worker.partitions)
    raise RuntimeError(f"{records:,} records took more than {_DRAINED_WITHIN_S} s: costs are wrong")


def follow(costs: Costs, load: Load, look_every_s: float) -> Followed:
    """Return how long quotes of a live feed take from published to seen over HTTP.

    They are looked at every so often, from somewhere within the time between two looks.
    """
    env = simpy.Environment()
    cores, rng = Cores(env, _CORES), np.random.default_rng(SEED)
    per_s = load.quotes_per_s
    worker = _worker(
        cores,
        costs,
        quotes(costs, per_s, load.instruments, evenly(QUOTES.partitions)),
        interactions(costs, load.events_per_s, items=1, shares=evenly(INTERACTIONS.partitions)),
    )
    bench, feed = costs.bench, costs.feed
    of_broker_us = max(0.0, feed.broker_live_us - feed.broker_us)
    for busy in (
        bench.publishing_us * per_s * _US,
        of_broker_us * per_s * _US,
        bench.looking_cores,
    ):
        env.process(_keep_busy(Thread(cores), busy))
    env.run(load.seconds)
    of_quotes = [one for one in worker.partitions if one.stream.name == QUOTES.name]
    written_s = np.concatenate([some for one in of_quotes for some in one.fresh])
    looked_s = rng.uniform(0, look_every_s, len(written_s))
    written = sum(one.flushed for one in of_quotes)
    latency = Latency.of(written / load.seconds, written_s + _LINGER_S + looked_s)
    return Followed(latency, worker.thread.busy_s / load.seconds)


def saturate(costs: Costs, connections: int, seconds: float = 2.0) -> Latency:
    """Return what one process answers wrk, that asks for bars on so many connections."""
    return _ask(
        costs, costs.bench.asking_us, lambda clients: clients.wait_in_turn(connections), seconds
    )


def offer(costs: Costs, per_s: float, seconds: float = 4.0) -> Latency:
    """Return what one process answers to requests for bars at random moments."""
    return _ask(costs, costs.bench.offering_us, lambda clients: clients.arrive(per_s), seconds)


def _ask(costs: Costs, own_us: float, begin: Callable[[Clients], None], seconds: float) -> Latency:
    env, reads = simpy.Environment(), costs.reads
    server, other, rng = Cores(env, 1), Cores(env, 1), np.random.default_rng(SEED)
    shards = [Shard(other, reads.store, reads.wake_us)]
    api = Api(server, reads, shards, rng)
    own = Thread(other, reads.wake_us * _US)
    clients = Clients([api], [reads.endpoints["bars"]], [1.0], rng, own, own_us)
    begin(clients)
    env.run(_WARM_S + seconds)
    at_s, latency_s = np.array(clients.answered_at_s), np.array(clients.latency_s)
    counted = at_s > _WARM_S
    return Latency.of(float(counted.sum()) / seconds, latency_s[counted])


def _worker(cores: Cores, costs: Costs, *streams: Stream) -> Worker:
    worker, store = Worker(cores, cores), Shard(cores, costs.reads.store)
    for stream in streams:
        worker.assign(stream, range(len(stream.shares)), [store])
    return worker


def _keep_busy(thread: Thread, share: float) -> Steps:
    """Use a share of a core, evenly."""
    while True:
        yield thread.run(share * _PUBLISHING_EVERY_S)
        yield thread.cores.env.timeout(_PUBLISHING_EVERY_S * (1 - min(share, 1.0)))
