"""Whether a new client of the broker would do better than a stuck one."""

import pytest

from contracts.topics import BARS, QUOTES
from infra.local.process import free_port
from runtime.kafka.config import plain
from runtime.topology import Topology
from stream_processors.transport import reachable
from stream_processors.transport.reachable import is_reachable
from tests.patience import eventually


def test_a_broker_whose_leaders_answer_is_reachable(broker: str, topology: Topology) -> None:
    assert topology.quotes
    # Kafka needs a moment to elect leaders for new topics.
    eventually(lambda: is_reachable(plain(broker), [QUOTES.name, BARS.name]), "all are reachable")


def test_a_missing_topic_is_not(broker: str, topology: Topology) -> None:
    assert topology.quotes
    eventually(lambda: is_reachable(plain(broker), [QUOTES.name]), "the other one is")
    assert not is_reachable(plain(broker), [QUOTES.name, "a-topic-that-nobody-made"])


def test_an_unreachable_broker_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachable, "_TIMEOUT_S", 0.2)
    assert not is_reachable(plain(f"127.0.0.1:{free_port()}"), [QUOTES.name])
