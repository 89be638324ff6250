"""Bad records among valid ones: each is a dead letter, and valid ones are counted."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from contracts.partitioning import user_partition
from contracts.topics import INTERACTIONS, QUOTES, Topic
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from tests.integration.conftest import Pipeline, dead_letters
from tests.integration.poison import Fields, Record, records
from tests.patience import PATIENCE_S

BAD_OF_A_TOPIC = 5_000
GOOD_OF_A_TOPIC = 5_000

Place = tuple[str, int, int]


def publish(broker: str, poison: Iterable[Record]) -> dict[Place, Record]:
    """Publish the records; return them by topic, partition and offset."""
    producer = Producer(
        {
            "bootstrap.servers": broker,
            "message.max.bytes": 10_000_000,
            "compression.type": "lz4",
            "linger.ms": 5,
        }
    )
    placed: dict[Place, Record] = {}
    for record in poison:
        producer.produce(
            record.topic.name,
            record.value,
            record.key,
            record.partition,
            on_delivery=lambda error, m, record=record: placed.update(
                {(m.topic(), m.partition(), m.offset()): record} if error is None else {}
            ),
        )
        producer.poll(0)
    assert producer.flush(PATIENCE_S) == 0
    return placed


def letters_of(pipeline: Pipeline, topic: Topic) -> list[tuple[Place, bytes | None, str]]:
    return [
        (
            (headers["topic"].decode(), int(headers["partition"]), int(headers["offset"])),
            value,
            headers["reason"].decode(),
        )
        for value, headers in dead_letters(pipeline.broker, topic.name)
    ]


def stored_quotes(pipeline: Pipeline, instrument: int) -> Counter[int]:
    """Minute start -> quotes, as Redis has it."""
    return Counter({start_s: bar.n for start_s, bar in pipeline.bars(instrument).items()})


def stored_items(pipeline: Pipeline, user: str) -> set[int]:
    partition = user_partition(user, pipeline.topology.interactions)
    history = pipeline.store.hgetall(pipeline.keyspace.history(partition, user))
    return {int(name) for name in history if name != "off"}


def test_each_of_ten_thousand_bad_records_is_a_dead_letter_and_every_valid_one_is_counted(
    pipeline: Pipeline, seed: int
) -> None:
    chance = random.Random(seed)
    placed: dict[Place, Record] = {}
    with pipeline.worker() as worker:
        for topic in (QUOTES, INTERACTIONS):
            made = list(records(topic, GOOD_OF_A_TOPIC, BAD_OF_A_TOPIC, chance))
            placed |= publish(pipeline.broker, made)
        pipeline.wait_until_folded()
        assert worker.poll() is None

    assert len(placed) == 2 * (GOOD_OF_A_TOPIC + BAD_OF_A_TOPIC)
    letters = [*letters_of(pipeline, QUOTES), *letters_of(pipeline, INTERACTIONS)]
    assert Counter(place for place, *_ in letters) == Counter(
        place for place, record in placed.items() if record.reason
    )
    for place, value, reason in letters:
        record = placed[place]
        assert record.reason in reason, (place, reason)
        is_whole = value == record.value
        assert is_whole or ("left out" in record.reason and value is None), (place, reason)

    good = [record for record in placed.values() if record.reason is None]
    quotes: defaultdict[int, Counter[int]] = defaultdict(Counter)
    items: defaultdict[str, set[int]] = defaultdict(set)
    for record in good:
        fields: Fields = msgspec.json.decode(record.value)
        if record.topic is QUOTES:
            quotes[fields["instrument_id"]][fields["ts"] // 60_000 * 60] += 1
        else:
            items[fields["user_id"]].add(fields["instrument_id"])
    assert {i: stored_quotes(pipeline, i) for i in quotes} == quotes
    assert {user: stored_items(pipeline, user) for user in items} == items
    assert pipeline.gram() == pipeline.gram_of_histories()


@pytest.mark.kafka_only
@pytest.mark.slow
def test_a_dead_letter_too_large_for_its_topic_is_stored_without_its_value(
    pipeline: Pipeline, seed: int
) -> None:
    chance = random.Random(seed)
    limit_messages(pipeline.broker, f"{QUOTES.name}.dead-letters", at_most_bytes=4_000)
    made = [
        Record(QUOTES, 0, b"key", chance.randbytes(size), "malformed") for size in [10_000, 50] * 20
    ]
    with pipeline.worker() as worker:
        placed = publish(pipeline.broker, made)
        pipeline.wait_until_folded([QUOTES])
        assert worker.poll() is None
    letters = letters_of(pipeline, QUOTES)
    assert {place for place, *_ in letters} == placed.keys()
    for place, value, reason in letters:
        its = placed[place].value
        assert value == (its if len(its) == 50 else None)
        assert ("; its 10003 bytes of key and value are left out" in reason) == (value is None)


@pytest.mark.slow
def test_corrected_and_republished_records_are_counted(pipeline: Pipeline) -> None:
    bad = b'{"instrument_id":4,"price":0,"ts":1700000040000}'
    with pipeline.worker():
        pipeline.publish_raw([(QUOTES.name, b"4", bad, None)] * 3)
        pipeline.wait_until_folded([QUOTES])
        assert stored_quotes(pipeline, 4) == {}
        listed = pipeline.run("operations.topics", "dead-letters", "quotes", "--json")
        corrected = pipeline.folder / "corrected.jsonl"
        corrected.write_text(listed.replace('"price":0', '"price":30.72'))
        said = pipeline.run("operations.topics", "republish", str(corrected))
        assert said.endswith("3 published to quotes\n")
        pipeline.wait_until_folded([QUOTES])
    assert stored_quotes(pipeline, 4) == {1_700_000_040: 3}


def limit_messages(broker: str, topic: str, at_most_bytes: int) -> None:
    """Limit a topic's batch size, as one created by another tool may be."""
    limit = ConfigEntry(
        "max.message.bytes",
        str(at_most_bytes),
        incremental_operation=AlterConfigOpType.SET,
    )
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[limit])
    client = brokers.Admin(plain(broker))
    for altered in client.incremental_alter_configs([resource]).values():
        altered.result(15)
