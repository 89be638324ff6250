"""The topics of `contracts.topics`: created if missing, otherwise checked.

Their partitions are recorded in Redis, where programs check them (`runtime.topology`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from contracts.keyspace import FORMAT_FIELD, Keyspace
from contracts.topics import ALL, STREAMED, Topic
from operations.topics.options import TopicOptions, differences
from runtime.kafka import broker
from runtime.kafka.broker import Admin
from runtime.redis.stores import Store
from runtime.topology import Topology, TopologyError, check_format


class Row(NamedTuple):
    """A topic's current state."""

    topic: Topic
    partitions: int
    retention_h: int
    created: bool
    differences: Sequence[str]
    """how its settings differ from those requested"""


def ensure(
    client: Admin, store: Store, keyspace: Keyspace, options: Mapping[str, int] | TopicOptions
) -> list[Row]:
    """Create the topics that are missing, and note the partitions in Redis.

    A missing topic gets the number of partitions that was asked for, else what Redis notes already,
    else what `contracts.topics` says; `bars` as many as `quotes` has. Nothing is created unless
    everything agrees.

    Args:
        client: of the broker.
        store: of the programs, whose answers are text.
        keyspace: where the partitions are noted.
        options: of topics; topic name -> partitions will do.

    Raises:
        TopologyError: the namespace has another format, or a topic another number of partitions
            than was asked for or noted, or a setting by which counts would be wrong.
        broker.BrokerError: the broker does not answer, or refuses.
    """
    if not isinstance(options, TopicOptions):
        options = TopicOptions(options)
    named = {client.kafka.topic(topic.name): topic.name for topic in ALL}
    partitions = broker.partitions_of(client)
    there = {
        name: partitions[on_broker] for on_broker, name in named.items() if on_broker in partitions
    }
    noted = noted_partitions(store, keyspace)
    differing = differences(client, [topic for topic in ALL if topic.name in there], options)
    rows = [_row(topic, there, noted, options, differing) for topic in ALL]
    broker.create(
        client, [options.new(client, row.topic, row.partitions) for row in rows if row.created]
    )
    topology = Topology(**{row.topic.name: row.partitions for row in rows if row.topic in STREAMED})
    noting: Any = topology.as_hash()
    store.hset(keyspace.topics(), mapping=noting)
    return rows


def noted_partitions(store: Store, keyspace: Keyspace) -> dict[str, int]:
    """Return topic -> partitions from Redis, empty before the first `ensure`.

    Raises:
        TopologyError: the namespace has another format.
    """
    noted: Any = store.hgetall(keyspace.topics())
    check_format(noted)
    return {name: int(n) for name, n in noted.items() if name != FORMAT_FIELD}


def _row(
    topic: Topic,
    there: Mapping[str, int],
    noted: Mapping[str, int],
    options: TopicOptions,
    differing: Mapping[str, Sequence[str]],
) -> Row:
    """Decide what to do with a topic.

    Raises:
        TopologyError: as `ensure`.
    """
    like = topic.partitioned_as or topic.name
    says = {
        "the command line": options.partitions.get(topic.name, options.partitions.get(like)),
        "meta:topics in Redis": noted.get(like),
        "the broker": there.get(topic.name),
    }
    if like != topic.name:
        says[f"the broker of {like}"] = there.get(like)
    said = {who: n for who, n in says.items() if n is not None}
    if len(set(said.values())) > 1:
        raise TopologyError(
            f"topic {topic.name} has different partitions: "
            + ", ".join(f"{n} says {who}" for who, n in said.items())
            + ". The keys in Redis depend on the number: use another NAMESPACE for another number, "
            "or delete the topic to have it recreated with the noted one"
        )
    return Row(
        topic,
        next(iter(said.values()), topic.partitions),
        options.retention_of(topic),
        topic.name not in there,
        differing.get(topic.name, ()),
    )
