"""Grows a feed tenfold for a while, and tracks the number of workers and what readers see.

The lag of a real Kafka determines the number of workers, which are real processes.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from infra.cluster_check.autoscaler import Trigger, autoscaler_of, kafka_triggers
from infra.cluster_check.cluster import Cluster
from infra.cluster_check.freshness import Freshness
from infra.cluster_check.log import Log, lags
from infra.cluster_check.metrics_api import MetricsApi
from infra.cluster_check.overlays import NAMESPACE
from infra.cluster_check.workers import Workers
from infra.local.kafka.server import kafka
from infra.local.process import Command, free_port, running, start, stop
from infra.local.store import valkey
from runtime.settings import SharedSettings

OVERLAY: Final = Path(__file__).with_name("overlay")
SHARE: Final = 0.15
"""Share of a core per worker, so that several are busy on a small machine."""
QUOTES_PER_S: Final = 1_000
EVENTS_PER_S: Final = 400
GROWTH: Final = 10
FRESH_S: Final = 2.0
SETTLES_WITHIN_S: Final = 60
_BROKER: Final = "kafka.kafka:9092"
"""Its name in the overlay; KEDA finds its address in the ConfigMap, like the workers."""
_BEFORE_S: Final = 20
SURGE_S: Final = 90
_AFTER_S: Final = 600
"""At most. Eight workers shrink to two after 270 s, later if other programs slow them down."""
_READY_WITHIN_S: Final = 120
_SAMPLE_EVERY_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.1
_READ: Final = (QUOTES, INTERACTIONS)
"""The topics that readers wait for; counts are written every ten seconds, for the trainer."""
FOLDED: Final = (*_READ, COOCCURRENCES)


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample at one time."""

    at_s: float
    """since the start of the surge"""
    records_per_s: float
    """added to the topics of the feed"""
    lag: dict[str, int]
    """topic -> records beyond what is committed"""
    wanted: int
    """workers requested by the autoscaler"""
    ready: int
    """workers that are ready"""
    fresh_s: float | None
    """p99 of the waiting time of records that became readable since the last sample"""
    settled_s: float | None
    """the same of all since a minute after the surge began, None before"""
    waits_s: float
    """how long the oldest unreadable record has waited"""


def surge(
    cluster: Cluster, metrics: MetricsApi, folder: Path, *, has_keda: bool
) -> Iterator[Sample]:
    """Yield samples, from before the surge until the workers are as few again, or a timeout.

    Without KEDA, the autoscaler that KEDA would create is applied, and gets the lag from `metrics`.
    """
    with _servers(folder) as settings, ExitStack() as stack:
        rendered = cluster.rendered(OVERLAY)
        cluster.apply(rendered.replace(_BROKER, settings["KAFKA_BOOTSTRAP_SERVERS"]))
        scaled_object = cluster.get("ScaledObject", NAMESPACE, "worker")
        if not has_keda:
            cluster.apply(json.dumps(autoscaler_of(scaled_object)))
        fewest = scaled_object["spec"]["minReplicaCount"]
        log = Log(settings["KAFKA_BOOTSTRAP_SERVERS"], settings["REDIS_URL"], settings["NAMESPACE"])
        watch = _Watch(log, metrics, kafka_triggers(scaled_object))
        workers = stack.enter_context(Workers(cluster, NAMESPACE, settings, folder, SHARE))
        cluster.wait_until(lambda: workers.ready == fewest, "workers are ready", _READY_WITHIN_S)
        stack.enter_context(_feed(settings, folder, "feed", 1))
        watch.for_s(_BEFORE_S)
        began_s = time.monotonic() + _BEFORE_S
        yield from watch.samples(cluster, workers, began_s, until_s=0)
        with _feed(settings, folder, "surge", GROWTH - 1):
            yield from watch.samples(cluster, workers, began_s, until_s=SURGE_S)
        for sample in watch.samples(cluster, workers, began_s, until_s=SURGE_S + _AFTER_S):
            yield sample
            if sample.ready == sample.wanted == fewest:
                return


class _Watch:
    """Polls Kafka and Redis ten times a second, and reports the lag to the autoscaler."""

    def __init__(self, log: Log, metrics: MetricsApi, triggers: list[Trigger]) -> None:
        self._log = log
        self._topics = {trigger.metric: trigger.topic for trigger in triggers}
        self._partitions = log.partitions(FOLDED)
        self._tps = [(name, n) for name, many in self._partitions.items() for n in range(many)]
        self._freshness = Freshness()
        self._lag = lags({}, {})
        self._ends_sum = 0
        metrics.external = self._lag_of

    def samples(
        self, cluster: Cluster, workers: Workers, began_s: float, *, until_s: float
    ) -> Iterator[Sample]:
        """Yield a sample every few seconds, until some seconds after a time."""
        while (at_s := time.monotonic() - began_s) < until_s:
            ends_before, since_s = self._ends_sum, time.monotonic()
            self.for_s(min(_SAMPLE_EVERY_S, until_s - at_s))
            now_s = time.monotonic()
            autoscaler = cluster.get("HorizontalPodAutoscaler", NAMESPACE, "worker")
            yield Sample(
                at_s=now_s - began_s,
                records_per_s=(self._ends_sum - ends_before) / (now_s - since_s),
                lag=dict(self._lag),
                wanted=autoscaler.get("status", {}).get("desiredReplicas", 0),
                ready=workers.ready,
                fresh_s=self._freshness.quantile(0.99, since_s),
                settled_s=self._freshness.quantile(0.99, began_s + SETTLES_WITHIN_S),
                waits_s=self._freshness.waiting_s(now_s),
            )

    def for_s(self, seconds: float) -> None:
        """Poll for so many seconds."""
        ends_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < ends_s:
            self._look()
            time.sleep(max(0.0, _LOOK_EVERY_S - (time.monotonic() - now_s)))

    def _look(self) -> None:
        ends = self._log.ends(self._tps)
        names = {topic.name for topic in _READ}
        read = {partition: end for partition, end in ends.items() if partition[0] in names}
        self._ends_sum = sum(read.values())
        self._freshness.note_ends(time.monotonic(), read)
        positions = self._log.positions(_READ, self._partitions)
        self._freshness.note_positions(time.monotonic(), positions)
        self._lag = lags(ends, self._log.committed(self._tps))

    def _lag_of(self, metric: str) -> int:
        return self._lag[self._topics[metric]]


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, str]]:
    """Run Kafka with its topics, and Valkey; yield the settings to reach them."""
    with (
        running(broker := kafka(free_port(), folder)),
        running(store := valkey(free_port(), folder)),
    ):
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.address,
            "REDIS_URL": store.address,
            "NAMESPACE": SharedSettings.model_fields["namespace"].default,
        }
        topics = Command("topics", _python("operations.topics"), folder / "topics.log", settings)
        if start(topics).wait() != 0:
            raise RuntimeError(f"the topics could not be created: see {topics.log}")
        yield settings


@contextmanager
def _feed(settings: dict[str, str], folder: Path, name: str, times: int) -> Iterator[None]:
    """Simulate a market, that many times as busy as the default, during the block."""
    rates = ("--rate", str(QUOTES_PER_S * times), "--event-rate", str(EVENTS_PER_S * times))
    simulate = _python("producers", "simulate", *rates, "--backfill-minutes", "0")
    command = Command(name, (*simulate, "--seed", str(times)), folder / f"{name}.log", settings)
    process = start(command)
    try:
        yield
    finally:
        stop((process, command))


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)
