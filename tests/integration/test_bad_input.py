"""Invalid records go to the dead letters with a reason; their neighbors are counted."""

import time

import httpx
import msgspec
import numpy as np
import pytest

from contracts.changes import VERSION, Blocks, Changes, encode_changes
from contracts.messages import Interaction, Quote, encode
from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES
from infra.local.process import free_port
from tests.integration.conftest import Pipeline, dead_letters
from tests.patience import eventually
from tests.raw_batches import POISON, Raw, publish

pytestmark = pytest.mark.integration

AHEAD_MS = 3_600_000
GOOD_QUOTE = b'{"instrument_id":4,"price":30.72,"size":100,"ts":1629061628123}'
GOOD_EVENT = b'{"user_id":"ABC","instrument_id":4,"ts":1629061628123}'

ONE = np.array([1])
ADDED = Blocks(ONE, ONE, ONE, ONE, np.array([1.0]))
TOO_FAR = Changes(0, 2**40, 0, ADDED, Blocks.none())

BAD_QUOTES: dict[bytes | None, str] = {
    None: "no value",
    b"": "truncated",
    b"\xff\xfe": "malformed",
    b"[1, 2]": "Expected `object`",
    b'{"price":1,"ts":1}': "instrument_id",
    b'{"instrument_id":4,"ts":1}': "price",
    b'{"instrument_id":4,"price":1}': "ts",
    b'{"instrument_id":-1,"price":1,"ts":1}': "$.instrument_id",
    b'{"instrument_id":9223372036854775808,"price":1,"ts":1}': "$.instrument_id",
    b'{"instrument_id":"4","price":1,"ts":1}': "$.instrument_id",
    b'{"instrument_id":4,"price":0,"ts":1}': "$.price",
    b'{"instrument_id":4,"price":-3,"ts":1}': "$.price",
    b'{"instrument_id":4,"price":NaN,"ts":1}': "malformed",
    b'{"instrument_id":4,"price":1e999,"ts":1}': "$.price",
    b'{"instrument_id":4,"price":"1","ts":1}': "$.price",
    b'{"instrument_id":4,"price":1,"size":-1,"ts":1}': "$.size",
    b'{"instrument_id":4,"price":1,"ts":-1}': "$.ts",
    b'{"instrument_id":4,"price":1,"ts":1629061628}': "epoch milliseconds",
    b'{"instrument_id":4,"price":1,"ts":1.5}': "$.ts",
    b'{"x":' + b"[" * 100_000: "recursion",
}
BAD_EVENTS: dict[bytes | None, str] = {
    None: "user_id 'key' does not belong",  # a tombstone of a user elsewhere
    b'{"instrument_id":4,"ts":1}': "user_id",
    b'{"user_id":"","instrument_id":4,"ts":1}': "$.user_id",
    b'{"user_id":17850,"instrument_id":4,"ts":1}': "$.user_id",
    '{{"user_id":"{}","instrument_id":4,"ts":1629061628123}}'.format(
        "é" * 100
    ).encode(): "200 bytes",
    b'{"user_id":"ABC","instrument_id":4,"event":"buy","ts":1}': "$.event",
    b'{"user_id":"ABC","instrument_id":4,"price":0,"ts":1}': "$.price",
    b'{"user_id":"ABC","instrument_id":4,"quantity":-1,"ts":1}': "$.quantity",
    b'{"user_id":"ABC","instrument_id":4.5,"ts":1}': "$.instrument_id",
}


def test_each_broken_rule_is_a_dead_letter_with_its_reason_and_its_neighbors_are_counted(
    pipeline: Pipeline,
) -> None:
    quotes, events = pipeline.topology.quotes, pipeline.topology.interactions
    ahead_ms = int(time.time() * 1000) + AHEAD_MS
    bad_quotes = BAD_QUOTES | {encode(Quote(instrument_id=4, price=1, ts=ahead_ms)): "ahead"}
    bad_events = BAD_EVENTS | {
        encode(Interaction(user_id="ABC", instrument_id=4, ts=ahead_ms)): "ahead"
    }
    records = []
    for good, bad, topic, partition in (
        (GOOD_QUOTE, bad_quotes, QUOTES.name, instrument_partition(4, quotes)),
        (GOOD_EVENT, bad_events, INTERACTIONS.name, user_partition("ABC", events)),
    ):
        for value in bad:
            records += [(topic, None, good, partition), (topic, b"key", value, partition)]
        records.append((topic, b"ABC", good, (partition + 1) % 2))
    records.append((COOCCURRENCES.name, None, b"no changes", 0))
    with pipeline.worker():
        pipeline.publish_raw(records)
        pipeline.wait_until_folded()

    for topic, bad, good in (
        (QUOTES.name, bad_quotes, GOOD_QUOTE),
        (INTERACTIONS.name, bad_events, GOOD_EVENT),
    ):
        letters = dead_letters(pipeline.broker, topic)
        reasons = {value: headers["reason"].decode() for value, headers in letters}
        assert len(letters) == len(bad) + 1
        assert {headers["topic"] for _, headers in letters} == {topic.encode()}
        assert "does not belong to partition" in reasons.pop(good)
        assert reasons.keys() == bad.keys()
        for value, names in bad.items():
            assert names in reasons[value], (value, reasons[value])
    assert len(dead_letters(pipeline.broker, COOCCURRENCES.name)) == 1

    bar = pipeline.store.hget(
        pipeline.keyspace.bars(instrument_partition(4, quotes), 4), "1629061620"
    )
    assert f'"n":{len(bad_quotes)},' in bar
    assert pipeline.gram() == {(4, 4): 1}


def test_a_record_whose_headers_name_is_not_utf_8_is_a_dead_letter_and_its_neighbors_are_counted(
    pipeline: Pipeline,
) -> None:
    bars = instrument_partition(4, pipeline.topology.quotes)
    user = user_partition("ABC", pipeline.topology.interactions)
    poison = {QUOTES: bars, INTERACTIONS: user, COOCCURRENCES: 0, INSTRUMENTS: 0}
    good = {QUOTES: GOOD_QUOTE, INTERACTIONS: GOOD_EVENT}
    with pipeline.worker() as worker:
        for topic, partition in poison.items():
            neighbor = Raw(good.get(topic, b"bad"), b"key")
            bad = neighbor._replace(headers=[(POISON, b"x")])
            records = [neighbor, bad, neighbor] if topic in good else [bad]
            publish(pipeline.broker, topic.name, partition, records)
        pipeline.wait_until_folded()
        assert worker.poll() is None
    for topic in poison:
        ((value, headers),) = dead_letters(pipeline.broker, topic.name)
        assert value == good.get(topic, b"bad")
        assert b"a header's name is not UTF-8" in headers["reason"]
    bar = pipeline.store.hget(pipeline.keyspace.bars(bars, 4), "1629061620")
    assert '"n":2,' in bar
    assert pipeline.gram() == {(4, 4): 1}


def test_records_without_changes_stop_no_worker(pipeline: Pipeline) -> None:
    bad = [b"\x81\xa1x" + b"\x91" * 100_000, encode_changes(TOO_FAR)]
    with pipeline.worker() as worker:
        pipeline.publish_raw((COOCCURRENCES.name, None, value, 0) for value in bad)
        pipeline.publish_raw([(INTERACTIONS.name, b"ABC", GOOD_EVENT, None)])
        pipeline.wait_until_folded()
        assert worker.poll() is None
    assert [value for value, _ in dead_letters(pipeline.broker, COOCCURRENCES.name)] == bad
    assert pipeline.gram() == {(4, 4): 1}


def test_a_message_of_a_later_version_stops_its_partition_and_no_other(
    pipeline: Pipeline,
) -> None:
    port = free_port()
    item = next(n for n in range(100) if instrument_partition(n, 2) == 1)
    event = encode(Interaction(user_id="ABC", instrument_id=item, ts=1629061628123))
    with pipeline.worker(metrics_port=port) as worker:
        pipeline.publish_raw(
            [(COOCCURRENCES.name, None, msgspec.msgpack.encode({"version": VERSION + 1}), 0)]
        )
        address = f"http://127.0.0.1:{port}/health"
        eventually(lambda: "stopped" in said(address, f"{COOCCURRENCES.name}/0"), "it stopped")
        pipeline.publish_raw([(INTERACTIONS.name, b"ABC", event, None)])
        pipeline.wait_until_folded([INTERACTIONS])
        eventually(lambda: pipeline.gram() == {(item, item): 1}, "the other partition goes on")
        assert worker.poll() is None
        assert "upgrade this worker" in said(address, f"{COOCCURRENCES.name}/0")
        assert httpx.get(address).status_code == 200
        assert httpx.get(f"{address}/ready").status_code == 503


def said(address: str, partition: str) -> str:
    """Return what a worker reports of a partition."""
    try:
        return str(httpx.get(address).json()["partitions"].get(partition))
    except httpx.TransportError:
        return "nothing yet"
