"""Values are parsed; a wrong one ends a program at its start, which names it and its bound.

All wrong values of a round are in one environment, as a program names all that are wrong at once.
They are read in this process; that a program then ends is shown once for each program.
"""

import json
import os
import platform
import re
import runpy
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from limits import parse

from api.settings import ApiSettings
from runtime import running_stack
from runtime.settings import SettingsError, SharedSettings, flat_fields, read_settings
from tests.docs.settings_page import PROGRAMS
from trainer import __main__ as trainer
from trainer.judging.canary import read_rules

STARTED: Final[dict[str, tuple[str, ...]]] = {
    "producers": ("producers", "simulate"),
    "workers": ("stream_processors",),
    "trainer": ("trainer", "run"),
    "api": ("api",),
    "archive": ("archive", "run"),
}
EXIT_CODES: Final = {"producers": 2, "workers": 1, "trainer": 2, "api": 1, "archive": 2}
"""Commands with options exit as their CLI library does on an invalid one."""
SECRETS: Final = {"API_KEYS", "REDIS_URL"}
"""Their values are not shown."""
NEAR: Final = 300
"""Characters around a setting's name in which its value and bound are named."""

RULES: Final[dict[str, dict[str, str]]] = {
    "METRICS_PORT": {"soon": "valid integer", "65536": "less than or equal to 65535"},
    "LOG_LEVEL": {"LOUD": "DEBUG|INFO"},
    "AFFINITY": {"No Choice": "'binary', "},
    "EARLIEST_EVENT_DATE": {"soon": "valid date"},
    "HALF_LIFE_DAYS": {"13": "greater than or equal to 14", "soon": "valid number"},
    "REDIS_URL": {"nonsense": "redis://, rediss://, unix://",
                  "rediss://host?ssl_ca_certs=nowhere.pem": "name a PEM file",
                  "redis+sentinel://one,two": "redis+sentinel://one:26379,two:26379/"},
    "EVENT_WEIGHTS": {"purchase": "write TYPE=WEIGHT", "Buy=1": "cannot be a type of event"},
    "API_HOSTS": dict.fromkeys(("http://shop.example", "shop.example:80", "a b", "a,*"),
                               "host name"),
    "API_CORS_ORIGINS": dict.fromkeys(("*", "shop.example", "https://shop.example/"),
                                      "not an origin"),
    "API_KEYS": dict.fromkeys((",", " , ,", " "), "contains no key"),
    "API_KEYS_FILE": {"nowhere.json": "python -m api keys add"},
    "WRITE_LIMIT": {"999/second": "use 1000 or more", "many": "'many'",
                    "1000/fortnight": "fortnight", "0/second": "0/second",
                    "1000/second;5/minute": "invalid limit"},
    "ARCHIVE_WAREHOUSE": {"gs://bucket": "name a path, or s3://bucket/folder"},
}  # fmt: skip
"""Wrong values, by Pydantic's kinds of rules and by our code, each with words of the reason."""


def rounds() -> Iterator[Any]:
    """Yield program and wrong values, no more than one of a setting at a time."""
    for program in STARTED:
        names = {name.upper() for name in flat_fields(PROGRAMS[program])} & RULES.keys()
        wrong = {name: [*RULES[name].items()] for name in names}
        for n in range(max(map(len, wrong.values()))):
            some = {setting: says[n] for setting, says in wrong.items() if len(says) > n}
            yield pytest.param(program, some, id=f"{program}-{n + 1}")


@pytest.mark.parametrize(("program", "wrong"), list(rounds()))
def test_each_wrong_value_is_named_with_its_setting_and_bound(
    monkeypatch: pytest.MonkeyPatch, program: str, wrong: dict[str, tuple[str, str]]
) -> None:
    for setting, (value, _) in wrong.items():
        monkeypatch.setenv(setting, value)
    with pytest.raises(SettingsError) as refused:
        read_settings(PROGRAMS[program])
    said = str(refused.value)
    for setting, (value, bound) in wrong.items():
        named = [said[found.start() :][:NEAR] for found in re.finditer(rf"\b{setting}\b", said)]
        is_shown = setting not in SECRETS
        assert any(bound in near and (repr(value) in near) is is_shown for near in named), (
            setting,
            said,
        )


@pytest.mark.parametrize("program", STARTED)
def test_a_program_with_wrong_values_ends_and_names_all_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    wrong = {"NAMESPACE": "a{b}", "LOG_LEVEL": "LOUD"}
    for setting, value in wrong.items():
        monkeypatch.setenv(setting, value)
    monkeypatch.setattr(sys, "argv", list(STARTED[program]))
    monkeypatch.delitem(sys.modules, f"{STARTED[program][0]}.__main__", raising=False)
    # In this process: nearly all of a start are imports.
    with pytest.raises(SystemExit) as end:
        runpy.run_module(STARTED[program][0], run_name="__main__")
    code = end.value.code
    said = str(code) if isinstance(code, str) else capsys.readouterr().err
    assert (1 if isinstance(code, str) else code) == EXIT_CODES[program], said
    assert all(f"{setting}={value!r}" in said for setting, value in wrong.items())


@pytest.mark.parametrize("rules", ["share = 2", "minutes = 1e6", "rest_minutes = inf"])
def test_a_file_that_a_run_cannot_use_ends_it(tmp_path: Path, rules: str) -> None:
    (tmp_path / "rules.toml").write_text(rules)
    with pytest.raises(typer.Exit) as end, trainer._errors_logged():
        read_rules(tmp_path / "rules.toml")
    assert end.value.exit_code == 1


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
