"""Publishes quotes and events at a rate, in a process of its own: first `prepare`, then `publish`.

Values are encoded beforehand but for their `ts`, the moment at which they are published. So a
record costs about a microsecond and a half here, most of it librdkafka's, and publishing leaves the
cores to what is measured. It says how far behind its own schedule it was.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Producer

from benchmarks.bars import make_quotes
from benchmarks.harness.publish import Record, connected, produce, record
from benchmarks.interactions import make_events
from contracts.messages import Interaction, Quote
from contracts.topics import INTERACTIONS, QUOTES

_ROUND_S: Final = 0.01
"""of publishing what became due, and resting"""
_RECORDS_A_TIME: Final = 1_000
"""that share a `ts`"""
_NOTE_EVERY_S: Final = 0.1
_FLUSH_WITHIN_S: Final = 30
_SECONDS_MADE: Final = 4
"""worth of quotes, which then repeat"""
_EVENTS_MADE: Final = 50_000


@dataclass(frozen=True, slots=True)
class Load:
    """What is published, and for how long."""

    seconds: float
    quotes_per_s: int = 50_000
    instruments: int = 50_000
    events_per_s: int = 500
    users: int = 100_000

    def __str__(self) -> str:
        return (
            f"{self.quotes_per_s:,} quotes/s of {self.instruments:,} instruments and "
            f"{self.events_per_s:,} events/s of {self.users:,} users for {self.seconds:g} s, "
            "one worker"
        )


@dataclass(frozen=True, slots=True)
class Published:
    """What was published, and how punctually."""

    began_ms: int
    counts: list[tuple[float, int]]
    """seconds from the beginning, and the quotes that the queue had taken by then"""
    records: int
    failed: int
    most_late_s: float
    """the longest that a record waited to be taken, after it was due"""
    late_at_end_s: float


class Flow:
    """Records of one topic at a rate."""

    def __init__(self, topic: str, messages: Iterable[Quote | Interaction], per_s: float) -> None:
        self.topic = topic
        self.sent = 0
        self._per_s = per_s
        self._templates = itertools.cycle([template(message) for message in messages])

    def due(self, elapsed_s: float) -> int:
        """Return how many are due and were not sent."""
        return int(elapsed_s * self._per_s) - self.sent

    def late_s(self, elapsed_s: float) -> float:
        """Return how long the next one has been due; negative before it is."""
        return elapsed_s - (self.sent + 1) / self._per_s

    def take(self, n: int) -> Iterator[Record]:
        """Return the next n, stamped with this moment, which count as sent."""
        ts = b"%d}" % (time.time_ns() // 1_000_000)
        self.sent += n
        return ((key, head + ts) for key, head in itertools.islice(self._templates, n))


def template(message: Quote | Interaction) -> Record:
    """Return a message without its `ts`, which comes last.

    >>> template(Quote(instrument_id=4, price=30.72, ts=1629061628123))
    (b'4', b'{"instrument_id":4,"price":30.72,"ts":')
    """
    key, value = record(message)
    return key, value[: value.rindex(b":") + 1]


def flows(load: Load, apart: Collection[int]) -> tuple[Flow, Flow]:
    """Return the quotes, but for those of instruments that somebody else publishes, and events."""
    made = make_quotes(_SECONDS_MADE * load.instruments, load.instruments)
    quotes = (quote for quote in made if quote.instrument_id not in apart)
    events = make_events(_EVENTS_MADE, load.users, load.instruments)
    return (
        Flow(QUOTES.name, quotes, load.quotes_per_s - len(apart)),
        Flow(INTERACTIONS.name, events, load.events_per_s),
    )


@contextlib.contextmanager
def publishing_process() -> Iterator[ProcessPoolExecutor]:
    """Run a process for the block that runs what is submitted to it."""
    # Not a fork: librdkafka's threads would be missing there.
    context = multiprocessing.get_context("spawn")
    # Ctrl-C in the terminal is for the process that measures.
    ignored = (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(1, context, initializer=signal.signal, initargs=ignored) as pool:
        yield pool


@dataclass(frozen=True, slots=True)
class _Prepared:
    producer: Producer
    flows: tuple[Flow, Flow]
    failures: list[Any]


_prepared: dict[Load, _Prepared] = {}


def prepare(bootstrap_servers: str, load: Load, apart: Collection[int]) -> int:
    """Connect and encode in this process what `publish` publishes; return the process's id."""
    failures: list[Any] = []
    # A call for each of 50,000 records a second would be most of what this costs.
    only_errors = {"delivery.report.only.error": True}
    producer = connected(
        bootstrap_servers, **only_errors, on_delivery=lambda error, _: failures.append(error)
    )
    _prepared[load] = _Prepared(producer, flows(load, apart), failures)
    return os.getpid()


def publish(load: Load) -> Published:
    """Publish what is due, from now until the time is over."""
    its = _prepared.pop(load)
    quotes, _ = its.flows
    began_ms, began = time.time_ns() // 1_000_000, time.perf_counter()
    counts, most_late_s, elapsed_s = [(0.0, 0)], 0.0, 0.0
    while elapsed_s < load.seconds:
        elapsed_s = min(time.perf_counter() - began, load.seconds)
        most_late_s = max(most_late_s, quotes.late_s(elapsed_s))
        for flow in its.flows:
            for key, value in flow.take(max(0, min(flow.due(elapsed_s), _RECORDS_A_TIME))):
                produce(its.producer, flow.topic, key, value)
            its.producer.poll(0)
        now_s = time.perf_counter() - began
        if now_s - counts[-1][0] >= _NOTE_EVERY_S:
            counts.append((now_s, quotes.sent))
        if all(flow.due(now_s) < _RECORDS_A_TIME for flow in its.flows):
            time.sleep(max(0.0, elapsed_s + _ROUND_S - now_s))
    late_at_end_s = max(0.0, quotes.late_s(elapsed_s))
    failed = its.producer.flush(_FLUSH_WITHIN_S) + len(its.failures)
    records = sum(flow.sent for flow in its.flows)
    return Published(began_ms, counts, records, failed, most_late_s, late_at_end_s)
