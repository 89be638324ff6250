"""Records that no client can read, or of a later version: the others are counted."""

import httpx
import msgspec
import numpy as np
import pytest

from contracts.changes import VERSION, Blocks, Changes, encode_changes
from contracts.messages import Interaction, encode
from contracts.partitioning import instrument_partition, user_partition
from contracts.topics import COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES
from infra.local.process import free_port
from tests.integration.conftest import Pipeline, dead_letters
from tests.patience import eventually
from tests.raw_batches import POISON, Raw, publish

GOOD_QUOTE = b'{"instrument_id":4,"price":30.72,"size":100,"ts":1629061628123}'
GOOD_EVENT = b'{"user_id":"ABC","instrument_id":4,"ts":1629061628123}'

ONE = np.array([1])
ADDED = Blocks(ONE, ONE, ONE, ONE, np.array([1.0]))
TOO_FAR = Changes(0, 2**40, 0, ADDED, Blocks.none())
BAD = {
    b"name is not UTF-8": {"headers": [(POISON, b"x")]},
    b"delta is 1000000,": {"delta": 1_000_000},
    b"delta is -1,": {"delta": -1},
}
"""Why nobody can read a record -> what it has instead of a good one."""


def test_records_that_nobody_can_read_are_dead_letters_and_their_neighbors_are_counted(
    pipeline: Pipeline,
) -> None:
    bars = instrument_partition(4, pipeline.topology.quotes)
    user = user_partition("ABC", pipeline.topology.interactions)
    poison = {QUOTES: bars, INTERACTIONS: user, COOCCURRENCES: 0, INSTRUMENTS: 0}
    good = {QUOTES: GOOD_QUOTE, INTERACTIONS: GOOD_EVENT}
    without_changes = [b"\x81\xa1x" + b"\x91" * 100_000, encode_changes(TOO_FAR)]
    with pipeline.worker() as worker:
        for topic, partition in poison.items():
            neighbor = Raw(good.get(topic, b"bad"), b"key")
            for fields in BAD.values():
                bad = neighbor._replace(**fields)
                records = [neighbor, bad, neighbor] if topic in good else [bad]
                publish(pipeline.broker, topic.name, partition, records)
        pipeline.publish_raw((COOCCURRENCES.name, None, value, 0) for value in without_changes)
        pipeline.wait_until_folded()
        assert worker.poll() is None
    for topic in poison:
        found = dead_letters(pipeline.broker, topic.name)
        of_reason = {why: [v for v, its in found if why in its["reason"]] for why in BAD}
        assert of_reason == {why: [good.get(topic, b"bad")] for why in BAD}
        others = [v for v, its in found if not any(why in its["reason"] for why in BAD)]
        assert others == (without_changes if topic is COOCCURRENCES else [])
    assert pipeline.bars(4)[1_629_061_620].n == 6
    assert pipeline.gram() == {(4, 4): 1}


@pytest.mark.stack
def test_a_message_of_another_version_stops_its_partition_and_no_other(
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
        assert "reads only version 1" in said(address, f"{COOCCURRENCES.name}/0")
        assert httpx.get(address).status_code == 200
        assert httpx.get(f"{address}/ready").status_code == 503


def said(address: str, partition: str) -> str:
    """Return what a worker reports of a partition."""
    try:
        return str(httpx.get(address).json()["partitions"].get(partition))
    except httpx.TransportError:
        return "nothing yet"
