"""Settings whose parser is code: their values are parsed. All others are read by pydantic."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from limits import parse

from runtime.settings import flat_fields, read_settings
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
