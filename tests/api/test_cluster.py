"""The same answers out of Redis Cluster, whose nodes each hold a part of the keys."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity
from redis import Redis, RedisCluster

from contracts.keyspace import BarValue, Keyspace
from infra.local.process import Server, free_port, running
from infra.local.store import valkey
from runtime.stores import connect

from .conftest import NOW_MS, Filled, Serve

RUNNING = NOW_MS // 60_000 * 60
HALF = 8192


def node(folder: Path) -> Server:
    # The cluster's bus listens 10,000 above the port, unless told otherwise.
    server = valkey(free_port(), folder)
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    command = dataclasses.replace(server.command, argv=(*server.command.argv, *options))
    return dataclasses.replace(server, command=command)


@pytest.fixture
def cluster_url(tmp_path: Path) -> Iterator[str]:
    """A cluster of two nodes, each with half of the slots."""
    first, second = node(tmp_path / "1"), node(tmp_path / "2")
    with running(first), running(second):
        clients = [Redis.from_url(server.address) for server in (first, second)]
        clients[0].execute_command("CLUSTER ADDSLOTSRANGE", 0, HALF - 1)
        clients[1].execute_command("CLUSTER ADDSLOTSRANGE", HALF, 2 * HALF - 1)
        bus = second.command.argv[-1]
        port = clients[1].connection_pool.connection_kwargs["port"]
        clients[0].execute_command("CLUSTER MEET", "127.0.0.1", port, bus)
        for client in clients:
            until_agreed(client)
            client.close()
        yield first.address


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(AssertionError),
    stop=tenacity.stop_after_delay(20),
    wait=tenacity.wait_fixed(0.05),
)
def until_agreed(client: Redis) -> None:
    assert client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"


async def test_every_read_works_across_nodes(serve: Serve, cluster_url: str) -> None:
    with connect(cluster_url, "tests") as store:
        assert isinstance(store, RedisCluster)
        filled = Filled(store, Keyspace("live"))  # type: ignore[arg-type]
        filled.topology()
        for instrument in range(20):
            bar = BarValue(1, 1, 1, 1, 0, 1, 0, 0, 0, (0, 0))
            filled.bars(instrument, {RUNNING: bar})
        similar = {str(i): [(str(i + 100), 0.5, 1.0)] for i in range(20)}
        filled.generation("g1", similar, popular=[("7", 1.0)])
        filled.history("ABC", {str(i): (1, i) for i in range(20)}, off=1)
        filled.history("own", {"1": (1, 1)}, off=1)
        filled.user_list("g1", "own", off=1, items=[("8", 0.5, ["1"])])
    async with serve(redis_url=cluster_url) as client:
        assert (await client.get("/health/ready")).status_code == 200
        for instrument in range(20):
            answer = await client.get(f"/v1/instruments/{instrument}/bars")
            assert len(answer.json()["bars"]) == 1, answer.text
            answer = await client.get(f"/v1/instruments/{instrument}/similar")
            assert answer.json()["items"][0]["instrument_id"] == instrument + 100
        for user, source, count in (
            ("ABC", "history", 20),
            ("own", "model", 1),
            ("nobody", "popular", 1),
        ):
            answer = await client.get(f"/v1/users/{user}/recommendations?n=100")
            assert answer.json()["source"] == source, answer.text
            assert len(answer.json()["items"]) == count
