"""Counts are made again from a log that has everything, while nobody writes them."""

from collections.abc import Iterator

import pytest
from confluent_kafka import TopicPartition

from contracts.messages import Interaction
from contracts.topics import COOCCURRENCES, INTERACTIONS
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from tests.integration.conftest import Pipeline

pytestmark = [pytest.mark.kafka_only, pytest.mark.stack]

BASE_MS = 1_629_061_628_123


def events() -> Iterator[Interaction]:
    for n in range(300):
        yield Interaction(user_id=f"user {n % 23}", instrument_id=n * n % 31, ts=BASE_MS + n)


def fold(pipeline: Pipeline) -> None:
    with pipeline.worker():
        pipeline.wait_until_folded([INTERACTIONS, COOCCURRENCES])


def refused(pipeline: Pipeline, *arguments: str) -> str:
    return " ".join(pipeline.run(*arguments, exits=1, metrics_port=0).split())


def cut_log(broker: str, before: TopicPartition) -> None:
    """Have the broker drop the records below an offset, as when they are past their retention."""
    client = brokers.Admin(plain(broker))
    for cut in client.delete_records([before]).values():
        cut.result(15)


def rows(pipeline: Pipeline) -> list[str]:
    return list(pipeline.store.scan_iter(f"{pipeline.namespace}:cooc:*"))


def test_counts_are_made_again_from_the_changes(pipeline: Pipeline) -> None:
    pipeline.publish(events())
    fold(pipeline)
    pipeline.store.hincrby(rows(pipeline)[0], "7", 5)
    pipeline.store.hset(f"{pipeline.keyspace.cooc(0, 1)}000", "off", "[0,1000000]")
    assert "start the workers" in pipeline.run("operations.counts", "rebuild")
    assert rows(pipeline) == []
    fold(pipeline)
    assert pipeline.gram() == pipeline.gram_of_histories()


def test_nothing_is_deleted_while_a_worker_runs(pipeline: Pipeline) -> None:
    pipeline.publish(events())
    with pipeline.worker():
        pipeline.wait_until_folded([INTERACTIONS, COOCCURRENCES])
        assert "stop all workers" in refused(pipeline, "operations.counts", "rebuild")
    assert pipeline.gram() == pipeline.gram_of_histories()


def test_a_log_that_lost_records_is_not_used_and_the_events_are_if_they_are_whole(
    pipeline: Pipeline,
) -> None:
    pipeline.publish(events())
    fold(pipeline)
    expected = pipeline.gram()
    cut_log(pipeline.broker, TopicPartition(COOCCURRENCES.name, 1, 1))
    said = refused(pipeline, "operations.counts", "rebuild")
    assert "cooccurrences no longer has its first records (partitions 1)" in said
    assert "--from-events" in said
    assert pipeline.gram() == expected

    pipeline.run("operations.counts", "rebuild", "--from-events")
    assert list(pipeline.store.scan_iter(f"{pipeline.namespace}:*:{{i*")) == []
    fold(pipeline)
    assert pipeline.gram() == expected == pipeline.gram_of_histories()

    cut_log(pipeline.broker, TopicPartition(INTERACTIONS.name, 0, 1))
    said = refused(pipeline, "operations.counts", "rebuild", "--from-events")
    assert "from the archive, as docs/partitions.md says" in said
    assert pipeline.gram() == expected
