"""A copy has every record once, in order, or reports what prevents it."""

import random
import re
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from contracts.partitioning import instrument_partition
from contracts.topics import QUOTES, Topic
from infra.local.process import free_port, running
from infra.local.tansu import tansu
from operations.repartition import copier
from operations.repartition.copier import copy
from operations.repartition.placement import COPIED
from operations.repartition.progress import CopyError
from runtime.kafka import broker as brokers
from runtime.kafka.config import KafkaConfig, plain
from runtime.kafka.rights import RightsError
from tests.guarded import Guarded
from tests.integration.conftest import Pipeline
from tests.kafka_log import records_of
from tests.patience import PATIENCE_S, eventually

from .conftest import (
    INSTRUMENT_IDS,
    SIZES,
    Grown,
    market,
    open_transaction,
    quote_records,
    rejected,
    take_out_users,
)

pytestmark = pytest.mark.kafka_only


def by_key(kafka: KafkaConfig, topic: Topic) -> dict[bytes | None, list[Any]]:
    found = defaultdict(list)
    for record in records_of(kafka, kafka.topic(topic.name)):
        stamp = () if topic.is_stamped_by_broker else record.timestamp()
        found[record.key()].append((record.value(), record.headers(), stamp))
    return found


def written(grown: Grown) -> int:
    return sum(brokers.log_ends(grown.kafka, QUOTES.name, SIZES["quotes"]).values())


def test_keys_have_records_in_order_with_headers_and_times(old: Pipeline, grown: Grown) -> None:
    now_ms = time.time_ns() // 1_000_000
    old.publish_raw(market(random.Random(1), 500, now_ms))
    take_out_users(old, now_ms)
    copied = grown.copy()
    for topic in COPIED:
        before = by_key(plain(old.broker), topic)
        assert by_key(grown.kafka, topic) == before
        assert copied[topic.name].records == sum(map(len, before.values())) > 0


def test_records_the_workers_rejected_are_skipped(old: Pipeline, grown: Grown) -> None:
    now_ms = time.time_ns() // 1_000_000
    bad = list(rejected(random.Random(1), now_ms))
    old.publish_raw(bad)
    copied = grown.copy()
    assert {name: each.left_out for name, each in copied.items() if each.left_out} == dict(
        Counter(topic for topic, *_ in bad)
    )
    assert not any(each.records for each in copied.values())


@pytest.mark.slow
def test_a_second_copy_ends_the_first(old: Pipeline, grown: Grown) -> None:
    old.publish_raw(quote_records(10))
    elsewhere = next(i for i in INSTRUMENT_IDS if instrument_partition(i, 2) != 0)
    here = next(i for i in INSTRUMENT_IDS if instrument_partition(i, 2) == 0)
    with open_transaction(old, elsewhere):
        first = grown.copying()
        old.publish_raw(quote_records(10, here))
        eventually(lambda: written(grown) > 0, "the first copy writes")
        first.send_signal(signal.SIGSTOP)
        old.publish_raw(quote_records(10, here))
    grown.copy()
    old.publish_raw(quote_records(5, here))
    first.send_signal(signal.SIGCONT)
    assert first.wait(PATIENCE_S) == 1
    assert "another copy into the same topics began" in (grown.folder / "copy.log").read_text()
    assert grown.copy()["quotes"].records == 5
    assert by_key(grown.kafka, QUOTES).keys() == {b"4", b"%d" % here}


def test_topics_with_other_records_are_not_copied_into(old: Pipeline, grown: Grown) -> None:
    old.publish_raw(quote_records(10))
    grown.publish_raw(quote_records(1))
    with pytest.raises(CopyError, match="quotes has 1 records already"):
        grown.copy()
    assert written(grown) == 1


def test_it_reports_how_much_kafka_deleted_between_two_copies(old: Pipeline, grown: Grown) -> None:
    old.publish_raw(quote_records(10))
    grown.copy()
    old.publish_raw(quote_records(10))
    partition = instrument_partition(4, 2)
    cut = TopicPartition(QUOTES.name, partition, 13)
    client = brokers.Admin(plain(old.broker))
    client.delete_records([cut])[cut].result(PATIENCE_S)
    copied = grown.copy()["quotes"]
    assert (copied.records, copied.deleted) == (7, 3)


def test_it_names_the_partition_that_an_open_transaction_holds_back(
    old: Pipeline, grown: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = instrument_partition(4, 2)
    monkeypatch.setattr(copier, "_SILENT_MOST_S", 0.5)
    with (
        open_transaction(old, instrument_id=4),
        pytest.raises(CopyError, match=rf"of quotes/{partition} .* a transaction is open there"),
    ):
        grown.copy()
    monkeypatch.undo()
    assert grown.copy()["quotes"].records == 0


@pytest.mark.usefixtures("old")
def test_missing_rights_are_named(guarded: Guarded, grown: Grown) -> None:
    kafka = guarded.config("operator", prefix=grown.kafka.prefix)
    with pytest.raises(RightsError, match=r"operator is missing .*READ on topic feedback"):
        copy(kafka, "", lambda *_: None)


@pytest.mark.usefixtures("old")
def test_wrong_prefixes_are_errors(grown: Grown) -> None:
    kafka = grown.kafka
    elsewhere = kafka.model_copy(update={"prefix": "none."})
    for into, from_prefix, error in (
        (kafka, "nowhere.", "no topic nowhere.quotes: is --from-prefix right?"),
        (kafka, kafka.prefix, "is KAFKA_PREFIX itself"),
        (elsewhere, "", "no topic none.quotes: run `python -m operations.topics"),
    ):
        with pytest.raises(CopyError, match=re.escape(error)):
            copy(into, from_prefix, lambda *_: None)


def test_a_broker_without_transactions_is_refused(tmp_path: Path) -> None:
    server = tansu(free_port(), tmp_path)
    kafka = KafkaConfig(bootstrap_servers=server.address, prefix="more.")
    with running(server), pytest.raises(CopyError, match="this needs Apache Kafka"):
        copy(kafka, "", lambda *_: None)
