"""Topics copied into others, from an archive too, are folded to the same values, counted once."""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from contracts.archive import INTERACTIONS_TABLE, QUOTES_TABLE
from contracts.keyspace import OFFSET_FIELD, PARTITIONS_KEY
from contracts.messages import Quote, encode
from contracts.partitioning import instrument_partition
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
from tests.chaos.truth.expected import stored_fields
from tests.contracts.keys import keys
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S, eventually

from .conftest import (
    INSTRUMENT_IDS,
    MINUTE_MS,
    SIZES,
    Grown,
    Record,
    market,
    open_transaction,
    quote_records,
    rejected,
    take_out_users,
)

LASTS_S = 600
"""What expires sooner may do so between two looks."""
CLOCKED = {"open"}
"""Minutes are closed by the clock, too."""

pytestmark = [pytest.mark.kafka_only, pytest.mark.slow]


def misnamed(now_ms: int) -> Iterator[Record]:
    """Yield records with wrong or missing keys that are still folded."""
    for i in INSTRUMENT_IDS:
        quote = Quote(instrument_id=i, price=1 + i / 4, size=1, ts=now_ms - i * MINUTE_MS)
        yield QUOTES.name, None, encode(quote), instrument_partition(i, 2)
        yield QUOTES.name, b"other", encode(quote), instrument_partition(i, 2)


def kill_in_a_transaction(grown: Grown) -> None:
    """Copy until the copy is killed with written, uncommitted records."""
    command = grown.command("killed", "tests.operations.repartition.killed", "")
    assert start(command).wait(PATIENCE_S) == -signal.SIGKILL, command.log.read_text()
    ends = [
        sum(log_ends(grown, topic, isolation) for topic in (QUOTES, INTERACTIONS))
        for isolation in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
    ]
    assert 0 < ends[0] < ends[1]


def log_ends(grown: Grown, topic: Topic, isolation: IsolationLevel) -> int:
    client = brokers.Admin(grown.kafka)
    name = grown.kafka.topic(topic.name)
    tps = [TopicPartition(name, number) for number in range(SIZES[topic.name])]
    asked = dict.fromkeys(tps, OffsetSpec.latest())
    ends = client.list_offsets(asked, isolation_level=isolation, request_timeout=30)
    return sum(one.result().offset for one in ends.values())


def state(pipeline: Pipeline, lasting_s: float) -> dict[tuple[str, str], Any]:
    """Return all that folds wrote and that lasts, without offsets; counts of all partitions."""
    found: dict[tuple[str, str], Any] = {}
    for key, fields in stored_fields(pipeline.store, pipeline.keyspace):
        its = PARTITIONS_KEY.fullmatch(key)
        if not its or its["kind"] in CLOCKED or 0 < pipeline.store.expiretime(key) < lasting_s:
            continue
        for field, value in fields.items():
            name = f"{its['kind']}:{its['rest']}", field
            if isinstance(value, dict):
                found[name] = {part: of for part, of in value.items() if part != OFFSET_FIELD}
            elif value and field != OFFSET_FIELD:
                found[name] = found.get(name, 0) + value
    return found


def test_what_is_stored_is_the_same_with_more_partitions_even_if_the_copy_was_killed(
    old: Pipeline, grown: Grown, seed: int
) -> None:
    draw = random.Random(seed)
    now_ms = time.time_ns() // 1_000_000
    end_ms = now_ms // MINUTE_MS * MINUTE_MS
    rest = list(market(draw, 300, end_ms))
    with old.worker(history_cap=15), grown.worker(history_cap=15):
        old.publish_raw(market(draw, 4_000, end_ms))
        old.publish_raw(rejected(draw, now_ms))
        old.publish_raw(misnamed(end_ms))
        with open_transaction(old, instrument_id=4):
            pass
        kill_in_a_transaction(grown)
        take_out_users(old, end_ms)
        grown.copy()
        old.publish_raw(market(draw, 300, end_ms))
        copied = grown.copy()
        assert copied["quotes"].records == 300
        assert copied["interactions"].left_out == copied["interactions"].deleted == 0
        # From here on feeds write to the new topics; to the old ones, too, to be compared.
        old.publish_raw(rest)
        grown.publish_raw(rest)
        old.wait_until_folded()
        grown.wait_until_folded()
    lasting_s = time.time() + LASTS_S
    expected = state(old, lasting_s)
    kinds = Counter(name.split(":")[0] for name, _ in expected)
    assert kinds["cooc"] > 500
    assert kinds.keys() >= {
        key.kind for key in keys() if key.topic_letter and not key.is_channel
    } - CLOCKED - {"position"}
    assert state(grown, lasting_s) == expected


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
            reach = old_ends(old, table.topic)
            eventually(
                lambda table=table, reach=reach: reach.items() <= reached(config, table).items(),
                f"{table.name} archived up to {reach}, see {command.log}",
            )
    finally:
        stop((process, command))


def reached(config: ArchiveConfig, table: object) -> dict[int, int]:
    found = load(open_catalog(config), config, table)  # type: ignore[arg-type]
    positions = positions_of(found, table) if found else {}  # type: ignore[arg-type]
    return {partition: position.next for partition, position in positions.items()}


def old_ends(old: Pipeline, topic: Topic) -> dict[int, int]:
    found = brokers.log_ends(plain(old.broker), topic.name, 2)
    return {partition: end for partition, end in found.items() if end}


def cut(old: Pipeline, topic: Topic, kept: int) -> None:
    before = [
        TopicPartition(topic.name, partition, max(end - kept, 0))
        for partition, end in old_ends(old, topic).items()
    ]
    client = brokers.Admin(plain(old.broker))
    for cutting in client.delete_records(before).values():
        cutting.result(PATIENCE_S)


def copied_with_archive(grown: Grown, config: ArchiveConfig) -> dict[str, Copied]:
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
    quotes = copied_with_archive(grown, config)["quotes"]
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
    of_archive = copied_with_archive(grown, config)
    assert of_archive["quotes"].archived > 0
    assert not of_archive["quotes"].deleted + of_archive["interactions"].deleted
    with grown.worker(history_cap=15):
        grown.wait_until_folded()
    assert state(grown, lasting_s) == expected
