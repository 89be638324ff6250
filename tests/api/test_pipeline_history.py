"""The workers' progress over the last hour, over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from api.pipeline import history, log_ends
from api.redis import following
from contracts.keyspace import Keyspace
from contracts.messages import Quote, encode, key_of
from contracts.topics import DEAD_LETTERS_SUFFIX, QUOTES, STREAMED
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.patience import PATIENCE_S, until_true

from .conftest import NOW_MS, Filled, Serve

URL = "/v1/pipeline/history"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample continuously."""
    monkeypatch.setattr(history, "SAMPLE_EVERY_S", 0.02)
    monkeypatch.setattr(following, "BUSY_SHARE", 1)


@until_true
async def column(client: httpx.AsyncClient, name: str, value: Any) -> dict[str, Any]:
    """Return how far quotes were, once a sample has such a value in a column."""
    body = (await client.get(URL)).raise_for_status().json()
    quotes: dict[str, Any] = body["topics"][0]
    assert any(value(seen) for seen in quotes[name] if seen is not None)
    return quotes


@until_true
async def sampled(client: httpx.AsyncClient, n: int) -> dict[str, Any]:
    """Return the answer, once it has n samples."""
    body: dict[str, Any] = (await client.get(URL)).raise_for_status().json()
    assert len(body["ts"]) >= n
    return body


@pytest.mark.kafka_only
async def test_lag_rates_and_ages_are_shown_as_lines(
    serve: Serve,
    store_url: str,
    broker: str,
    topology: Topology,
    namespace: str,
    tmp_path: Path,
    filled: Filled,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_ends, "ANSWER_WITHIN_S", PATIENCE_S)
    monkeypatch.setattr(log_ends, "KEPT_S", 0.0)
    pipeline = Pipeline(broker, store_url, namespace, topology, tmp_path)
    async with serve(namespace=namespace, kafka=plain(broker)) as client:
        before = await column(client, "lag", lambda lag: lag == 0)
        assert set(before["age_ms"]) <= {0, None}
        # That of a log is known where all of its ends were, twice.
        await column(client, "rate", lambda rate: rate == 0)
        await column(client, "dead_letter_rate", lambda rate: rate == 0)
        quotes = [Quote(instrument_id=4, price=1, ts=NOW_MS + n) for n in range(10)]
        pipeline.publish(quotes)
        dead = QUOTES.name + DEAD_LETTERS_SUFFIX
        pipeline.publish_raw((dead, key_of(quote), encode(quote), 0) for quote in quotes[:3])
        after = await column(client, "lag", lambda lag: lag == 10)
        await column(client, "rate", lambda rate: rate > 0)
        await column(client, "dead_letter_rate", lambda rate: rate > 0)
        assert len({len(after[name]) for name in after if name != "topic"}) == 1
        # A worker folded some of it, and no more for a while.
        for partition in range(topology.quotes):
            position = Keyspace(namespace).position(QUOTES, partition)
            at = {"next": 1, "incarnation": 0, "updated_at_ms": NOW_MS - 250}
            filled.store.hset(position, mapping=at)
        await column(client, "age_ms", lambda age_ms: age_ms == 250)


async def test_what_was_not_known_is_null(client: httpx.AsyncClient) -> None:
    body = await sampled(client, 1)
    assert body["since_ms"] == NOW_MS
    assert set(body["ts"]) == {NOW_MS}
    assert [topic["topic"] for topic in body["topics"]] == [topic.name for topic in STREAMED]
    for name in ("lag", "rate", "age_ms", "dead_letter_rate"):
        assert body["topics"][0][name] == [None] * len(body["ts"])


async def test_samples_go_on_while_redis_knows_no_topics(serve: Serve) -> None:
    async with serve(namespace="test-that-nobody-filled") as client:
        body = await sampled(client, 3)
    assert body["topics"][0]["lag"] == [None] * len(body["ts"])


def test_the_last_minutes_can_be_asked_for_and_an_hour_is_held() -> None:
    now_ms = NOW_MS
    kept = history.History(None, lambda: now_ms)  # type: ignore[arg-type] # which is not used
    for n in range(1000):
        now_ms = NOW_MS + 10_000 * n
        kept._samples.append(history._Sample(now_ms, {}))
    assert kept.last(1).ts == [now_ms - 10_000 * n for n in range(6, -1, -1)]
    assert len(kept.last(60).ts) == 360
