"""The catalog's symbols, as they are in the topic at a moment."""

import contextlib

import pytest
from confluent_kafka import Producer

from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.topics import INSTRUMENTS
from producers.adapt.catalog import Catalog
from producers.adapt.symbols import Symbols
from runtime.topology import Topology
from tests.patience import PATIENCE_S, eventually

from .conftest import Company

pytestmark = pytest.mark.kafka_only


def record(i: int) -> tuple[bytes, bytes]:
    its = Instrument(i, symbol=f"S{i}", name=f"S{i}")
    return instrument_key(i), encode_instrument(its)


def test_what_was_published_before_is_known_and_an_open_transaction_is_not_awaited(
    company: Company, topology: Topology
) -> None:
    symbols = Symbols()
    company.publish(INSTRUMENTS.name, [record(0)])
    settings = {"bootstrap.servers": company.kafka.bootstrap_servers}
    other = Producer({**settings, "transactional.id": company.prefix})
    other.init_transactions()
    with contextlib.closing(Catalog(company.kafka, company.prefix, symbols)) as catalog:
        catalog.load(topology.instruments, PATIENCE_S)
        assert symbols.find("S0") == 0
        for i in range(1, 50):
            company.publish(INSTRUMENTS.name, [record(i)])
            catalog.catch_up(PATIENCE_S)
            assert symbols.find(f"s{i}") == i
        other.begin_transaction()
        key, value = record(50)
        other.produce(INSTRUMENTS.name, value, key)
        other.flush()
        catalog.catch_up(PATIENCE_S)
        assert symbols.find("S50") is None
        other.commit_transaction()

        def is_known() -> bool:
            catalog.catch_up(PATIENCE_S)
            return symbols.find("S50") == 50

        # The broker may answer before it has written to the partitions that it is committed.
        eventually(is_known, "what was committed is known")
