"""The workers' progress over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer

from api.health.log_ends import LogEnds
from api.health.progress import STALLED_AFTER_MS, pipeline_answer
from contracts.messages import Quote, encode, key_of
from contracts.topics import DEAD_LETTERS_SUFFIX, QUOTES, STREAMED
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.patience import until_true

from .conftest import NOW_MS, Filled, Serve


def place(next_offset: int, age_ms: int) -> list[bytes | None]:
    return [b"%d" % next_offset, b"2", b"%d" % (NOW_MS - age_ms), None]


NOWHERE = [None] * 4


@until_true
async def with_kafka_answer(client: httpx.AsyncClient) -> dict[str, Any]:
    """Return the answer, once Kafka knows the leaders of topics that were just made."""
    body: dict[str, Any] = (await client.get("/v1/pipeline")).raise_for_status().json()
    assert body["kafka"] == "ok"
    return body


@pytest.mark.parametrize(
    ("position", "end", "held_back", "state", "lag"),
    [
        (NOWHERE, 5, 0, "new", 5),
        (NOWHERE, 5, 5, "held back", 5),
        (NOWHERE, None, 0, "new", None),
        (place(5, 1), 5, 0, "current", 0),
        (place(5, STALLED_AFTER_MS + 1), 5, 0, "current", 0),
        (place(5, 1), 9, 0, "behind", 4),
        (place(5, 1), 9, 3, "behind", 4),
        (place(5, STALLED_AFTER_MS + 1), 9, 0, "stalled", 4),
        (place(5, STALLED_AFTER_MS + 1), 9, 3, "stalled", 4),
        (place(5, STALLED_AFTER_MS + 1), 9, 4, "held back", 4),
        (place(5, 1), 3, 0, "current", 0),
        (place(5, 1), None, 0, "unknown", None),
    ],
)
def test_a_partition_is_as_far_as_position_and_end_say(
    position: list[bytes | None], end: int | None, held_back: int, state: str, lag: int | None
) -> None:
    place = ("quotes", 0)
    ends = LogEnds({} if end is None else {place: end}, held_back={place: held_back})
    (topic,) = pipeline_answer({"quotes": [position]}, ends, NOW_MS).topics
    (partition,) = topic.partitions
    assert (partition.state, partition.lag, topic.lag) == (state, lag, lag)


async def test_without_kafka_positions_are_shown_and_why_there_is_no_lag(
    client: httpx.AsyncClient, filled: Filled
) -> None:
    position = {"next": 7, "incarnation": 0, "updated_at_ms": NOW_MS - 250, "late": 3}
    filled.store.hset(filled.keys.position(QUOTES, 1), mapping=position)
    answer = await client.get("/v1/pipeline")
    assert answer.status_code == 200
    body = answer.json()
    assert body["kafka"].startswith("127.0.0.1:")
    assert [topic["topic"] for topic in body["topics"]] == [topic.name for topic in STREAMED]
    quotes = body["topics"][0]
    assert (quotes["lag"], quotes["rate"], quotes["dead_letters"]) == (None, None, None)
    assert [topic["late"] for topic in body["topics"]] == [3, None, None, None]
    assert quotes["partitions"][1] == {
        "partition": 1,
        "state": "unknown",
        "next": 7,
        "incarnation": 0,
        "end": None,
        "lag": None,
        "age_ms": 250,
    }


@pytest.mark.kafka_only
async def test_lag_dead_letters_and_rates_are_those_of_the_log(
    serve: Serve,
    store_url: str,
    broker: str,
    topology: Topology,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.health.log_ends.ANSWER_WITHIN_S", 60.0)
    monkeypatch.setattr("api.health.log_ends.KEPT_S", 0.0)
    # Publishing may take a while.
    monkeypatch.setattr("api.health.log_ends._RATE_OVER_S", 3600.0)
    quotes = [Quote(instrument_id=4, price=1, ts=NOW_MS + n) for n in range(10)]
    pipeline = Pipeline(broker, store_url, namespace, topology, tmp_path)
    async with serve(namespace=namespace, kafka=plain(broker)) as client:

        async def quotes_state() -> dict[str, Any]:
            found: dict[str, Any] = (await with_kafka_answer(client))["topics"][0]
            return found

        assert (await quotes_state())["lag"] == 0
        pipeline.publish(quotes)
        dead = QUOTES.name + DEAD_LETTERS_SUFFIX
        pipeline.publish_raw((dead, key_of(quote), encode(quote), 0) for quote in quotes[:3])
        after = await quotes_state()
        assert (after["lag"], after["dead_letters"]) == (10, 3)
        assert after["rate"] > 0
        assert sum(p["end"] for p in after["partitions"]) == 10
        assert {p["state"] for p in after["partitions"]} == {"new"}


@pytest.mark.kafka_only
async def test_records_held_back_by_an_open_transaction_are_lag_with_their_own_state(
    serve: Serve, broker: str, topology: Topology, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Producer({"bootstrap.servers": broker, "transactional.id": namespace})
    producer.init_transactions()
    producer.begin_transaction()
    for partition in range(topology.quotes):
        producer.produce(QUOTES.name, b"{}", partition=partition)
    producer.flush()
    monkeypatch.setattr("api.health.log_ends.KEPT_S", 0.0)
    async with serve(namespace=namespace, kafka=plain(broker)) as client:
        held = (await with_kafka_answer(client))["topics"][0]
        producer.abort_transaction()
    assert held["lag"] == topology.quotes
    assert {p["state"] for p in held["partitions"]} == {"held back"}
