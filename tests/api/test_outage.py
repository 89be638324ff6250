"""Redis slow or down, or a cluster changes: bounded answers, stale streams, recovery by itself."""

import asyncio
import contextlib
import logging
import os
import re
import signal
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from redis import Redis
from redis.crc import key_slot

from api.generations.request_ids import Signer
from api.live import hub as bars
from api.live import reading as channels
from api.redis.store import READ_DEADLINE_S as DEADLINE_S
from contracts.keyspace import Keyspace
from contracts.partitioning import instrument_partition
from infra.local.process import Server, running
from runtime.redis.stores import connect
from tests.patience import PATIENCE_S, until_true

from .asking import answers, problem
from .conftest import NOW_MS, RUNNING_S, TOPOLOGY, Filled, Serve, read_deadline
from .streaming import Served, Stream, served, value, worker
from .test_cluster import HALF, Cluster
from .test_cluster import cluster as cluster

KEYS = Keyspace("live")


def fill(server: Server) -> None:
    with connect(server.address, "tests") as store:
        filled = Filled(store, KEYS)
        filled.topology()
        for user in range(50):
            filled.history(f"u{user}", {str(user): (1, NOW_MS)}, off=1)


PATHS = [
    "/instruments/4",
    "/instruments/similar/4",
    "/instruments/similar/ABC",
    "/v1/instruments/4/bars",
    "/v1/instruments/4/bars?interval=1h&limit=1000",
    "/v1/instruments/4/similar",
    "/v1/users/ABC/recommendations",
    "/v1/users/ABC/history",
    "/health/ready",
]


async def check_unavailable(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Check that a path has an answer though Redis has none, and that it says so."""
    async with asyncio.timeout(PATIENCE_S / 2):
        answer = await client.get(path)
    assert problem(answer)[0] == 503
    assert int(answer.headers["retry-after"]) > 0
    return answer


async def test_a_frozen_redis_is_503_in_bounded_time_and_recovers_and_no_log_names_a_user(
    serve: Serve, own_store: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "api")
    with running(own_store) as process:
        fill(own_store)
        async with serve(redis_url=own_store.address) as client:
            for path in PATHS:
                await answers(client, "/v1/users/u1/history")
                os.kill(process.pid, signal.SIGSTOP)
                with read_deadline(DEADLINE_S):
                    answer = await check_unavailable(client, path)
                assert (await client.get("/health/live")).status_code == 200
                os.kill(process.pid, signal.SIGCONT)
                assert f"no answer in {DEADLINE_S:g} s" in answer.json()["detail"], path
            metrics = (await client.get("/metrics")).text
            assert 'api_redis_errors_total{kind="timeout"}' in metrics
            await answers(client, "/v1/users/u1/history")
            # A read that was given up must not leave its answer to the next one.
            for user in range(50):
                answer = await client.get(f"/v1/users/u{user}/history")
                assert answer.json()["items"][0]["instrument_id"] == user
    own = [record.getMessage() for record in caplog.records if record.name != "httpx"]  # the client
    assert not re.search("ABC|u[0-9]", "\n".join(own))


async def test_a_redis_that_comes_late_goes_and_returns_is_used_whenever_it_is_there(
    serve: Serve, own_store: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "api.redis.nodes")
    began_at = time.monotonic()
    async with serve(redis_url=own_store.address) as client:
        await check_unavailable(client, "/v1/users/u1/history")
        for _ in range(2):
            with running(own_store):
                fill(own_store)
                await answers(client, "/v1/users/u1/history")
            for path in PATHS:
                await check_unavailable(client, path)
            metrics = (await client.get("/metrics")).text
            assert 'api_redis_errors_total{kind="connection"}' in metrics
    away_s = [float(text) for text in re.findall(r"Redis is back after (\S+) s", caplog.text)]
    assert away_s  # an outage that no attempt to reconnect met is not one of them
    rounding_s = 0.1
    assert 0 <= sum(away_s) <= time.monotonic() - began_at + rounding_s


@pytest.mark.parametrize(("setting", "refusing"), [("maxmemory", 1), ("min-replicas-to-write", 1)])
async def test_recommendations_are_answered_by_a_new_namespace_whose_redis_takes_no_writes(
    serve: Serve, own_store: Server, setting: str, refusing: int
) -> None:
    path = "/v1/users/u1/recommendations"
    with running(own_store), connect(own_store.address, "tests") as store:
        assert isinstance(store, Redis)
        fill(own_store)
        Filled(store, KEYS).generation("g", {"1": [("5", 0.5, 1)]}, popular=[("7", 1)])
        async with serve(redis_url=own_store.address) as client:
            store.config_set(setting, refusing)
            answers = [await client.get(path) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [200, 200]
            assert not store.exists(KEYS.request_id_key())
            store.config_set(setting, 0)
            assert (await client.get(path)).status_code == 200
            key = store.get(KEYS.request_id_key())
    for answer in answers:
        assert Signer(key.encode()).made(answer.json()["request_id"], "u1")


INSTRUMENTS = range(20)
ALL = set(INSTRUMENTS)
MOVED = 0
"""A partition whose slot moves from one master to the other."""


@pytest.fixture
async def api_(own_store: Server) -> AsyncIterator[Served]:
    async with served(own_store.address, KEYS.namespace) as application:
        yield application


async def test_a_redis_that_hangs_makes_bars_stale_once_and_live_again(
    api_: Served, own_store: Server
) -> None:
    with running(own_store) as process:
        fill(own_store)
        async with worker(own_store.address, KEYS.namespace) as its, opened(api_, 4) as stream:
            with pytest.MonkeyPatch.context() as hurried:
                hurried.setattr(channels, "QUIET_S", 0.5)
                await its.write([(4, RUNNING_S, value(1))])
                assert (await stream.next())[1]["n"] == 1  # from here on it waits that long
                os.kill(process.pid, signal.SIGSTOP)
                assert await stream.next() == ("stale", {"reason": "redis-away"})
            await check_no_stream(api_)
            os.kill(process.pid, signal.SIGCONT)
            assert await stream.bars_until_live() == {4: 1}
            await its.write([(4, RUNNING_S, value(2))])
            assert (await stream.next())[1]["n"] == 2
        assert await api_.metric("api_stream_interruptions_total") == 1


async def test_a_redis_that_lost_everything_is_believed(api_: Served, own_store: Server) -> None:
    async with contextlib.AsyncExitStack() as stack:
        with running(own_store):
            fill(own_store)
            async with worker(own_store.address, KEYS.namespace) as its:
                await its.write([(4, RUNNING_S, value(9))])
            stream = await stack.enter_async_context(opened(api_, 4))
        assert (await stream.next())[0] == "stale"
        await check_no_stream(api_)
        with running(own_store):
            async with worker(own_store.address, KEYS.namespace) as its:
                await its.write([(4, RUNNING_S, value(1))])
            fill(own_store)  # only now the server knows where to look
            assert await stream.bars_until_live() == {4: 1}


async def test_bars_of_every_node_of_a_cluster_come_also_after_a_slot_has_moved(
    cluster: Cluster,
) -> None:
    url = cluster.servers[0].address
    fill(cluster.servers[0])
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
    fill(cluster.servers[0])
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
async def check_no_stream(api_: Served) -> None:
    with pytest.MonkeyPatch.context() as hurried:
        hurried.setattr(bars, "READ_DEADLINE_S", 0.1)
        answer = await api_.client.get("/v1/stream/bars?instruments=5")
    assert problem(answer) == (503, "store-unavailable")
    assert int(answer.headers["retry-after"]) > 0
