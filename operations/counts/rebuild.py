"""Deletes counts, so that workers make them again from the log. No worker may run during that.

Positions are deleted last. So a run that was interrupted can be repeated, and workers never add to
what is left of the old counts.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin._listoffsets import OffsetSpec

from contracts.keyspace import INCARNATION_FIELD, PARTITIONS_KEY, Keyspace
from contracts.topics import COOCCURRENCES, INTERACTIONS, Topic
from runtime.kafka.broker import Admin
from runtime.kafka.refusals import describe_error
from runtime.redis.stores import Store
from runtime.topology import Topology

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_CALL_S: Final = 30
_KEYS_AT_ONCE: Final = 1_000
_LEFT: Final = frozenset({"position", "erased"})
"""Positions are deleted last; events of an erased user that are sent again must not count."""


class RebuildError(RuntimeError):
    """The counts are left as they are; the text says why, and what to do."""


def rebuild(client: Admin, store: Store, keyspace: Keyspace, *, from_events: bool) -> int:
    """Delete the counts; return how many keys that were.

    Args:
        client: of the broker.
        store: that has the counts.
        keyspace: of the namespace.
        from_events: delete histories as well, so that both are made from `interactions`; else
            counts are made from the changes in `cooccurrences`.

    Raises:
        RebuildError: workers run, or the log does not have all that they would need.
        runtime.topology.TopologyError: the namespace has no topics.
    """
    noted: Any = store.hgetall(keyspace.topics())
    topology = Topology.from_hash(noted)
    _check_no_workers(client, keyspace)
    _check_whole(client, store, keyspace, topology, INTERACTIONS if from_events else COOCCURRENCES)
    deleted = 0
    for topic in (INTERACTIONS, COOCCURRENCES) if from_events else (COOCCURRENCES,):
        deleted += _delete(store, keys_of(store, keyspace, topic))
        partitions = range(topology.of(topic))
        deleted += _delete(store, (keyspace.position(topic, p) for p in partitions))
    return deleted


def keys_of(store: Store, keyspace: Keyspace, topic: Topic) -> Iterator[str]:
    """Yield the keys that are folded of a topic.

    From a scan: the index has no rows of items that lost their last user a moment ago.
    """
    pattern = f"{keyspace.namespace}:*:{{{topic.letter}*"
    for key in store.scan_iter(pattern, count=_KEYS_AT_ONCE):
        its = PARTITIONS_KEY.fullmatch(key)  # not a list of a user whose id looks like a hash tag
        if its and its["letter"] == topic.letter and its["kind"] not in _LEFT:
            yield key


def _delete(store: Store, keys: Iterator[str]) -> int:
    deleted = 0
    while some := list(islice(keys, _KEYS_AT_ONCE)):
        pipeline = store.pipeline(transaction=False)
        for key in some:
            pipeline.unlink(key)
        deleted += sum(pipeline.execute())
    return deleted


def _check_no_workers(client: Admin, keyspace: Keyspace) -> None:
    """Check that the workers' group has no members.

    Raises:
        RebuildError: it has some, or the broker does not say.
    """
    group = client.kafka.topic(keyspace.consumer_group())
    try:
        (answer,) = client.describe_consumer_groups([group], request_timeout=_CALL_S).values()
        members = len(answer.result().members)
    except KafkaException as refused:
        raise RebuildError(f"no members of group {group}: {_why(refused)}") from None
    if members:
        raise RebuildError(
            f"the consumer group {group} has {members} running members: stop all workers, wait "
            "until Kafka notices (10 s after a kill), and try again"
        )


def _check_whole(
    client: Admin, store: Store, keyspace: Keyspace, topology: Topology, topic: Topic
) -> None:
    """Check that the topic has all of its records since the state in Redis began.

    Raises:
        RebuildError: it does not, or the broker does not say.
    """
    partitions = range(topology.of(topic))
    keys = [keyspace.position(topic, partition) for partition in partitions]
    recreated = [p for p in partitions if int(store.hget(keys[p], INCARNATION_FIELD) or 0)]
    begun = [p for p, at in enumerate(_begins(client, topic, partitions)) if at]
    if not recreated and not begun:
        return
    why = f"was recreated (partitions {_listed(recreated)})" if recreated else (
        f"no longer has its first records (partitions {_listed(begun)})"
    )  # fmt: skip
    remedy = (
        "add --from-events to fold `interactions` again, histories as well"
        if topic == COOCCURRENCES
        else "fill the topics of another namespace from the archive, as docs/partitions.md says"
    )
    raise RebuildError(f"{client.kafka.topic(topic.name)} {why}: {remedy}")


def _begins(client: Admin, topic: Topic, partitions: range) -> Sequence[int]:
    """Return the first offset of each partition's log."""
    name = client.kafka.topic(topic.name)
    asked = {TopicPartition(name, partition): _EARLIEST for partition in partitions}
    try:
        answers = client.list_offsets(asked, request_timeout=_CALL_S)
        return [answers[one].result().offset for one in asked]
    except KafkaException as refused:
        raise RebuildError(f"no first offsets of {name}: {_why(refused)}") from None


def _why(refused: KafkaException) -> str:
    return describe_error(refused.args[0])


def _listed(partitions: Sequence[int]) -> str:
    return ", ".join(map(str, partitions))
