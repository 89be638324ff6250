"""Redis slow or away: bounded answers, and recovery without a restart."""

import asyncio
import os
import signal
import time
from pathlib import Path

import httpx
import msgspec
import pytest
import tenacity

from contracts.keyspace import HistoryEntry
from infra.local.process import Server, free_port, running
from infra.local.store import valkey
from runtime.stores import connect

from .conftest import NOW_MS, Serve

PROMISED_S = 0.25
SLACK = 2
"""The promise is a quiet machine's. The tests' machine runs other work on few cores, and this
process is client, server and test in one; what must not pass is a wait for Redis' own time."""


@pytest.fixture
def own_store(tmp_path: Path) -> Server:
    """A store of this test alone, not running yet."""
    return valkey(free_port(), tmp_path)


async def timed(client: httpx.AsyncClient, path: str) -> tuple[httpx.Response, float]:
    started = time.perf_counter()
    answer = await client.get(path)
    return answer, time.perf_counter() - started


def fill(server: Server) -> None:
    with connect(server.address, "tests") as store:
        store.hset("live:meta:topics", mapping={"quotes": 1, "interactions": 1, "cooccurrences": 1})
        for user in range(50):
            entry = msgspec.json.encode(HistoryEntry(1, NOW_MS))
            store.hset(f"live:history:{{i0}}:u{user}", mapping={str(user): entry, "off": "[0,1]"})


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


def check_unavailable(answer: httpx.Response, seconds: float) -> None:
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert seconds < PROMISED_S * SLACK


async def test_a_frozen_redis_is_503_in_bounded_time_and_recovers(
    serve: Serve, own_store: Server
) -> None:
    with running(own_store) as process:
        fill(own_store)
        async with serve(redis_url=own_store.address) as client:
            assert (await client.get("/v1/users/u1/history")).status_code == 200
            os.kill(process.pid, signal.SIGSTOP)
            for path in PATHS:
                check_unavailable(*await timed(client, path))
            assert (await client.get("/health/live")).status_code == 200
            metrics = (await client.get("/metrics")).text
            assert 'api_redis_errors_total{kind="timeout"}' in metrics
            os.kill(process.pid, signal.SIGCONT)
            await until_answered(client)
            # A read that was given up must not leave its answer to the next one.
            for user in range(50):
                answer = await client.get(f"/v1/users/u{user}/history")
                assert answer.json()["items"][0]["instrument_id"] == user


async def test_while_redis_hangs_reads_cost_nothing_once_it_is_known(
    serve: Serve, own_store: Server
) -> None:
    with running(own_store) as process:
        fill(own_store)
        async with serve(redis_url=own_store.address) as client:
            await client.get("/v1/users/u1/history")
            os.kill(process.pid, signal.SIGSTOP)
            first = [timed(client, "/v1/users/u1/history") for _ in range(20)]
            for answer, seconds in await asyncio.gather(*first):
                check_unavailable(answer, seconds)
            for _ in range(20):
                answer, seconds = await timed(client, "/v1/users/u1/history")
                check_unavailable(answer, seconds)
                assert seconds < PROMISED_S / 2
            metrics = (await client.get("/metrics")).text
            assert 'api_redis_errors_total{kind="timeout"} 20.0' in metrics
            os.kill(process.pid, signal.SIGCONT)
            await until_answered(client)


async def test_a_redis_that_comes_late_goes_and_returns_is_used_whenever_it_is_there(
    serve: Serve, own_store: Server
) -> None:
    async with serve(redis_url=own_store.address) as client:
        check_unavailable(*await timed(client, "/v1/users/u1/history"))
        for _ in range(2):
            with running(own_store):
                fill(own_store)
                await until_answered(client)
            for path in PATHS:
                check_unavailable(*await timed(client, path))
            metrics = (await client.get("/metrics")).text
            assert 'api_redis_errors_total{kind="connection"}' in metrics


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(AssertionError),
    stop=tenacity.stop_after_delay(10),
    wait=tenacity.wait_fixed(0.02),
)
async def until_answered(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/users/u1/history")).status_code == 200
