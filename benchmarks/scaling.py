"""How rate and cost change with partitions, workers, instruments, users and history lengths.

Hypothesis: a quote costs the same whatever the number of partitions, and hardly more with more
instruments, since each flush writes those that changed; a second worker helps as far as a core is
free for it; an event costs what its user's history is long, whatever the number of users.

Work, as `bars` and `interactions` have it, for one setting after the other:

- partitions: quotes that stand in Kafka, 1 to 8 partitions, one worker and two. The first of two
  to join would fold alone until the group lets the other in, so they share an empty log, and are
  stopped (SIGSTOP) while the quotes are published, which takes less than their session timeout.
  The time runs from the moment when all of them may go on to the last write.
- instruments: the same, of ever more instruments; one worker, 8 partitions.
- users: events of users who have 10 items each on average; users chosen evenly, items mostly new.
- history: the same of 10,000 users with 10 to 200 items each.

The histories are put into Redis beforehand, as the worker would have written them. Bars and counts
are added up after each run. No baseline: what counts is how the figures change.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from benchmarks import bars, interactions
from benchmarks.contests import Say
from benchmarks.crew import Crew, crew, read_all, spent_together
from benchmarks.feed import publish, publish_raw
from benchmarks.progress import Positions, folded_ms
from benchmarks.report import Ceilings
from benchmarks.rounds import Run, interleaved
from benchmarks.stage import RUN_WITHIN_S, ContenderError, Stage
from contracts.keyspace import OFFSET_FIELD, HistoryEntry, Keyspace
from contracts.messages import Interaction, encode, key_of
from contracts.partitioning import user_partition
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES, STREAMED
from runtime.stores import Store
from runtime.topology import Topology

PARTITIONS: Final = (1, 2, 4, 8)
INSTRUMENTS: Final = (1_000, 10_000, 50_000, 200_000)
USERS: Final = (1_000, 10_000, 100_000)
HISTORY_ITEMS: Final = (10, 50, 200)

_WORKERS: Final = (1, 2)
_QUOTING: Final = 50_000
"""instruments, where their number is not what changes"""
_ACTING: Final = 10_000
"""users, likewise"""
_ITEMS: Final = 10
"""of a user, likewise"""
_QUOTES_OF_INSTRUMENTS: Final = 1_000_000
_EVENTS_OF_USERS: Final = 20_000
_EVENTS_OF_HISTORIES: Final = 10_000
"""Fewer: one of a user with 200 items changes 401 counts."""
_TRADED: Final = 50_000
_STRIDE: Final = 7_919
"""A prime that does not divide `_TRADED`: the items of a user are so far apart."""
_FEED: Final = "bench-feed"
_SEED: Final = 1
_MINUTE_NS: Final = 60_000_000_000
_DAY_MS: Final = 86_400_000
_LOOK_EVERY_S: Final = 0.02
_USERS_A_WRITE: Final = 1_000

Record = tuple[bytes, bytes]
"""key and value"""


def measure(stage: Stage, rounds: int, quotes: int, say: Say) -> Iterator[Ceilings]:
    """Measure each series; yield its runs by setting as soon as it is done."""

    def found(name: str, work: str, unit: str, runs: dict[str, list[Run]]) -> Ceilings:
        return Ceilings(
            work=work,
            unit=unit,
            runs=runs,
            broker=stage.broker.product,
            store=stage.store.product,
            name=f"scaling: {name}",
            plot=True,
        )

    yield found(
        "partitions",
        f"{quotes:,} JSON quotes of {_QUOTING:,} instruments in Kafka to minute bars in Redis",
        "quotes/s",
        _by_partitions(stage, rounds, quotes, say),
    )
    yield found(
        "instruments",
        f"{_QUOTES_OF_INSTRUMENTS:,} JSON quotes in Kafka to minute bars in Redis, one worker",
        "quotes/s",
        _by_instruments(stage, rounds, _QUOTES_OF_INSTRUMENTS, say),
    )
    yield found(
        "users",
        f"{_EVENTS_OF_USERS:,} events of users with {_ITEMS} items each on average, one worker",
        "events/s",
        {
            name: runs
            for users in USERS
            for name, runs in _by_histories(
                stage, rounds, f"{users:,} users", _EVENTS_OF_USERS, users, _ITEMS, say
            ).items()
        },
    )
    yield found(
        "history",
        f"{_EVENTS_OF_HISTORIES:,} events of {_ACTING:,} users, one worker",
        "events/s",
        {
            name: runs
            for items in HISTORY_ITEMS
            for name, runs in _by_histories(
                stage, rounds, f"{items} items a user", _EVENTS_OF_HISTORIES, _ACTING, items, say
            ).items()
        },
    )


def _by_partitions(stage: Stage, rounds: int, quotes: int, say: Say) -> dict[str, list[Run]]:
    log = _log(quotes, _QUOTING)
    runs: dict[str, list[Run]] = {}
    for partitions in PARTITIONS:
        contenders = {
            f"{_count(partitions, 'partition')}, {_count(workers, 'worker')}": partial(
                fold, stage, log, partitions, workers
            )
            # A worker without a partition folds nothing.
            for workers in _WORKERS
            if workers <= partitions
        }
        runs |= interleaved(contenders, rounds, say)
    return runs


def _by_instruments(stage: Stage, rounds: int, quotes: int, say: Say) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {}
    for instruments in INSTRUMENTS:
        log = _log(quotes, instruments)
        run = partial(fold, stage, log, QUOTES.partitions, workers=1)
        runs |= interleaved({f"{instruments:,} instruments": run}, rounds, say)
    return runs


def _by_histories(
    stage: Stage, rounds: int, name: str, events: int, users: int, items: int, say: Say
) -> dict[str, list[Run]]:
    # The events themselves lengthen the histories: on the average over them it is `items`.
    before = max(0, items - events // users // 2)
    yesterday_ms = time.time_ns() // 1_000_000 - _DAY_MS
    made = list(make_events(events, users, yesterday_ms))
    expected = sum_of_new_counts(made, before)
    _remake(stage, _FEED, INTERACTIONS.name, INTERACTIONS.partitions)
    publish(stage.broker.address, INTERACTIONS.name, made)

    def prepared(keys: Keyspace, topology: Topology) -> interactions.OurCounts:
        write_histories(stage.client, keys, topology, users, before, yesterday_ms)
        return interactions.OurCounts(stage, keys, topology, events, expected)

    def run() -> Run:
        stage.empty_topic(COOCCURRENCES.name)
        return stage.run(interactions.OURS, prepared, settings=interactions.SETTINGS)

    return interleaved({name: run}, rounds, say)


def fold(stage: Stage, log: Sequence[Record], partitions: int, workers: int) -> Run:
    """Let some workers fold a log of quotes; time them from its first record to the last write.

    Raises:
        ContenderError: they did not do it.
    """
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    topology = _remake(stage, namespace, QUOTES.name, partitions)
    positions = Positions(stage.client, Keyspace(namespace), topology)
    with crew(stage, namespace, workers) as its:
        its.await_shared(topology)
        with its.standing_still():
            publish_raw(stage.broker.address, QUOTES.name, log)
            before = read_all(stage, its.pids)
            started_ms = time.time_ns() // 1_000_000
        finished_ms = _await_folded(positions, len(log), its)
        cpu_s = spent_together(before, read_all(stage, its.pids))
    bars.check_bars(stage.client, Keyspace(namespace), len(log))
    return Run(len(log), (finished_ms - started_ms) / 1000, cpu_s)


def _await_folded(positions: Positions, quotes: int, its: Crew) -> int:
    """Return when the last of the quotes was written, epoch ms."""
    deadline = time.monotonic() + RUN_WITHIN_S
    while (finished_ms := folded_ms(positions.of(QUOTES), quotes)) is None:
        its.check()
        if time.monotonic() > deadline:
            raise ContenderError(f"{quotes} quotes were not folded within {RUN_WITHIN_S} s")
        time.sleep(_LOOK_EVERY_S)
    return finished_ms


def make_events(n: int, users: int, start_ms: int) -> Iterator[Interaction]:
    """Return n events, a millisecond apart, of users and instruments that are chosen evenly."""
    rng = np.random.default_rng(_SEED)
    chosen = zip(
        rng.integers(0, users, n).tolist(), rng.integers(0, _TRADED, n).tolist(), strict=True
    )
    for number, (user, instrument) in enumerate(chosen):
        yield Interaction(user_id=_user(user), instrument_id=instrument, ts=start_ms + number)


def items_of(user: int, items: int) -> list[int]:
    """Return the items that a user has beforehand, all different."""
    return [(user + place * _STRIDE) % _TRADED for place in range(items)]


def sum_of_new_counts(events: Sequence[Interaction], items: int) -> int:
    """Return by how much the events raise the sum of all entries of G.

    A user's share of it is the number of items, squared; each had `items` beforehand.
    """
    histories: dict[str, set[int]] = {}
    for event in events:
        user = int(event.user_id.removeprefix(_user("")))
        history = histories.setdefault(event.user_id, set(items_of(user, items)))
        history.add(event.instrument_id)
    return sum(len(history) ** 2 - items**2 for history in histories.values())


def write_histories(
    store: Store, keyspace: Keyspace, topology: Topology, users: int, items: int, ts_ms: int
) -> None:
    """Write what each user has beforehand, as of before the log's first record."""
    entry = msgspec.json.encode(HistoryEntry(r=1, t=ts_ms)).decode()
    for first in range(0, users if items else 0, _USERS_A_WRITE):
        with store.pipeline(transaction=False) as pipeline:
            for user in range(first, min(users, first + _USERS_A_WRITE)):
                partition = user_partition(_user(user), topology.interactions)
                history: dict[Any, str] = {str(item): entry for item in items_of(user, items)}
                history[OFFSET_FIELD] = "[0,-1]"
                pipeline.hset(keyspace.history(partition, _user(user)), mapping=history)
            pipeline.execute()


def _log(quotes: int, instruments: int) -> list[Record]:
    """Return quotes of the last full minute but one, ready to be published."""
    start_ms = (time.time_ns() // _MINUTE_NS - 2) * bars.MINUTE_MS
    made = bars.make_quotes(quotes, instruments, start_ms, _SEED)
    return [(key_of(quote), encode(quote)) for quote in made]


def _remake(stage: Stage, namespace: str, topic: str, partitions: int) -> Topology:
    """Make all anew and empty; nothing is left that a worker would fold beside what is timed."""
    stage.client.flushall()
    for streamed in STREAMED:
        stage.empty_topic(streamed.name)
    return stage.make_topics(namespace, **{topic: partitions})


def _user(user: int | str) -> str:
    return f"user-{user}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
