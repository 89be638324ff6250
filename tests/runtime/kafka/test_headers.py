"""A header whose name is not UTF-8, as each program meets it that reads with confluent-kafka."""

import gc
import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.cimpl import NewTopic

from contracts.archive import INTERACTIONS_TABLE, QUOTES_TABLE
from contracts.messages import Quote, encode
from contracts.topics import FEEDBACK, INTERACTIONS, QUOTES
from operations import dead_letters
from operations.repartition.placement import LEFT_OUT, Partitions, Records, place
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.kafka.headers import UnreadableHeadersError, has_readable_headers, headers_of
from tests.patience import PATIENCE_S
from tests.raw_batches import POISON, Raw, publish

TS = 1_629_061_628_123
QUOTE = encode(Quote(instrument_id=4, price=1.5, ts=TS))


N = 100


@pytest.fixture(scope="module")
def read(broker: str) -> Iterator[list[Message]]:
    """N times: a quote, the same with a poisoned header, and a tombstone with one."""
    name = f"headers-{uuid.uuid4().hex[:8]}"
    client = brokers.Admin(plain(broker))
    brokers.create(client, [NewTopic(name, 1, 1)])
    poisoned = [(b"fine", b"yes"), (POISON, b"x")]
    quote = Raw(QUOTE, b"4", [(b"fine", b"yes"), (b"none", None)])
    raws = [quote, Raw(QUOTE, b"4", poisoned), Raw(None, b"ABC", poisoned)]
    publish(broker, name, 0, raws * N)
    consumer = Consumer({**plain(broker).librdkafka(), "group.id": name})
    with closing(consumer):
        consumer.assign([TopicPartition(name, 0, 0)])
        yield consumer.consume(3 * N, PATIENCE_S)
    brokers.delete(client, [name])


@pytest.mark.parametrize("threshold", [1, gc.get_threshold()[0]])
def test_headers_are_read_or_refused_however_often_asked_and_whenever_garbage_is_collected(
    read: list[Message], threshold: int
) -> None:
    usual = gc.get_threshold()
    gc.set_threshold(threshold)
    try:
        readable = [has_readable_headers(record) for record in read]
    finally:
        gc.set_threshold(*usual)
    assert readable == [True, False, False] * N
    assert headers_of(read[0]) == (("fine", b"yes"), ("none", None))
    with pytest.raises(UnreadableHeadersError, match="/0 at offset 1: a header's name is not"):
        headers_of(read[1])


def test_no_program_reads_such_a_record(read: list[Message]) -> None:
    from archive.reading.records import Place, rows_of

    quotes = rows_of(QUOTES_TABLE, Place(0, 0, (1,)), read[:2], TS)
    assert (quotes.batch["offset"].to_pylist(), quotes.rejected) == ([0], 1)
    events = rows_of(INTERACTIONS_TABLE, Place(0, 0, (1,)), read[2:3], TS)
    assert (events.batch.num_rows, events.rejected) == (0, 1)
    for topic, n_good in ((QUOTES, 1), (FEEDBACK, 1), (INTERACTIONS, 0)):
        records = Records.of(0, read[:3], time.time_ns() // 1_000_000)
        places = place(topic, records, Partitions(1, 1))  # of a copy
        assert places == [0] * n_good + [LEFT_OUT] * (3 - n_good)
    with pytest.raises(brokers.BrokerError, match="not written by the stream processors"):
        dead_letters._headers(read[1])
