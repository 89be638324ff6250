"""What is in Kafka comes to stand in the tables, each record once."""

import asyncio
from functools import partial

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewPartitions
from prometheus_client import Gauge
from structlog.testing import capture_logs

from archive.metrics import HELD_BACK, LAG, MISSING, OPEN_TRANSACTION, REJECTED
from archive.reading.broker import Broker
from archive.writing.files import write
from contracts.archive import FEEDBACK_TABLE, INTERACTIONS_TABLE, QUOTES_TABLE, ArchiveTable
from contracts.partitioning import partition_of
from contracts.topics import QUOTES
from runtime.kafka import broker as brokers
from tests.archive.conftest import PARTITIONS, Setup, delete_topics, make_topics
from tests.archive.samples import feedback, interaction, now_ms, quotes, tombstone
from tests.patience import PATIENCE_S, eventually
from tests.raw_batches import Raw, publish_soon

CODEC_ZSTD = 4


def test_events_and_feedback_are_rows_and_bad_ones_are_counted_and_logged(setup: Setup) -> None:
    before, ts = rejected(FEEDBACK_TABLE), now_ms()
    bad = (FEEDBACK_TABLE.name, b"ABC", b'{"type":"click"}')
    setup.publish([interaction("ABC", 4, ts), tombstone("ABC"), bad, feedback("ABC", 4, ts)])
    with capture_logs() as logs, setup.running():
        eventually(lambda: len(setup.rows(INTERACTIONS_TABLE)) == 2, "the events")
        eventually(lambda: len(setup.rows(FEEDBACK_TABLE)) == 1, "the feedback")
    events = {event for (event,) in setup.rows(INTERACTIONS_TABLE, "event")}
    assert events == {"trade", "erased"}
    assert setup.rows(FEEDBACK_TABLE, "user_id, epoch_ms(ts)") == [("ABC", ts)]
    assert sum(setup.covered(FEEDBACK_TABLE).values()) == 2
    assert rejected(FEEDBACK_TABLE) - before == 1
    (line,) = [line for line in logs if line["event"] == "records rejected"]
    assert (line["topic"], line["rejected"]) == ("feedback", 1)
    assert line["reason"] == "request_id: is required"


def test_two_archives_share_the_partitions_and_write_each_record_once(setup: Setup) -> None:
    setup.publish([*quotes(400)])
    with setup.running() as one:
        eventually(lambda: len(setup.rows(QUOTES_TABLE)) == 400, "the first quotes")
        with setup.running() as other:
            eventually(lambda: len(other.archiver.partitions) == 4, "half of all partitions")
            setup.publish([*quotes(400, first=400)])
            eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 800, "the next quotes")
        eventually(lambda: len(one.archiver.partitions) == 8, "all partitions back")
        setup.publish([*quotes(200, first=800)])
        eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 1_000, "the last quotes")
    assert setup.sizes() == list(range(1_000))


def test_kept_partitions_continue_after_a_commit_refused_during_a_rebalance(setup: Setup) -> None:
    setup.publish([*quotes(100)])
    committing_at_its_end = partial(setup.running, [QUOTES_TABLE], archive_flush_interval_s=3_600)
    with committing_at_its_end() as one:
        eventually(lambda: one.read() == 100, "the first quotes")
        # A commit of its own whose answer was lost.
        taken, stored = one.writer.buffer.take(), one.writer.stored
        files = write(stored.checked(), QUOTES_TABLE, taken.rows)
        stored.append(files, taken.moved, lambda: True)
        with committing_at_its_end() as other:
            eventually(lambda: len(other.archiver.partitions) == 1, "the other's partition")
            assert setup.sizes() == list(range(100))
            setup.publish([*quotes(100, first=100)])
            eventually(lambda: one.read() + other.read() == 200, "the next quotes")
    assert one.error is other.error is None
    assert setup.sizes() == list(range(200))


@pytest.mark.kafka_only
@pytest.mark.slow
def test_a_batch_too_large_to_unpack_is_skipped_and_its_neighbors_are_rows(setup: Setup) -> None:
    """6 kB of zstd are 200 MB, twice what librdkafka takes; it would ask for it again for ever."""
    bomb, name = [Raw(b" " * 200_000_000), Raw(b"{}")], setup.kafka.topic(QUOTES.name)
    before = rejected(QUOTES_TABLE)
    for first in (0, 50):
        setup.publish([*quotes(50, first)])
        for partition in range(PARTITIONS):
            asyncio.run(
                publish_soon(setup.kafka.bootstrap_servers, name, partition, bomb, CODEC_ZSTD)
            )
    setup.publish([*quotes(50, first=100)])
    with setup.running():
        eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 150, "the quotes")
    assert setup.sizes() == list(range(150))
    assert rejected(QUOTES_TABLE) - before == 2 * PARTITIONS


@pytest.mark.kafka_only
def test_a_record_outside_its_batch_is_rejected_and_its_neighbors_are_rows(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archive.archiver._POLL_S", 0.5)  # so that one call brings the refusal, too
    before = rejected(QUOTES_TABLE)
    good = [Raw(value, key) for _, key, value in quotes(200) if key == b"4"]
    name, partition = setup.kafka.topic(QUOTES.name), partition_of(b"4", PARTITIONS)
    batches = [*good, good[0]._replace(delta=1_000_000)], good
    for n, batch in enumerate(batches, 1):
        asyncio.run(publish_soon(setup.kafka.bootstrap_servers, name, partition, batch))
        with setup.running():  # from the position that the run before left
            eventually(lambda n=n: len(setup.rows(QUOTES_TABLE)) >= n * len(good), "good rows")
    assert len(setup.rows(QUOTES_TABLE)) == len(batches) * len(good)
    assert rejected(QUOTES_TABLE) > before


def rejected(table: ArchiveTable) -> float:
    return REJECTED.labels(table.name)._value.get()


@pytest.mark.kafka_only
def test_aborted_records_and_markers_are_no_lag_and_what_a_transaction_holds_back_is(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archive.archiver._LAG_EVERY_S", 0.0)
    name = setup.kafka.topic(QUOTES.name)
    producer = Producer(setup.kafka.librdkafka() | {"transactional.id": name})
    producer.init_transactions(PATIENCE_S)
    with setup.running():
        setup.publish([*quotes(100)])
        eventually(lambda: len(setup.rows(QUOTES_TABLE)) == 100, "the first quotes")
        producer.begin_transaction()
        for partition in range(PARTITIONS):
            producer.produce(name, b"{}", partition=partition)
        assert producer.flush(PATIENCE_S) == 0
        setup.publish([*quotes(100, first=100)])
        eventually(lambda: of_quotes(LAG) == 102, "102 records wait")
        eventually(lambda: of_quotes(HELD_BACK) == 102, "they are held back")
        eventually(lambda: of_quotes(OPEN_TRANSACTION) > 1, "it says since when")
        producer.abort_transaction(PATIENCE_S)
        eventually(lambda: len(setup.rows(QUOTES_TABLE)) == 200, "the next quotes")
        producer.begin_transaction()
        for partition in range(PARTITIONS):
            producer.produce(name, b"{}", partition=partition)
        producer.abort_transaction(PATIENCE_S)
        eventually(lambda: of_quotes(LAG) == 0, "no lag is left")
        eventually(lambda: of_quotes(OPEN_TRANSACTION) == 0, "no transaction is open")


def of_quotes(gauge: Gauge) -> float:
    samples = [sample for metric in gauge.collect() for sample in metric.samples]
    return sum(sample.value for sample in samples if sample.labels["table"] == QUOTES_TABLE.name)


@pytest.mark.kafka_only
def test_a_recreated_topic_is_another_log(setup: Setup) -> None:
    setup.publish([*quotes(100)])
    with setup.running():
        eventually(lambda: len(setup.rows(QUOTES_TABLE)) == 100, "the first log")
        delete_topics(setup.kafka, [QUOTES])
        make_topics(setup.kafka, [QUOTES])
        setup.publish([*quotes(150, first=100)])
        eventually(lambda: len(setup.rows(QUOTES_TABLE)) >= 250, "the second log")
    assert setup.sizes() == list(range(250))
    logs = [log for (log,) in setup.rows(QUOTES_TABLE, "log")]
    assert (logs.count(0), logs.count(1)) == (100, 150)


def drop_all(setup: Setup) -> None:
    ends = {p: bounds.end for p, bounds in Broker(setup.kafka).bounds("quotes", [0, 1]).items()}
    client = brokers.Admin(setup.kafka)
    places = [TopicPartition(setup.kafka.topic("quotes"), p, end) for p, end in ends.items()]
    for answer in client.delete_records(places).values():
        answer.result()


@pytest.mark.kafka_only
def test_what_was_read_is_committed_though_the_log_dropped_what_follows(setup: Setup) -> None:
    setup.publish([*quotes(100)])
    before = MISSING.labels("quotes")._value.get()
    with setup.running(archive_flush_interval_s=3_600) as running:
        consumer = running.archiver._consumer._consumer
        eventually(lambda: running.read() == 100, "the first quotes")
        places = [TopicPartition(setup.kafka.topic("quotes"), p) for p in range(2)]
        # As one that is slower than Kafka forgets.
        consumer.pause(places)
        setup.publish([*quotes(100, first=100)])
        drop_all(setup)
        setup.publish([*quotes(100, first=200)])
        consumer.resume(places)
        eventually(lambda: running.read() == 300, "the last quotes")
    assert setup.sizes() == [*range(100), *range(200, 300)]
    assert MISSING.labels("quotes")._value.get() - before == 100


@pytest.mark.kafka_only
def test_all_sent_before_and_after_a_topic_got_more_partitions_is_archived(setup: Setup) -> None:
    setup.publish([*quotes(100)])
    with setup.running():
        eventually(lambda: sum(setup.covered().values()) == 100, "the first quotes")
    setup.publish([*quotes(100, first=100)])
    more = NewPartitions(setup.kafka.topic("quotes"), 5)
    client = brokers.Admin(setup.kafka)
    for answer in client.create_partitions([more]).values():
        answer.result()
    with setup.running():
        eventually(lambda: sum(setup.covered().values()) == 200, "what was sent before")
        setup.publish([*quotes(100, first=200)])
        eventually(lambda: sum(setup.covered().values()) == 300, "what was sent after")
    assert setup.sizes() == list(range(300))
