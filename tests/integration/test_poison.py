"""Bad records among valid ones: each is a dead letter, and valid ones are counted."""

import random
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import INTERACTIONS, QUOTES, Topic
from tests.contracts.test_messages import (
    GOOD_INTERACTION,
    GOOD_QUOTE,
    INTERACTION_RULES,
    LATEST_MS,
    NO_MESSAGES,
    NOW_MS,
    QUOTE_RULES,
    changed,
)
from tests.integration.conftest import Pipeline, dead_letters
from tests.patience import PATIENCE_S

MESSAGES: Final[dict[Topic, tuple[dict[str, Any], dict[str, tuple[Any, ...]]]]] = {
    QUOTES: (GOOD_QUOTE, QUOTE_RULES),
    INTERACTIONS: (GOOD_INTERACTION, INTERACTION_RULES),
}
PARTITIONS: Final = {QUOTES: instrument_partition(4, 2), INTERACTIONS: user_partition("ABC", 2)}
# What librdkafka takes by default, its own bytes included.
ALMOST_1_MB: Final = 999_000
# Including a batch's overhead just what the broker accepts; a dead letter's headers exceed it.
WHAT_THE_BROKER_TAKES: Final = QUOTES.max_message_bytes - 90
LARGE: Final = [
    (b"[" * ALMOST_1_MB, "must be an object"),
    (b'{"x":' + b"[" * (ALMOST_1_MB - 5), "recursion"),
    (b"\xff" + random.Random(1).randbytes(WHAT_THE_BROKER_TAKES - 1), "malformed"),
    (b"[" * 5_000_000, "are left out, see the original"),
]


class Record(NamedTuple):
    """A record to publish, and its expected outcome."""

    topic: Topic
    value: bytes | None
    reason: str | None
    """what its dead letter must say; None if it is valid"""


def records(topic: Topic) -> Iterator[Record]:
    """Each kind of bad record, and a valid one after it."""
    good, rules = MESSAGES[topic]
    broken = [
        (changed(good, **{field: value}), field)
        for field, values in rules.items()
        for value in values
        if value != LATEST_MS + 1  # no longer ahead
    ]
    for value, reason in (*broken, *NO_MESSAGES, *LARGE):
        yield Record(topic, value, reason)
        yield Record(topic, changed(good), None)


def publish(broker: str, poison: Iterable[Record]) -> dict[tuple[str, int], Record]:
    """Publish records to the partition of the valid ones; return them by topic and offset."""
    producer = Producer(
        {
            "bootstrap.servers": broker,
            "message.max.bytes": 10_000_000,
            "compression.type": "lz4",
            "linger.ms": 5,
        }
    )
    placed: dict[tuple[str, int], Record] = {}

    def note(record: Record, error: KafkaError | None, message: Message) -> None:
        assert error is None
        placed[message.topic(), message.offset()] = record

    for record in poison:
        producer.produce(
            record.topic.name,
            record.value,
            partition=PARTITIONS[record.topic],
            on_delivery=partial(note, record),
        )
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0
    return placed


def test_each_kind_of_bad_record_is_a_dead_letter_and_every_valid_one_is_counted(
    pipeline: Pipeline,
) -> None:
    made = [record for topic in MESSAGES for record in records(topic)]
    with pipeline.worker() as worker:
        placed = publish(pipeline.broker, made)
        pipeline.wait_until_folded()
        assert worker.poll() is None
    assert len(placed) == len(made)
    letters = [
        ((headers["topic"].decode(), int(headers["offset"])), value, headers["reason"].decode())
        for topic in MESSAGES
        for value, headers in dead_letters(pipeline.broker, topic.name)
    ]
    bad = {place for place, record in placed.items() if record.reason is not None}
    assert sorted(place for place, *_ in letters) == sorted(bad)
    for place, value, reason in letters:
        expected = placed[place]
        assert (expected.reason or "") in reason, (place, reason)
        is_whole = value == expected.value
        assert is_whole or ("left out" in reason and value is None), (place, reason)
    assert pipeline.bars(4)[NOW_MS // 60_000 * 60].n == len(list(records(QUOTES))) / 2
    assert pipeline.gram() == pipeline.gram_of_histories() == {(4, 4): 1}
