"""Recreated topics, truncated logs, transactions, and unreadable records."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException, Producer, TopicCollection, TopicPartition

from contracts.keyspace import TOPIC_ID_FIELD
from contracts.partitioning import LIBRDKAFKA_PARTITIONER, partition_of
from contracts.topics import COOCCURRENCES, INTERACTIONS, Topic
from operations.topics import ensure
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from tests.chaos.check import lost
from tests.chaos.faults.workers import Seconds
from tests.chaos.messages import (
    FOLLOWED,
    Messages,
    Publication,
    of_chosen_ids,
    of_skewed_clock,
    with_unreadable,
)
from tests.chaos.world import ChaosError, World
from tests.raw_batches import publish

# A position is taken for kept when the store had time to write it to its disks and replicas.
_KEPT_AFTER_S: Final = 3.0
_CALL_S: Final = 10
_MESSAGES: Final = (1, 60)
_BATCH: Final = 5
_RETRY_AFTER_S: Final = 0.5
_OPEN_S: Final = (0.0, 3.0)
# Longer than a partition may stand still with work to do; the broker gives it up after 20 s.
_OPEN_FOR_LONG_S: Final = (15.0, 25.0)


def recreate_topic(world: World, rng: random.Random) -> Seconds:
    """Delete a completely folded topic, and create it again; the feed continues in it."""
    topic = rng.choice(FOLLOWED)
    world.feed.pause()
    yield from world.until(world.feed.is_silent)
    yield from _until_folded(
        world, [INTERACTIONS, COOCCURRENCES] if topic == COOCCURRENCES else [topic]
    )
    if problems := list(lost(world, [topic])):
        raise ChaosError("\n".join(problems))
    world.say(f"delete {topic.name}")
    brokers.delete(world.admin, [topic.name])
    yield rng.uniform(*_OPEN_S)
    ensure(world.admin, world.client, world.keyspace, {})
    world.log.was_recreated(topic)
    world.feed.start_over(topic)
    world.say(f"{topic.name} is recreated")
    world.feed.go_on()


def _until_folded(world: World, topics: Sequence[Topic]) -> Seconds:
    """Wait until all that topics have is folded, and kept; the later ones follow the first."""
    while True:
        for topic in topics:
            ends = world.ends(topic)
            yield from world.until(lambda topic=topic, ends=ends: world.positions(topic) == ends)
        yield _KEPT_AFTER_S
        # A worker that was replaced may have published changes again.
        if all(world.ends(topic) == world.positions(topic) for topic in topics):
            return


def cut_log(world: World, rng: random.Random) -> Seconds:
    """Apply retention to a partition: all or some of the folded records are deleted."""
    topic = rng.choice(FOLLOWED)
    p = rng.randrange(world.partitions(topic))
    yield from world.until(lambda: _is_known(world, topic))
    position = world.positions(topic)[p]
    yield _KEPT_AFTER_S
    world.ends(topic)
    earliest = rng.choice((position, rng.randint(0, position)))
    cut = TopicPartition(topic.name, p, earliest)
    # A new client, as librdkafka's would ask a leader of minutes ago.
    admin = brokers.Admin(plain(world.kafka.bootstrap_servers))
    (done,) = admin.delete_records([cut], request_timeout=_CALL_S).values()
    low = done.result().low_watermark
    world.say(f"the log of {topic.name}/{p} begins at {low}, the position was {position}")
    world.log.was_cut((topic.name, p), low)


def _is_known(world: World, topic: Topic) -> bool:
    """Whether the positions are of the current topic, not of one that it replaced."""
    asked = world.admin.describe_topics(TopicCollection([topic.name]), request_timeout=_CALL_S)
    topic_id = str(asked[topic.name].result().topic_id)
    keys = (world.keyspace.position(topic, p) for p in range(world.partitions(topic)))
    return all(world.client.hget(key, TOPIC_ID_FIELD) == topic_id for key in keys)


def transact(world: World, rng: random.Random) -> Seconds:
    return _transact(world, rng, rng.uniform(*_OPEN_S))


def leave_transaction_open(world: World, rng: random.Random) -> Seconds:
    """The same, but with an open transaction that blocks readers for long."""
    return _transact(world, rng, rng.uniform(*_OPEN_FOR_LONG_S))


def _transact(world: World, rng: random.Random, open_s: float) -> Seconds:
    messages = Messages(rng, world.feed.time)
    transaction = Transaction(
        world.kafka.bootstrap_servers,
        name=f"{world.keyspace.namespace}-{rng.randrange(2**32)}",
        what=[messages.next() for _ in range(rng.randint(*_MESSAGES))],
        open_s=open_s,
        abort=rng.random() < 0.7,
    )
    transaction.start()
    yield from world.until(lambda: not transaction.is_alive())
    world.say(f"a transaction that was open for {open_s:.0f} s is {transaction.outcome}")


def poison(world: World, rng: random.Random) -> Seconds:
    """Publish good messages in a batch with one that is unreadable."""
    published = Messages(rng, world.feed.time, bad_share=0)
    first = published.next()
    partitions = getattr(world.topology, first.topic)
    partition = partition_of(first.key, partitions)
    batch = [first]
    while len(batch) < _BATCH:
        one = published.next()
        if (one.topic, partition_of(one.key, partitions)) == (first.topic, partition):
            batch.append(one)
    raw = with_unreadable(rng, batch)

    def publish_patiently() -> None:
        while True:
            with contextlib.suppress(KafkaError):
                publish(world.kafka.bootstrap_servers, first.topic, partition, raw)
                return
            time.sleep(_RETRY_AFTER_S)

    thread = threading.Thread(target=publish_patiently, daemon=True)
    thread.start()
    yield from world.until(lambda: not thread.is_alive())
    world.say(f"{first.topic}/{partition} has an unreadable record: {raw[_BATCH // 2]}")


def choose_ids(world: World, rng: random.Random) -> Seconds:
    """Publish messages of ids that somebody chose to collide in a hash table."""
    world.feed.also(of_chosen_ids(world.feed.time))
    world.say("messages of chosen ids")
    yield from ()


def skew_erasure(world: World, rng: random.Random) -> Seconds:
    """Publish an erasure whose time is far ahead of every clock."""
    world.feed.also(of_skewed_clock(rng, world.feed.time))
    world.say("an erasure is requested next year")
    yield from ()


# A broker aborts a transaction without news for so long.
_TIMEOUT_S: Final = 20
_END_S: Final = 10


class Transaction(threading.Thread):
    """Runs alongside the faults, as any call may have to wait for an unreachable broker."""

    def __init__(
        self,
        bootstrap_servers: str,
        name: str,
        what: list[Publication],
        open_s: float,
        *,
        abort: bool,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "transactional.id": name,
                "transaction.timeout.ms": _TIMEOUT_S * 1000,
                "log_level": 0,
            }
        )
        self._what = what
        self._open_s = open_s
        self._abort = abort
        self.outcome = "not begun"

    def run(self) -> None:
        producer = self._producer
        try:
            self._patiently(producer.init_transactions, _END_S)
            producer.begin_transaction()
            for one in self._what:
                producer.produce(one.topic, one.value, one.key)
            producer.flush(_END_S)
            time.sleep(self._open_s)
            end = producer.abort_transaction if self._abort else producer.commit_transaction
            self._patiently(end, _END_S)
            self.outcome = "aborted" if self._abort else "committed"
        except KafkaException as error:
            self.outcome = f"left to its coordinator: {error.args[0].str()}"
            time.sleep(_TIMEOUT_S)

    def _patiently(self, call: Callable[..., Any], *arguments: float) -> None:
        """Call, with retries while the broker is unreachable.

        Raises:
            KafkaException: the transaction cannot be ended by this producer any longer.
        """
        while True:
            try:
                call(*arguments)
            except KafkaException as error:
                if error.args[0].txn_requires_abort() and not self._abort:
                    self._abort = True
                    call = self._producer.abort_transaction
                elif not error.args[0].retriable():
                    raise
            else:
                return
