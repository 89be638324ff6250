"""A producer that writes in transactions: aborted records count nowhere."""

import pytest
from confluent_kafka import Producer

from contracts.messages import encode, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import QUOTES
from tests.patience import PATIENCE_S, eventually

from .conftest import Pipeline
from .watched import counted, quotes, watched

pytestmark = [pytest.mark.kafka_only, pytest.mark.stack]


def transactional(pipeline: Pipeline) -> Producer:
    """A producer whose transactions the broker does not abort while a test waits for something."""
    producer = Producer(
        {
            "bootstrap.servers": pipeline.broker,
            "partitioner": LIBRDKAFKA_PARTITIONER,
            "transactional.id": pipeline.namespace,
            "transaction.timeout.ms": round(2 * PATIENCE_S * 1000),
        }
    )
    producer.init_transactions()
    return producer


def test_aborted_records_are_not_folded_and_markers_leave_no_lag(pipeline: Pipeline) -> None:
    for first, is_kept in ((0, True), (100, False), (200, True), (300, False), (400, True)):
        # A new one starts when the markers of the last transaction are written. The next one of the
        # same producer could meet the last one, which Kafka ends after it has answered.
        producer = transactional(pipeline)
        producer.begin_transaction()
        for quote in quotes(100, first):
            producer.produce(QUOTES.name, encode(quote), key_of(quote))
        (producer.commit_transaction if is_kept else producer.abort_transaction)()
    with watched(pipeline) as worker:
        pipeline.wait_until_folded([QUOTES])
        assert counted(pipeline) == 300
        eventually(
            lambda: all(its["unfolded"] == 0 for its in worker.partitions().values()),
            "nothing is left to be folded",
        )
        eventually(lambda: worker.metric("lag_records") == 0, "no lag is left")


def test_records_held_back_by_an_open_transaction_are_lag_with_their_own_state(
    pipeline: Pipeline,
) -> None:
    producer = transactional(pipeline)
    with watched(pipeline) as worker:
        producer.begin_transaction()
        for partition in range(pipeline.topology.quotes):
            producer.produce(QUOTES.name, b"{}", partition=partition)
        assert producer.flush(PATIENCE_S) == 0
        pipeline.publish(quotes(100))
        eventually(lambda: worker.metric("lag_records", QUOTES.name) == 102, "102 records wait")
        assert worker.metric("records_held_back", QUOTES.name) == 102
        eventually(
            lambda: worker.metric("open_transaction_seconds", QUOTES.name) > 2, "it says since when"
        )
        held = [its for name, its in worker.partitions().items() if name.startswith("quotes/")]
        assert sum(its["held_back"] for its in held) == 102
        assert all(its["unfolded"] == 0 for its in held), "a restart would not help"
        worker.await_ready()
        producer.abort_transaction()
        pipeline.wait_until_folded([QUOTES])
        eventually(lambda: worker.metric("lag_records") == 0, "no lag is left")
        eventually(
            lambda: worker.metric("open_transaction_seconds", QUOTES.name) == 0, "it is over"
        )
    assert counted(pipeline) == 100
