"""Topics copied into others with more partitions are folded to the same answers, counted once."""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from contracts.keyspace import OFFSET_FIELD, PARTITIONS_KEY
from contracts.messages import Quote, encode
from contracts.partitioning import instrument_partition
from contracts.topics import INTERACTIONS, QUOTES, Topic
from infra.local.process import start
from runtime.kafka import broker as brokers
from tests.chaos.stored import stored_fields
from tests.contracts.keys import keys
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S

from .conftest import (
    INSTRUMENT_IDS,
    MINUTE_MS,
    SIZES,
    USERS,
    Grown,
    Record,
    market,
    open_transaction,
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


def answers(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the API says, but for the ids of its problems' requests."""
    asked = [
        *(f"/v1/instruments/{i}/bars?limit=100" for i in INSTRUMENT_IDS[:5]),
        *(f"/v1/users/{user}/history" for user in USERS[:10]),
        "/v1/instruments",
        "/v1/movers?window=1h",
    ]
    with pipeline.api() as address, httpx.Client(base_url=address) as client:
        found = {path: client.get(path).json() for path in asked}
    return {path: {**answer, "request_id": None} for path, answer in found.items()}


def test_answers_are_the_same_with_more_partitions_even_if_the_copy_was_killed(
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
    with ThreadPoolExecutor() as pool:
        of_old, of_grown = pool.map(answers, [old, grown])
    assert of_grown == of_old
