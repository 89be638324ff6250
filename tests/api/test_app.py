"""The application: unknown topics, counts of requests, keys of the environment, and its end."""

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.health import log_ends
from api.settings import ApiSettings
from infra.local.process import free_port
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.api.http import connected, serving
from tests.patience import PATIENCE_S, until

from .conftest import TOPOLOGY, Filled, Serve
from .problems import problem


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({}, "python -m operations.topics"),
        (TOPOLOGY.as_hash() | {"format": "2"}, "says format 2, and this program reads only 1"),
    ],
)
async def test_topics_that_are_unknown_or_of_another_format_are_a_problem_until_they_are_set_up(
    serve: Serve, filled: Filled, found: dict[str, str], says: str
) -> None:
    filled.store.delete(filled.keys.topics())
    if found:
        filled.store.hset(filled.keys.topics(), mapping=found)
    async with serve() as client:
        for path, slug in (
            ("/v1/users/ABC/history", "topics-unknown"),
            ("/health/ready", "not-ready"),
        ):
            answer = await client.get(path)
            assert problem(answer) == (503, slug)
            assert says in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/health/live")).json() == {"status": "alive"}
        filled.topology()
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/v1/users/ABC/history")).status_code == 404


async def test_requests_are_counted_by_their_route_never_by_their_ids(
    client: httpx.AsyncClient,
) -> None:
    await client.get("/v1/users/somebody/history")
    await client.head("/v1/users/somebody/history")
    await client.get("/nowhere/somebody")
    await client.request("BREW", "/v1/events")
    metrics = await client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    lines = metrics.text.splitlines()
    route = "/v1/users/{user_id}/history"
    assert f'api_requests_total{{method="GET",route="{route}",status="404"}} 1.0' in lines
    assert f'api_requests_total{{method="HEAD",route="{route}",status="404"}} 1.0' in lines
    assert 'api_requests_total{method="GET",route="unmatched",status="404"} 1.0' in lines
    assert 'api_requests_total{method="other",route="/v1/events",status="405"} 1.0' in lines
    assert f'api_request_seconds_count{{route="{route}"}} 2.0' in lines
    assert "somebody" not in metrics.text


def test_keys_are_separated_by_commas_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", " first-key,other ,,")
    settings = ApiSettings()
    assert settings.api_keys == {"first-key", "other"}
    assert "first-key" not in repr(settings)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the names of threads")
async def test_no_thread_of_librdkafka_goes_on_looking_for_a_broker(
    where: dict[str, Any],
) -> None:
    before = librdkafka_clients()
    async with serving(**where) as (_, port), connected(port) as client:
        # It asks for the ends of the logs, which the producer does not.
        await client.get("/v1/pipeline")
        assert librdkafka_clients() - before
    await until(lambda: not librdkafka_clients() - before, "its threads ended")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the names of threads")
async def test_nor_does_one_that_was_still_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_ends, "ANSWER_WITHIN_S", PATIENCE_S)
    before = librdkafka_clients()
    watch = log_ends.LogWatch(plain(f"127.0.0.1:{free_port()}"), time.monotonic)
    asking = asyncio.create_task(watch.ends(Topology(quotes=1, interactions=1, cooccurrences=1)))
    await until(lambda: librdkafka_clients() - before, "its threads")
    await watch.aclose()
    await until(lambda: not librdkafka_clients() - before, "its threads ended")
    with contextlib.suppress(asyncio.CancelledError):
        await asking


def librdkafka_clients() -> set[str]:
    """Return the ids of its clients' main threads; one that lives on replaces only others."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it just ended
            if (thread / "comm").read_text() == "rdk:main\n":
                found.add(thread.name)
    return found
