"""Settings of new topics, and differences of existing ones."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from contracts.times import DAY_MS, HOUR_MS
from contracts.topics import Topic
from runtime.kafka.broker import Admin
from runtime.topology import TopologyError

_CALL_S: Final = 15
_RETENTION: Final = "retention.ms"
_TOMBSTONES: Final = "delete.retention.ms"
_MIN_INSYNC: Final = "min.insync.replicas"
_LONGEST_SEGMENT_MS: Final = 7 * DAY_MS
"""Kafka's default."""
_ESSENTIAL: Final = {
    "cleanup.policy": "records that are still to be folded would go, or stay for good",
    "message.timestamp.type": "a quote or an event would be judged by its sender's clock",
}
"""Settings in which a topic must not differ, and the consequences."""


@dataclass(frozen=True, slots=True)
class TopicOptions:
    """The operator's choices for topics; the default is `contracts.topics` or the broker's."""

    partitions: Mapping[str, int] = field(default_factory=dict)
    """topic -> number"""
    retention_h: Mapping[str, int] = field(default_factory=dict)
    """topic -> hours"""
    replication_factor: int | None = None
    min_insync_replicas: int | None = None

    def retention_of(self, topic: Topic) -> int:
        """Return for how many hours a topic keeps records, or tombstones if it is compacted."""
        return self.retention_h.get(topic.name, topic.retention_h)

    def config(self, topic: Topic) -> dict[str, str]:
        """Return the broker's settings of a topic."""
        retention_ms = self.retention_of(topic) * HOUR_MS
        config = {
            "cleanup.policy": "compact" if topic.is_compacted else "delete",
            _TOMBSTONES if topic.is_compacted else _RETENTION: str(retention_ms),
            "max.message.bytes": str(topic.max_message_bytes),
            "message.timestamp.type": (
                "LogAppendTime" if topic.is_stamped_by_broker else "CreateTime"
            ),
        }
        if not topic.is_compacted:  # whole segments are deleted: some records stay that much longer
            config["segment.ms"] = str(min(retention_ms // 4, _LONGEST_SEGMENT_MS))
        if self.min_insync_replicas is not None:
            config[_MIN_INSYNC] = str(self.min_insync_replicas)
        return config

    def new(self, client: Admin, topic: Topic, partitions: int) -> NewTopic:
        """Return a topic to create.

        Without a replication factor the broker's default counts: 1 alone, 3 in a cluster of size.
        """
        return NewTopic(
            client.kafka.topic(topic.name),
            partitions,
            self.replication_factor or -1,
            config=self.config(topic),
        )


def differences(
    client: Admin, topics: Collection[Topic], options: TopicOptions
) -> dict[str, list[str]]:
    """Return how existing topics differ: topic -> `setting=value, not value`.

    A broker that does not report settings, like Tansu, has no differences.

    Raises:
        TopologyError: a topic differs in what counts depend on.
    """
    resources = {
        topic: ConfigResource(ConfigResource.Type.TOPIC, client.kafka.topic(topic.name))
        for topic in topics
    }
    if not resources:
        return {}
    answers = client.describe_configs(list(resources.values()), request_timeout=_CALL_S)
    differing: dict[str, list[str]] = {}
    for topic, resource in resources.items():
        try:
            found = {name: one.value for name, one in answers[resource].result().items()}
        except KafkaException:
            continue
        for name, wanted in options.config(topic).items():
            if name in found and found[name] != wanted:
                _check_essential(client.kafka.topic(topic.name), name, found[name], wanted)
                differing.setdefault(topic.name, []).append(f"{name}={found[name]}, not {wanted}")
    return differing


def _check_essential(topic: str, setting: str, value: str | None, wanted: str) -> None:
    if setting in _ESSENTIAL:
        raise TopologyError(
            f"topic {topic} has {setting}={value}, not {wanted}: {_ESSENTIAL[setting]}. Set it on "
            f"the broker: kafka-configs.sh --alter --entity-type topics --entity-name {topic} "
            f"--add-config {setting}={wanted}"
        )
