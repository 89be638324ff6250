"""A topic whose leader is alone cannot be reached: it may accept nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic

from contracts.topics import QUOTES
from infra.local.kafka.jars import NoKafkaError
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from stream_processors.transport.log import is_reachable
from tests.chaos.proxy import Network
from tests.chaos.servers.kafka import Kafka, own_kafka
from tests.chaos.servers.restartable import started
from tests.patience import eventually

LEADS, FOLLOWS = 1, 2


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    """Three brokers: one leads the partitions of `quotes`, another one follows it."""
    with Network() as network:
        try:
            kafka = own_kafka(tmp_path / "kafka", network, workers=1, brokers=3)
        except NoKafkaError as why:
            pytest.skip(str(why))
        with started(*kafka.servers):
            replicas = [[LEADS, FOLLOWS]] * 2
            topic = NewTopic(QUOTES.name, len(replicas), replica_assignment=replicas)
            brokers.create(brokers.Admin(plain(kafka.bootstrap_servers)), [topic])
            yield kafka


@pytest.mark.slow
def test_a_topic_with_a_lagging_follower_is_unreachable_as_its_leader_may_accept_nothing(
    kafka: Kafka,
) -> None:
    def reached() -> bool:
        return is_reachable(plain(kafka.bootstrap_servers), [QUOTES.name])

    follows = kafka.servers[FOLLOWS - 1]
    eventually(reached, "both replicas are in sync")
    follows.kill()
    eventually(lambda: not reached(), "the leader is alone")
    follows.start()
    eventually(reached, "both replicas are in sync again")
