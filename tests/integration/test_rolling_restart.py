"""Workers that are static members of their group, restarted one after the other under load."""

import subprocess
from collections.abc import Iterator

import pytest

from contracts.keyspace import EPOCH_FIELD
from contracts.topics import QUOTES, STREAMED
from infra.local.process import Command, free_port, start, stop
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain

from .conftest import Pipeline, eventually
from .watched import counted, quotes

pytestmark = [pytest.mark.kafka_only, pytest.mark.slow]

WORKERS = ("one", "two")
QUOTES_A_STEP = 500

Members = dict[tuple[str, int], str | None]


Crew = dict[str, tuple[subprocess.Popen[bytes], Command]]
"""the running workers, by their instance id"""


def started(pipeline: Pipeline, name: str) -> tuple[subprocess.Popen[bytes], Command]:
    command = pipeline.command(
        f"worker-{name}",
        "stream_processors",
        group_instance_id=name,
        session_timeout_s=60,
        metrics_port=free_port(),
        flush_interval_s="0.2",
        counts_flush_interval_s="0.2",
    )
    return start(command), command


@pytest.fixture
def crew(pipeline: Pipeline) -> Iterator[Crew]:
    crew = {name: started(pipeline, name) for name in WORKERS}
    yield crew
    stop(*crew.values())


def members(pipeline: Pipeline) -> Members:
    """Who has which partition; nobody while the group has no coordinator."""
    admin = brokers.Admin(plain(pipeline.broker))
    (answer,) = admin.describe_consumer_groups([pipeline.keyspace.consumer_group()]).values()
    if answer.exception():
        return {}
    return {
        (tp.topic, tp.partition): member.group_instance_id
        for member in answer.result().members
        for tp in member.assignment.topic_partitions
    }


def epochs(pipeline: Pipeline) -> dict[tuple[str, int], str | None]:
    return {
        (topic.name, p): pipeline.store.hget(pipeline.keyspace.position(topic, p), EPOCH_FIELD)
        for topic in STREAMED
        for p in range(2)
    }


def test_each_worker_gets_its_partitions_back_and_no_other_worker_stops(
    pipeline: Pipeline, crew: Crew
) -> None:
    eventually(lambda: len(set(members(pipeline).values())) == 2, "both have partitions")
    eventually(lambda: all(epochs(pipeline).values()), "all are claimed")
    before, published = members(pipeline), 0
    for name in WORKERS:
        claimed = epochs(pipeline)
        stop(crew.pop(name))
        pipeline.publish(quotes(QUOTES_A_STEP, published))
        published += QUOTES_A_STEP
        crew[name] = started(pipeline, name)
        pipeline.wait_until_folded([QUOTES])
        its = {tp for tp, member in before.items() if member == name}
        eventually(
            lambda its=its, claimed=claimed: all(epochs(pipeline)[tp] != claimed[tp] for tp in its),
            "it has claimed its partitions again",
        )
        again = {tp for tp, epoch in epochs(pipeline).items() if epoch != claimed[tp]}
        assert again == its
        assert members(pipeline) == before
    assert counted(pipeline) == published
