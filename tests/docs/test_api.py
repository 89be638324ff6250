"""docs/api.md lists all endpoints and problems, the security headers and the limits.

The answers that it shows are of the shapes that the API encodes.
"""

import importlib
import itertools
import json
import pkgutil
import re
from collections.abc import Iterator
from inspect import getsource
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

import api
from api.app import create_app
from api.hot import serving
from api.http import bodies, limits, load_shedding
from api.http.answer_headers import SECURITY_HEADERS
from api.http.endpoint import Table
from api.http.problems import TYPE_PREFIX, ProblemType
from api.live import hub as live
from api.recommendations import bodies as recommended
from api.settings import ApiSettings

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = (ROOT / "docs/api.md").read_text(encoding="utf-8")
NGINX: Final = (ROOT / "infra/nginx/nginx.conf").read_text(encoding="utf-8")

SECTION: Final = re.compile(r"^#{2,3} (.+?)$(.*?)(?=^#{2,3} |\Z)", re.MULTILINE | re.DOTALL)
OPERATION: Final = re.compile(r"`([A-Z]+) (/[^`]*)`")
PROBLEM: Final = re.compile(r"^\| `([a-z-]+)` \| (\d{3}) \|", re.MULTILINE)
OF_NGINX: Final = re.compile(rf'"type":"{TYPE_PREFIX}([a-z-]+)","title":"[^"]+","status":(\d+)')
COMMAND: Final = re.compile(
    r"^\$ curl '?localhost:8000([^\s'?]+)([^\n]*)\n([{\[].*?)(?=^```$|^\$ )",
    re.MULTILINE | re.DOTALL,
)

OF_THE_FRAMEWORK: Final = {("not-found", 404), ("method-not-allowed", 405)}
LIMITS: Final = {
    getattr(module, name)
    for module in (bodies, limits, live, load_shedding, recommended, serving)
    for name in re.findall(r"^(MAX_\w+): Final", getsource(module), re.MULTILINE)
}
"""Those of bodies, and of the whole server."""

Operation = tuple[str, str]

APP: Final = create_app(ApiSettings())
TABLE: Final[Table] = APP.state.table


def section(heading: str) -> str:
    return dict(SECTION.findall(TEXT))[heading]


def operations() -> dict[Operation, dict[str, Any]]:
    """Return the operations of the OpenAPI document."""
    paths = APP.openapi()["paths"]
    return {
        (method.upper(), path): operation
        for path, of_path in paths.items()
        for method, operation in of_path.items()
    }


def problem_types() -> Iterator[ProblemType]:
    for module in pkgutil.walk_packages(api.__path__, "api."):
        if not module.name.endswith("__main__"):
            found = vars(importlib.import_module(module.name)).values()
            yield from (kind for kind in found if isinstance(kind, ProblemType))


def answers() -> Iterator[tuple[Any, str]]:
    """Yield the answers that are shown, each with its endpoint's type."""
    for path, options, answer in COMMAND.findall(TEXT):
        method = "POST" if "--json" in options else "GET"
        of_path = [e for e in TABLE if e.method == method and matches(e.path, path)]
        yield min(of_path, key=lambda endpoint: endpoint.path.count("{")).success.kind, answer


def matches(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) is not None


def test_the_table_of_endpoints_has_every_operation_once() -> None:
    listed = OPERATION.findall(section("Endpoints"))
    assert sorted(listed) == sorted(operations())


def test_every_problem_is_listed_with_its_status_and_no_other() -> None:
    ours = {(kind.slug, kind.status) for kind in problem_types()}
    of_nginx = {(slug, int(status)) for slug, status in OF_NGINX.findall(NGINX)}
    listed = [(slug, int(status)) for slug, status in PROBLEM.findall(TEXT)]
    assert set(listed) == ours | of_nginx | OF_THE_FRAMEWORK
    assert len(listed) == len(set(listed))


def test_the_security_headers_are_shown_as_they_are_sent() -> None:
    lines = "\n".join(f"{name.decode()}: {value.decode()}" for name, value in SECURITY_HEADERS)
    assert f"```text\n{lines}\n```" in TEXT


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_is_listed(limit: int) -> None:
    assert re.search(rf"(?<![\d,]){limit:,}(?!,?\d)", section("Limits"))


@pytest.mark.parametrize(("kind", "answer"), list(answers()), ids=itertools.count())
def test_an_answer_that_is_shown_has_the_shape_that_is_encoded(kind: Any, answer: str) -> None:
    assert msgspec.to_builtins(msgspec.json.decode(answer, type=kind)) == json.loads(answer)
