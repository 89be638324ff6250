"""A live feed of quotes and events, folded and read over HTTP at the same time, against the clock.

Hypothesis: one worker keeps up with 50,000 instruments that quote once a second while users trade,
and 99 of 100 quotes are readable over HTTP within 1.5 s, since bars are written once a second.

Work: topics and store are empty, worker and API run and wait. Then `traffic` publishes at the rate,
`prober` publishes the quotes of a few of the instruments itself and looks for them over HTTP, and
this process reads the worker's positions. All of it, broker and store included, shares the machine.
Ten seconds of it beforehand, which do not count, warm the broker's JIT up. After that nothing is
left out: the worker is new, its first second, in which it looks for each instrument in Redis,
counts, and so does the turn of the minute, which begins a bar of each.

Baseline: the clock. The lag is what was published but is not in Redis, in seconds' worth of quotes.
A worker keeps up if it ended below 2 s and its straight line does not rise by 0.02 s a second. The
highest rate is looked for by doubling and halving; one is too much that was so twice in a row.
"""

import contextlib
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import httpx
import numpy as np

from benchmarks.child import Child, child
from benchmarks.crew import Crew, crew, read_all, serving, spent_together
from benchmarks.latency import Floats, Lag, Latencies, outstanding, sliced
from benchmarks.prober import Probed, Probing
from benchmarks.progress import Positions
from benchmarks.stage import ContenderError, Stage
from benchmarks.traffic import Published, Traffic
from contracts.keyspace import NEXT_FIELD, Keyspace
from contracts.topics import QUOTES, STREAMED
from infra.local.process import LOOPBACK, Server, free_port, running
from runtime.topology import Topology

P99_WITHIN_S: Final = 1.5
SLICE_S: Final = 10.0
_PROBED_INSTRUMENTS: Final = 20
_SEED: Final = 1
_READ_EVERY_S: Final = 0.1
_END_WITHIN_S: Final = 60
_CLOSE_ENOUGH: Final = 0.1
_PUNCTUAL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Load:
    """What is published, for how long, and how many workers fold it."""

    seconds: float
    workers: int
    quotes_per_s: int = 50_000
    instruments: int = 50_000
    events_per_s: int = 500
    users: int = 100_000

    def __str__(self) -> str:
        workers = "one worker" if self.workers == 1 else f"{self.workers} workers"
        return (
            f"{self.quotes_per_s:,} quotes/s of {self.instruments:,} instruments and "
            f"{self.events_per_s:,} events/s of {self.users:,} users for {self.seconds:g} s, "
            f"{workers}"
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """How one load went."""

    load: Load
    published: Published
    probed: Probed
    lag: Lag
    cpu_s: dict[str, float]

    @property
    def latencies(self) -> Latencies:
        """From a quote's publishing to the answer that has it."""
        return Latencies.of(self.probed.latency_s)

    @property
    def slices(self) -> list[Latencies]:
        """The same, by when the quotes were published, `SLICE_S` each."""
        return sliced(self.probed.at_s, self.probed.latency_s, SLICE_S)

    @property
    def punctual(self) -> bool:
        """Whether the records were published at the rate; if not, the load was another one."""
        return self.published.late_at_end_s < _PUNCTUAL_S

    @property
    def keeps_up(self) -> bool:
        """Whether the load was there, and the lag stayed low."""
        return self.punctual and self.lag.keeps_up


def try_load(stage: Stage, load: Load) -> Trial:
    """Put a load on workers and API that start from nothing.

    Raises:
        ContenderError: a process failed, or a record was not published.
    """
    stage.client.flushall()
    for topic in STREAMED:
        stage.empty_topic(topic.name)
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    topology = stage.make_topics(namespace)
    with _players(stage, namespace, topology, load) as players:
        return _play(stage, players, Positions(stage.client, Keyspace(namespace), topology), load)


class Players(NamedTuple):
    """The processes that take part beside the servers."""

    workers: Crew
    api: subprocess.Popen[bytes]
    publisher: Child
    prober: Child

    @property
    def pids(self) -> dict[str, int]:
        """Their processes, by name."""
        return {
            **self.workers.pids,
            "api": self.api.pid,
            "publisher": self.publisher.process.pid,
            "prober": self.prober.process.pid,
        }


@contextlib.contextmanager
def _players(stage: Stage, namespace: str, topology: Topology, load: Load) -> Iterator[Players]:
    """Run all processes, ready from the first line of the block."""
    port = free_port()
    rng = np.random.default_rng(_SEED)
    probed = rng.choice(load.instruments, _PROBED_INSTRUMENTS, replace=False).tolist()
    traffic = _traffic(stage, load, probed)
    probing = Probing(stage.broker.address, LOOPBACK, port, probed, load.seconds)
    with (
        crew(stage, namespace, load.workers) as workers,
        running(_api(stage, namespace, port)) as api,
        child(stage, namespace, "benchmarks.traffic", traffic) as publisher,
        child(stage, namespace, "benchmarks.prober", probing) as prober,
    ):
        workers.await_shared(topology)
        publisher.await_ready()
        prober.await_ready()
        yield Players(workers, api, publisher, prober)


def _play(stage: Stage, players: Players, positions: Positions, load: Load) -> Trial:
    before, own_s = read_all(stage, players.pids), time.process_time()
    players.publisher.go()
    players.prober.go()
    readings = _read(positions, players.workers, load.seconds)
    cpu_s = spent_together(before, read_all(stage, players.pids))
    # What reads the positions takes part as well.
    cpu_s["others"] = max(0.0, cpu_s["others"] - (time.process_time() - own_s))
    published = players.publisher.result(Published, _END_WITHIN_S)
    probed = players.prober.result(Probed, _END_WITHIN_S)
    if published.failed:
        raise ContenderError(f"{published.failed} of {published.records} records were not taken")
    return Trial(load, published, probed, lag_of(readings, published, probed, load), cpu_s)


def _api(stage: Stage, namespace: str, port: int) -> Server:
    settings = {"API_HOST": LOOPBACK, "API_PORT": str(port)}
    command = serving(stage, namespace, "api", "api", settings)
    address = f"http://{LOOPBACK}:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/health/ready", timeout=1).is_success
        except httpx.HTTPError:
            return False

    return Server(command, address, "tickrec", answers)


def _traffic(stage: Stage, load: Load, probed: list[int]) -> Traffic:
    return Traffic(
        bootstrap_servers=stage.broker.address,
        seconds=load.seconds,
        instruments=load.instruments,
        apart=frozenset(probed),
        quotes_per_s=load.quotes_per_s - len(probed),
        users=load.users,
        events_per_s=load.events_per_s,
    )


class Readings(NamedTuple):
    """How many quotes were folded at some times."""

    at_ms: Floats
    folded: Floats


def _read(positions: Positions, workers: Crew, seconds: float) -> Readings:
    """Read the positions until the time is over."""
    began = time.monotonic()
    at_ms, folded = [], []
    while time.monotonic() - began < seconds:
        at_ms.append(time.time_ns() / 1e6)
        folded.append(sum(int(one.get(NEXT_FIELD, 0)) for one in positions.of(QUOTES)))
        workers.check()
        time.sleep(_READ_EVERY_S)
    return Readings(np.array(at_ms), np.array(folded, float))


def lag_of(readings: Readings, published: Published, probed: Probed, load: Load) -> Lag:
    """Return the lag of all quotes, those of both publishers."""
    at_s = (readings.at_ms - published.began_ms) / 1000
    published_at_s = np.array(published.at_s)
    probes = np.searchsorted(np.sort(probed.at_s), published_at_s)
    counts = np.array(published.quotes, np.float64) + probes
    behind = outstanding(at_s, published_at_s, counts, readings.folded)
    return Lag.of(at_s, behind / load.quotes_per_s)


class Highest(NamedTuple):
    """Between which rates the limit lies."""

    kept_up: int
    too_much: int


def search(keeps_up: Callable[[int], bool], first: int) -> Highest:
    """Look for the limit: double the rate until it is too much, then halve the gap.

    The two ends are at most a tenth apart in the end.

    >>> search(lambda rate: rate <= 130_000, first=50_000)
    Highest(kept_up=125000, too_much=137500)
    """
    low, high, rate = 0, None, first
    while high is None or high - low > _CLOSE_ENOUGH * high:
        if keeps_up(rate):
            low = rate
        else:
            high = rate
        rate = 2 * low if high is None else (low + high) // 2
    return Highest(low, high)
