"""The log is cut or recreated, with or without a running worker: it reports what is missing."""

import time
from collections.abc import Callable

import httpx
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewTopic

from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.keyspace import WHOLE_FIELD
from contracts.messages import Quote
from contracts.partitioning import instrument_partition
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES, STREAMED
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.integration.conftest import Pipeline, kill
from tests.integration.watched import (
    BASE_MS,
    counted,
    diagonal,
    events,
    partitions_of,
    quotes,
    says,
    watched,
)
from tests.patience import eventually

pytestmark = [pytest.mark.kafka_only, pytest.mark.slow]

# The broker lets a fetch wait 50 ms for records to come, `stream_processors.transport.consumer`.
FETCH_WAITS_S = 1


def test_records_that_the_log_dropped_under_a_worker_that_lags_are_counted_exactly(
    pipeline: Pipeline,
) -> None:
    partition = instrument_partition(0, pipeline.topology.quotes)
    of_one = [Quote(instrument_id=0, price=1, ts=BASE_MS + k) for k in range(100)]
    with watched(pipeline) as worker:
        pipeline.publish(of_one)
        pipeline.wait_until_folded([QUOTES])
        worker.process.suspend()
        no_fetch_waits = time.monotonic() + FETCH_WAITS_S
        eventually(lambda: time.monotonic() > no_fetch_waits, "the broker answers the last fetch")
        pipeline.publish(of_one)
        cut_log(pipeline.broker, TopicPartition(QUOTES.name, partition, 137))
        worker.process.resume()
        pipeline.wait_until_folded([QUOTES])
        missing = worker.metric("records_missing_total", QUOTES.name)
    assert (counted(pipeline), missing) == (163, 37)


def test_changes_that_the_log_dropped_before_they_were_applied_are_counted_exactly(
    pipeline: Pipeline,
) -> None:
    """Histories have them and counts do not: the missing ones must be reported."""
    partitions = range(pipeline.topology.cooccurrences)
    with pipeline.worker(counts_flush_interval_s=600) as worker:
        pipeline.publish(events(100))
        pipeline.wait_until_folded([INTERACTIONS])
        kill(worker)
    kafka = plain(pipeline.broker)
    ends = brokers.log_ends(kafka, COOCCURRENCES.name, len(partitions))
    assert min(ends.values()) > 0
    assert [pipeline.position(COOCCURRENCES, p) for p in partitions] == [0, 0]
    cut_log(pipeline.broker, TopicPartition(COOCCURRENCES.name, 0, ends[0]))
    with watched(pipeline) as watched_worker:
        pipeline.wait_until_folded()
        assert watched_worker.metric("records_missing_total", COOCCURRENCES.name) == ends[0]
        assert says(pipeline, "log was cut")
    assert 0 < diagonal(pipeline) < 100


def test_bars_rebuilt_from_a_log_without_its_first_records_say_from_when_they_are_complete(
    pipeline: Pipeline,
) -> None:
    partition = instrument_partition(0, pipeline.topology.quotes)
    position = pipeline.keyspace.position(QUOTES, partition)
    minute_ms = BASE_MS // 60_000 * 60_000
    pipeline.publish(
        Quote(instrument_id=0, price=1, ts=minute_ms + 60_000 * k + 1_000) for k in range(30)
    )
    with pipeline.worker():
        pipeline.wait_until_folded()
    assert pipeline.store.hget(position, WHOLE_FIELD) == "0"
    pipeline.empty_store()
    cut_log(pipeline.broker, TopicPartition(QUOTES.name, partition, 20))
    with pipeline.worker(), pipeline.api() as api:
        pipeline.wait_until_folded()
        assert pipeline.store.hget(position, WHOLE_FIELD) == str(minute_ms // 1000 + 60 * 21)
        end = minute_ms + 60_000 * 30
        query: dict[str, str | int] = {"limit": 30, "end": end}
        answer = httpx.get(f"{api}/v1/instruments/0/bars", params=query)
    assert [(bar["t"] - minute_ms) // 60_000 for bar in answer.json()["bars"]] == [*range(20, 30)]
    assert [bar.get("partial", False) for bar in answer.json()["bars"]] == [True, *[False] * 9]


def test_topics_recreated_under_a_running_worker_are_folded_within_seconds(
    pipeline: Pipeline, topics: Callable[..., Topology]
) -> None:
    with watched(pipeline) as worker:
        pipeline.publish([*quotes(100), *events(10)])
        pipeline.publish_raw(map(listing, range(100)))
        pipeline.wait_until_folded()
        assert catalog(pipeline) == set(range(100))
        client = brokers.Admin(plain(pipeline.broker))
        brokers.delete(client, [topic.name for topic in STREAMED])
        eventually(lambda: worker.partitions() == {}, "it has no partitions any longer")
        assert worker.metric("partitions_assigned", QUOTES.name) == 0
        assert worker.metric("topic_partitions", QUOTES.name) == 2
        worker.await_ready()
        topics()
        eventually(lambda: len(worker.partitions()) == partitions_of(pipeline), "it has them again")
        pipeline.publish([*quotes(50), *events(5, 10)])
        pipeline.publish_raw([listing(7)])
        pipeline.wait_until_folded()
        eventually(lambda: catalog(pipeline) == {7}, "only the new log's instruments are there")
    assert counted(pipeline) == 150
    assert diagonal(pipeline) == 15


def listing(instrument: int) -> tuple[str, bytes, bytes, None]:
    entry = Instrument(instrument, symbol=f"I{instrument}", name="listed")
    return INSTRUMENTS.name, instrument_key(instrument), encode_instrument(entry), None


def catalog(pipeline: Pipeline) -> set[int]:
    """Return the instruments that have an entry, each in the partition where readers look."""
    partitions = pipeline.topology.instruments
    return {
        int(field)
        for p in range(partitions)
        for field in pipeline.store.hkeys(pipeline.keyspace.catalog(p))
        if instrument_partition(int(field), partitions) == p
    }


@pytest.mark.parametrize(("word", "expected"), [("continue", 150), ("start-over", 250)])
def test_a_copied_topic_is_not_counted_again_without_an_operators_decision(
    pipeline: Pipeline, word: str, expected: int
) -> None:
    with watched(pipeline):
        pipeline.publish(quotes(100))
        pipeline.wait_until_folded([QUOTES])
    client = brokers.Admin(plain(pipeline.broker))
    brokers.delete(client, [QUOTES.name])
    brokers.create(client, [NewTopic(QUOTES.name, pipeline.topology.quotes, 1)])
    pipeline.publish(quotes(150))
    with watched(pipeline) as worker:
        eventually(
            lambda: (
                {its["state"] for name, its in worker.partitions().items() if "quotes" in name}
                == {"stopped"}
            ),
            "it stops, and says so",
        )
        assert worker.ready()["progress"] == "stopped"
        assert says(pipeline, "operations.topics start-over quotes")
        assert counted(pipeline) == 100
    assert "partitions 0, 1" in pipeline.run("operations.topics", word, QUOTES.name)
    with watched(pipeline) as worker:
        pipeline.wait_until_folded([QUOTES])
        assert counted(pipeline) == expected


def cut_log(broker: str, before: TopicPartition) -> None:
    """Have the broker drop the records below an offset, as when they are past their retention."""
    client = brokers.Admin(plain(broker))
    for cut in client.delete_records([before]).values():
        cut.result(15)
