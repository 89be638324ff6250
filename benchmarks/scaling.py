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
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, Final

import msgspec
import typer

from benchmarks.bars import check_bars, describe, make_quotes
from benchmarks.harness import session
from benchmarks.harness.contender import awaited
from benchmarks.harness.cpu import read_clock, spent
from benchmarks.harness.namespace import Namespace, folded
from benchmarks.harness.publish import Record, publish, record
from benchmarks.harness.report import alone
from benchmarks.harness.rounds import Run, interleaved
from benchmarks.harness.stage import Stage
from benchmarks.harness.workers import await_shared, running_workers, standing_still
from benchmarks.interactions import make_events, run_ours, sum_of_counts
from contracts.keyspace import OFFSET_FIELD, HistoryEntry
from contracts.partitioning import user_partition
from contracts.topics import INTERACTIONS, QUOTES

_PARTITIONS: Final = (1, 2, 4, 8)
_INSTRUMENTS: Final = (1_000, 10_000, 50_000, 200_000)
_USERS: Final = (1_000, 10_000, 100_000)
_HISTORY_ITEMS: Final = (10, 50, 200)
_QUOTING: Final = 50_000
"""instruments, where their number is not what changes"""
_ACTING: Final = 10_000
"""users, where their number is not what changes"""
_ITEMS: Final = 10
"""of a user, where their number is not what changes"""
_QUOTES_OF_INSTRUMENTS: Final = 1_000_000
_EVENTS_OF_USERS: Final = 20_000
_EVENTS_OF_HISTORIES: Final = 10_000
"""Fewer: one of a user with 200 items changes 401 counts."""
_TRADED: Final = 50_000
_STRIDE: Final = 7_919
"""A prime that does not divide `_TRADED`: the items of a user are so far apart."""
_USERS_A_WRITE: Final = 1_000

Contenders = dict[str, Callable[[], Run]]


def scaling(
    rounds: session.Rounds = 2,
    quotes: Annotated[
        int, typer.Option(min=100_000, help="that one worker folds, or two, on 1 to 8 partitions")
    ] = 2_000_000,
    *,
    json: session.Json = False,
) -> None:
    """Rates and costs by partitions and workers, instruments, users, history lengths."""
    with session.on_stage() as stage:
        for name, work, unit, settings in _series(stage, quotes):
            runs: dict[str, list[Run]] = {}
            for contenders in settings:
                runs |= interleaved(contenders, rounds, session.say)
            session.present(alone(f"scaling: {name}", work, unit, runs, stage.servers), json=json)


def _series(stage: Stage, quotes: int) -> Iterator[tuple[str, str, str, Iterator[Contenders]]]:
    """Return each series' name, work, unit and settings, whose input is made when it is needed."""
    yield "partitions", describe(quotes, _QUOTING), "quotes/s", _by_partitions(stage, quotes)
    work = f"{_QUOTES_OF_INSTRUMENTS:,} JSON quotes in Kafka to minute bars in Redis, one worker"
    yield "instruments", work, "quotes/s", _by_instruments(stage)
    n = _EVENTS_OF_USERS
    by_users = ({f"{users:,} users": _acting(stage, n, users, _ITEMS)} for users in _USERS)
    work = f"{n:,} events of users with {_ITEMS} items each on average, one worker"
    yield "users", work, "events/s", by_users
    m = _EVENTS_OF_HISTORIES
    by_items = ({f"{k} items a user": _acting(stage, m, _ACTING, k)} for k in _HISTORY_ITEMS)
    yield "history", f"{m:,} events of {_ACTING:,} users, one worker", "events/s", by_items


def _by_partitions(stage: Stage, quotes: int) -> Iterator[Contenders]:
    log = [record(quote) for quote in make_quotes(quotes, _QUOTING)]
    for n in _PARTITIONS:
        name = "1 partition" if n == 1 else f"{n} partitions"
        contenders: Contenders = {f"{name}, 1 worker": partial(_fold, stage, log, n, 1)}
        if n > 1:  # a worker without a partition folds nothing
            contenders[f"{name}, 2 workers"] = partial(_fold, stage, log, n, 2)
        yield contenders


def _by_instruments(stage: Stage) -> Iterator[Contenders]:
    for n in _INSTRUMENTS:
        log = [record(quote) for quote in make_quotes(_QUOTES_OF_INSTRUMENTS, n)]
        yield {f"{n:,} instruments": partial(_fold, stage, log, QUOTES.partitions, 1)}


def _fold(stage: Stage, log: list[Record], partitions: int, n: int) -> Run:
    """Let n workers fold a log of quotes; time them from its first record to the last write."""
    namespace = stage.fresh_namespace(quotes=partitions)
    with running_workers(stage, namespace, n) as workers:
        await_shared(workers, namespace.topology)
        pids = {worker.command.name: worker.popen.pid for worker in workers}
        with standing_still(workers):
            publish(stage.broker.address, QUOTES.name, log)
            before = read_clock({**pids, **stage.pids})
            started_ms = time.time_ns() // 1_000_000
        written = awaited(
            lambda: folded(namespace.positions(QUOTES), len(log)), "folding", *workers
        )
        cpu_s = spent(before, read_clock({**pids, **stage.pids}))
    check_bars(namespace, len(log))
    return Run(len(log), (written.at_ms - started_ms) / 1000, cpu_s)


def _acting(stage: Stage, n: int, users: int, items: int) -> Callable[[], Run]:
    """Publish n events of users who have so many items on average; return how to fold them."""
    # The events themselves lengthen the histories.
    before = max(0, items - n // users // 2)
    events = list(make_events(n, users, _TRADED, activity=0, popularity=0))
    expected = sum_of_counts(events, lambda user_id: items_of(user_id, before))
    stage.fresh_namespace()
    publish(stage.broker.address, INTERACTIONS.name, map(record, events))
    prepare = partial(write_histories, users=users, items=before, ts_ms=events[0].ts)
    return partial(run_ours, stage, n, expected, prepare)


def items_of(user_id: str, items: int) -> list[int]:
    """Return the items that a user has beforehand, all different."""
    user = int(user_id.removeprefix("user-"))
    return [(user + place * _STRIDE) % _TRADED for place in range(items)]


def write_histories(namespace: Namespace, users: int, items: int, ts_ms: int) -> None:
    """Write what each user has beforehand, as of before the log's first record."""
    entry = msgspec.json.encode(HistoryEntry(r=1, t=ts_ms)).decode()
    partitions = namespace.topology.interactions
    for first in range(0, users if items else 0, _USERS_A_WRITE):
        with namespace.store.pipeline(transaction=False) as pipeline:
            for user_id in (f"user-{n}" for n in range(first, min(users, first + _USERS_A_WRITE))):
                history: dict[Any, str] = {str(item): entry for item in items_of(user_id, items)}
                history[OFFSET_FIELD] = "[0,-1]"
                key = namespace.keys.history(user_partition(user_id, partitions), user_id)
                pipeline.hset(key, mapping=history)
            pipeline.execute()
