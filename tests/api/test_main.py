"""`python -m api` as a process: start, answer, stop."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from infra.local.process import Command, Server, free_port, running


def api(port: int, folder: Path, environment: Mapping[str, str]) -> Server:
    url = f"http://127.0.0.1:{port}"
    settings = {
        "API_PORT": str(port),
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        **environment,
    }
    command = Command("api", (sys.executable, "-m", "api"), folder / "api.log", settings)
    return Server(command, url, "api", lambda: answers(url))


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_it_starts_without_redis_and_kafka_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    server = api(free_port(), tmp_path, {})
    with running(server) as process:
        answer = httpx.get(f"{server.address}/v1/users/very-secret/history")
        assert answer.status_code == 503
        assert "server" not in answer.headers
    assert process.returncode == 0
    lines = [json.loads(line) for line in server.command.log.read_text().splitlines()]
    assert all(line["program"] == "api" for line in lines)
    assert any("API_KEYS is not set" in line["event"] for line in lines)
    assert "very-secret" not in server.command.log.read_text()


def test_a_setting_that_breaks_a_rule_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_PORT", "99999")
    ended = subprocess.run([sys.executable, "-m", "api"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "api_port" in ended.stderr
    assert "99999" in ended.stderr
    assert "Traceback" not in ended.stderr
