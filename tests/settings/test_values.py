"""Settings whose parser is code, and those of a stack that runs here. Pydantic reads all others."""

import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from limits import parse

from runtime import running_stack
from runtime.settings import SharedSettings, flat_fields, read_settings
from tests.docs.settings_page import PROGRAMS

OWN_FORMS: Final[dict[str, tuple[str, Any]]] = {
    "REDIS_URL": ("redis://store:6380/1", "redis://store:6380/1"),
    "LOG_LEVEL": ("DEBUG", "DEBUG"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("http://collector:4318", "http://collector:4318"),
    "EVENT_WEIGHTS": ("purchase=8", "purchase=8"),
    "API_HOSTS": ("a.example,B.example", frozenset({"a.example", "b.example"})),
    "API_CORS_ORIGINS": ("https://a.example", frozenset({"https://a.example"})),
    "API_KEYS": ("one, two", frozenset({"one", "two"})),
    "WRITE_LIMIT": ("2000/minute", parse("2000/minute")),
    "ARCHIVE_CATALOG": ("glue", "glue"),
    "ARCHIVE_S3_ENDPOINT": ("http://store:9000", "http://store:9000"),
}
"""By setting: a text, and what it is parsed to."""


def cases() -> Iterator[Any]:
    """Yield program, setting, text, and what it is parsed to."""
    for program, of in PROGRAMS.items():
        for name in flat_fields(of):
            if own := OWN_FORMS.get(name.upper()):
                yield pytest.param(program, name, *own, id=f"{program}-{name}")


@pytest.mark.parametrize(("program", "name", "text", "value"), list(cases()))
def test_a_value_in_the_environment_is_parsed(
    monkeypatch: pytest.MonkeyPatch, program: str, name: str, text: str, value: Any
) -> None:
    monkeypatch.setenv(name.upper(), text)
    settings: Any = read_settings(PROGRAMS[program])
    part, _, inner = name.partition("_")
    found = (
        getattr(settings, name)
        if hasattr(settings, name)
        else getattr(getattr(settings, part), inner)
    )
    assert found == value


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
