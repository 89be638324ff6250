"""How workers end, are restarted one after the other, and buffer while their store is frozen."""

import itertools
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.keyspace import EPOCH_FIELD
from contracts.messages import encode, key_of
from contracts.topics import INTERACTIONS, QUOTES, STREAMED
from infra.local.process import Command, free_port, start, stop
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.chaos.servers.restartable import Restartable, started
from tests.chaos.servers.store import Node
from tests.integration.conftest import WAIT_S, Pipeline
from tests.integration.watched import counted, events, quotes, watched
from tests.patience import eventually

pytestmark = pytest.mark.slow


def test_a_worker_stops_cleanly_on_sigterm_and_has_written_what_it_folded(
    pipeline: Pipeline,
) -> None:
    with pipeline.worker(flush_interval_s=30) as worker:
        pipeline.publish([*quotes(400), *events(40)])
        pipeline.wait_until_folded([INTERACTIONS])
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    assert counted(pipeline) == 400


def test_a_stuck_worker_reports_it_and_ends_even_if_its_threads_hang(
    pipeline: Pipeline,
) -> None:
    command = pipeline.command("worker", "tests.integration.stuck_worker", metrics_port=free_port())
    process = start(command)
    try:
        assert process.wait(WAIT_S) == 1
    finally:
        stop((process, command))
    said = command.log.read_text()
    assert "this worker is stuck" in said
    assert "though Kafka and Redis answer: ending, so that a new process is started" in said


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
        made = [(QUOTES.name, key_of(quote), encode(quote), None) for quote in quotes(1_000)]
        pipeline.publish_raw(itertools.islice(itertools.cycle(made), WAITING_QUOTES))
        eventually(lambda: time.monotonic() > longer_than_its_timeout, "the client's timeout")
        taken = worker.metric("records_total", QUOTES.name)
        grown = worker.process.memory_info().rss - rss_before
        own_store.signal(signal.SIGCONT)
        pipeline.wait_until_folded([QUOTES])
    assert counted(pipeline) == WAITING_QUOTES
    assert taken < WAITING_QUOTES / 10
    assert grown < MEMORY_ON_BOARD, f"{grown / MB:.0f} MB"


WORKERS = ("one", "two")
QUOTES_A_STEP = 500

Members = dict[tuple[str, int], str | None]

Crew = dict[str, tuple[subprocess.Popen[bytes], Command]]
"""the running workers, by their instance id"""


def with_instance_id(pipeline: Pipeline, name: str) -> tuple[subprocess.Popen[bytes], Command]:
    command = pipeline.command(
        f"worker-{name}",
        "stream_processors",
        group_instance_id=name,
        session_timeout_s=60,
        metrics_port=free_port(),
        flush_interval_s="0.2",
        counts_flush_interval_s="0.2",
    )
    return start(command), command


@pytest.fixture
def crew(pipeline: Pipeline) -> Iterator[Crew]:
    crew = {name: with_instance_id(pipeline, name) for name in WORKERS}
    yield crew
    stop(*crew.values())


def members(pipeline: Pipeline) -> Members:
    """Who has which partition; nobody while the group has no coordinator."""
    admin = brokers.Admin(plain(pipeline.broker))
    (answer,) = admin.describe_consumer_groups([pipeline.keyspace.consumer_group()]).values()
    if answer.exception():
        return {}
    return {
        (tp.topic, tp.partition): member.group_instance_id
        for member in answer.result().members
        for tp in member.assignment.topic_partitions
    }


def epochs(pipeline: Pipeline) -> dict[tuple[str, int], str | None]:
    return {
        (topic.name, p): pipeline.store.hget(pipeline.keyspace.position(topic, p), EPOCH_FIELD)
        for topic in STREAMED
        for p in range(2)
    }


@pytest.mark.kafka_only
def test_each_worker_gets_its_partitions_back_and_no_other_worker_stops(
    pipeline: Pipeline, crew: Crew
) -> None:
    eventually(lambda: len(set(members(pipeline).values())) == 2, "both have partitions")
    eventually(lambda: all(epochs(pipeline).values()), "all are claimed")
    before, published = members(pipeline), 0
    for name in WORKERS:
        claimed = epochs(pipeline)
        stop(crew.pop(name))
        pipeline.publish(quotes(QUOTES_A_STEP, published))
        published += QUOTES_A_STEP
        crew[name] = with_instance_id(pipeline, name)
        pipeline.wait_until_folded([QUOTES])
        its = {tp for tp, member in before.items() if member == name}
        eventually(
            lambda its=its, claimed=claimed: all(epochs(pipeline)[tp] != claimed[tp] for tp in its),
            "it has claimed its partitions again",
        )
        again = {tp for tp, epoch in epochs(pipeline).items() if epoch != claimed[tp]}
        assert again == its
        assert members(pipeline) == before
    assert counted(pipeline) == published
