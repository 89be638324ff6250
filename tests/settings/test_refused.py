"""A wrong value ends a program before it does anything: it names setting, value and bound.

All wrong values of a round are in one environment, as a program names all that are wrong at once.
They are read in this process; that a program then ends is shown once for each program.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from runtime.settings import SettingsError, read_settings
from runtime.topology import Topology
from tests.patience import PATIENCE_S
from tests.settings.rows import ALL, OF_ARCHIVE, SETTINGS, Program
from trainer.settings_file import flat_fields

STARTED: Final[dict[Program, tuple[str, ...]]] = {
    "producers": ("producers", "simulate"),
    "workers": ("stream_processors",),
    "trainer": ("trainer", "run"),
    "api": ("api",),
}
EXIT_CODES: Final[dict[Program, int]] = {"producers": 2, "workers": 1, "trainer": 2, "api": 1}
"""Commands with options exit as their CLI library does on an invalid one."""
SECRETS: Final = {"API_KEYS", "REDIS_URL"}
"""Their values are not shown."""
NEAR: Final = 300
"""Characters around a setting's name in which its value and bound are named."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A setting, and by what each of its wrong values is refused."""

    setting: str
    programs: tuple[Program, ...]
    says: dict[str, str]


def alike(setting: str, program: Program, says: str, *values: str) -> Wrong:
    """Values that are refused in the same words."""
    return Wrong(setting, (program,), dict.fromkeys(values, says))


def above_0(setting: str, program: Program) -> Wrong:
    return Wrong(setting, (program,), {"0": "greater than 0"})


def at_least(setting: str, program: Program, bound: str, below: str) -> Wrong:
    return Wrong(setting, (program,), {below: f"greater than or equal to {bound}"})


def between(setting: str, program: Program, low: str, high: str) -> Wrong:
    """Numbers with two bounds, both allowed."""
    below, above = str(float(low) - 0.001), str(float(high) + 0.001)
    return Wrong(
        setting,
        (program,),
        {below: f"greater than or equal to {low}", above: f"less than or equal to {high}"},
    )


def whole(setting: str, program: Program, low: int, high: int | None = None) -> Wrong:
    """Whole numbers from `low` on."""
    least = "greater than 0" if low == 1 and high is None else f"greater than or equal to {low}"
    above = ("2.5", "valid integer") if high is None else (str(high + 1), f"equal to {high}")
    return Wrong(setting, (program,), {str(low - 1): least, above[0]: above[1]})


REFUSED: Final = (
    Wrong("NAMESPACE", ALL, {"a{b}": "[A-Za-z0-9._-]+", "": "[A-Za-z0-9._-]+"}),
    Wrong("LOG_LEVEL", ALL, {"LOUD": "DEBUG|INFO|WARNING|ERROR", "info": "DEBUG|INFO"}),
    Wrong("REDIS_URL", ALL, {"nonsense": "redis://, rediss://, unix://",
                             "rediss://host?ssl_ca_certs=nowhere.pem": "name a PEM file",
                             "redis+sentinel://one,two": "redis+sentinel://one:26379,two:26379/"}),
    Wrong("KAFKA_PREFIX", ALL, {"a b": "[A-Za-z0-9._-]"}),
    Wrong("KAFKA_SECURITY_PROTOCOL", ALL, {"ssl": "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT'"}),
    Wrong("KAFKA_SASL_MECHANISM", ALL, {"scram": "'PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'"}),
    Wrong("KAFKA_SASL_TOKEN_URL", ALL, {"idp.example/token": "^https?://"}),
    Wrong("OTEL_EXPORTER_OTLP_ENDPOINT", ("workers", "api"), {"collector:4318": "^https?://"}),
    Wrong("EARLIEST_EVENT_DATE", ("producers", "workers", "api"),
          {"1969-12-31": "equal to 1970-01-01", "soon": "valid date"}),
    Wrong("EVENT_WEIGHTS", ("producers", "workers", "api"),
          {"purchase": "write TYPE=WEIGHT", "Buy=1": "cannot be a type of event"}),
    Wrong("UNKNOWN_FIELDS", ("workers",), {"count": "'take' or 'refuse'"}),
    whole("METRICS_PORT", "workers", 0, 65535),
    whole("METRICS_PORT", "trainer", 0, 65535),
    whole("API_PORT", "api", 0, 65535),
    whole("API_PRIVATE_PORT", "api", 0, 65535),
    alike("API_HOSTS", "api", "host name", "http://shop.example", "shop.example:80", "a b", "a,*"),
    alike("API_CORS_ORIGINS", "api", "not an origin", "*", "shop.example", "https://shop.example/"),
    whole("STREAMS_PER_CLIENT", "api", 1),
    alike("API_KEYS", "api", "contains no key", ",", " , ,", " "),
    Wrong("API_KEYS_FILE", ("api",), {"nowhere.json": "python -m api keys add"}),
    Wrong("WRITE_LIMIT", ("api",), {"999/second": "less than the 1000 events", "many": "'many'",
                                   "1000/fortnight": "fortnight", "0/second": "0/second"}),
    Wrong("DELIVERY_TIMEOUT_S", ("producers",), {"0.9": "equal to 1", "inf": "equal to 86400"}),
    Wrong("BARS_RETENTION_MINUTES", ("workers",), {"0": "greater than or equal to 1",
                                                   "2.5": "valid integer"}),
    between("BARS_EXPIRE_DAYS", "workers", "1", "3650"),
    between("BARS_CLOSE_AFTER_SECONDS", "workers", "0", "3600"),
    Wrong("FLUSH_INTERVAL_S", ("workers",), {"0": "greater than 0", "61": "equal to 60"}),
    Wrong("COUNTS_FLUSH_INTERVAL_S", ("workers",), {"0": "greater than 0", "601": "equal to 600"}),
    Wrong("DEAD_LETTER_RATIO_MAX", ("workers",), {"0": "greater than 0", "1.1": "equal to 1"}),
    Wrong("GROUP_INSTANCE_ID", ("workers",), {"a b": "[A-Za-z0-9._-]{1,200}", "": "{1,200}"}),
    between("SESSION_TIMEOUT_S", "workers", "6", "80"),
    Wrong("AFFINITY", ("workers",), {"Weighted": "'binary', 'weighted' or 'greatest'"}),
    between("HALF_LIFE_DAYS", "workers", "14", "36500"),
    whole("HISTORY_CAP", "workers", 1, 5000),
    between("HISTORY_RETENTION_DAYS", "workers", "1", "36500"),
    Wrong("USER_WEIGHT", ("workers",), {"some": "'none', 'inverse-degree' or 'value'"}),
    Wrong("USER_WEIGHT_EXPONENT", ("workers",), {"0": "greater than 0", "1.01": "equal to 1"}),
    Wrong("TYPICAL_VALUE", ("workers",), {"0": "equal to 0.000001", "1e13": "1000000000000"}),
    Wrong("TRAIN_EVERY_SECONDS", ("trainer",), {"0": "greater than 0", "inf": "equal to 864000"}),
    Wrong("ITEM_MODEL", ("trainer",), {"als": "'cosine', 'ease', 'ordered' or 'auto'"}),
    Wrong("USER_MODEL", ("trainer",), {"als": "'auto', 'user-knn' or 'none'"}),
    between("COUNTS_USER_WEIGHT_EXPONENT", "trainer", "0", "1"),
    between("COUNTS_HALF_LIFE_DAYS", "trainer", "0", "36500"),
    whole("COUNTS_USERS", "trainer", 0),
    Wrong("FOLD_IN_ITEMS", ("trainer",), {"0": "greater than 0", "5001": "equal to 5000"}),
    between("FOLD_IN_HALF_LIFE_DAYS", "trainer", "0", "36500"),
    between("FOLD_IN_HALF_LIFE_ITEMS", "trainer", "0", "5000"),
    at_least("COSINE_SHRINKAGE", "trainer", "0", "-1"),
    Wrong("COSINE_SHRINKAGE", ("trainer",), {"inf": "finite"}),
    between("COSINE_POPULARITY_DAMPING", "trainer", "0", "1"),
    whole("COSINE_POPULAR_REMOVED", "trainer", 0),
    above_0("EASE_REGULARIZATION", "trainer"),
    Wrong("EASE_REGULARIZATION", ("trainer",), {"inf": "finite"}),
    between("EASE_OWN_DAMPING", "trainer", "0", "1"),
    between("EASE_POPULARITY_DAMPING", "trainer", "0", "1"),
    between("ORDERED_BACKWARDS", "trainer", "0", "1"),
    between("ORDERED_LAG_EXPONENT", "trainer", "0", "2"),
    between("ORDERED_OWN_DAMPING", "trainer", "0", "1"),
    between("ORDERED_POPULARITY_DAMPING", "trainer", "0", "1"),
    whole("NEIGHBORS_PER_ITEM", "trainer", 1),
    whole("USER_KNN_K", "trainer", 1),
    Wrong("USER_KNN_METRIC", ("trainer",), {"cosine": "'unit-length' or 'raw'"}),
    whole("USER_KNN_RECOMMENDATIONS", "trainer", 1),
    between("DIVERSITY", "trainer", "0", "1"),
    between("EXPLORATION", "trainer", "0", "0.5"),
    Wrong("IMPRESSION_DISCOUNT", ("trainer",), {"-0.1": "equal to 0", "1": "less than 1"}),
    whole("ACTIVE_USERS", "trainer", 0),
    whole("POPULAR_ITEMS", "trainer", 1),
    between("POPULAR_HALF_LIFE_DAYS", "trainer", "0", "36500"),
    Wrong("AUTO_ACCURACY_GIVEN_UP", ("trainer",), {"-0.1": "equal to 0", "1": "less than 1"}),
    whole("KEEP_GENERATIONS", "trainer", 0),
    between("QUALITY_INCONSISTENT_MAX", "trainer", "0", "1"),
    at_least("QUALITY_ITEMS_KEPT_MIN", "trainer", "0", "-0.1"),
    Wrong("QUALITY_ITEMS_KEPT_MIN", ("trainer",), {"inf": "finite"}),
    between("QUALITY_SINGLE_USER_MAX", "trainer", "0", "1"),
    at_least("QUALITY_POPULARITY_SHIFT_MAX", "trainer", "0", "-0.1"),
    Wrong("QUALITY_POPULARITY_SHIFT_MAX", ("trainer",), {"inf": "finite"}),
)  # fmt: skip

ANYTHING_GOES: Final = {
    *("API_HOST", "API_PRIVATE_HOST", "METRICS_HOST"),
    *("FORWARDED_ALLOW_IPS", "KAFKA_BOOTSTRAP_SERVERS"),
    *("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SASL_TOKEN_SCOPE"),
}
"""Texts that have no rule, or that only a server refuses."""
OF_CONNECTIONS: Final = {"KAFKA_SSL_CA_FILE", "KAFKA_SSL_CERTIFICATE_FILE", "KAFKA_SSL_KEY_FILE"}
"""Which go with others: tests/runtime/kafka/test_settings_of_kafka.py."""
FILES: Final = {"TRAINER_SETTINGS_FILE", "CANARY_RULES", "VARIANTS"}
"""Which have tests of their own in tests/trainer: of settings files, rules and variants."""


def rounds() -> Iterator[Any]:
    """Yield program and wrong values, no more than one of a setting at a time."""
    for program in ALL:
        left: dict[str, list[tuple[str, str]]] = {}
        for wrong in REFUSED:
            if program in wrong.programs:
                left.setdefault(wrong.setting, []).extend(wrong.says.items())
        for n in range(max(map(len, left.values()))):
            some = {setting: says[n] for setting, says in left.items() if len(says) > n}
            yield pytest.param(program, some, id=f"{program}-{n + 1}")


@pytest.mark.parametrize(("program", "wrong"), list(rounds()))
def test_each_wrong_value_is_named_with_its_setting_and_bound(
    monkeypatch: pytest.MonkeyPatch, program: Program, wrong: dict[str, tuple[str, str]]
) -> None:
    for setting, (value, _) in wrong.items():
        monkeypatch.setenv(setting, value)
    with pytest.raises(SettingsError) as refused:
        read_settings(SETTINGS[program])
    said = str(refused.value)
    for setting, (value, bound) in wrong.items():
        named = [said[found.start() :][:NEAR] for found in re.finditer(rf"\b{setting}\b", said)]
        is_shown = setting not in SECRETS
        assert any(bound in near and (repr(value) in near) is is_shown for near in named), (
            setting,
            said,
        )


@pytest.mark.parametrize("program", ALL)
def test_a_program_with_wrong_values_ends_and_names_all_of_them(program: Program) -> None:
    wrong = {"NAMESPACE": "a{b}", "LOG_LEVEL": "LOUD"}
    code, said = outcome(*STARTED[program], environment=wrong)
    assert code == EXIT_CODES[program], said
    assert "Traceback" not in said
    assert all(f"{setting}={value!r}" in said for setting, value in wrong.items())


def test_each_setting_refuses_something_or_says_why_not() -> None:
    named = {setting.setting for setting in REFUSED} | ANYTHING_GOES | FILES | OF_CONNECTIONS
    names = {name for of in SETTINGS.values() for name in flat_fields(of)}
    assert named == {name.upper() for name in names if not name.startswith(OF_ARCHIVE)}


@pytest.mark.parametrize(
    ("setting", "text", "says"),
    [
        ("CANARY_RULES", "share = 2", "less than 1"),
        ("VARIANTS", "[few]\nneighbors = 1", "['neighbors'], which are no settings of a model"),
    ],
)
def test_a_file_that_a_run_cannot_use_ends_it(  # noqa: PLR0913, RUF100
    broker: str,
    store_url: str,
    namespace: str,
    topology: Topology,
    tmp_path: Path,
    setting: str,
    text: str,
    says: str,
) -> None:
    path = tmp_path / "given.toml"
    path.write_text(text)
    servers = {"KAFKA_BOOTSTRAP_SERVERS": broker, "REDIS_URL": store_url, "NAMESPACE": namespace}
    code, said = outcome("trainer", "once", environment={setting: str(path), **servers})
    assert code == 1, said
    assert f"{path} ({setting})" in said
    assert says in said
    assert "Traceback" not in said


def outcome(*arguments: str, environment: dict[str, str]) -> tuple[int, str]:
    """Return how a program ends, and what it says on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stderr
