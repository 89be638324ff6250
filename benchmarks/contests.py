"""What meets whom in each benchmark: publishes the input, and lets the contenders run on it."""

import time
from collections.abc import Callable
from typing import Final

from benchmarks import bars, interactions, limits
from benchmarks.feed import publish
from benchmarks.report import Comparison
from benchmarks.rounds import Run, interleaved
from benchmarks.stage import Stage
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from runtime.topology import Topology

Say = Callable[[int, str, Run], None]

TICKREC: Final = "tickrec"
PLAIN_FAUST: Final = "plain-faust"
PLAIN_INTERACTIONS: Final = "plain-interactions"
_FEED: Final = "bench-feed"
_SEED: Final = 1
_MINUTE_NS: Final = 60_000_000_000
_DAY_MS: Final = 86_400_000


def contest_bars(
    stage: Stage, rounds: int, quotes: int, baseline_quotes: int, instruments: int, say: Say
) -> Comparison:
    """Compare ours with the plain Faust app, which folds the first part of the log."""
    _publish_quotes(stage, quotes, instruments)

    def ours() -> Run:
        return stage.run(
            bars.OURS, lambda keys, topology: bars.OurBars(stage.client, keys, topology, quotes)
        )

    def plain() -> Run:
        return stage.run(
            bars.PEER, lambda keys, _: bars.PlainBars(stage.client, keys, baseline_quotes)
        )

    runs = interleaved({TICKREC: ours, PLAIN_FAUST: plain}, rounds, say)
    return Comparison(
        name="bars",
        work=f"{quotes:,} JSON quotes of {instruments:,} instruments in Kafka to minute bars in "
        f"Redis, one worker; {PLAIN_FAUST} folds the first {baseline_quotes:,} and more",
        unit="quotes/s",
        ours=runs[TICKREC],
        baseline_name=PLAIN_FAUST,
        baseline=runs[PLAIN_FAUST],
        broker=stage.broker.product,
        store=stage.store.product,
    )


def contest_interactions(
    stage: Stage, rounds: int, events: int, users: int, instruments: int, say: Say
) -> Comparison:
    """Compare ours with a consumer that takes an event at a time, on the same events."""
    stage.make_topics(_FEED)
    yesterday_ms = time.time_ns() // 1_000_000 - _DAY_MS
    made = list(interactions.make_events(events, users, instruments, yesterday_ms, _SEED))
    publish(stage.broker.address, INTERACTIONS.name, made)
    expected = interactions.sum_of_counts(made)

    def ours() -> Run:
        stage.empty_topic(COOCCURRENCES.name)
        return stage.run(
            interactions.OURS,
            lambda keys, topology: interactions.OurCounts(stage, keys, topology, events, expected),
        )

    def plain() -> Run:
        return stage.run(
            interactions.PEER,
            lambda keys, _: interactions.PlainCounts(stage, keys, events, expected),
        )

    runs = interleaved({TICKREC: ours, PLAIN_INTERACTIONS: plain}, rounds, say)
    return Comparison(
        name="interactions",
        work=f"{events:,} JSON events of {users:,} users and {instruments:,} instruments in Kafka "
        "to histories and counts of pairs in Redis, one worker",
        unit="events/s",
        ours=runs[TICKREC],
        baseline_name=PLAIN_INTERACTIONS,
        baseline=runs[PLAIN_INTERACTIONS],
        broker=stage.broker.product,
        store=stage.store.product,
    )


def measure_limits(
    stage: Stage, rounds: int, quotes: int, instruments: int, say: Say
) -> dict[str, list[Run]]:
    """Return the runs of each step of `bars` alone."""
    partitions = _publish_quotes(stage, quotes, instruments).quotes
    runs: dict[str, list[Run]] = {}
    for number in range(rounds):
        for name, run in limits.measure(stage, partitions, quotes):
            runs.setdefault(name, []).append(run)
            say(number, name, run)
    return runs


def _publish_quotes(stage: Stage, quotes: int, instruments: int) -> Topology:
    """Publish quotes of the last full minute but one."""
    topology = stage.make_topics(_FEED)
    start_ms = (time.time_ns() // _MINUTE_NS - 2) * bars.MINUTE_MS
    publish(
        stage.broker.address, QUOTES.name, bars.make_quotes(quotes, instruments, start_ms, _SEED)
    )
    return topology
