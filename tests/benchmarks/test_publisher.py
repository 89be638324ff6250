"""The publisher's process prepares first, and keeps to its rate."""

import os
import time

from benchmarks.keepup.publisher import Load, prepare, publish, publishing_process
from contracts.topics import INTERACTIONS, QUOTES
from runtime.kafka.broker import log_ends
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.patience import PATIENCE_S


def test_exactly_what_is_due_is_published(broker: str, topology: Topology) -> None:
    load = Load(1.0, quotes_per_s=901, instruments=100, events_per_s=100, users=10)
    with publishing_process() as publisher:
        assert publisher.submit(prepare, broker, load, frozenset({3})).result() != os.getpid()
        started_ms = time.time_ns() // 1_000_000
        published = publisher.submit(publish, load).result(PATIENCE_S)
    assert published.began_ms >= started_ms
    assert (published.records, published.failed) == (1_000, 0)
    assert len(published.counts) > 1
    assert published.counts == sorted(published.counts)
    assert all(0 <= quotes <= 900 * at_s for at_s, quotes in published.counts)
    assert sum(log_ends(plain(broker), QUOTES.name, topology.quotes).values()) == 900
    assert sum(log_ends(plain(broker), INTERACTIONS.name, topology.interactions).values()) == 100
