"""Instruments from their topic to Redis."""

from collections.abc import Callable, Iterable

import msgspec
import pytest

from contracts.instruments import CatalogEntry, Instrument, encode_instrument, instrument_key
from contracts.partitioning import instrument_partition
from contracts.topics import INSTRUMENTS
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.integration.watched import watched
from tests.patience import eventually

pytestmark = [pytest.mark.kafka_only, pytest.mark.stack]


def publish(pipeline: Pipeline, name: str, instruments: Iterable[int]) -> None:
    pipeline.publish_raw(
        (
            INSTRUMENTS.name,
            instrument_key(i),
            encode_instrument(Instrument(i, symbol=f"I{i}", name=name)),
            None,
        )
        for i in instruments
    )


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


def test_instruments_missing_from_a_recreated_topic_are_removed_at_once(
    pipeline: Pipeline, topics: Callable[..., Topology]
) -> None:
    with watched(pipeline):
        publish(pipeline, "old", range(100))
        pipeline.wait_until_folded([INSTRUMENTS])
        assert len(catalog(pipeline)) == 100
        topics()
        publish(pipeline, "new", [7])
        eventually(lambda: catalog(pipeline) == {7: "new"}, "only the new log's are there")
