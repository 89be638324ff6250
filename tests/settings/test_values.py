"""Settings whose parser is code, and those of a stack that runs here. Pydantic reads all others."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any, Final

import pytest
from limits import parse

from api.settings import ApiSettings
from runtime import running_stack
from runtime.settings import SharedSettings, read_settings

OWN_FORMS: Final[dict[str, tuple[str, Any]]] = {
    "API_HOSTS": ("a.example,B.example", frozenset({"a.example", "b.example"})),
    "API_CORS_ORIGINS": ("https://a.example", frozenset({"https://a.example"})),
    "API_KEYS": ("one, two", frozenset({"one", "two"})),
    "WRITE_LIMIT": ("2000/minute", parse("2000/minute")),
}
"""By setting: a text, and what it is parsed to."""


def test_values_in_the_environment_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (text, _) in OWN_FORMS.items():
        monkeypatch.setenv(name, text)
    settings = read_settings(ApiSettings)
    for name, (_, value) in OWN_FORMS.items():
        assert getattr(settings, name.lower()) == value


REDIS, KAFKA = "redis://127.0.0.1:6380/0", "127.0.0.1:9093"
FOUND = {"KAFKA_BOOTSTRAP_SERVERS": KAFKA, "REDIS_URL": REDIS, "NAMESPACE": "a"}


@pytest.mark.parametrize(
    ("environment", "report", "is_found"),
    [
        ({}, {}, True),
        ({"NAMESPACE": "shop"}, {}, True),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, {}, False),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, {}, False),
        ({}, {"at_s": time.monotonic() - 60}, False),
        ({}, {"host": "a-container"}, False),
    ],
)
def test_a_running_stack_has_the_servers_if_the_environment_has_none(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    environment: dict[str, str],
    report: dict[str, Any],
    *,
    is_found: bool,
) -> None:
    stack = {"at_s": time.monotonic(), "host": platform.node(), "settings": FOUND}
    (tmp_path / "state.json").write_text(json.dumps(stack | report))
    monkeypatch.setattr(running_stack, "STACK_REPORT", tmp_path / "state.json")
    monkeypatch.setattr(os, "environ", dict(environment))
    read = read_settings(SharedSettings)
    assert (read.redis_url == REDIS) == is_found
    assert (read.kafka.bootstrap_servers == KAFKA) == is_found
    assert read.namespace == environment.get("NAMESPACE", "a" if is_found else "live")
    assert ("using the stack of `make up`: KAFKA_B" in caplog.text) == is_found
