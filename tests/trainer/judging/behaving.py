"""What users did, and what generations say, as they stand in Redis and Kafka."""

from collections.abc import Iterable, Mapping

import msgspec
from confluent_kafka import Producer

from contracts.affinities import HistoryEntry
from contracts.feedback import Feedback, encode_feedback, feedback_key
from contracts.generations import Neighbor, SimilarList
from contracts.topics import FEEDBACK
from tests.patience import PATIENCE_S
from tests.trainer.setup import Setup
from trainer.generations.report import Data, Inputs, Lists, Report


def put_history(setup: Setup, user: str, entries: Mapping[int, HistoryEntry]) -> None:
    fields = {str(item): msgspec.json.encode(entry) for item, entry in entries.items()}
    setup.store.delete(setup.history_key(user))
    setup.store.hset(setup.history_key(user), mapping=fields | {"off": b"[0,1]"})
    setup.store.zadd(setup.active_key(user), {user: max(entry.t for entry in entries.values())})


def put_lists(setup: Setup, generation: str, lists: Mapping[int, Mapping[int, float]]) -> None:
    """Write the neighbors of items, with their scores."""
    for item, neighbors in lists.items():
        found = SimilarList("cosine", [Neighbor(str(j), s, 1) for j, s in neighbors.items()])
        setup.store.set(setup.keys.model_similar(generation, str(item)), msgspec.json.encode(found))


def put_report(setup: Setup, generation: str, learned_until_ms: int) -> None:
    data = Data(0, 0, 0, 0, 0, 0, latest_ms=learned_until_ms)
    lists, inputs = Lists(0, 0, 0, 0, 0), Inputs({}, {})
    report = Report(generation, 1, "", "", inputs, data, lists, seconds={})
    setup.store.set(setup.keys.model_report(generation), msgspec.json.encode(report))


def publish(broker: str, messages: Iterable[Feedback], *raw: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5})
    for message in messages:
        producer.produce(FEEDBACK.name, encode_feedback(message), feedback_key(message))
        producer.poll(0)
    for value in raw:
        producer.produce(FEEDBACK.name, value)
    assert producer.flush(PATIENCE_S) == 0
