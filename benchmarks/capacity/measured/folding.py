"""Runs of one worker that costs are measured on: a log that is folded, a feed that is followed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.bars import check_bars, make_quotes
from benchmarks.harness.contender import ContenderError, awaited
from benchmarks.harness.cpu import read_clock, spent
from benchmarks.harness.namespace import Namespace, claimed_ms, folded
from benchmarks.harness.publish import publish, record
from benchmarks.harness.rounds import Run
from benchmarks.harness.stage import Stage
from benchmarks.harness.workers import running_workers
from benchmarks.interactions import make_events, run_ours, sum_of_counts
from benchmarks.keepup.publisher import Load
from benchmarks.keepup.report import Trial
from benchmarks.keepup.scenario import try_load
from benchmarks.scaling import items_of, write_histories
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES, Topic
from infra.local.metrics import scrape
from infra.local.process import LOOPBACK

TRADED: Final = 50_000
_ACTING: Final = 5_000
_EVENTS: Final = 5_000
_FLUSHED: Final = "flushed_values_total"


@dataclass(frozen=True, slots=True)
class Drained:
    """One worker folded a log of quotes that was there before it."""

    instruments: int
    run: Run
    values: float
    """bars that were written"""
    calls: float
    """of scripts, in which Redis read and wrote them"""
    log_bytes: float
    """a quote took in the log"""


@dataclass(frozen=True, slots=True)
class Acted:
    """One worker folded events of users who had so many items."""

    items: int
    run: Run
    log_bytes: float
    """an event and its changes took in the log"""
    pair_bytes: float
    """an entry of the counts took in Redis"""


def drain(stage: Stage, quotes: int, instruments: int) -> Drained:
    """Let one worker fold a log of quotes.

    Raises:
        ContenderError: it did not do it.
    """
    namespace = stage.fresh_namespace()
    publish(stage.broker.address, QUOTES.name, map(record, make_quotes(quotes, instruments)))
    log_bytes = _log_bytes(stage, QUOTES) / quotes
    stage.client.config_resetstat()
    with running_workers(stage, namespace, 1) as workers:
        pids = {"worker": workers[0].popen.pid, **stage.pids}
        started_ms = awaited(
            lambda: claimed_ms(namespace.positions(INTERACTIONS)), "claiming", *workers
        )
        before = read_clock(pids)
        written = awaited(lambda: folded(namespace.positions(QUOTES), quotes), "folding", *workers)
        cpu_s = spent(before, read_clock(pids))
        port = workers[0].command.environment["METRICS_PORT"]
        with httpx.Client() as client:
            samples = scrape([f"http://{LOOPBACK}:{port}"], client)
    check_bars(namespace, quotes)
    run = Run(quotes, (written.at_ms - started_ms) / 1000, cpu_s)
    values = samples[0][_FLUSHED, QUOTES.name]
    return Drained(instruments, run, values, _calls(stage), log_bytes)


def follow(stage: Stage, quotes_per_s: int, seconds: float) -> Trial:
    """Let one worker follow a live feed while it is read over HTTP.

    Raises:
        ContenderError: a process failed.
    """
    return try_load(stage, Load(seconds, workers=1, quotes_per_s=quotes_per_s))


def act(stage: Stage, items: int) -> Acted:
    """Let one worker fold an event of each of some users who have so many items.

    Raises:
        ContenderError: it did not do it.
    """
    events = list(make_events(_EVENTS, _ACTING, TRADED, activity=0, popularity=0))
    expected = sum_of_counts(events, lambda user_id: items_of(user_id, items))
    stage.fresh_namespace()
    publish(stage.broker.address, INTERACTIONS.name, map(record, events))
    found: list[Namespace] = []

    def prepare(namespace: Namespace) -> None:
        found.append(namespace)
        write_histories(namespace, users=_ACTING, items=items, ts_ms=events[0].ts)

    run = run_ours(stage, _EVENTS, expected, prepare)
    log_bytes = sum(_log_bytes(stage, topic) for topic in (INTERACTIONS, COOCCURRENCES))
    return Acted(items, run, log_bytes / _EVENTS, _pair_bytes(found[0]))


def _calls(stage: Stage) -> float:
    """Return how many script calls Redis has done since its statistics were reset."""
    return float(stage.client.info("commandstats")["cmdstat_evalsha"]["calls"])


def _log_bytes(stage: Stage, topic: Topic) -> int:
    """Return what the partitions of a topic take on the broker's disk.

    Raises:
        ContenderError: the broker is none that keeps its logs in files.
    """
    folder: Path = stage.folder / "kafka"
    logs = [
        *folder.glob(f"{topic.name}-[0-9]/*.log"),
        *folder.glob(f"{topic.name}-[0-9][0-9]/*.log"),
    ]
    if not logs:
        raise ContenderError("capacity needs Apache Kafka: Java 17 or newer, and Maven")
    return sum(log.stat().st_size for log in logs)


def _pair_bytes(namespace: Namespace, most: int = 500) -> float:
    """Return what an entry of the counts takes, its key's share included."""
    store, used, entries = namespace.store, 0, 0
    found = store.scan_iter(match=f"{namespace.keys.namespace}:cooc:*", count=1_000)
    for _, key in zip(range(most), found, strict=False):
        used += int(store.memory_usage(key, samples=0) or 0)
        entries += int(store.hlen(key)) - 1  # one field is the offset
    return used / max(1, entries)
