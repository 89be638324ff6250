"""One shard of a cluster is dead: running workers continue with the rest, and so does a new one."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.crc import key_slot

from contracts.keyspace import Keyspace
from contracts.messages import encode, key_of
from contracts.topics import QUOTES
from infra.local.process import free_port
from runtime.kafka.broker import log_ends
from runtime.kafka.config import plain
from runtime.topology import Topology
from stream_processors.health import STALLED_AFTER_S
from tests.chaos.servers.cluster import Cluster, partial_cluster
from tests.chaos.servers.store import Node
from tests.conftest import TopicsFactory
from tests.integration.conftest import Pipeline, kill
from tests.integration.watched import counted, quotes
from tests.patience import eventually

pytestmark = pytest.mark.slow

PARTITIONS = 8
QUOTES_AT_ONCE = 1_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with partial_cluster(tmp_path / "nodes", "always") as cluster:
        yield cluster


@pytest.fixture
def on_cluster(
    broker: str, cluster: Cluster, namespace: str, topics: TopicsFactory, tmp_path: Path
) -> Iterator[Pipeline]:
    topology: Topology = topics(quotes=PARTITIONS)
    # A start needs the node that REDIS_URL names, and the one that has the topics.
    lives = cluster.owner_of(key_slot(Keyspace(namespace).topics().encode()))
    pipeline = Pipeline(broker, lives.address, namespace, topology, tmp_path)
    pipeline.store.close()
    pipeline.store = cluster.client()  # type: ignore[assignment]
    pipeline.note_topics()
    yield pipeline
    pipeline.store.close()


def test_workers_continue_with_reachable_shards_and_need_no_restart(
    on_cluster: Pipeline, cluster: Cluster
) -> None:
    pipeline = on_cluster
    dead, on_dead = a_shard_without_the_topics(pipeline, cluster)
    port = free_port()
    with pipeline.worker(metrics_port=port) as worker:
        pipeline.publish(quotes(QUOTES_AT_ONCE))
        pipeline.wait_until_folded([QUOTES])
        dead.kill()
        publish_everywhere(pipeline)
        until_the_rest_is_folded(pipeline, port, on_dead)
        over_s = time.monotonic() + STALLED_AFTER_S + 5
        eventually(lambda: health(port)[0] != 200 or time.monotonic() > over_s, "longer than that")
        code, said = health(port)
        assert (code, said["status"]) == (200, "waiting")
        kill(worker)
    port = free_port()
    with pipeline.worker(metrics_port=port) as worker:
        publish_everywhere(pipeline)
        until_the_rest_is_folded(pipeline, port, on_dead)
        assert health(port)[0] == 200
        dead.start()
        dead.await_ready()
        pipeline.wait_until_folded([QUOTES])
        assert worker.poll() is None
    assert counted(pipeline) == QUOTES_AT_ONCE


def a_shard_without_the_topics(pipeline: Pipeline, cluster: Cluster) -> tuple[Node, set[str]]:
    """Return a master that has partitions of quotes, and their names; a start needs the topics."""
    keys = {
        f"quotes/{p}": pipeline.keyspace.position(QUOTES, p)
        for p in range(pipeline.topology.quotes)
    }
    owners = {name: cluster.owner_of(key_slot(key.encode())) for name, key in keys.items()}
    topics = cluster.owner_of(key_slot(pipeline.keyspace.topics().encode()))
    dead = next(owner for owner in owners.values() if owner is not topics)
    return dead, {name for name, owner in owners.items() if owner is dead}


def publish_everywhere(pipeline: Pipeline) -> None:
    """Publish an invalid record to each partition: it need not belong there."""
    pipeline.publish_raw(
        (QUOTES.name, key_of(quotes(1)[0]), encode(quotes(1)[0])[:-1], p)
        for p in range(pipeline.topology.quotes)
    )


def until_the_rest_is_folded(pipeline: Pipeline, port: int, waiting: set[str]) -> None:
    """Wait until all quotes are in Redis except those of some partitions, which report waiting."""
    ends = log_ends(plain(pipeline.broker), QUOTES.name, pipeline.topology.quotes)
    rest = {p: end for p, end in ends.items() if f"quotes/{p}" not in waiting}

    def is_so() -> bool:
        its = health(port)[1]["partitions"]
        say_so = {name for name, p in its.items() if "waits_for" in p and "quotes" in name}
        return say_so == waiting and rest == {p: pipeline.position(QUOTES, p) for p in rest}

    eventually(is_so, f"all quotes but those of {waiting} folded")


def health(port: int) -> tuple[int, dict[str, Any]]:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
    except httpx.TransportError:
        return 0, {"partitions": {}}
    return answer.status_code, answer.json()
