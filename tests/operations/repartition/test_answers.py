"""Topics copied into others with more partitions are folded to the same answers, counted once."""

import json
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

from contracts.keyspace import OFFSET_FIELD
from contracts.messages import Quote, encode
from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import INTERACTIONS, QUOTES, Topic
from contracts.trending import BUCKETS_S
from infra.local.process import start
from runtime.kafka import broker as brokers
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


def state(pipeline: Pipeline) -> dict[str, Any]:
    """Return all state of the workers, read where readers look, without offsets."""
    keys, topology = pipeline.keyspace, pipeline.topology
    found: dict[str, Any] = {"counts": pipeline.gram()}
    for i in INSTRUMENT_IDS:
        bars = pipeline.store.hgetall(keys.bars(instrument_partition(i, topology.quotes), i))
        found[f"bars of {i}"] = {minute: without_offset(bar) for minute, bar in bars.items()}
        entry = pipeline.store.hget(
            keys.catalog(instrument_partition(i, topology.instruments)), str(i)
        )
        found[f"entry of {i}"] = entry and without_offset(entry)
    trending: Counter[tuple[str, str]] = Counter()
    for user in USERS:
        partition = user_partition(user, topology.interactions)
        history = pipeline.store.hgetall(keys.history(partition, user))
        history.pop(OFFSET_FIELD, None)
        found[f"history of {user}"] = history
        found[f"last of {user}"] = pipeline.store.zscore(keys.active(partition), user)
    for key in pipeline.store.scan_iter(f"{pipeline.namespace}:trending:*"):
        bucket = key.split("}:")[1]
        for item, events in pipeline.store.hgetall(key).items():
            if item != OFFSET_FIELD:
                trending[bucket, item] += int(events)
    found["trending"] = {at: n for at, n in trending.items() if is_kept(at[0])}
    return found


def is_kept(bucket: str) -> bool:
    """Return whether a bucket does not end while the test runs."""
    length_s, start_s, _ = map(int, bucket.split(":"))
    return start_s + BUCKETS_S[length_s] > time.time() + PATIENCE_S


def without_offset(value: str) -> Any:
    decoded = json.loads(value)
    if isinstance(decoded, dict):
        decoded.pop("off")
    return decoded


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
    expected = state(old)
    assert len(expected["counts"]) > 500
    assert expected["trending"]
    assert state(grown) == expected
    with ThreadPoolExecutor() as pool:
        of_old, of_grown = pool.map(answers, [old, grown])
    assert of_grown == of_old
