"""What tests and commands rely on when they ask a broker."""

from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic

from infra.local.process import free_port, running
from infra.local.tansu import tansu
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from tests.patience import PATIENCE_S


def test_a_topic_of_tansu_that_is_deleted_and_made_again_begins_at_offset_0(
    tmp_path: Path,
) -> None:
    server = tansu(free_port(), tmp_path)
    with running(server):
        client = brokers.Admin(plain(server.address))
        assert brokers.is_tansu(client)
        producer = Producer({"bootstrap.servers": server.address})
        offsets: list[int] = []
        for _ in range(2):
            brokers.create(client, [NewTopic("again", 1)])
            producer.produce("again", b"", on_delivery=lambda _, m: offsets.append(m.offset()))
            assert producer.flush(PATIENCE_S) == 0
            brokers.delete(client, ["again"])
            assert "again" not in brokers.partitions_of(client)
    assert offsets == [0, 0]
    assert not brokers.answers(client)


@pytest.mark.kafka_only
def test_kafka_is_not_taken_for_tansu(broker: str) -> None:
    assert not brokers.is_tansu(brokers.Admin(plain(broker)))
