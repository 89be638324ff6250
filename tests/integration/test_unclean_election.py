"""Kafka loses acknowledged records: a replica without them leads, and its log grows again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic

from contracts.topics import ALL, QUOTES, STREAMED
from infra.local.kafka.jars import NoKafkaError
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from runtime.topology import Topology
from stream_processors.transport.log import is_reachable
from tests.chaos.proxy import Network
from tests.chaos.servers.kafka import Kafka, own_kafka
from tests.chaos.servers.restartable import started
from tests.integration.conftest import Pipeline
from tests.integration.watched import counted, quotes, says, watched
from tests.patience import eventually

pytestmark = pytest.mark.slow

PARTITIONS = 2
LEADS, FOLLOWS, STAYS = 1, 2, 3
UNCLEAN = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    """Three brokers: one leads the partitions of `quotes`, another one follows it."""
    with Network() as network:
        try:
            kafka = own_kafka(tmp_path / "kafka", network, workers=1, brokers=3)
        except NoKafkaError as why:
            pytest.skip(str(why))
        with started(*kafka.servers):
            yield kafka


@pytest.fixture
def on_three(kafka: Kafka, store_url: str, namespace: str, tmp_path: Path) -> Pipeline:
    places = {QUOTES.name: [LEADS, FOLLOWS]}
    brokers.create(
        brokers.Admin(plain(kafka.bootstrap_servers)),
        [
            NewTopic(
                topic.name,
                PARTITIONS,
                replica_assignment=[places.get(topic.name, [STAYS])] * PARTITIONS,
                config=UNCLEAN,
            )
            for topic in ALL
        ],
    )
    topology = Topology(**{topic.name: PARTITIONS for topic in STREAMED})
    pipeline = Pipeline(kafka.bootstrap_servers, store_url, namespace, topology, tmp_path)
    pipeline.note_topics()
    return pipeline


def test_after_an_unclean_election_new_records_are_folded_and_earlier_ones_stay(
    on_three: Pipeline, kafka: Kafka
) -> None:
    pipeline = on_three
    leads, follows = kafka.servers[LEADS - 1], kafka.servers[FOLLOWS - 1]
    with watched(pipeline):
        pipeline.publish(quotes(100))
        pipeline.wait_until_folded([QUOTES])
        follows.kill()
        pipeline.publish(quotes(50, 100))
        pipeline.wait_until_folded([QUOTES])
    leads.kill()
    follows.start()
    follows.await_ready()
    pipeline.publish(quotes(80, 200))  # of which 50 are at offsets of folded records
    with watched(pipeline):
        pipeline.wait_until_folded([QUOTES])
        assert says(pipeline, "log lost its end")
    assert counted(pipeline) == 230


def test_a_topic_with_a_lagging_follower_is_unreachable_as_its_leader_may_accept_nothing(
    on_three: Pipeline, kafka: Kafka
) -> None:
    def reached() -> bool:
        return is_reachable(plain(on_three.broker), [QUOTES.name])

    follows = kafka.servers[FOLLOWS - 1]
    eventually(reached, "both replicas are in sync")
    follows.kill()
    eventually(lambda: not reached(), "the leader is alone")
    follows.start()
    eventually(reached, "both replicas are in sync again")
