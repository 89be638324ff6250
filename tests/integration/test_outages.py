"""Redis or Kafka away, the log cut or made anew under a worker that runs: it goes on by itself."""

import contextlib
import itertools
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest
from confluent_kafka import TopicPartition

from contracts.keyspace import BarValue, Keyspace
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES, STREAMED
from infra import broker as brokers
from infra.local.kafka.jars import NoKafkaError
from infra.local.process import free_port
from infra.topics import ensure
from runtime.stores import connect
from runtime.topology import Topology
from tests.chaos.proxy import Network
from tests.chaos.servers import Kafka, Restartable, durable_store, own_kafka
from tests.integration.conftest import Pipeline, eventually

pytestmark = pytest.mark.integration

BASE_MS = 1_700_000_040_000
INSTRUMENTS = 5
MB = 1 << 20
# What the clients wait for an answer before they try again, `runtime.stores`.
REDIS_TIMEOUT_S = 5
# `stream_processors.app`
SESSION_TIMEOUT_S = 10
# At most, for records to come; Faust's 1.5 s.
FETCH_WAITS_S = 2
# Taken on board they would be hundreds of megabytes.
WAITING_QUOTES = 1_000_000
MEMORY_ON_BOARD = 150 * MB

_bar = msgspec.json.Decoder(BarValue)


def quotes(n: int, first: int = 0) -> list[Quote]:
    return [
        Quote(instrument_id=k % INSTRUMENTS, price=1 + k, size=1, ts=BASE_MS + k)
        for k in range(first, first + n)
    ]


def events(n: int, first: int = 0) -> list[Interaction]:
    return [
        Interaction(user_id=f"u{k % 7}", instrument_id=k, ts=BASE_MS + k)
        for k in range(first, first + n)
    ]


def counted(pipeline: Pipeline) -> int:
    """The quotes in all bars."""
    total = 0
    for instrument in range(INSTRUMENTS):
        partition = instrument_partition(instrument, pipeline.topology.quotes)
        bars = pipeline.store.hgetall(pipeline.keyspace.bars(partition, instrument))
        bars.pop("newest", None)
        total += sum(_bar.decode(bar).n for bar in bars.values())
    return total


class Watched:
    """A worker, and what it says of itself."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = psutil.Process(process.pid)
        self._address = f"http://127.0.0.1:{port}"

    def ready(self) -> dict[str, str]:
        return httpx.get(f"{self._address}/health/ready", timeout=5).json()

    def partitions(self) -> dict[str, int]:
        return httpx.get(f"{self._address}/health", timeout=5).json()["partitions"]

    def metric(self, name: str, topic: str) -> float:
        said = httpx.get(f"{self._address}/metrics", timeout=5).text
        return float(re.search(rf'^{name}{{topic="{topic}"}} (\S+)$', said, re.MULTILINE)[1])

    def runs(self) -> bool:
        return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE


@contextlib.contextmanager
def watched(pipeline: Pipeline, **settings: str | int) -> Iterator[Watched]:
    port = free_port()
    with pipeline.worker(metrics_port=port, **settings) as process:
        worker = Watched(process, port)
        eventually(lambda: _is_assigned(worker), "the worker has its partitions")
        yield worker
        assert worker.runs(), f"the worker ended by itself, see {pipeline.folder}"


def _is_assigned(worker: Watched) -> bool:
    try:
        return len(worker.partitions()) == 6
    except httpx.TransportError:
        return False


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[Restartable]:
    """A store that keeps what it acknowledged, and may be killed."""
    folder = tmp_path / "store"
    folder.mkdir()
    store = durable_store(folder)
    store.start()
    store.await_ready()
    yield store
    store.stop()


@pytest.fixture
def on_own_store(
    broker: str, own_store: Restartable, namespace: str, topology: Topology, tmp_path: Path
) -> Iterator[Pipeline]:
    pipeline = Pipeline(broker, own_store.address, namespace, topology, tmp_path)
    note_topics(pipeline, topology)
    yield pipeline
    pipeline.store.close()


def note_topics(pipeline: Pipeline, topology: Topology) -> None:
    pipeline.store.hset(
        pipeline.keyspace.topics(), mapping={t.name: getattr(topology, t.name) for t in STREAMED}
    )


def test_a_store_that_is_killed_under_load_is_waited_for_and_nothing_is_lost_or_counted_twice(
    on_own_store: Pipeline, own_store: Restartable
) -> None:
    pipeline = on_own_store
    with watched(pipeline) as worker:
        pipeline.publish([*quotes(1_000), *events(100)])
        pipeline.wait_for_position(QUOTES, 1)
        assert worker.ready() == {
            "status": "ready", "progress": "ok", "store": "ok", "broker": "ok",
        }  # fmt: skip
        pipeline.publish([*quotes(1_000, 1_000), *events(100, 100)])
        own_store.kill()
        pipeline.publish([*quotes(1_000, 2_000), *events(100, 200)])
        eventually(lambda: _says(pipeline, "the store is away, trying again"), "it says so")
        assert worker.ready() | {"progress": ""} == {
            "status": "not ready", "progress": "", "store": "away", "broker": "ok",
        }  # fmt: skip
        own_store.start()
        own_store.await_ready()
        pipeline.wait_until_folded()
        assert worker.ready()["status"] == "ready"
    assert counted(pipeline) == 3_000
    assert pipeline.gram() == pipeline.gram_of_histories()
    assert diagonal(pipeline) == 300


def _says(pipeline: Pipeline, words: str) -> bool:
    return words in (pipeline.folder / "worker.log").read_text()


def test_while_the_store_is_frozen_a_worker_takes_a_bounded_amount_on_board_however_much_waits(
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


def test_a_worker_cut_off_from_kafka_for_longer_than_its_session_goes_on_by_itself(
    store_url: str, namespace: str, tmp_path: Path
) -> None:
    with Network() as network, contextlib.ExitStack() as stack:
        kafka = own_kafka_or_skip(tmp_path, network)
        stack.callback(kafka.server.stop)
        ((way, proxy),) = kafka.ways
        kafka.server.start()
        kafka.server.await_ready()
        pipeline = Pipeline(
            kafka.bootstrap_servers, store_url, namespace, two_of_each(kafka, store_url, namespace),
            tmp_path,
        )  # fmt: skip
        with watched(pipeline, kafka_bootstrap_servers=way) as worker:
            pipeline.publish([*quotes(1_000), *events(100)])
            pipeline.wait_for_position(QUOTES, 1)
            pipeline.publish([*quotes(1_000, 1_000), *events(100, 100)])
            proxy.stall()
            longer_than_a_session = time.monotonic() + SESSION_TIMEOUT_S + 1
            pipeline.publish([*quotes(1_000, 2_000), *events(100, 200)])
            assert worker.ready() | {"progress": ""} == {
                "status": "not ready", "progress": "", "store": "ok", "broker": "away",
            }  # fmt: skip
            eventually(lambda: time.monotonic() > longer_than_a_session, "the session's end")
            proxy.open()
            pipeline.wait_until_folded()
            assert worker.ready()["status"] == "ready"
        assert counted(pipeline) == 3_000
        assert pipeline.gram() == pipeline.gram_of_histories()
        assert diagonal(pipeline) == 300
        pipeline.store.close()


@pytest.mark.kafka_only
def test_records_that_the_log_dropped_before_they_were_folded_are_counted_exactly(
    pipeline: Pipeline,
) -> None:
    partition = instrument_partition(0, pipeline.topology.quotes)
    of_one = [Quote(instrument_id=0, price=1, ts=BASE_MS + k) for k in range(100)]
    with watched(pipeline):
        pipeline.publish(of_one)
        pipeline.wait_until_folded()
    pipeline.publish(of_one)
    cut_log(pipeline.broker, TopicPartition(QUOTES.name, partition, 137))
    with watched(pipeline) as worker:
        pipeline.wait_until_folded([QUOTES])
        assert worker.metric("records_missing_total", QUOTES.name) == 37
        assert _says(pipeline, "the log no longer reaches back to the position")
    assert counted(pipeline) == 163


@pytest.mark.kafka_only
def test_records_that_the_log_dropped_under_a_worker_that_lags_are_counted_exactly(
    pipeline: Pipeline,
) -> None:
    partition = instrument_partition(0, pipeline.topology.quotes)
    of_one = [Quote(instrument_id=0, price=1, ts=BASE_MS + k) for k in range(100)]
    with watched(pipeline) as worker:
        pipeline.publish(of_one)
        pipeline.wait_until_folded([QUOTES])
        worker.process.suspend()
        no_fetch_waits = time.monotonic() + FETCH_WAITS_S
        eventually(lambda: time.monotonic() > no_fetch_waits, "the broker answers the last fetch")
        pipeline.publish(of_one)
        cut_log(pipeline.broker, TopicPartition(QUOTES.name, partition, 137))
        worker.process.resume()
        pipeline.wait_until_folded([QUOTES])
        missing = worker.metric("records_missing_total", QUOTES.name)
    assert (counted(pipeline), missing) == (163, 37)


@pytest.mark.kafka_only
def test_topics_made_anew_under_a_worker_that_runs_are_folded_within_seconds(
    pipeline: Pipeline, topics: Callable[..., Topology]
) -> None:
    with watched(pipeline) as worker:
        pipeline.publish([*quotes(100), *events(10)])
        pipeline.wait_until_folded()
        client = brokers.admin(pipeline.broker)
        brokers.delete(client, [topic.name for topic in STREAMED])
        eventually(lambda: worker.partitions() == {}, "it has no partitions any longer")
        assert worker.metric("partitions_assigned", QUOTES.name) == 0
        assert worker.metric("topic_partitions", QUOTES.name) == 2
        assert worker.ready()["status"] == "ready"
        topics()
        eventually(lambda: len(worker.partitions()) == 6, "it has them again", within_s=15)
        assert _says(pipeline, "Ignoring missing topic")
        pipeline.publish([*quotes(50), *events(5, 10)])
        pipeline.wait_until_folded()
    assert counted(pipeline) == 150
    assert diagonal(pipeline) == 15


def repeat_quotes(n: int) -> Iterator[tuple[str, bytes, bytes, None]]:
    made = [(QUOTES.name, key_of(quote), encode(quote), None) for quote in quotes(1_000)]
    return itertools.islice(itertools.cycle(made), n)


def diagonal(pipeline: Pipeline) -> float:
    return sum(count for (i, j), count in pipeline.gram().items() if i == j)


def own_kafka_or_skip(folder: Path, network: Network) -> Kafka:
    """A broker that the worker reaches through a proxy."""
    folder = folder / "kafka"
    folder.mkdir()
    try:
        return own_kafka(folder, network, workers=1)
    except NoKafkaError as why:
        pytest.skip(f"only Apache Kafka can be reached in two ways: {why}")


def two_of_each(kafka: Kafka, store_url: str, namespace: str) -> Topology:
    """Make the topics."""
    keyspace = Keyspace(namespace)
    with connect(store_url, "tests") as store:
        client = brokers.admin(kafka.bootstrap_servers)
        ensure(client, store, keyspace, {topic.name: 2 for topic in STREAMED})
        return Topology.from_hash(store.hgetall(keyspace.topics()))


def cut_log(broker: str, before: TopicPartition) -> None:
    """Have the broker drop the records below an offset, as when they are past their retention."""
    client = brokers.admin(broker)
    for cut in client.delete_records([before]).values():
        cut.result(15)
