"""Every endpoint keeps the rules of all: a test is a rule, its cases are the table of endpoints.

A new endpoint enters by existing. Requests to hot endpoints take both paths, and `tests.fuzz.judge`
checks each answer. What only one endpoint promises is tested with its subject.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from api.app import create_app
from api.events import producer
from api.health import kafka_check, log_ends
from api.hot.request import Match
from api.hot.serving import Serving
from api.http.endpoint import Endpoint, ReadEndpoint, Scope, WriteEndpoint
from api.http.limits import WATCHED
from api.http.parameters import Parameter
from api.http.problems import (
    LOG_UNAVAILABLE,
    NO_MODEL_YET,
    NOT_READY,
    STORE_UNAVAILABLE,
    UNKNOWN_INSTRUMENT,
    UNKNOWN_USER,
)
from api.settings import ApiSettings
from infra.local.process import free_port
from tests.cases import each
from tests.contracts.test_messages import UNREACHABLE
from tests.described import Operation, operations, text_of
from tests.fuzz.judge import complaints
from tests.fuzz.request import CANARY, Headers, Request
from tests.fuzz.wire import Answer, Connection
from tests.patience import until_true

from .conftest import Filled
from .http import serving
from .keys import entry, write_keys

APP: Final = create_app(ApiSettings())
TABLE: Final[tuple[Endpoint, ...]] = APP.state.table
OPERATIONS: Final[dict[str, Operation]] = {one.name: one for one in operations(APP.openapi())}
SCOPES: Final = get_args(Scope)
AS_JSON: Final = (b"Content-Type", b"application/json")
ORDINARY: Final = (b"Content-Length", b"0")
"""A header whose only effect is that a request takes the ordinary route."""
FULL: Final = json.dumps([{}] * 1000).encode()
WITH_BODY: Final = [one for one in TABLE if OPERATIONS[one.name].bodies]
READS: Final = [one for one in TABLE if one.method == "GET"]
STREAMS: Final = "/v1/stream"
COUNTED: Final = ("/metrics", "/v1/pipeline")
"""Whose answers differ from one request to the next."""


def without(scope: str) -> str:
    """Return the name of the key with all scopes but one."""
    return f"no-{only(scope)}"


def only(scope: str) -> str:
    """Return the name of the key with one scope."""
    return scope.replace(":", "-")


def limited(endpoint: Endpoint) -> dict[str, Any]:
    """Return the entry of a key that is good for one request of an endpoint."""
    reads = max(endpoint.cost - 1, 1)  # a request takes no more than there is
    most = 1000 if endpoint.scope == "write" else reads if endpoint.cost else 2
    return entry(endpoint.name, scopes=[endpoint.scope], limit=f"{most}/hour")


@dataclass(frozen=True)
class Client:
    """Asks one server as a client with a key; each task has a connection of its own."""

    port: int
    connections: dict[Any, Connection] = field(default_factory=dict)

    async def ask(self, request: Request, key: str = "all", **headers: bytes) -> Answer:
        """Return the answer to a request, which must keep the rules of all answers."""
        more = tuple((n.replace("_", "-").encode(), value) for n, value in headers.items())
        own: Headers = (*request.headers, *more, *(((b"X-API-Key", key.encode()),) if key else ()))
        sent = replace(request, headers=own)
        task = asyncio.current_task()
        answer = await self.connections.setdefault(task, Connection(self.port)).ask(sent)
        assert complaints(sent, answer) == [], request
        return answer

    async def ask_both(self, endpoint: Endpoint, request: Request, **more: Any) -> Answer:
        """Return the answer of both paths if the endpoint is hot: it has to be the same."""
        answer = await self.ask(request, **more)
        if isinstance(endpoint, ReadEndpoint) and endpoint.hot:
            slowly = replace(request, headers=(*request.headers, ORDINARY))
            ordinary = await self.ask(slowly, **more)
            assert steady(ordinary) == steady(answer), request
        return answer


def steady(answer: Answer) -> tuple[int, Headers, Any]:
    """Return what the answers to equal requests have in common."""
    own = {b"date", b"x-request-id", b"ratelimit", b"transfer-encoding"}
    body = json.loads(answer.body) if answer.body else None
    if isinstance(body, dict) and "request_id" in body:
        del body["request_id"]
    return answer.status, tuple(pair for pair in answer.headers if pair[0] not in own), body


def kafka_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody wait long for a Kafka that will never answer."""
    monkeypatch.setattr(producer, "DELIVERY_TIMEOUT_MS", 50)
    monkeypatch.setattr(kafka_check, "_METADATA_TIMEOUT_S", 0.05)
    monkeypatch.setattr(log_ends, "ANSWER_WITHIN_S", 0.05)


@pytest.fixture
async def client(
    where: dict[str, Any], furnished: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    """A client of a server that has read what is there; nothing listens at its Kafka address."""
    kafka_is_away(monkeypatch)
    keys = [entry(without(scope), scopes=[*{*SCOPES} - {scope}]) for scope in SCOPES]
    keys += [entry(only(scope), scopes=[scope]) for scope in SCOPES]
    keys += [limited(endpoint) for endpoint in TABLE if endpoint.scope]
    file = write_keys(tmp_path / "keys.json", entry("all", scopes=[*SCOPES]), *keys)
    async with serving(**where, api_keys_file=file) as (_, port):
        client = Client(port)
        await until_read(client)
        yield client
        for connection in client.connections.values():
            connection.close()


@until_true
async def until_read(client: Client) -> None:
    for target in (b"/v1/instruments/AAPL", b"/v1/movers", b"/v1/trending"):
        answer = await client.ask(Request(target))
        assert answer.status == 200
        assert b'"as_of":null' not in answer.body


def example(endpoint: Endpoint, query: dict[str, str] | None = None, **of_path: str) -> Request:
    """Return a request with the last examples of its path, and the parameters that it needs."""
    operation, query = OPERATIONS[endpoint.name], query or {}
    values = shown_in_path(endpoint, -1) | of_path
    path = operation.path.format(**{name: text_of(value) for name, value in values.items()})
    needed = {name: text_of(operation.in_query[name][0]) for name in operation.needed}
    pairs = "&".join(f"{name}={text}" for name, text in (needed | query).items())
    body = msgspec.json.encode(operation.bodies[0]) if operation.bodies else b""
    target = f"{path}?{pairs}" if pairs else path
    return Request(target.encode(), endpoint.method.encode(), (AS_JSON,) if body else (), body)


def shown_in_path(endpoint: Endpoint, place: int) -> dict[str, Any]:
    """Return the first, or last, example of each parameter of a path."""
    in_path = [one for one in endpoint.parameters if one.name in endpoint.in_path]
    return {parameter.name: parameter.schema["examples"][place] for parameter in in_path}


def problem_of(answer: Answer) -> str:
    """Return the last part of a problem's type."""
    kind: str = json.loads(answer.body)["type"]
    return kind.removeprefix("urn:tickrec:problem:")


def refused_fields(answer: Answer) -> list[str]:
    """Return the fields that break a rule."""
    assert answer.status == 422, answer
    return [error["field"] for error in json.loads(answer.body)["errors"]]


# The success.


@each("endpoint", READS)
async def test_examples_are_answered_by_the_described_type(
    client: Client, endpoint: Endpoint
) -> None:
    answer = await client.ask_both(endpoint, example(endpoint))
    if endpoint.success.status != 200:  # a WebSocket
        assert (answer.status, problem_of(answer)) == (426, "upgrade-required")
        return
    assert answer.status == 200
    assert (answer.header(b"content-type") or b"").startswith(endpoint.success.media_type.encode())
    if endpoint.success.kind is not None:
        found = msgspec.json.decode(answer.body, type=endpoint.success.kind)
        assert msgspec.to_builtins(found) == json.loads(answer.body)


@each("endpoint", [one for one in READS if not one.path.startswith(COUNTED)])
async def test_unknown_parameters_are_refused(client: Client, endpoint: Endpoint) -> None:
    answer = await client.ask_both(endpoint, example(endpoint, {"unknown": "1"}))
    assert answer.status == 422
    (error,) = json.loads(answer.body)["errors"]
    assert error["field"] == "unknown"
    assert error["reason"].startswith("is no parameter of this request")


@each("endpoint", TABLE, at_once=True)
async def test_a_valid_id_of_the_client_is_adopted(client: Client, endpoint: Endpoint) -> None:
    answer = await client.ask_both(endpoint, example(endpoint), x_request_id=CANARY)
    if endpoint.name != "legacy_similar":  # its id is that of its recommendations
        assert [value for name, value in answer.headers if name == b"x-request-id"] == [CANARY]
    if answer.status >= 400:
        assert json.loads(answer.body)["request_id"].encode() == CANARY


async def test_an_invalid_id_of_the_client_is_replaced(client: Client) -> None:
    for invalid in (b'a"b', b"a b", b"x" * 129, b""):
        own = await client.ask_both(READS[0], example(READS[0]), x_request_id=invalid)
        assert own.header(b"x-request-id") not in (b"", invalid)


@each("endpoint", [one for one in READS if isinstance(one, ReadEndpoint) and one.hot])
async def test_an_endpoint_that_is_hot_does_not_take_the_ordinary_route(
    client: Client, endpoint: Endpoint
) -> None:
    served, serve = list[str](), Serving.serve

    def noting(serving: Serving, match: Match, *rest: Any) -> None:
        served.append(match.endpoint.name)
        serve(serving, match, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Serving, "serve", noting)
        await client.ask(example(endpoint))
    assert served == [endpoint.name]


IDS: Final = [
    one
    for one in READS
    if any(parameter.name == "ids" for parameter in one.parameters) and "stream" not in one.path
]


@each("endpoint", IDS)
async def test_ids_are_strings_on_request_and_nothing_else_differs(
    client: Client, endpoint: Endpoint
) -> None:
    numbers = await client.ask_both(endpoint, example(endpoint, {"ids": "number"}))
    strings = await client.ask_both(endpoint, example(endpoint, {"ids": "string"}))
    expected = with_strings(steady(numbers)[2])
    assert steady(strings)[2] == expected != steady(numbers)[2]
    tags = [answer.header(b"etag") for answer in (numbers, strings)]
    assert tags == [None, None] or tags[0] != tags[1]


def with_strings(value: Any, name: str = "") -> Any:
    """Return an answer with its ids as strings."""
    if isinstance(value, dict):
        return {name: with_strings(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [with_strings(each, name) for each in value]
    return str(value) if name in ("instrument_id", "because") else value


# Bounds.


def invalid_texts(schema: dict[str, Any]) -> Iterator[str]:  # noqa: C901 (one case a kind)
    """Yield texts of a parameter that its schema excludes, first those next to its bounds."""
    match schema:
        case {"anyOf": [{"maximum": most}, *_]}:  # an instrument or a time, both as a number
            yield str(most + 1)
            if "date-time" in str(schema):
                yield from ("yesterday", "-1", "2021-08-15", "2021-02-30T00:00:00Z")
        case {"anyOf": [{"pattern": _}, *_]}:  # an interval, or the token of a page
            yield from ("!", "8d", "0m", "x" * 201)
        case {"enum": _}:
            yield from ("other", "ASC")
        case {"type": "boolean"}:
            yield from ("maybe", "", "TRUE")
        case {"type": "integer" | "number", "minimum": least, "maximum": most}:
            yield from (str(least - 1), str(most + 1), "x", "", "1e1x", "٤", "+5")
        case {"type": "array", "maxItems": most, "items": items}:
            yield ",".join(map(str, range(most + 1)))
            if "pattern" in items:
                yield from ("a b", "x" * 65)
            if schema.get("minItems"):
                yield from ("", ",")
            if "anyOf" in items:
                yield from (str(2**63), "4,٤", "a b")
        case {"maxLength": most}:
            yield "x" * (most + 1)
    if schema.get("minLength"):  # of a user's id
        yield from ("", "é" * 65, *UNREACHABLE)


def valid_texts(schema: dict[str, Any]) -> Iterator[str]:
    """Yield texts of a parameter at the bounds of its schema."""
    match schema:
        case {"enum": words}:
            yield from words
        case {"type": "boolean"}:
            yield from ("true", "false", "1", "0")
        case {"anyOf": [*_, {"const": ""}]}:  # as if it were absent
            yield ""
        case {"minimum": least, "maximum": most}:
            yield from (str(least), str(most))
        case {"type": "array", "maxItems": most, "items": {"anyOf": _}}:
            yield ",".join(map(str, range(most)))
        case {"type": "array", "maxItems": most, "items": {"maxLength": 64}}:
            yield ",".join(["x" * 64] * most)


QUERIES: Final = [
    (one, parameter)
    for one in READS
    for parameter in one.parameters
    if parameter.name not in one.in_path
]


@each(("endpoint", "parameter"), [(one, each_) for one in TABLE for each_ in one.parameters])
async def test_a_value_beyond_the_bounds_of_a_parameter_is_refused_by_its_name(
    client: Client, endpoint: Endpoint, parameter: Parameter
) -> None:
    name = parameter.name
    if name in endpoint.in_path:
        # Without an id, it is another resource.
        texts = [
            text for text in invalid_texts(parameter.schema) if text or parameter.may_have_slashes
        ]
        requests = [example(endpoint, **{name: text}) for text in texts]
    else:
        texts = [text_of(text) for text in invalid_texts(parameter.schema)]
        if parameter.most > 1:
            many = "&".join(f"{name}=x" for _ in range(parameter.most))
            texts = ["x", f"{text_of(parameter.schema['examples'][0])}&{many}"]
        requests = [example(endpoint, {name: text}) for text in texts]
    for request in requests:
        answer = await client.ask_both(endpoint, request)
        assert refused_fields(answer) == [name], request
        assert json.loads(answer.body)["detail"].startswith(f"{name}: ")


@each(("endpoint", "parameter"), QUERIES)
async def test_a_value_at_the_bounds_of_a_parameter_is_taken(
    client: Client, endpoint: Endpoint, parameter: Parameter
) -> None:
    others = {"instruments": "4"} if "instruments" in OPERATIONS[endpoint.name].needed else {}
    for text in map(text_of, valid_texts(parameter.schema)):
        asked = example(endpoint, {**others, parameter.name: text})
        answer = await client.ask_both(endpoint, asked)
        if (parameter.name, text) not in {("session", "regular"), ("session", "extended")}:
            assert answer.status in (200, 426), text  # there is no calendar


@each("endpoint", [one for one in READS if OPERATIONS[one.name].needed])
async def test_a_parameter_that_is_missing_is_named(client: Client, endpoint: Endpoint) -> None:
    needed = OPERATIONS[endpoint.name].needed
    answer = await client.ask_both(endpoint, Request(endpoint.path.encode()))
    assert refused_fields(answer) == [*needed]


# Caches and methods.


@each("endpoint", [one for one in READS if isinstance(one, ReadEndpoint)])
async def test_a_client_with_a_current_copy_gets_304_and_what_is_made_once_has_no_tag(
    client: Client, endpoint: Endpoint
) -> None:
    asked = example(endpoint)
    full = await client.ask_both(endpoint, asked)
    tag = full.header(b"etag")
    cached = full.header(b"cache-control")
    assert (tag is not None) == ("ETag" in endpoint.success.headers) == (cached != b"no-store")
    for given in (b"*", tag or b'"x"', b"W/" + (tag or b'"x"'), b'"x", ' + (tag or b'"y"')):
        answer = await client.ask_both(endpoint, asked, if_none_match=given)
        if tag is None:
            assert steady(answer) == steady(full)
            continue
        assert (answer.status, answer.body, answer.header(b"etag")) == (304, b"", tag)
        assert answer.header(b"cache-control") == cached
        assert answer.header(b"content-length") is None
    other = await client.ask_both(endpoint, asked, if_none_match=b'"x"')
    assert steady(other) == steady(full)


@each("endpoint", READS)
async def test_head_is_answered_as_get_without_the_body(client: Client, endpoint: Endpoint) -> None:
    asked = example(endpoint)
    got = await client.ask(asked)
    head = await client.ask(replace(asked, method=b"HEAD"))
    assert (head.status, head.body) == (got.status, b"")
    if not endpoint.path.startswith(COUNTED):
        assert steady(head)[1] == steady(got)[1]


@each("endpoint", TABLE)
async def test_options_and_405_name_all_methods_of_a_path(
    client: Client, endpoint: Endpoint
) -> None:
    target = example(endpoint).target
    options = await client.ask(Request(target, b"OPTIONS"))
    allowed = options.header(b"allow") or b""
    assert (options.status, options.body) == (204, b"")
    # Of paths that several endpoints match, such as `{id}` and a name, those of all of them.
    named = {*allowed.decode().split(", ")}
    assert named >= {one.method for one in TABLE if one.path == endpoint.path} | {"OPTIONS"}
    assert ("HEAD" in named) == ("GET" in named)
    wrong = await client.ask(Request(target, b"PATCH"))
    assert (problem_of(wrong), wrong.header(b"allow")) == ("method-not-allowed", allowed)
    assert sum(name == b"allow" for name, _ in wrong.headers) == 1


# Bodies.


@each(
    ("said", "problem"),
    [
        (b"application/json", "malformed-json"),
        (b"Application/JSON ; charset=utf-8", "malformed-json"),
        (b"", "unsupported-media-type"),
        (b"text/plain", "unsupported-media-type"),
        (b"application/x-www-form-urlencoded", "unsupported-media-type"),
        (b"multipart/form-data; boundary=application/json", "unsupported-media-type"),
        (b"text/plain; application/json", "unsupported-media-type"),
    ],
)
async def test_a_body_that_is_not_said_to_be_json_or_is_none_is_not_taken(
    client: Client, said: bytes, problem: str
) -> None:
    for endpoint in WITH_BODY:
        for body in (b"", b"{", b"\xff"):
            asked = replace(example(endpoint), headers=((b"Content-Type", said),), body=body)
            assert problem_of(await client.ask(asked)) == problem, (endpoint, body)


@each("endpoint", WITH_BODY)
async def test_a_body_that_is_too_large_is_refused(client: Client, endpoint: Endpoint) -> None:
    asked = replace(example(endpoint), body=b" " * (1024 * 1024 + 1))
    assert problem_of(await client.ask(asked)) == "too-large"


@each("endpoint", [one for one in WITH_BODY if one.tag != "first version"])
async def test_an_unknown_field_is_named_with_those_that_there_are(
    client: Client, endpoint: Endpoint
) -> None:
    shown = msgspec.to_builtins(OPERATIONS[endpoint.name].bodies[0])
    several = isinstance(shown, list)
    last = {**(shown[-1] if several else shown), "nonsense": 1}
    body = json.dumps([*shown, last] if several else last).encode()
    answer = await client.ask(replace(example(endpoint), body=body))
    (error,) = [one for one in json.loads(answer.body)["errors"] if "unknown" in one["reason"]]
    assert (error["field"], error.get("index")) == ("nonsense", len(shown) if several else None)
    known = error["reason"].partition("unknown field, known: ")[2].split(", ")
    assert {*known} >= last.keys() - {"nonsense"}


@each("endpoint", [one for one in WITH_BODY if b'"ABC"' in example(one).body])
async def test_a_user_id_that_no_path_can_name_is_refused(
    client: Client, endpoint: Endpoint
) -> None:
    asked = example(endpoint)
    for user_id in UNREACHABLE:
        body = asked.body.replace(b'"ABC"', json.dumps(user_id).encode())
        for name in refused_fields(await client.ask(replace(asked, body=body))):
            assert name in ("user_id", "userid", "user_ids[0]")


# Access.


@each("endpoint", TABLE, at_once=True)
async def test_an_endpoint_admits_by_its_scope(client: Client, endpoint: Endpoint) -> None:
    asked, scope = example(endpoint), endpoint.scope
    if scope is None:
        for key in ("", "other"):
            assert (await client.ask_both(endpoint, asked, key=key)).status not in (401, 403)
        return
    for key, status in (("", 401), ("other", 401), (without(scope), 403)):
        for _ in range(2):  # the second time, the key is known
            refused = await client.ask_both(endpoint, asked, key=key)
            assert refused.status == status
    assert f"`{scope}`" in json.loads(refused.body)["detail"]
    both = {"authorization": f"Bearer {only(scope)}".encode()}
    assert (await client.ask_both(endpoint, asked, key="other", **both)).status == 401
    for key, headers in ((only(scope), {}), ("", both)):
        admitted = await client.ask_both(endpoint, asked, key=key, **headers)
        assert admitted.status not in (401, 403)


@each("endpoint", [one for one in TABLE if one.needs_scope])
async def test_what_is_about_no_user_is_open_to_all(client: Client, endpoint: Endpoint) -> None:
    first = example(endpoint, **shown_in_path(endpoint, 0))
    assert (await client.ask_both(endpoint, first, key="")).status == 200


@each("endpoint", [one for one in TABLE if one.scope], at_once=True)
async def test_an_answer_says_what_is_left_of_its_quota_and_then_there_is_none(
    client: Client, endpoint: Endpoint
) -> None:
    asked = example(endpoint)
    if endpoint.scope == "write":
        asked = replace(asked, body=FULL)
    unit = b'"events"' if isinstance(endpoint, WriteEndpoint) else b'"requests"'
    statuses = []
    ordinary = replace(asked, headers=(*asked.headers, ORDINARY)) if not asked.body else asked
    for request in (asked, ordinary, asked):
        answer = await client.ask(request, key=endpoint.name)
        statuses.append(answer.status)
        for name in (b"ratelimit", b"ratelimit-policy"):
            (value,) = [value for given, value in answer.headers if given == name]
            assert value.startswith(unit)
    assert (answer.header(b"ratelimit") or b"").startswith(unit + b";r=0;t=")
    assert problem_of(answer) == "rate-limited"
    assert statuses[0] != 429
    unlimited = await client.ask(example(endpoint), key="other")
    assert unlimited.header(b"ratelimit") is None


# What is missing, and who is away.


@pytest.fixture
async def bare(where: dict[str, Any]) -> AsyncIterator[Client]:
    """A client of a server on a namespace that knows its topics and nothing else."""
    async with serving(**where, api_keys="all", api_hosts="*") as (_, port):
        yield Client(port)


MISSING: Final = {UNKNOWN_INSTRUMENT, UNKNOWN_USER, NO_MODEL_YET}


@each("endpoint", [one for one in TABLE if MISSING & one.problems.keys()])
async def test_what_is_not_there_is_a_problem_that_names_it(
    bare: Client, endpoint: Endpoint
) -> None:
    answer = await bare.ask_both(endpoint, asked := example(endpoint))
    if answer.streams:
        assert endpoint.path.startswith(STREAMS)  # of an instrument whose first bar may come
        return
    assert problem_of(answer) in {kind.slug for kind in MISSING & endpoint.problems.keys()}
    found = json.loads(answer.body)
    assert found["instance"].encode() == asked.target.partition(b"?")[0]
    assert found["request_id"].encode() == answer.header(b"x-request-id")


@pytest.fixture
async def away(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client of a server whose Redis and Kafka are down."""
    kafka_is_away(monkeypatch)
    redis = f"redis://127.0.0.1:{free_port()}"
    async with serving(redis_url=redis, api_hosts="*") as (_, port):
        yield Client(port)


@each("endpoint", TABLE, at_once=True)
async def test_while_redis_and_kafka_are_down_an_answer_says_when_to_try_again(
    away: Client, endpoint: Endpoint
) -> None:
    asked = example(endpoint)
    answer = await away.ask_both(endpoint, asked, key="")
    if endpoint.path in WATCHED - {"/health/ready"} or endpoint.success.status == 101:
        assert answer.status in (200, 426)
        return
    down = {kind.slug for kind in (STORE_UNAVAILABLE, LOG_UNAVAILABLE, NOT_READY)}
    assert problem_of(answer) in down & {kind.slug for kind in endpoint.problems}
    if isinstance(endpoint, WriteEndpoint):
        once = await away.ask(asked, key="", idempotency_key=b"key")
        assert problem_of(once) == "store-unavailable"


INSTRUMENT: Final = 884422119933
PRICE: Final = 7731.990017
SECRET: Final = re.compile(rf"{CANARY.decode()}|{INSTRUMENT}|7731\.99", re.IGNORECASE)


def secret(endpoint: Endpoint) -> Request:
    """Return a request about a user, an instrument and a price that no log line may name."""
    of_path = {
        name: CANARY.decode() if "user" in name or name == "similar_to" else str(INSTRUMENT)
        for name in OPERATIONS[endpoint.name].in_path
    }
    asked = example(endpoint, **of_path)
    body = re.sub(rb'"ABC"', b'"%b"' % CANARY, asked.body)
    body = re.sub(rb'(instrument_id|instrid)":\d+', rb'\1":%d' % INSTRUMENT, body)
    return replace(asked, body=re.sub(rb'price":[0-9.]+', b'price":%f' % PRICE, body))


async def test_no_log_line_names_a_user_a_key_an_instrument_or_a_price(
    client: Client, away: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for server, key in ((client, "all"), (client, CANARY.decode()), (away, "")):
            await asyncio.gather(
                *(server.ask_both(endpoint, secret(endpoint), key=key) for endpoint in TABLE)
            )
    # A server's process has no access log: `tests.fuzz` looks into what one wrote.
    logged = [record for record in caplog.records if record.name != "uvicorn.access"]
    assert logged
    assert [r for r in logged if SECRET.search(f"{r.getMessage()} {r.__dict__}")] == []
