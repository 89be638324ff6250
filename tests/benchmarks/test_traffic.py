"""The process that publishes does what it is told, at its rate, when it gets the sign."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from benchmarks.child import child
from benchmarks.interactions import log_ends
from benchmarks.stage import ContenderError, Stage
from benchmarks.traffic import Published, Traffic
from contracts.topics import INTERACTIONS, QUOTES
from infra.local.process import Command, Server
from runtime.stores import connect
from runtime.topology import Topology
from tests.patience import PATIENCE_S


@pytest.fixture
def stage(broker: str, store_url: str, tmp_path: Path) -> Iterator[Stage]:
    nothing = Command("", (), tmp_path)
    with connect(store_url, "tests") as client:
        yield Stage(
            Server(nothing, broker, "", lambda: True),
            Server(nothing, store_url, "", lambda: True),
            {},
            client,
            tmp_path,
        )


def test_what_is_due_in_the_time_is_published_and_nothing_before_the_sign(
    stage: Stage, topology: Topology, namespace: str
) -> None:
    task = Traffic(stage.broker.address, seconds=1.0, instruments=100, apart=frozenset({3}),
                   quotes_per_s=2_000, users=10, events_per_s=100)  # fmt: skip
    with child(stage, namespace, "benchmarks.traffic", task) as publisher:
        publisher.await_ready()
        ready_ms = time.time_ns() // 1_000_000
        publisher.go()
        published = publisher.result(Published, within_s=PATIENCE_S)
    assert published.began_ms >= ready_ms
    assert (published.records, published.failed) == (2_100, 0)
    assert (published.at_s[0], published.quotes[0]) == (0.0, 0)
    assert published.quotes == sorted(published.quotes)
    assert sum(log_ends(stage.broker.address, QUOTES, topology.quotes)) == 2_000
    assert sum(log_ends(stage.broker.address, INTERACTIONS, topology.interactions)) == 100


class NoTask(msgspec.Struct):
    """Lacks what traffic needs to know."""


def test_a_process_that_fails_is_told_with_its_log(stage: Stage, namespace: str) -> None:
    with (
        child(stage, namespace, "benchmarks.traffic", NoTask()) as publisher,
        pytest.raises(ContenderError, match=r"benchmarks\.traffic ended early: see .*\.log"),
    ):
        publisher.await_ready()
