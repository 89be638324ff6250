"""Wrong methods below a user, pages of other origins, and the private port."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from infra.local.process import free_port
from tests.cases import each

from .http import Client, connected, request, serving
from .problems import problem

SHOP = "https://shop.example"
EVIL = "https://evil.example"


@pytest.fixture
async def wire(where: dict[str, Any]) -> AsyncIterator[Client]:
    """A connection to a server that pages of a shop may ask."""
    origins = f"{SHOP},http://b.example"
    async with serving(**where, api_cors_origins=origins) as (_, port), connected(port) as client:
        yield client


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
