"""An open transaction: what it holds back is lag, and aborted records count nowhere."""

import pytest
from confluent_kafka import Producer

from contracts.topics import QUOTES
from tests.patience import PATIENCE_S, eventually

from .conftest import Pipeline
from .watched import counted, quotes, watched

pytestmark = [pytest.mark.kafka_only, pytest.mark.stack]


def test_records_held_back_by_an_open_transaction_are_lag_with_their_own_state(
    pipeline: Pipeline,
) -> None:
    producer = Producer(
        {
            "bootstrap.servers": pipeline.broker,
            "transactional.id": pipeline.namespace,
            # The broker does not abort it while the test waits.
            "transaction.timeout.ms": round(2 * PATIENCE_S * 1000),
        }
    )
    producer.init_transactions()
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
