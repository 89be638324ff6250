"""The catalog's symbols, as they are in the topic at a moment."""

import contextlib

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import NewTopic

from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.topics import INSTRUMENTS
from producers.adapt.catalog import Catalog
from producers.adapt.symbols import Symbols
from producers.publisher import PublishingError
from runtime.kafka import broker as brokers
from runtime.kafka.admin import Admin
from runtime.topology import Topology
from tests.patience import PATIENCE_S, eventually

from .conftest import Company
from .test_adapting import catalog as publish

pytestmark = pytest.mark.kafka_only


def test_what_was_published_before_is_known_and_an_open_transaction_awaited_if_asked_for(
    company: Company, topology: Topology
) -> None:
    symbols = Symbols()
    publish(company, [0])
    settings = {"bootstrap.servers": company.kafka.bootstrap_servers}
    other = Producer({**settings, "transactional.id": company.prefix})
    other.init_transactions()
    with contextlib.closing(Catalog(Admin(company.kafka), company.prefix, symbols)) as catalog:
        catalog.load(topology.instruments, PATIENCE_S)
        assert symbols.find("S0") == 0
        for i in range(1, 50):
            publish(company, [i])
            catalog.catch_up(PATIENCE_S)
            assert symbols.find(f"s{i}") == i
        other.begin_transaction()
        entry = Instrument(50, symbol="S50", name="S50")
        other.produce(INSTRUMENTS.name, encode_instrument(entry), instrument_key(50))
        other.flush()
        catalog.catch_up(PATIENCE_S)
        assert symbols.find("S50") is None
        with pytest.raises(PublishingError, match="or a transaction open"):
            catalog.catch_up(0, and_open=True)
        other.commit_transaction()
        # The broker may answer before it has written to the partitions that it is committed.
        catalog.catch_up(PATIENCE_S, and_open=True)
        assert symbols.find("S50") == 50


def test_a_topic_that_was_recreated_is_read_from_its_beginning(
    company: Company, topology: Topology
) -> None:
    symbols, client = Symbols(), Admin(company.kafka)
    publish(company, range(200))
    with contextlib.closing(Catalog(client, company.prefix, symbols)) as catalog:
        catalog.load(topology.instruments, PATIENCE_S)
        brokers.delete(client, [INSTRUMENTS.name])
        brokers.create(client, [NewTopic(INSTRUMENTS.name, topology.instruments, 1)])
        publish(company, range(200, 220))

        def found() -> bool:
            with contextlib.suppress(KafkaException):
                catalog.refresh()
            return all(symbols.find(f"S{i}") == i for i in range(200, 220))

        eventually(found, "it has what the new topic has")
