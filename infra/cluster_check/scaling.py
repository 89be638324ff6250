"""Watches autoscalers: the API's by its CPU, and with KEDA the workers' by their lag."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.cimpl import NewTopic

from contracts.keyspace import Keyspace
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from infra.cluster_check.cluster import NAME, CheckError, Cluster
from infra.cluster_check.metrics_api import MetricsApi
from infra.cluster_check.overlays import NAMESPACE
from infra.local.kafka.server import kafka
from infra.local.process import free_port, running
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.settings import SharedSettings

_CPU_STEPS: Final = (0, 900, 0)
"""Millicores of each pod, of the 1,000 that it requests: idle, busy, idle."""
_WITHIN_S: Final = 180
_OVERLAY: Final = Path(__file__).with_name("overlay")
_BROKER: Final = "kafka.kafka:9092"
"""Its name in the overlay; KEDA reads its address from the ConfigMap, like the workers."""
_WORKERS_NEEDED: Final = 5
_GONE_WITHIN_S: Final = 600


def follow_cpu(cluster: Cluster, metrics: MetricsApi) -> Iterator[tuple[int, int, float]]:
    """Make the API's pods busy, then idle again.

    Yields:
        (millicores of each pod, final number of pods, seconds until then) of each step.
    """
    spec = cluster.get("HorizontalPodAutoscaler", NAMESPACE, "api")["spec"]
    for millicores in _CPU_STEPS:
        metrics.cpu_millicores = millicores
        wanted = spec["maxReplicas" if millicores else "minReplicas"]
        yield millicores, wanted, _await_pods(cluster, "api", wanted)


def follow_lag(cluster: Cluster, folder: Path) -> Iterator[tuple[str, str]]:
    """Fill a topic of a real Kafka, then commit all of it; yield what the autoscaler did.

    Raises:
        CheckError: it did not add the workers that the lag needs, or removed several at a time.
    """
    with running(server := kafka(free_port(), folder)):
        config = plain(server.address)
        topics = [NewTopic(t.name, t.partitions, 1) for t in (QUOTES, INTERACTIONS, COOCCURRENCES)]
        brokers.create(brokers.admin(config), topics)
        cluster.apply(cluster.rendered(_OVERLAY).replace(_BROKER, server.address))
        spec = cluster.get("ScaledObject", NAMESPACE, "worker")["spec"]
        fewest = spec["minReplicaCount"]
        took_s = _await_pods(cluster, "worker", fewest)
        yield "KEDA makes the workers' autoscaler", f"{fewest} workers after {took_s:.0f} s"
        lag = _WORKERS_NEEDED * int(spec["triggers"][0]["metadata"]["lagThreshold"])
        _publish(server.address, lag)
        took_s = _await_pods(cluster, "worker", _WORKERS_NEEDED)
        yield f"{lag:,} quotes wait", f"{_WORKERS_NEEDED} workers after {took_s:.0f} s"
        _commit_all(server.address)
        steps = _await_fewest(cluster, fewest)
        if any(before - after > 1 for before, after in pairwise(steps)):
            raise CheckError(f"several workers were removed at a time: {steps}")
        yield "all is committed: workers go one at a time", " ".join(map(str, steps))


def _await_pods(cluster: Cluster, program: str, wanted: int) -> float:
    def have_come() -> bool:
        return len(cluster.mark_ready(NAMESPACE, {NAME: program})) == wanted

    return cluster.wait_until(have_come, f"{wanted} pods of {program}", _WITHIN_S)


def _await_fewest(cluster: Cluster, fewest: int) -> list[int]:
    """Return each size that the autoscaler gave the workers, until they are the fewest."""
    steps: list[int] = []

    def are_fewest() -> bool:
        cluster.mark_ready(NAMESPACE, {NAME: "worker"})
        size = cluster.get("StatefulSet", NAMESPACE, "worker")["spec"]["replicas"]
        if steps[-1:] != [size]:
            steps.append(size)
        return bool(size == fewest)

    cluster.wait_until(are_fewest, f"{fewest} workers are left", _GONE_WITHIN_S)
    return steps


def _publish(address: str, records: int) -> None:
    producer = Producer({"bootstrap.servers": address, "acks": "all"})
    for n in range(records):
        producer.produce(QUOTES.name, b"", partition=n % QUOTES.partitions)
        producer.poll(0)
    if left := producer.flush(_WITHIN_S):
        raise CheckError(f"{left} records could not be published")


def _commit_all(address: str) -> None:
    """Commit the logs' ends as the workers' group, without joining it."""
    namespace: str = SharedSettings.model_fields["namespace"].default
    group = Keyspace(namespace).consumer_group()
    ends = brokers.log_ends(plain(address), QUOTES.name, QUOTES.partitions)
    consumer = Consumer({"bootstrap.servers": address, "group.id": group})
    try:
        offsets = [TopicPartition(QUOTES.name, n, end) for n, end in ends.items()]
        consumer.commit(offsets=offsets, asynchronous=False)
    finally:
        consumer.close()
