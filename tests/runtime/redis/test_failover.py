"""A master that dies under load, and the node that Sentinels put in its place."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from api.http.metrics import Metrics
from api.redis.reading import Read
from api.redis.store import Store, StoreUnavailableError
from contracts.topics import QUOTES
from runtime.redis.refusals import StoreRefusesError
from runtime.redis.stores import connect, connect_async
from runtime.topology import Topology
from tests.integration.conftest import Pipeline
from tests.integration.watched import counted, diagonal, events, quotes, watched
from tests.patience import PATIENCE_S, eventually
from tests.runtime.redis.guarded import Guarded
from tests.runtime.redis.watched_over import WatchedOver, watched_over

pytestmark = pytest.mark.slow


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[WatchedOver]:
    with watched_over(tmp_path) as nodes:
        yield nodes


@pytest.fixture
def pipeline(
    broker: str, nodes: WatchedOver, namespace: str, topology: Topology, tmp_path: Path
) -> Iterator[Pipeline]:
    pipeline = Pipeline(broker, "redis://", namespace, topology, tmp_path)
    pipeline.environment["REDIS_URL"] = nodes.url
    with connect(nodes.url, "tests") as pipeline.store:
        pipeline.store.hset(pipeline.keyspace.topics(), mapping=topology.as_hash())
        yield pipeline


def test_a_master_that_dies_under_load_is_replaced_and_nothing_is_lost_or_counted_twice(
    pipeline: Pipeline, nodes: WatchedOver
) -> None:
    with watched(pipeline) as worker, pipeline.api() as address:
        pipeline.publish([*quotes(1_000), *events(100)])
        pipeline.wait_for_position(QUOTES, 1)
        pipeline.publish([*quotes(1_000, 1_000), *events(100, 100)])
        nodes.fail_over()
        pipeline.publish([*quotes(1_000, 2_000), *events(100, 200)])
        pipeline.wait_until_folded()
        eventually(lambda: worker.ready()["status"] == "ready", "the worker is ready")
        bars = f"{address}/v1/instruments/4/bars?start=1700000040000&end=1700000100000"
        eventually(lambda: httpx.get(bars).status_code == 200, "the API answers again")
        assert httpx.get(bars).json()["bars"][0]["n"] == 600
    assert counted(pipeline) == 3_000
    assert pipeline.gram() == pipeline.gram_of_histories()
    assert diagonal(pipeline) == 300


async def test_encrypted_sentinels_and_nodes_are_followed_by_every_client(
    store: Guarded, tmp_path: Path
) -> None:
    with watched_over(tmp_path, store) as nodes:
        sync, asynchronous = connect(nodes.url, "tests"), await connect_async(nodes.url, "tests")
        hot = Store(nodes.url, "live", Metrics().store_errors)
        async with hot.connecting():
            for value in ("before", "after"):
                sync.set("key", value)
                assert await asynchronous.get("key") == value
                async for attempt in AsyncRetrying(
                    retry=retry_if_exception_type((AssertionError, StoreUnavailableError)),
                    stop=stop_after_delay(PATIENCE_S),
                    wait=wait_fixed(0.05),
                ):
                    with attempt:
                        assert await hot.answer(value_of("key")) == value.encode()
                if value == "before":
                    await asyncio.to_thread(nodes.fail_over)
        sync.close()
        await asynchronous.aclose()


def value_of(key: str) -> Read[bytes]:
    (value,) = yield [("GET", key)]
    return value


def test_a_refused_login_and_an_unknown_service_give_different_errors(
    nodes: WatchedOver,
) -> None:
    with pytest.raises(redis.ConnectionError, match=r"'shop': .*set sentinel_username"):
        connect(nodes.url.replace("asking-password", "hunter2"), "tests")
    with pytest.raises(redis.ConnectionError, match="'bakery': they know no service"):
        connect(nodes.url.replace("shop", "bakery"), "tests")
    with pytest.raises(StoreRefusesError, match=r"shop of .* rejects the user 'default'"):
        connect(nodes.url.replace("nodes-password", "hunter2"), "tests")
