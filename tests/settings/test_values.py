"""Each setting of each program: its values are parsed, and its program reads it.

All of it is derived from the settings classes. What a value then does is tested where it is done.
"""

import ast
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import cache
from inspect import getsource, isfunction
from math import inf, nextafter
from pathlib import Path
from textwrap import dedent
from typing import Any, Final, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from limits import parse
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from runtime.settings import flat_fields, read_settings
from tests.docs.settings_page import PROGRAMS, ROOT
from tests.settings.wrong_values import kind_of

FOLDERS: Final = {"workers": "stream_processors", "adapt": "producers"}
"""By program, where it is not named as the folder of its code."""
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
"""Of settings whose parser is code: a text, and what it is parsed to."""
ELSEWHERE: Final = (
    *("KAFKA_SECURITY_", "KAFKA_SSL_", "KAFKA_SASL_", "SCHEMA_REGISTRY_"),
    *("API_KEYS_FILE", "TRAINER_SETTINGS_FILE"),
)
"""Beginnings of settings that go with others, or name a file with rules of its own: tested in
tests/runtime/kafka, tests/producers/adapt, tests/api and tests/trainer."""
NOT_READ: Final = {
    # All programs take it, and these use no store, as docs/settings.md says.
    *((program, "redis_url") for program in ("archive", "producers", "adapt")),
    # The source of settings looks for its name.
    ("trainer", "trainer_settings_file"),
    # They are passed on to the registry's client together.
    *(("adapt", name) for name in flat_fields(PROGRAMS["adapt"]) if "registry_ssl_" in name),
    ("adapt", "schema_registry_basic_auth_user_info"),
}
"""By program: settings that no code of its own asks for by name."""

Place = tuple[str, ...]
"""The attributes that lead to a setting's value."""


def places(of: type[BaseModel]) -> dict[str, Place]:
    """Return the place of each setting, by its name in small letters."""
    found: dict[str, Place] = {}
    for name, field in of.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            found |= {f"{name}_{inner}": (name, inner) for inner in part.model_fields}
        else:
            found[name] = (name,)
    return found


def values_of(field: FieldInfo) -> Iterator[tuple[str, Any]]:
    """Yield values that a setting takes, each as text and as parsed: all choices, and bounds."""
    kind = kind_of(field)
    if get_origin(kind) is Literal:
        yield from ((str(choice), choice) for choice in get_args(kind))
    elif kind is bool:
        yield from (("true", True), ("false", False))
    elif kind in (int, float, date):
        some = [value for bound in field.metadata for value in _at(kind, bound)]
        yield from ((str(value), value) for value in some)
        if kind is not date and not any(isinstance(bound, Le | Lt) for bound in field.metadata):
            yield "123456", kind(123456)
    elif kind is SecretStr:
        yield "secret", SecretStr("secret")
    elif kind is Path:
        yield __file__, Path(__file__)
    else:
        yield "another", "another"


def _at(kind: Any, bound: Any) -> Iterator[Any]:
    """Yield the value at a bound, or the nearest that it lets pass."""
    step = timedelta(days=1) if kind is date else 1
    match bound:
        case Ge(value) | Le(value):
            yield value if kind is date else kind(value)
        case Gt(value):
            yield nextafter(value, inf) if kind is float else value + step
        case Lt(value):
            yield nextafter(value, -inf) if kind is float else value - step


def cases() -> Iterator[Any]:
    """Yield program, setting, text, and what it is parsed to."""
    for program, of in PROGRAMS.items():
        for name, field in flat_fields(of).items():
            setting = name.upper()
            if setting.startswith(ELSEWHERE):
                continue
            own = OWN_FORMS.get(setting)
            for text, value in [own] if own else values_of(field):
                yield pytest.param(program, name, text, value, id=f"{program}-{setting}={text}")


@pytest.mark.parametrize(("program", "name", "text", "value"), list(cases()))
def test_a_value_in_the_environment_is_parsed(
    monkeypatch: pytest.MonkeyPatch, program: str, name: str, text: str, value: Any
) -> None:
    monkeypatch.setenv(name.upper(), text)
    found: Any = read_settings(PROGRAMS[program])
    for part in places(PROGRAMS[program])[name]:
        found = getattr(found, part)
    assert found == value


def test_each_program_reads_each_of_its_settings() -> None:
    unread = {
        (program, name)
        for program, of in PROGRAMS.items()
        for name, place in places(of).items()
        if place[-1] not in read_by(program)
    }
    assert unread == NOT_READ


@cache
def read_by(program: str) -> set[str]:
    """Return the attributes of settings that a program's code reads.

    Its settings' own methods read for it if it calls them; validators do not.
    """
    folders = (FOLDERS.get(program, program), "runtime")
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    outside = [read for path in modules for read in _reads(path) if read[0] != "self"]
    used = {name for _, name in outside}
    found = {name for receiver, name in outside if _is_settings(receiver)}
    methods: dict[str, set[str]] = {}
    for method, names in _methods(PROGRAMS[program]):  # one may extend another of its name
        methods.setdefault(method, set()).update(names)
    while called := methods.keys() & used:
        for names in (methods.pop(method) for method in called):
            found |= names
            used |= names
    return found


def _is_settings(receiver: str) -> bool:
    return any(word in receiver for word in ("settings", "config"))


@cache
def _reads(path: Path) -> list[tuple[str, str]]:
    """Return the attributes that a module reads, each with what it is an attribute of."""
    return list(_attributes(ast.walk(ast.parse(path.read_text(encoding="utf-8")))))


def _attributes(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield ast.unparse(node.value), node.attr


def _methods(of: type[BaseModel]) -> Iterator[tuple[str, set[str]]]:
    """Yield the methods of settings and of their parts, each with what it reads of `self`."""
    parts = [field.annotation for field in of.model_fields.values()]
    kinds = [of, *(p for p in parts if isinstance(p, type) and issubclass(p, BaseModel))]
    for base in {base for kind in kinds for base in kind.__mro__}:
        if not base.__module__.startswith(("pydantic", "builtins", "abc")):
            for name, member in vars(base).items():
                function = member.fget if isinstance(member, property) else member
                if isfunction(function):
                    tree = ast.parse(dedent(getsource(function)))
                    reads = _attributes(ast.walk(tree))
                    yield name, {attribute for receiver, attribute in reads if receiver == "self"}
