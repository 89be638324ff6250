import asyncio
import uuid
from collections.abc import Iterable
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError

from infra.local.process import free_port
from runtime.redis.stores import UNAVAILABLE, connect, connect_async


@pytest.mark.parametrize(
    ("url", "client", "asynchronous"),
    [
        ("store_url", redis.Redis, redis.asyncio.Redis),
        ("cluster_url", redis.RedisCluster, redis.asyncio.RedisCluster),
    ],
    ids=["single node", "cluster"],
)
async def test_a_single_node_gets_a_plain_client_and_a_cluster_a_cluster_client_each_by_its_name(
    url: str, client: Any, asynchronous: Any, request: pytest.FixtureRequest
) -> None:
    address, name = request.getfixturevalue(url), f"tests-{uuid.uuid4().hex}"
    with connect(address, "tests") as store:
        assert isinstance(store, client)
        its = await connect_async(address, name)
        assert isinstance(its, asynchronous)
        await its.set(f"größer-{name}", "ü", ex=60)
        assert store.get(f"größer-{name}") == await its.get(f"größer-{name}") == "ü"
        assert name in {one["name"] for one in store.client_list()}
        await its.aclose()


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


async def test_a_cancellation_is_raised_though_the_command_has_just_been_sent(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11 loses it in `asyncio.wait_for`: the API could not end, following live bars."""
    async with await connect_async(store_url, "tests") as client:
        connection = client.connection_pool.make_connection()
        await connection.connect()
        send = connection._send_packed_command

        async def send_until_cancelled(command: Iterable[bytes]) -> None:
            await send(command)
            asyncio.get_running_loop().call_soon(asking.cancel)

        monkeypatch.setattr(connection, "_send_packed_command", send_until_cancelled)
        asking = asyncio.create_task(connection.send_command("PING"))
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not connection.is_connected  # or the next command would read this one's reply
