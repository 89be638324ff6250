"""What meets whom in each benchmark: publishes the input, and lets the contenders run on it."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from benchmarks import bars, interactions, limits, poison
from benchmarks.engines import Program
from benchmarks.feed import publish, publish_raw
from benchmarks.report import Comparison
from benchmarks.rounds import Run, interleaved
from benchmarks.stage import Stage
from contracts.messages import Quote
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from runtime.topology import Topology

Say = Callable[[int, str, Run], None]

TICKREC: Final = "tickrec"
PLAIN_INTERACTIONS: Final = "plain-interactions"
POISONED: Final = "tickrec, 1 % bad"
CLEAN: Final = "tickrec, clean"
_FEED: Final = "bench-feed"
_SEED: Final = 1
_MINUTE_NS: Final = 60_000_000_000
_DAY_MS: Final = 86_400_000


def contest_bars(
    stage: Stage, rounds: int, quotes: int, instruments: int, peer: Program, say: Say
) -> Comparison:
    """Compare ours with another engine, which folds the same log, or the first part of it.

    The log holds `quotes`, or more if the engine needs more to show what it can.
    """
    log = max(quotes, peer.log)
    _publish_quotes(stage, log, instruments)

    def ours() -> Run:
        return stage.run(
            bars.OURS, lambda keys, topology: bars.OurBars(stage.client, keys, topology, log)
        )

    def its() -> Run:
        return stage.run(
            peer.name, lambda keys, _: bars.PeerBars(stage.client, keys, peer.quotes), peer.argv
        )

    runs = interleaved({TICKREC: ours, str(peer): its}, rounds, say)
    part = f"; {peer} folds the first {peer.quotes:,} and more" if peer.quotes < log else ""
    return Comparison(
        name="bars",
        work=f"{log:,} JSON quotes of {instruments:,} instruments in Kafka to minute bars in "
        f"Redis, one worker{part}",
        unit="quotes/s",
        ours=runs[TICKREC],
        baseline_name=str(peer),
        baseline=runs[str(peer)],
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
            settings=interactions.SETTINGS,
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


def contest_poison(
    stage: Stage, rounds: int, quotes: int, instruments: int, say: Say
) -> Comparison:
    """Compare ours with itself: a log of which one record of a hundred is bad, and a clean one."""

    def clean() -> Run:
        stage.empty_topic(QUOTES.name)
        _publish_quotes(stage, quotes, instruments)
        return stage.run(
            bars.OURS, lambda keys, topology: bars.OurBars(stage.client, keys, topology, quotes)
        )

    def poisoned() -> Run:
        stage.empty_topic(QUOTES.name)
        stage.empty_topic(poison.DEAD_LETTERS)
        stage.make_topics(_FEED)
        made = poison.poisoned(_quotes(quotes, instruments))
        publish_raw(stage.broker.address, QUOTES.name, made)
        return stage.run(
            bars.OURS,
            lambda keys, topology: poison.PoisonedBars(
                stage.client, keys, topology, quotes, stage.broker.address
            ),
        )

    poisoned()  # not counted: lets the broker's JIT compile what both will run
    runs = interleaved({POISONED: poisoned, CLEAN: clean}, rounds, say)
    return Comparison(
        name="poison",
        work=f"{quotes:,} JSON quotes of {instruments:,} instruments in Kafka to minute bars in "
        f"Redis, one worker; every {poison.EVERY}th is bad and becomes a dead letter",
        unit="records/s",
        ours=runs[POISONED],
        baseline_name=CLEAN,
        baseline=runs[CLEAN],
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
    publish(stage.broker.address, QUOTES.name, _quotes(quotes, instruments))
    return topology


def _quotes(quotes: int, instruments: int) -> Iterator[Quote]:
    start_ms = (time.time_ns() // _MINUTE_NS - 2) * bars.MINUTE_MS
    return bars.make_quotes(quotes, instruments, start_ms, _SEED)
