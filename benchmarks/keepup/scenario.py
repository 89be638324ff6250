"""A live feed of quotes and events, folded and read over HTTP at the same time, against the clock.

Hypothesis: one worker keeps up with 50,000 instruments that quote once a second while users trade,
and 99 of 100 quotes are readable over HTTP within 1.5 s, since bars are written once a second.

Work: topics and store are empty, worker and API run and wait. Then `publisher` publishes at the
rate, and this process publishes the quotes of a few of the instruments, looks for them over HTTP
(`prober`) and reads the worker's positions. All of it, broker and store included, shares the
machine. Ten seconds of it beforehand, which do not count, warm the broker's JIT up. After that
nothing is left out: the worker is new, its first second, in which it looks for each instrument in
Redis, counts, and so does the turn of the minute, which begins a bar of each.

Baseline: the clock. The lag is what was published but is not in Redis, in seconds' worth of quotes.
A worker keeps up if it ended below 2 s and its straight line does not rise by 0.02 s a second.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

import numpy as np
import typer

from benchmarks.harness import session
from benchmarks.harness.contender import ContenderError
from benchmarks.harness.namespace import Namespace
from benchmarks.harness.report import rounded
from benchmarks.harness.stage import Stage
from benchmarks.harness.usage import read_clock, spent
from benchmarks.keepup.prober import LOOK_EVERY_S, Prober
from benchmarks.keepup.publisher import Load, Published, prepare, publish, publishing_process
from benchmarks.keepup.report import Lag, Latencies, Trial, report
from contracts.keyspace import NEXT_FIELD
from contracts.topics import QUOTES

_PROBED_INSTRUMENTS: Final = 20
_SEED: Final = 1
_READ_EVERY_S: Final = 0.1
_END_WITHIN_S: Final = 60
_WARM_UP_S: Final = 10.0


def keepup(
    rounds: session.Rounds = 1,
    seconds: Annotated[float, typer.Option(min=10, help="of publishing")] = 60,
    quotes_per_s: Annotated[int, typer.Option(min=1_000, help="of 50,000 instruments")] = 50_000,
    *,
    json: session.Json = False,
) -> None:
    """A live feed, folded and read over HTTP at the same time: lag, and latency to readable."""
    load = Load(seconds, quotes_per_s)
    with session.on_stage() as stage:
        # The broker's JIT compiles what it will run; ours are restarted each time.
        try_load(stage, replace(load, seconds=_WARM_UP_S))
        trials = [try_load(stage, load) for _ in range(rounds)]
        session.present(report(trials, stage.servers), json=json)


def try_load(stage: Stage, load: Load) -> Trial:
    """Put a load on worker and API that start from nothing.

    Raises:
        ContenderError: a process failed, or a record was not published.
    """
    namespace, rng = stage.fresh_namespace(), np.random.default_rng(_SEED)
    probed = rng.choice(load.instruments, _PROBED_INSTRUMENTS, replace=False).tolist()
    readings: list[tuple[float, int]] = []
    with (
        stage.worker(namespace) as worker,
        stage.api(namespace) as (api, port),
        publishing_process() as publisher,
    ):
        prober = Prober(stage.broker.address, port, probed)
        preparing = publisher.submit(prepare, stage.broker.address, load, frozenset(probed))
        pids = {"worker": worker.popen.pid, "api": api, "publisher": preparing.result()}
        pids |= {"prober": os.getpid(), **stage.pids}
        before = read_clock(pids)
        publishing = publisher.submit(publish, load)
        prober.start()
        while (now_s := prober.now_s()) < load.seconds:
            prober.publish()
            prober.look()
            if now_s >= len(readings) * _READ_EVERY_S:
                readings.append((time.time_ns() / 1e6, _folded(namespace)))
                worker.check()
            time.sleep(max(0.0, now_s + LOOK_EVERY_S - prober.now_s()))
        cpu_s = spent(before, read_clock(pids))
        looked = prober.finish()
        published = publishing.result(_END_WITHIN_S)
    if published.failed:
        raise ContenderError(f"{published.failed} of {published.records} records were not taken")
    at_s, latency_s = prober.waiting.at_s, prober.waiting.latency_s
    late = {"most_late_s": published.most_late_s, "late_at_end_s": published.late_at_end_s}
    return Trial(
        load,
        Latencies.of(latency_s),
        lag_of(readings, published, at_s, load),
        rounded(cpu_s),
        {"records": published.records, **rounded(late)},
        rounded(looked, 4),
    )


def _folded(namespace: Namespace) -> int:
    return sum(int(position.get(NEXT_FIELD, 0)) for position in namespace.positions(QUOTES))


def lag_of(
    readings: Sequence[tuple[float, int]], published: Published, probed: Sequence[float], load: Load
) -> Lag:
    """Return the lag of all quotes, those that were probed included.

    A reading is a time, epoch ms, and how many quotes were folded by then. Between two counts of
    what was published, quotes are taken to come evenly.
    """
    at_ms, folded = np.array(readings, np.float64).T
    counted_at_s, counts = np.array(published.counts, np.float64).T
    counts += np.searchsorted(np.sort(probed), counted_at_s)
    at_s = (at_ms - published.began_ms) / 1000
    # Folded before it was counted as published: nothing is outstanding.
    outstanding = np.maximum(0.0, np.interp(at_s, counted_at_s, counts) - folded)
    return Lag.of(at_s, outstanding / load.quotes_per_s)
