"""Live bars while Redis hangs, goes down and returns, or a cluster changes."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest
from redis.crc import key_slot

from api.live import hub as bars
from api.live import reading as channels
from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition
from infra.local.process import Server, running
from runtime.redis.stores import connect
from tests.patience import until_true

from .conftest import RUNNING_S, TOPOLOGY, Filled
from .problems import problem
from .streaming import Served, Stream, served, value, worker
from .test_cluster import HALF, Cluster
from .test_cluster import cluster as cluster  # a fixture

KEYS = Keyspace("live")
INSTRUMENTS = range(20)
ALL = set(INSTRUMENTS)
MOVED = 0
"""A partition whose slot moves from one master to the other."""


@pytest.fixture
async def api_(own_store: Server) -> AsyncIterator[Served]:
    async with served(own_store.address, KEYS.namespace) as application:
        yield application


def fill(url: str) -> None:
    with connect(url, "tests") as store:
        Filled(store, KEYS).topology()  # type: ignore[arg-type]


async def test_a_redis_that_hangs_makes_bars_stale_once_and_live_again(
    api_: Served, own_store: Server
) -> None:
    with running(own_store) as process:
        fill(own_store.address)
        async with worker(own_store.address, KEYS.namespace) as its, opened(api_, 4) as stream:
            with pytest.MonkeyPatch.context() as hurried:
                hurried.setattr(channels, "QUIET_S", 0.5)
                await its.write([(4, RUNNING_S, value(1))])
                assert (await stream.next())[1]["n"] == 1  # from here on it waits that long
                os.kill(process.pid, signal.SIGSTOP)
                assert await stream.next() == ("stale", {"reason": "redis-away"})
            await check_unavailable(api_)
            os.kill(process.pid, signal.SIGCONT)
            assert await stream.bars_until_live() == {4: 1}
            await its.write([(4, RUNNING_S, value(2))])
            assert (await stream.next())[1]["n"] == 2
        assert await api_.metric("api_stream_interruptions_total") == 1


async def test_a_redis_that_lost_everything_is_believed(api_: Served, own_store: Server) -> None:
    async with contextlib.AsyncExitStack() as stack:
        with running(own_store):
            fill(own_store.address)
            async with worker(own_store.address, KEYS.namespace) as its:
                await its.write([(4, RUNNING_S, value(9))])
            stream = await stack.enter_async_context(opened(api_, 4))
        assert (await stream.next())[0] == "stale"
        await check_unavailable(api_)
        with running(own_store):
            async with worker(own_store.address, KEYS.namespace) as its:
                await its.write([(4, RUNNING_S, value(1))])
            fill(own_store.address)  # only now the server knows where to look
            assert await stream.bars_until_live() == {4: 1}


async def test_bars_of_every_node_of_a_cluster_come_also_after_a_slot_has_moved(
    cluster: Cluster,
) -> None:
    url = cluster.servers[0].address
    fill(url)
    async with served(url, KEYS.namespace) as api_, opened(api_, *INSTRUMENTS) as stream:
        async with worker(url, KEYS.namespace) as its:
            await its.write((i, RUNNING_S, value(1)) for i in INSTRUMENTS)
        assert await instruments_of_bars(stream) == ALL
        move_emptied(cluster, KEYS.bars_changed(MOVED))
        assert (await stream.next())[0] == "stale"
        there = {i for i in INSTRUMENTS if instrument_partition(i, TOPOLOGY.quotes) != MOVED}
        assert await stream.bars_until_live() == dict.fromkeys(there, 1)
        async with worker(url, KEYS.namespace) as its:
            await its.write((i, RUNNING_S, value(2)) for i in INSTRUMENTS)
        assert await instruments_of_bars(stream) == ALL


async def test_bars_go_on_from_the_replica_that_takes_over(cluster: Cluster) -> None:
    url = cluster.servers[0].address
    fill(url)
    async with served(url, KEYS.namespace) as api_, opened(api_, *INSTRUMENTS) as stream:
        os.kill(cluster.processes[1].pid, signal.SIGKILL)
        assert (await stream.next())[0] == "stale"
        cluster.clients[2].execute_command("CLUSTER FAILOVER TAKEOVER")
        await stream.bars_until_live()
        async with worker(url, KEYS.namespace) as its:
            await its.write((i, RUNNING_S, value(3)) for i in INSTRUMENTS)
        assert await instruments_of_bars(stream) == ALL


async def instruments_of_bars(stream: Stream) -> set[int]:
    """Return whose bars the next events tell, one of each instrument."""
    return {(await stream.next())[1]["instrument_id"] for _ in INSTRUMENTS}


@contextlib.asynccontextmanager
async def opened(api_: Served, *instruments: int) -> AsyncIterator[Stream]:
    """Listen from `live` on, for the block."""
    async with api_.stream(*instruments) as stream:
        await stream.until("live")
        yield stream


def move_emptied(cluster: Cluster, key: str) -> None:
    """Move the slot of a key to the other master, after deleting all keys in it."""
    slot = key_slot(key.encode())
    source, target = (0, 1) if slot < HALF else (1, 0)
    for stored in cluster.clients[source].execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
        cluster.clients[source].delete(stored)
    cluster.hand_over(slot, source, target)


@until_true
async def check_unavailable(api_: Served) -> None:
    with pytest.MonkeyPatch.context() as hurried:
        hurried.setattr(bars, "READ_DEADLINE_S", 0.1)
        answer = await api_.client.get("/v1/stream/bars?instruments=5")
    assert problem(answer) == (503, "store-unavailable")
    assert int(answer.headers["retry-after"]) > 0
