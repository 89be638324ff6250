"""An operator's decision about a topic whose id differs from the positions in Redis.

Workers stop if a topic with another id has the already folded records. Nothing in it shows whether
it is a copy, or was recreated and got the same records again.
"""

from typing import Any

from confluent_kafka import KafkaException, TopicCollection

from contracts.keyspace import LAST_FIELD, TOPIC_ID_FIELD, Keyspace
from contracts.topics import Topic
from operations.topics import noted_partitions
from runtime.kafka import broker
from runtime.kafka.broker import Admin
from runtime.kafka.refusals import describe_error
from runtime.redis.stores import Store

_CALL_S = 15
_UNKNOWN_EPOCH = -1
"""Of the last record's leader: the stored one is another broker's."""


def go_on(client: Admin, store: Store, keyspace: Keyspace, topic: Topic) -> list[int]:
    """Treat the topic as a copy: its partitions resume at their positions. Return which ones.

    Raises:
        broker.BrokerError: the broker does not answer, or has no such topic.
    """
    topic_id = _id_of(client, topic)
    others = _of_another_id(store, keyspace, topic, topic_id)
    for partition in others:
        key = keyspace.position(topic, partition)
        fields: Any = {TOPIC_ID_FIELD: topic_id}
        if last := store.hget(key, LAST_FIELD):
            fields[LAST_FIELD] = f"{str(last).rpartition(':')[0]}:{_UNKNOWN_EPOCH}"
        store.hset(key, mapping=fields)  # at once: killed in between, it would not be found again
    return others


def start_over(client: Admin, store: Store, keyspace: Keyspace, topic: Topic) -> list[int]:
    """Treat the topic as another log, all of which counts on top of the old one's.

    Returns which partitions restart at the beginning.

    Raises:
        broker.BrokerError: the broker does not answer, or has no such topic.
    """
    others = _of_another_id(store, keyspace, topic, _id_of(client, topic))
    for partition in others:
        # Workers recognize a copy by that field.
        store.hdel(keyspace.position(topic, partition), LAST_FIELD)
    return others


def _of_another_id(store: Store, keyspace: Keyspace, topic: Topic, topic_id: str) -> list[int]:
    partitions = range(noted_partitions(store, keyspace).get(topic.name, 0))
    known = [store.hget(keyspace.position(topic, p), TOPIC_ID_FIELD) for p in partitions]
    return [
        p for p, known_id in zip(partitions, known, strict=True) if known_id not in (None, topic_id)
    ]


def _id_of(client: Admin, topic: Topic) -> str:
    name = client.kafka.topic(topic.name)
    try:
        (answer,) = client.describe_topics(
            TopicCollection([name]), request_timeout=_CALL_S
        ).values()
        return str(answer.result().topic_id)
    except KafkaException as refused:
        raise broker.BrokerError(
            f"no id of topic {name}: {describe_error(refused.args[0])}"
        ) from None
