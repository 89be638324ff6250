"""Instruments from their topic to Redis: the newest record counts, and a tombstone removes."""

from collections.abc import Callable, Iterable

import msgspec
import pytest

from contracts.instruments import CatalogEntry, Instrument, encode_instrument, instrument_key
from contracts.partitioning import instrument_partition
from contracts.topics import INSTRUMENTS
from runtime.topology import Topology
from tests.integration.conftest import Pipeline, kill
from tests.integration.watched import watched
from tests.patience import eventually

pytestmark = pytest.mark.kafka_only

Described = tuple[int, str | None]
"""instrument id and name, None if it is removed"""


def publish(pipeline: Pipeline, described: Iterable[Described]) -> None:
    pipeline.publish_raw((INSTRUMENTS.name, *record(*one), None) for one in described)


def record(instrument_id: int, name: str | None) -> tuple[bytes, bytes | None]:
    value = name and encode_instrument(
        Instrument(instrument_id, symbol=f"I{instrument_id}", name=name)
    )
    return instrument_key(instrument_id), value or None


def catalog(pipeline: Pipeline) -> dict[int, str]:
    """The names of all instruments, each in the partition where readers look."""
    names = {}
    for partition in range(pipeline.topology.instruments):
        for field, entry in pipeline.store.hgetall(pipeline.keyspace.catalog(partition)).items():
            assert instrument_partition(int(field), pipeline.topology.instruments) == partition
            decoded = msgspec.json.decode(entry, type=CatalogEntry)
            assert decoded.instrument_id == int(field)
            names[int(field)] = decoded.name
    return names


@pytest.mark.slow
def test_the_newest_record_of_each_instrument_is_in_redis_across_a_kill_in_a_flush(
    pipeline: Pipeline,
) -> None:
    n = 3_000
    # A script call per instrument, so that a flush takes long.
    with pipeline.worker("tests.small_chunks", chunk_cost=10) as worker:
        publish(pipeline, [(i, "old") for i in range(n)])
        pipeline.wait_until_folded([INSTRUMENTS])
        publish(pipeline, [(i, None if i % 3 == 0 else "new") for i in range(n)])
        eventually(
            lambda: "new" in catalog(pipeline).values(), "a flush is under way", every_s=0.005
        )
        kill(worker)
    assert "old" in catalog(pipeline).values()
    publish(pipeline, [(0, "back")])
    with watched(pipeline):
        pipeline.wait_until_folded([INSTRUMENTS])
    assert catalog(pipeline) == {0: "back"} | {i: "new" for i in range(n) if i % 3}


def test_instruments_missing_from_a_recreated_topic_are_removed_at_once(
    pipeline: Pipeline, topics: Callable[..., Topology]
) -> None:
    with watched(pipeline):
        publish(pipeline, [(i, "old") for i in range(100)])
        pipeline.wait_until_folded([INSTRUMENTS])
        assert len(catalog(pipeline)) == 100
        topics()
        publish(pipeline, [(7, "new")])
        eventually(lambda: catalog(pipeline) == {7: "new"}, "only the new log's are there")
