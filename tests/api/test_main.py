"""The API as an application and as a process: its start, metrics, failures and end."""

import asyncio
import contextlib
import io
import itertools
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from api.health import log_ends
from api.http.failures import BugBarrier
from api.redis.store import Store
from api.settings import ApiSettings
from infra.local.process import Command, Server, free_port, running
from runtime.kafka.config import plain
from runtime.logs import configure_logs
from runtime.settings import SharedSettings
from runtime.topology import Topology
from tests.patience import PATIENCE_S, answers, until, until_true

from .asking import problem
from .conftest import TOPOLOGY, Filled, Serve
from .http import ORDINARY, connected, serving


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


def api(port: int, folder: Path, environment: Mapping[str, str]) -> Server:
    url = f"http://127.0.0.1:{port}"
    settings = {
        "API_PORT": str(port),
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        **environment,
    }
    command = Command("api", (sys.executable, "-m", "api"), folder / "api.log", settings)
    return Server(command, url, "api", lambda: answers(f"{url}/health/live"))


def test_it_starts_without_redis_and_kafka_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    server = api(free_port(), tmp_path, {})
    with running(server) as process:
        answer = httpx.get(f"{server.address}/v1/users/very-secret/history", timeout=PATIENCE_S)
        assert answer.status_code == 503
        assert "server" not in answer.headers
    assert process.returncode == 0
    lines = [json.loads(line) for line in server.command.log.read_text().splitlines()]
    assert all(line["service"] == {"name": "tickrec-api"} for line in lines)
    assert any("API_KEYS is not set" in line["message"] for line in lines)
    assert "very-secret" not in server.command.log.read_text()


async def test_a_shutdown_under_load_answers_every_request(tmp_path: Path, store_url: str) -> None:
    port = free_port()
    server = api(port, tmp_path, {"REDIS_URL": store_url})
    with running(server) as process:
        asking = [asyncio.create_task(ask_until_told_to_go(port, path)) for path in PATHS * 4]
        async with asyncio.timeout(PATIENCE_S):
            await answered(port, at_least=len(asking) * 20)
            process.send_signal(signal.SIGTERM)
            counts = await asyncio.gather(*asking)
        assert min(counts) > 1
    assert process.returncode == 0


PATHS = ["/v1/instruments/4/bars", "/instruments/similar/ABC", "/v1/users/ABC/history", "/nothing"]


async def ask_until_told_to_go(port: int, path: str) -> int:
    """Return how many requests were answered on one connection, the last with a farewell."""
    async with connected(port) as client:
        for count in itertools.count(1):
            if b"connection: close\r\n" in await client.get(path):
                assert await client.reader.read() == b""
                return count
    raise AssertionError("unreachable")


@until_true
async def answered(port: int, at_least: int) -> None:
    async with connected(port) as client:
        metrics = (await client.get("/metrics")).decode()
    counts = re.findall(r"^api_requests_total{.*} (\S+)$", metrics, re.MULTILINE)
    assert sum(map(float, counts)) >= at_least


def test_a_port_that_is_taken_is_named_and_ends_the_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = os.environ | dict(api(port, tmp_path, {}).command.environment)
        ended = subprocess.run(
            [sys.executable, "-m", "api"], capture_output=True, text=True, env=environment
        )
    assert ended.returncode != 0
    assert str(port) in ended.stderr
    assert "Traceback" not in ended.stderr


START = {"type": "http.response.start", "status": 200, "headers": []}


def failing(before: Callable[[Send], Awaitable[None]] | None = None) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        if before is not None:
            await before(send)
        try:
            int("secret-cause")
        except ValueError as error:
            raise KeyError("secret-user") from error

    return app


async def get(app: ASGIApp) -> httpx.Response:
    transport = httpx.ASGITransport(BugBarrier(app))  # it lets an exception through to the test
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as of_both:
        return await of_both.get("/somewhere")


async def test_the_log_says_what_was_raised_and_where_but_not_what_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await get(failing())
    (record,) = [record for record in caplog.records if record.name == "api.http.failures"]
    assert record.getMessage() == "GET unmatched failed: builtins.KeyError"
    where = record.__dict__["where"]
    assert any(place.endswith("in app") and __file__ in place for place in where)
    assert "from builtins.ValueError" in where
    assert "secret" not in str(record.__dict__)


async def test_half_an_answer_is_not_continued_with_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    async def begin(send: Send) -> None:
        await send(START)

    scope = {"type": "http", "method": "GET", "path": "/"}
    await BugBarrier(failing(begin))(scope, None, send)  # type: ignore[arg-type]
    assert sent == [START]
    assert "KeyError" in caplog.text


SENT = "Root=1-67891233-abcdef"
FOR_FRAMEWORK = {"Content-Length": "0"}
"""A header that no hot request has."""


@pytest.fixture
async def of_both(where: dict[str, Any], filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    """A of_both of a server, which has both paths."""
    filled.generation("g1", {"4": [("5", 0.5, 2)]}, popular=[("7", 3)])
    async with (
        serving(**where) as (_, port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as of_both,
    ):
        yield of_both


@pytest.mark.parametrize("way", [b"", ORDINARY])
async def test_recommendations_of_the_first_version_have_theirs_for_feedback(
    of_both: httpx.AsyncClient, way: bytes
) -> None:
    headers = {"X-Request-Id": SENT, **(FOR_FRAMEWORK if way else {})}
    answer = await of_both.get("/instruments/similar/ABC", headers=headers)
    (request_id,) = answer.headers.get_list("x-request-id")
    assert request_id.startswith("default.g1.popular.")


@pytest.mark.parametrize("way", [{}, FOR_FRAMEWORK])
async def test_a_line_of_the_log_names_its_request(
    of_both: httpx.AsyncClient, way: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise KeyError("secret")

    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    handlers = logging.root.handlers[:]
    configure_logs("api", SharedSettings())
    monkeypatch.setattr(Store, "topology", failing)
    try:
        answer = await of_both.get("/v1/instruments/4/bars", headers=way)
    finally:
        logging.root.handlers[:] = handlers
    assert problem(answer) == (500, "internal")
    assert "secret" not in answer.text + written.getvalue()
    (line,) = [json.loads(line) for line in written.getvalue().splitlines() if "failed" in line]
    assert line["http"] == {"request": {"id": answer.headers["x-request-id"]}}
