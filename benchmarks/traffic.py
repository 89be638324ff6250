"""Publishes quotes and events at a rate: `python -m benchmarks.traffic TASK`, see `child`.

Values are encoded beforehand but for their `ts`, the moment at which they are published. So a
record costs about a microsecond and a half here, most of it librdkafka's, and publishing leaves the
cores to what is measured. It says how far behind its own schedule it was.
"""

import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from benchmarks.bars import make_quotes
from benchmarks.child import await_go, read_task, say
from benchmarks.interactions import make_events
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import INTERACTIONS, QUOTES

ROUND_S: Final = 0.01
"""of publishing what became due, and resting"""
_RECORDS_A_TIME: Final = 1_000
"""that share a `ts`"""
_ROOM_S: Final = 0.01
_NOTE_EVERY_S: Final = 0.1
_FLUSH_WITHIN_S: Final = 30
_PRICES: Final = 4
"""seconds' worth of quotes that are made, and then repeat"""
_EVENTS: Final = 50_000
_SEED: Final = 1

Template = tuple[bytes, bytes]
"""a record's key, and its value up to its `ts`"""


class Traffic(msgspec.Struct, frozen=True):
    """What to publish."""

    bootstrap_servers: str
    seconds: float
    instruments: int
    """that quote in turn, each as often as the others"""
    apart: frozenset[int]
    """those of them that somebody else publishes"""
    quotes_per_s: int
    users: int
    events_per_s: int


class Published(msgspec.Struct, frozen=True):
    """What was published, and how punctually."""

    began_ms: int
    at_s: list[float]
    """seconds from the beginning, of each of the counts below"""
    quotes: list[int]
    """that the queue had taken by then"""
    records: int
    failed: int
    most_late_s: float
    """the longest that a record waited to be taken, after it was due"""
    late_at_end_s: float


class Flow:
    """Records of one topic at a rate."""

    def __init__(self, topic: str, templates: Iterable[Template], per_s: float) -> None:
        self.topic = topic
        self.per_s = per_s
        self.sent = 0
        self._templates = itertools.cycle(templates)

    def due(self, elapsed_s: float) -> int:
        """Return how many are due and were not sent."""
        return int(elapsed_s * self.per_s) - self.sent

    def late_s(self, elapsed_s: float) -> float:
        """Return how long the next one has been due; negative before it is."""
        return elapsed_s - (self.sent + 1) / self.per_s

    def take(self, n: int) -> Iterator[Template]:
        """Return the next n, each of which counts as sent when it is taken."""
        for template in itertools.islice(self._templates, n):
            self.sent += 1
            yield template


def template(message: Quote | Interaction) -> Template:
    """Return a message without its `ts`, which comes last.

    >>> template(Quote(instrument_id=4, price=30.72, ts=1629061628123))
    (b'4', b'{"instrument_id":4,"price":30.72,"ts":')
    """
    head, colon, _ = encode(message).rpartition(b":")
    return key_of(message), head + colon


def flows(task: Traffic) -> tuple[Flow, Flow]:
    """Return the quotes and the events."""
    quotes = make_quotes(_PRICES * task.instruments, task.instruments, 0, _SEED)
    events = make_events(_EVENTS, task.users, task.instruments, 0, _SEED)
    return (
        Flow(
            QUOTES.name,
            [template(quote) for quote in quotes if quote.instrument_id not in task.apart],
            task.quotes_per_s,
        ),
        Flow(INTERACTIONS.name, [template(event) for event in events], task.events_per_s),
    )


class Publisher:
    """Publishes flows, as the project's producers do: murmur2, lz4, idempotent."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.failed = 0
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 10,
                "queue.buffering.max.messages": 200_000,
                # A call for each of 50,000 records a second would be most of what this costs.
                "delivery.report.only.error": True,
                "on_delivery": self._on_failure,
            }
        )
        # Connects now, not when the first records are due.
        self._producer.list_topics(timeout=_FLUSH_WITHIN_S)

    def publish(self, flow: Flow, n: int) -> None:
        """Publish the next n records of a flow, now."""
        produce, topic = self._producer.produce, flow.topic
        ts = b"%d}" % (time.time_ns() // 1_000_000)
        for key, head in flow.take(n):
            while True:
                try:
                    produce(topic, head + ts, key)
                    break
                except BufferError:
                    self._producer.poll(_ROOM_S)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait for what is in the queue; what is left after a while has failed."""
        self.failed += self._producer.flush(_FLUSH_WITHIN_S)

    def _on_failure(self, error: KafkaError | None, _record: Message) -> None:
        if error is not None:
            self.failed += 1


def run(task: Traffic, its: tuple[Flow, Flow], publisher: Publisher) -> Published:
    """Publish what is due, until the time is over."""
    quotes, _ = its
    began_ms, began = time.time_ns() // 1_000_000, time.perf_counter()
    at_s, counts, most_late_s, elapsed_s = [0.0], [0], 0.0, 0.0
    while elapsed_s < task.seconds:
        elapsed_s = min(time.perf_counter() - began, task.seconds)
        most_late_s = max(most_late_s, quotes.late_s(elapsed_s))
        for flow in its:
            publisher.publish(flow, min(flow.due(elapsed_s), _RECORDS_A_TIME))
        now_s = time.perf_counter() - began
        if now_s - at_s[-1] >= _NOTE_EVERY_S:
            at_s.append(now_s)
            counts.append(quotes.sent)
        if all(flow.due(now_s) < _RECORDS_A_TIME for flow in its):
            time.sleep(max(0.0, elapsed_s + ROUND_S - now_s))
    late_at_end_s = max(0.0, quotes.late_s(elapsed_s))
    publisher.flush()
    records = sum(flow.sent for flow in its)
    return Published(began_ms, at_s, counts, records, publisher.failed, most_late_s, late_at_end_s)


def main() -> None:
    """Prepare, begin at the sign, say how it went."""
    task = read_task(Traffic)
    its, publisher = flows(task), Publisher(task.bootstrap_servers)
    await_go()
    say(run(task, its, publisher))


if __name__ == "__main__":
    main()
