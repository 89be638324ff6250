"""docs/api.md lists all endpoints, problems, headers and limits, and no others.

The answers that it shows are of the shapes that the API encodes.
"""

import importlib
import itertools
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

import api
from api.app import create_app
from api.events import parsing as events
from api.hot import serving
from api.http import bodies, limits
from api.http.endpoint import Endpoint, Table
from api.http.ids import IDS
from api.http.problems import TYPE_PREFIX, ProblemType
from api.http.security import SECURITY_HEADERS
from api.live import bars as live
from api.live import frames
from api.live.commands import command_of
from api.recommendations import bodies as recommended
from api.settings import ApiSettings
from contracts.messages import MAX_INSTRUMENT_ID, Interaction, Quote
from tickrec_client.stream_events import server_sent_events

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = (ROOT / "docs/api.md").read_text(encoding="utf-8")
NGINX: Final = (ROOT / "infra/nginx/nginx.conf").read_text(encoding="utf-8")

SECTION: Final = re.compile(r"^#{2,3} (.+?)$(.*?)(?=^#{2,3} |\Z)", re.MULTILINE | re.DOTALL)
OPERATION: Final = re.compile(r"`([A-Z]+) (/\S*)`")
PROBLEM: Final = re.compile(r"^\| `([a-z-]+)` \| (\d{3}) \|", re.MULTILINE)
OF_NGINX: Final = re.compile(rf'"type":"{TYPE_PREFIX}([a-z-]+)","title":"[^"]+","status":(\d+)')
BLOCK: Final = re.MULTILINE | re.DOTALL
JSON: Final = re.compile(r"^```(?:json|console\n\$ curl [^\n]*)\n([{\[].*?)^```$", BLOCK)
SENT: Final = re.compile(r"--json '(.*?)'", re.DOTALL)

BOUNDS: Final = ("maximum", "maxItems")
OF_THE_FRAMEWORK: Final = {("not-found", 404), ("method-not-allowed", 405)}
LIMITS: Final = (
    bodies.MAX_BODY_BYTES,
    bodies.MAX_EVENTS,
    recommended.MAX_RECOMMENDATIONS,
    recommended.MAX_ITEMS,
    recommended.MAX_USERS,
    live.MAX_CLIENTS,
    serving.MAX_UNDER_WAY,
    limits.MAX_WRITES,
)
"""Those of bodies, and of the whole server."""

Operation = tuple[str, str]

APP: Final = create_app(ApiSettings())
TABLE: Final[Table] = APP.state.table


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A problem, as clients get it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[dict[str, str]] | msgspec.UnsetType = msgspec.UNSET


def sections() -> dict[Operation, str]:
    """Return what the document says of each operation."""
    found = ((OPERATION.fullmatch(heading), text) for heading, text in SECTION.findall(TEXT))
    return {(of[1], of[2]): text for of, text in found if of}


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


def kind_of(operation: Operation) -> Any:
    """Return the type of an operation's success."""
    found = {(endpoint.method, endpoint.path): endpoint for endpoint in TABLE}
    return found[operation].success.kind


def shown() -> Iterator[tuple[Operation, str]]:
    for operation, text in sections().items():
        for block in JSON.findall(text):
            yield operation, block


def test_every_operation_has_a_section_and_every_section_an_operation() -> None:
    assert sections().keys() == operations().keys()


def test_every_parameter_of_a_query_is_told() -> None:
    assert f"`{IDS.name}`" in TEXT, "that of all answers with ids, once"
    untold = [
        (path, parameter["name"])
        for (method, path), operation in operations().items()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
        and parameter["name"] != IDS.name
        and f"`{parameter['name']}`" not in sections()[method, path]
    ]
    assert untold == []


def test_every_problem_is_listed_with_its_status_and_no_other() -> None:
    ours = {(kind.slug, kind.status) for kind in problem_types()}
    of_nginx = {(slug, int(status)) for slug, status in OF_NGINX.findall(NGINX)}
    listed = [(slug, int(status)) for slug, status in PROBLEM.findall(TEXT)]
    assert set(listed) == ours | of_nginx | OF_THE_FRAMEWORK
    assert len(listed) == len(set(listed))


def test_what_nginx_says_for_the_api_has_the_title_that_the_api_gives_it() -> None:
    titles = {kind.uri: kind.title for kind in problem_types()}
    said = [json.loads(body) for body in re.findall(r"return \d+ '(\{.*\})'", NGINX)]
    assert {p["type"]: p["title"] for p in said if p["type"] in titles}.items() <= titles.items()
    assert any(problem["type"] in titles for problem in said)


def test_the_security_headers_are_shown_as_they_are_sent() -> None:
    lines = "\n".join(f"{name.decode()}: {value.decode()}" for name, value in SECURITY_HEADERS)
    assert f"```text\n{lines}\n```" in TEXT


def states(text: str, limit: int) -> bool:
    return re.search(rf"(?<![\d,]){limit:,}(?![\d,])", text) is not None


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_is_told(limit: int) -> None:
    assert states(dict(SECTION.findall(TEXT))["Limits"], limit)


@pytest.mark.parametrize("endpoint", TABLE, ids=str)
def test_every_bound_of_a_parameter_is_told_there_or_at_its_endpoint(endpoint: Endpoint) -> None:
    bounds = {p.schema[key] for p in endpoint.parameters for key in BOUNDS if key in p.schema}
    places = dict(SECTION.findall(TEXT))["Limits"] + sections()[endpoint.method, endpoint.path]
    assert [bound for bound in bounds - {MAX_INSTRUMENT_ID} if not states(places, bound)] == []


@pytest.mark.parametrize(("operation", "block"), list(shown()), ids=itertools.count())
def test_an_answer_that_is_shown_has_the_shape_that_is_encoded(
    operation: Operation, block: str
) -> None:
    kind = kind_of(operation)
    assert msgspec.to_builtins(msgspec.json.decode(block, type=kind)) == json.loads(block)


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("/v1/stream/bars", "bar", frames.LiveBar),
        ("/v1/stream/quotes", "quote", frames.LiveQuote),
    ],
)
def test_a_stream_that_is_shown_is_one(path: str, name: str, kind: type[msgspec.Struct]) -> None:
    (said,) = re.findall(r"^```text\n(.*?)^```$", sections()["GET", path], BLOCK)
    events = list(server_sent_events([*said.splitlines(), ""]))
    assert {event.name for event in events} == {name, "live"}
    data = [event.data for event in events if event.name == name]
    assert [msgspec.to_builtins(msgspec.json.decode(of, type=kind)) for of in data] == [
        *map(json.loads, data)
    ]


def test_the_messages_of_a_websocket_that_are_shown_are_such() -> None:
    blocks = re.findall(r"^```text\n(.*?)^```$", sections()["GET", "/v1/stream"], BLOCK)
    lines = "".join(blocks).splitlines()
    answers = {event["T"] for said in lines if said[0] == "<" for event in json.loads(said[2:])}
    assert {"success", "subscription", "error", "b", "q", "live"} <= answers
    commands = [line[2:] for line in lines if line[0] == ">" and "trades" not in line]
    assert commands
    for command in commands:
        command_of(command)


def test_a_problem_that_is_shown_has_the_shape_that_is_encoded() -> None:
    (block,) = JSON.findall(dict(SECTION.findall(TEXT))["Errors"])
    problem = msgspec.json.decode(block, type=Shown)
    assert msgspec.to_builtins(problem) == json.loads(block)
    assert problem.type in {kind.uri for kind in problem_types()}


def test_events_that_are_sent_are_such() -> None:
    (body,) = SENT.findall(sections()["POST", "/v1/events"])
    assert [type(event) for event in events.parse_events(body.encode(), now_ms=1 << 42)] == [
        Quote,
        Interaction,
    ]
