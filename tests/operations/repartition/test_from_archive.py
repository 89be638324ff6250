"""Records deleted from Kafka are copied from the archive: once, in order, before the rest."""

import random
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from contracts.archive import INTERACTIONS_TABLE, QUOTES_TABLE
from contracts.topics import INTERACTIONS, QUOTES, Topic
from infra.local.process import start, stop
from operations.repartition.archive import CopyArchive
from operations.repartition.copier import copy
from operations.repartition.progress import Copied
from runtime.archive.catalog import load, open_catalog
from runtime.archive.config import ArchiveConfig
from runtime.archive.tables import positions_of
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S, eventually

from .conftest import MINUTE_MS, Grown, market, quote_records, rejected, take_out_users
from .test_answers import LASTS_S, state

pytestmark = [pytest.mark.kafka_only, pytest.mark.slow]

TABLES = (QUOTES_TABLE, INTERACTIONS_TABLE)


@pytest.fixture
def config(tmp_path: Path) -> ArchiveConfig:
    return ArchiveConfig(warehouse=str(tmp_path / "archive"))


def archive(old: Pipeline, config: ArchiveConfig) -> None:
    """Run the archive until it has all that is in the topics by now."""
    settings = {"archive_warehouse": config.warehouse, "archive_flush_interval_s": "0.5"}
    command = old.command("archive", "archive", "run", metrics_port=0, **settings)
    process = start(command)
    try:
        for table in TABLES:
            ends = log_ends(old, table.topic)
            eventually(
                lambda table=table, ends=ends: ends.items() <= reached(config, table).items(),
                f"{table.name} archived up to {ends}, see {command.log}",
            )
    finally:
        stop((process, command))


def reached(config: ArchiveConfig, table: object) -> dict[int, int]:
    found = load(open_catalog(config), config, table)  # type: ignore[arg-type]
    positions = positions_of(found, table) if found else {}  # type: ignore[arg-type]
    return {partition: position.next for partition, position in positions.items()}


def log_ends(old: Pipeline, topic: Topic) -> dict[int, int]:
    ends = brokers.log_ends(plain(old.broker), topic.name, 2)
    return {partition: end for partition, end in ends.items() if end}


def cut(old: Pipeline, topic: Topic, kept: int) -> None:
    before = [
        TopicPartition(topic.name, partition, max(end - kept, 0))
        for partition, end in log_ends(old, topic).items()
    ]
    client = brokers.Admin(plain(old.broker))
    for cutting in client.delete_records(before).values():
        cutting.result(PATIENCE_S)


def copied(grown: Grown, config: ArchiveConfig) -> dict[str, Copied]:
    source = CopyArchive(config, brokers.Admin(grown.kafka))
    return {each.topic.name: each for each in copy(grown.kafka, "", lambda *_: None, source)}


def test_deleted_records_come_first_from_the_archive_and_lost_ones_are_counted(
    old: Pipeline, grown: Grown, config: ArchiveConfig
) -> None:
    old.publish_raw(quote_records(20))
    archive(old, config)
    old.publish_raw(quote_records(5))
    cut(old, QUOTES, kept=12)
    grown.environment["ARCHIVE_WAREHOUSE"] = config.warehouse
    said = grown.run("operations.repartition", "--from-prefix", "", "--from-archive")
    # copied, left out, deleted before, from the archive: which has some that the log has, too
    assert said.splitlines()[1].split()[-4:] == ["25", "0", "0", "13"]
    old.publish_raw(quote_records(5))
    cut(old, QUOTES, kept=3)
    quotes = copied(grown, config)["quotes"]
    assert (quotes.records, quotes.archived, quotes.deleted) == (3, 0, 2)


def test_an_emptied_redis_is_rebuilt_even_if_kafka_has_only_the_last_records(
    old: Pipeline, grown: Grown, config: ArchiveConfig, seed: int
) -> None:
    draw = random.Random(seed)
    now_ms = time.time_ns() // 1_000_000
    end_ms = now_ms // MINUTE_MS * MINUTE_MS
    with old.worker(history_cap=15):
        old.publish_raw(market(draw, 4_000, end_ms))
        old.publish_raw(rejected(draw, now_ms))
        take_out_users(old, end_ms)
        archive(old, config)
        for topic in (QUOTES, INTERACTIONS):
            cut(old, topic, kept=100)
        old.publish_raw(market(draw, 300, end_ms))
        old.wait_until_folded()
    lasting_s = time.time() + LASTS_S
    expected = state(old, lasting_s)
    assert len(expected) > 500
    old.empty_store()
    killed = grown.command("killed", "tests.operations.repartition.killed", "", config.warehouse)
    assert start(killed).wait(PATIENCE_S) == -signal.SIGKILL, killed.log.read_text()
    of_archive = copied(grown, config)
    assert of_archive["quotes"].archived > 0
    assert not of_archive["quotes"].deleted + of_archive["interactions"].deleted
    with grown.worker(history_cap=15):
        grown.wait_until_folded()
    assert state(grown, lasting_s) == expected
