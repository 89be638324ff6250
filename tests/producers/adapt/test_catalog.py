"""The catalog's symbols, as they are in the topic at a moment."""

import contextlib

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from contracts.topics import INSTRUMENTS
from producers.adapt.catalog import Catalog, Symbols
from runtime.kafka import broker as brokers
from runtime.kafka.admin import Admin
from runtime.topology import Topology
from tests.patience import PATIENCE_S, eventually

from .conftest import Company
from .test_adapting import catalog as publish

pytestmark = pytest.mark.kafka_only


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
