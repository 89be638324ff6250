"""`HEAD`, `OPTIONS`, wrong methods, pages of other origins, and the private port."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.settings import ApiSettings
from infra.local.process import free_port
from tests.cases import each
from tests.described import operations

from .http import ORDINARY, Client, connected, request, serving
from .problems import problem

APP = create_app(ApiSettings())
TABLE = APP.state.table
WITH_BODY = [operation for operation in operations(APP.openapi()) if operation.bodies]
SHOP = "https://shop.example"
EVIL = "https://evil.example"


@pytest.fixture
async def wire(where: dict[str, Any]) -> AsyncIterator[Client]:
    """A connection to a server that pages of a shop may ask."""
    origins = f"{SHOP},http://b.example"
    async with serving(**where, api_cors_origins=origins) as (_, port), connected(port) as client:
        yield client


async def head(client: Client, target: str) -> bytes:
    client.writer.write(request(target, method="HEAD"))
    return await client.reader.readuntil(b"\r\n\r\n")


async def test_head_is_answered_as_get_without_the_body(wire: Client) -> None:
    targets = ("/health/live", "/v1/users/nobody/history", "/nowhere", "/v1/instruments/x/bars")
    for target in targets:
        got = await wire.get(target, headers=ORDINARY)
        said = await head(wire, target)
        date, _, _ = said.partition(b"date: ")
        assert got.startswith(date), target
        assert b"content-length: 0" not in said
        # What comes next on the connection is the next answer, and no body.
        assert await wire.get(target, headers=ORDINARY) == got


@each("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_below_a_user_there_is_nothing_but_what_is_documented(
    client: httpx.AsyncClient, method: str
) -> None:
    for path in ("/v1/users/ABC/history/", "/v1/users/ABC/nothing", "/v1/users/ABC/"):
        answer = await client.request(method, path)
        assert answer.status_code == 404, path
        if method != "HEAD":
            assert problem(answer) == (404, "not-found")
        assert "allow" not in answer.headers


async def test_405_names_the_methods_of_all_routes_of_a_path_and_of_a_user_with_slashes(
    client: httpx.AsyncClient,
) -> None:
    for path, methods in (
        ("/v1/users/ABC", "DELETE, OPTIONS"),
        ("/v1/users/ABC%2Fhistory%2F", "DELETE, OPTIONS"),
        ("/v1/instruments/4", "GET, HEAD, PUT, DELETE, OPTIONS"),
    ):
        answer = await client.patch(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


async def test_head_of_a_stream_ends(wire: Client) -> None:
    said = await head(wire, "/v1/stream/bars?instruments=4")
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/event-stream" in said
    assert (await wire.get("/health/live")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_options_and_405_name_all_methods_of_a_path(client: httpx.AsyncClient) -> None:
    for endpoint in TABLE:
        methods = {each.method for each in TABLE if each.path == endpoint.path} | {"OPTIONS"}
        methods |= {"HEAD"} if "GET" in methods else set()
        path = endpoint.path
        for name in endpoint.in_path:
            path = path.replace(f"{{{name}}}", "4")
        answer = await client.options(path)
        assert (answer.status_code, answer.content) == (204, b""), path
        # Of paths that several endpoints match, such as `{id}` and a name, those of all of them.
        assert set(answer.headers["allow"].split(", ")) >= methods, path
        wrong = await client.request("PATCH", path)
        assert problem(wrong) == (405, "method-not-allowed"), path
        assert wrong.headers.get_list("allow") == [answer.headers["allow"]], path


async def test_a_page_of_an_origin_that_may_ask_sees_the_answer(wire: Client) -> None:
    for path in ("/v1/users/nobody/recommendations", "/health/live"):  # the first one is hot
        for origin, may in (
            (SHOP, True),
            ("http://b.example", True),
            ("https://evil.example", False),
        ):
            answer = await wire.get(path, headers=b"Origin: %b\r\n" % origin.encode())
            named = b"access-control-allow-origin: %b\r\n" % origin.encode()
            assert (named in answer) == may
            assert b"access-control-allow-credentials" not in answer
        assert b"access-control" not in await wire.get(path)


async def test_a_preflight_request_is_answered_with_what_a_page_may_send(wire: Client) -> None:
    asked = b"Origin: %b\r\nAccess-Control-Request-Method: POST\r\n" % SHOP.encode()
    asked += b"Access-Control-Request-Headers: content-type,x-api-key\r\n"
    answer = await wire.send(request("/v1/events", method="OPTIONS", headers=asked))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"access-control-allow-origin: %b\r\n" % SHOP.encode() in answer
    evil = asked.replace(SHOP.encode(), EVIL.encode())
    answer = await wire.send(request("/v1/events", method="OPTIONS", headers=evil))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"access-control-allow-origin" not in answer


async def test_without_the_setting_no_page_may_ask(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"Origin": SHOP})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@each(
    ("said", "expected"),
    [
        ("application/json", (400, "malformed-json")),
        ("Application/JSON ; charset=utf-8", (400, "malformed-json")),
        ("", (415, "unsupported-media-type")),
        ("text/plain", (415, "unsupported-media-type")),
        ("application/x-www-form-urlencoded", (415, "unsupported-media-type")),
        ("multipart/form-data; boundary=application/json", (415, "unsupported-media-type")),
        ("text/plain; application/json", (415, "unsupported-media-type")),
    ],
)
async def test_a_body_that_is_not_said_to_be_json_is_not_taken(
    client: httpx.AsyncClient, said: str, expected: tuple[int, str]
) -> None:
    for operation, body in itertools.product(WITH_BODY, (b"", b"{", b"\xff")):
        target, headers = operation.target((), {}), {"Content-Type": said}
        answer = await client.request(operation.method, target, content=body, headers=headers)
        assert problem(answer) == expected, (operation, body)


async def test_what_is_private_is_on_the_private_port_only(where: dict[str, Any]) -> None:
    private = free_port()
    async with (
        serving(**where, api_private_port=private) as (_, port),
        connected(port) as public,
        connected(private) as inside,
    ):
        for path in ("/metrics", "/health/live", "/health/ready", "/docs", "/openapi.json"):
            hidden = await public.get(path)
            assert hidden.startswith(b"HTTP/1.1 404 "), path
            assert b"urn:tickrec:problem:not-found" in hidden, path
            assert (await inside.get(path)).startswith(b"HTTP/1.1 200 "), path
        found = await public.get("/v1/users/nobody/recommendations")
    assert b"urn:tickrec:problem:no-model-yet" in found
