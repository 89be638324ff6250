"""The same answers from Redis Cluster, whose nodes each hold a part of the keys."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import tenacity
from redis import Redis, RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisError

from api.redis import nodes
from api.redis.nodes import COMMANDS_AT_ONCE
from api.redis.store import READ_DEADLINE_S
from contracts.bars import BarValue
from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition
from infra.local.process import Server, free_port, running
from infra.local.store import valkey
from runtime.redis.stores import connect
from tests.patience import PATIENCE_S, until_true

from .conftest import RUNNING_S, TOPOLOGY, Filled, Serve, read_deadline

HALF = 8192
MOVED, FIRST, SECOND = range(3)
"""Partitions: one whose slot moves from the first master to the second, and one of each master."""


def node(folder: Path) -> Server:
    # The cluster's bus listens 10,000 above the port, by default.
    server = valkey(free_port(), folder)
    # Replicas get their data at once, not after 5 s.
    quickly = ("--repl-diskless-sync-delay", "0")
    options = (*quickly, "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    command = dataclasses.replace(server.command, argv=(*server.command.argv, *options))
    return dataclasses.replace(server, command=command)


@dataclass
class Cluster:
    """Two masters, each with half of the slots, and a replica of the second."""

    servers: list[Server]
    processes: list[subprocess.Popen[bytes]]
    clients: list[Redis]

    def ports(self) -> list[int]:
        return [client.connection_pool.connection_kwargs["port"] for client in self.clients]

    def ids(self) -> list[str]:
        return [client.execute_command("CLUSTER MYID").decode() for client in self.clients]

    def begin_to_move(self, slot: int) -> None:
        """Have the second master take a slot of the first, key by key."""
        source, target = self.ids()[:2]
        self.clients[1].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source)
        self.clients[0].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target)

    def move_keys(self, slot: int) -> int:
        """Move the keys of the slot; return how many there were."""
        keys = self.clients[0].execute_command("CLUSTER GETKEYSINSLOT", slot, 100)
        for key in keys:
            self.clients[0].migrate("127.0.0.1", self.ports()[1], key, 0, 5000)
        return len(keys)

    def hand_over(self, slot: int, source: int, target: int) -> None:
        """Make `target` the owner of a slot whose keys are there."""
        owner = self.ids()[target]
        for node in (target, source):
            self.clients[node].execute_command("CLUSTER SETSLOT", slot, "NODE", owner)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster for all tests of a module, of which only the last one may break it."""
    folder = tmp_path_factory.mktemp("cluster")
    servers = [node(folder / str(number)) for number in range(3)]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(server)) for server in servers]
        clients = [stack.enter_context(Redis.from_url(server.address)) for server in servers]
        cluster = Cluster(servers, processes, clients)
        clients[0].execute_command("CLUSTER ADDSLOTSRANGE", 0, HALF - 1)
        clients[1].execute_command("CLUSTER ADDSLOTSRANGE", HALF, 2 * HALF - 1)
        for server, port in list(zip(servers, cluster.ports(), strict=True))[1:]:
            bus = server.command.argv[-1]
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", port, bus)
        for client in clients:
            until_agreed(client)
        make_replica(clients[2], cluster.ids()[1])
        until_linked(clients[2])
        yield cluster


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(RedisError),
    stop=tenacity.stop_after_delay(PATIENCE_S),
    wait=tenacity.wait_fixed(0.02),
)
def make_replica(client: Redis, of: str) -> None:
    """Make a node a replica, as soon as it knows its master."""
    client.execute_command("CLUSTER REPLICATE", of)


@until_true
def until_linked(client: Redis) -> None:
    """Return once a node is a replica that has its master's data."""
    assert client.info("replication").get("master_link_status") == "up"


@until_true
def until_agreed(client: Redis) -> None:
    assert client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"


async def test_every_read_works_across_nodes(
    serve: Serve, cluster: Cluster, in_cluster: Filled
) -> None:
    assert isinstance(in_cluster.store, RedisCluster)
    similar = {str(i): [(str(i + 100), 0.5, 1.0)] for i in range(20)}
    in_cluster.generation("g1", similar, popular=[("7", 1.0)])
    in_cluster.history("ABC", {str(i): (1, i) for i in range(20)}, off=1)
    in_cluster.history("own", {"1": (1, 1)}, off=1)
    in_cluster.user_list("g1", "own", off=1, items=[("8", 0.5, ["1"])])
    async with serve(redis_url=cluster.servers[0].address) as client:
        assert (await client.get("/health/ready")).status_code == 200
        for instrument in range(20):
            answer = await client.get(f"/v1/instruments/{instrument}/bars")
            assert len(answer.json()["bars"]) == 1, answer.text
            answer = await client.get(f"/v1/instruments/{instrument}/similar")
            assert answer.json()["items"][0]["instrument_id"] == instrument + 100
        for user, source, count in (
            ("ABC", "history", 20),
            ("own", "model", 3),
            ("nobody", "popular", 1),
        ):
            answer = await client.get(f"/v1/users/{user}/recommendations?n=100")
            assert answer.json()["source"] == source, answer.text
            assert len(answer.json()["items"]) == count


def of_partition(partition: int) -> int:
    """Return an instrument of a partition."""
    return next(i for i in range(50) if instrument_partition(i, TOPOLOGY.quotes) == partition)


def bars_key(filled: Filled, instrument: int) -> str:
    return filled.keys.bars(instrument_partition(instrument, TOPOLOGY.quotes), instrument)


@pytest.fixture
def in_cluster(cluster: Cluster) -> Iterator[Filled]:
    """A namespace in the cluster, with bars in each half, among others."""
    with connect(cluster.servers[0].address, "tests") as store:
        filled = Filled(store, Keyspace("live"))  # type: ignore[arg-type]
        filled.topology()
        for instrument in range(50):
            filled.bars(instrument, {RUNNING_S: BarValue(1, 1, 1, 1, 0, 1, 0, 0, 0, (0, 0))})
        yield filled


async def test_slots_that_move_are_followed_without_a_failed_read(
    serve: Serve, cluster: Cluster, in_cluster: Filled
) -> None:
    """A round of many keys, too: each of its commands is sent on while their slot moves."""
    instrument = of_partition(MOVED)
    slot = key_slot(bars_key(in_cluster, instrument).encode())
    of_one = f"/v1/instruments/{instrument}/bars"
    of_many = f"/v1/quotes/latest?instruments={','.join(map(str, range(50)))}"
    async with serve(redis_url=cluster.servers[0].address) as client:

        async def answers() -> list[str]:
            return [(await client.get(path)).text for path in (of_one, of_many)]

        expected = await answers()
        cluster.begin_to_move(slot)
        assert await answers() == expected
        assert cluster.move_keys(slot) > 10
        for _ in range(2 * COMMANDS_AT_ONCE // 50):  # none keeps its turn
            assert await answers() == expected  # by ASK
        cluster.hand_over(slot, 0, 1)
        assert await answers() == expected  # by MOVED
        await until_asked_of_its_owner(client, of_one, cluster.clients[0])


@until_true
async def until_asked_of_its_owner(client: httpx.AsyncClient, path: str, former: Redis) -> None:
    def sent_on() -> int:
        return int(former.info("errorstats")["errorstat_MOVED"]["count"])

    before = sent_on()
    assert (await client.get(path)).status_code == 200
    assert sent_on() == before


async def test_a_replica_that_takes_over_is_read_from_and_the_other_half_all_along(
    serve: Serve, cluster: Cluster, in_cluster: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its master hangs, and after that becomes the replica of it, which is killed."""
    paths = [f"/v1/instruments/{i}/bars" for i in (of_partition(FIRST), of_partition(SECOND))]
    async with serve(redis_url=cluster.servers[0].address) as client:
        expected = [(await client.get(path)).text for path in paths]
        monkeypatch.setattr(nodes, "_CONNECT_TIMEOUT_S", 1.0)  # the hanging one never answers
        for way, master, replica in ((signal.SIGSTOP, 1, 2), (signal.SIGKILL, 2, 1)):
            await asyncio.to_thread(until_linked, cluster.clients[replica])
            os.kill(cluster.processes[master].pid, way)
            with read_deadline(READ_DEADLINE_S):
                assert (await client.get(paths[1])).status_code == 503
            assert (await client.get(paths[0])).text == expected[0]
            cluster.clients[replica].execute_command("CLUSTER FAILOVER TAKEOVER")
            await until_answered(client, paths[1], expected[1])
            assert (await client.get(paths[0])).text == expected[0]
            os.kill(cluster.processes[master].pid, signal.SIGCONT)


@until_true
async def until_answered(client: httpx.AsyncClient, path: str, expected: str) -> None:
    answer = await client.get(path)
    assert answer.status_code in (200, 503)
    assert answer.text == expected
