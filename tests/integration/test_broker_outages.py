"""The broker is unreachable for a running worker: it waits, and continues by itself."""

import time
from pathlib import Path

import pytest

from contracts.keyspace import Keyspace
from contracts.topics import QUOTES, STREAMED
from infra.local.kafka.jars import NoKafkaError
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.redis.stores import connect
from runtime.topology import Topology
from tests.chaos.proxy import Network
from tests.chaos.servers.kafka import Kafka, own_kafka
from tests.chaos.servers.restartable import started
from tests.integration.conftest import Pipeline
from tests.integration.watched import counted, diagonal, events, quotes, watched
from tests.patience import eventually

pytestmark = pytest.mark.slow

# `stream_processors.app`
SESSION_TIMEOUT_S = 10


def test_a_worker_cut_off_from_kafka_for_longer_than_its_session_recovers_by_itself(
    store_url: str, namespace: str, tmp_path: Path
) -> None:
    with Network() as network:
        kafka = own_kafka_or_skip(tmp_path, network)
        ((way, proxy),) = kafka.ways
        with started(kafka.server):
            topology = two_of_each(kafka.bootstrap_servers, store_url, namespace)
            pipeline = Pipeline(kafka.bootstrap_servers, store_url, namespace, topology, tmp_path)
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
                worker.await_ready()
            assert counted(pipeline) == 3_000
            assert pipeline.gram() == pipeline.gram_of_histories()
            assert diagonal(pipeline) == 300
            pipeline.store.close()


def own_kafka_or_skip(folder: Path, network: Network, brokers: int = 1) -> Kafka:
    """Brokers that the worker reaches through proxies."""
    folder = folder / "kafka"
    try:
        return own_kafka(folder, network, workers=1, brokers=brokers)
    except NoKafkaError as why:
        pytest.skip(f"only Apache Kafka can be reached in two ways: {why}")


def two_of_each(address: str, store_url: str, namespace: str) -> Topology:
    """Make the topics."""
    keyspace = Keyspace(namespace)
    with connect(store_url, "tests") as store:
        client = brokers.admin(plain(address))
        ensure(client, store, keyspace, {topic.name: 2 for topic in STREAMED})
        return Topology.from_hash(store.hgetall(keyspace.topics()))
