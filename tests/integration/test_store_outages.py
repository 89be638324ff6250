"""What a worker buffers while its store is frozen."""

import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.messages import encode, key_of
from contracts.topics import QUOTES
from runtime.topology import Topology
from tests.chaos.servers.restartable import Restartable, started
from tests.chaos.servers.store import Node
from tests.integration.conftest import Pipeline
from tests.integration.watched import counted, quotes, watched
from tests.patience import eventually

pytestmark = pytest.mark.slow

MB = 1 << 20
# How long clients wait for a reply before they retry, `runtime.redis.stores`.
REDIS_TIMEOUT_S = 5
# In memory they would be hundreds of megabytes.
WAITING_QUOTES = 1_000_000
MEMORY_ON_BOARD = 150 * MB


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[Restartable]:
    """A store that may be killed, and has on disk what it acknowledged."""
    store = Node(tmp_path / "store", "always")
    with started(store):
        yield store


@pytest.fixture
def on_own_store(
    broker: str, own_store: Restartable, namespace: str, topology: Topology, tmp_path: Path
) -> Iterator[Pipeline]:
    pipeline = Pipeline(broker, own_store.address, namespace, topology, tmp_path)
    pipeline.note_topics()
    yield pipeline
    pipeline.store.close()


def test_while_the_store_is_frozen_a_worker_buffers_a_bounded_amount_however_much_waits(
    on_own_store: Pipeline, own_store: Restartable
) -> None:
    pipeline = on_own_store
    with watched(pipeline) as worker:
        rss_before = worker.process.memory_info().rss
        own_store.signal(signal.SIGSTOP)
        longer_than_its_timeout = time.monotonic() + REDIS_TIMEOUT_S + 1
        pipeline.publish_raw(repeat_quotes(WAITING_QUOTES))
        eventually(lambda: time.monotonic() > longer_than_its_timeout, "the client's timeout")
        taken = worker.metric("records_total", QUOTES.name)
        grown = worker.process.memory_info().rss - rss_before
        own_store.signal(signal.SIGCONT)
        pipeline.wait_until_folded([QUOTES])
    assert counted(pipeline) == WAITING_QUOTES
    assert taken < WAITING_QUOTES / 10
    assert grown < MEMORY_ON_BOARD, f"{grown / MB:.0f} MB"


def repeat_quotes(n: int) -> Iterator[tuple[str, bytes, bytes, None]]:
    made = [(QUOTES.name, key_of(quote), encode(quote), None) for quote in quotes(1_000)]
    return itertools.islice(itertools.cycle(made), n)
