import asyncio
import uuid

import pytest
import redis
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError

from infra.local.process import free_port
from runtime.redis.stores import UNAVAILABLE, connect, connect_async


def test_a_single_node_gets_a_plain_client(store_url: str) -> None:
    with connect(store_url, "tests-plain") as store:
        assert isinstance(store, redis.Redis)
        assert_text_is_read_back(store)


def test_a_cluster_gets_a_cluster_client(cluster_url: str) -> None:
    with connect(cluster_url, "tests-cluster") as store:
        assert isinstance(store, redis.RedisCluster)
        assert_text_is_read_back(store)


def assert_text_is_read_back(store: redis.Redis | redis.RedisCluster) -> None:
    key = f"größer-{uuid.uuid4()}"
    store.set(key, "ü", ex=60)
    assert store.get(key) == "ü"


async def test_a_single_node_gets_a_plain_asyncio_client(store_url: str) -> None:
    store = await connect_async(store_url, "tests-plain")
    assert isinstance(store, redis.asyncio.Redis)
    assert await store.ping()
    await store.aclose()


async def test_a_cluster_gets_an_asyncio_cluster_client(cluster_url: str) -> None:
    store = await connect_async(cluster_url, "tests-cluster")
    assert isinstance(store, redis.asyncio.RedisCluster)
    key = str(uuid.uuid4())
    await store.set(key, "ü", ex=60)
    assert await store.get(key) == "ü"
    await store.aclose()


@pytest.mark.parametrize("url", ["store_url", "cluster_url"])
async def test_the_server_knows_its_clients_by_name(
    url: str, request: pytest.FixtureRequest
) -> None:
    address, name = request.getfixturevalue(url), f"tests-{uuid.uuid4().hex}"
    with connect(address, "tests") as looking:
        store = await connect_async(address, name)
        await store.set(f"{name}", "1", ex=60)
        clients = looking.client_list()
        await store.aclose()
    assert name in {client["name"] for client in clients}


def test_where_nothing_answers_the_error_counts_as_unavailable() -> None:
    with pytest.raises(RedisConnectionError) as failed:
        connect(f"redis://127.0.0.1:{free_port()}/0", "tests")
    assert isinstance(failed.value, UNAVAILABLE)


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (2, 3)])
async def test_a_reader_sets_its_number_of_retries(retries: int, attempts: int) -> None:
    seen = 0

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(RedisConnectionError):
            await connect_async(f"redis://127.0.0.1:{port}/0", "tests", retries=retries)
    assert seen == attempts
