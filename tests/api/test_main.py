"""`python -m api` as a process: start, answer, stop."""

import asyncio
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from infra.local.process import Command, Server, free_port, running
from tests.patience import PATIENCE_S, answers, until_true

from .http import connected


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
