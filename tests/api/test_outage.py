"""Redis slow or down: bounded answers, and recovery without a restart."""

import asyncio
import logging
import os
import re
import signal
import time

import httpx
import pytest
from redis import Redis

from api.generations.request_ids import Signer
from api.redis.store import READ_DEADLINE_S as DEADLINE_S
from contracts.keyspace import Keyspace
from infra.local.process import Server, running
from runtime.redis.stores import connect
from tests.patience import PATIENCE_S, until_true

from .conftest import NOW_MS, Filled, Serve, read_deadline
from .problems import problem

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
                await until_answered(client)
                os.kill(process.pid, signal.SIGSTOP)
                with read_deadline(DEADLINE_S):
                    answer = await check_unavailable(client, path)
                assert (await client.get("/health/live")).status_code == 200
                os.kill(process.pid, signal.SIGCONT)
                assert f"no answer in {DEADLINE_S:g} s" in answer.json()["detail"], path
            metrics = (await client.get("/metrics")).text
            assert 'api_redis_errors_total{kind="timeout"}' in metrics
            await until_answered(client)
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
                await until_answered(client)
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


@until_true
async def until_answered(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/users/u1/history")).status_code == 200
