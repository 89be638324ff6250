"""Names of hosts, pages of other origins, the private port, and what the own pages may load."""

import base64
import hashlib
import itertools
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.http.answer_headers import SECURITY_HEADERS
from infra.local.process import free_port
from tests.cases import each

from .asking import problem
from .conftest import Filled, Serve
from .http import ORDINARY, Client, connected, request, serving

HOT = b""
NAMES = "shop.example, Tickrec.Example"


def asking(host: bytes, more: bytes = b"", target: str = "/instruments/similar/4") -> bytes:
    return f"GET {target} HTTP/1.1\r\n".encode() + host + more + b"\r\n"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


@pytest.fixture(autouse=True)
def model(filled: Filled) -> None:
    filled.generation("g1", {"4": [("5", 0.5, 2)]})


OF_THIS_MACHINE = [
    b"localhost",
    b"LocalHost:8000",
    b"app.localhost:8000",
    b"127.0.0.1:8000",
    b"192.0.2.7",
    b"[::1]:8000",
    b"[2001:db8::7]",
]
OF_OTHERS = [
    b"evil.example",
    b"evil.example:8000",
    b"localhost.evil.example",
    b"evillocalhost",
    b"127.0.0.1.evil.example",
    b"api",
    b"[::1",
    b"::1",
    b"",
    b"\xff",
]


@pytest.mark.parametrize("path", [HOT, ORDINARY], ids=["hot", "ordinary"])
async def test_without_keys_it_answers_to_localhost_addresses_and_the_names_of_the_setting_only(
    where: dict[str, Any], path: bytes
) -> None:
    async with serving(**where, api_hosts=NAMES) as (_, port), connected(port) as client:
        own = [*OF_THIS_MACHINE, b"shop.example", b"shop.example:8000", b"TICKREC.example"]
        for host in own * 2:
            answer = await client.send(asking(b"Host: %b\r\n" % host, path))
            assert status_of(answer) == 200, host
        for host in OF_OTHERS * 2:
            answer = await client.send(asking(b"Host: %b\r\n" % host, path))
            assert status_of(answer) == 421, host


async def test_a_page_that_was_bound_to_another_address_can_neither_read_nor_write(
    where: dict[str, Any],
) -> None:
    evil = b"Host: evil.example:8000\r\nOrigin: http://evil.example:8000\r\n"
    async with serving(**where) as (_, port), connected(port) as client:
        targets = ("/", "/v1/users", "/health/live", "/metrics", "/openapi.json", "/nowhere")
        said = [await client.send(asking(evil, target=target)) for target in targets]
        for method, target in (("POST", "/v1/events"), ("DELETE", "/v1/users/ABC")):
            head = f"{method} {target} HTTP/1.1\r\nContent-Length: 0\r\n".encode()
            said.append(await client.send(head + evil + b"\r\n"))
    assert [status_of(answer) for answer in said] == [421] * len(said)


@pytest.mark.parametrize("settings", [{"api_keys": "secret"}, {"api_hosts": "*"}, {}], ids=str)
@pytest.mark.parametrize("path", [HOT, ORDINARY], ids=["hot", "ordinary"])
async def test_with_keys_or_a_gateway_it_answers_to_any_name_or_none_but_never_to_two(
    where: dict[str, Any], settings: dict[str, str], path: bytes
) -> None:
    async with serving(**where, **settings) as (_, port), connected(port) as client:
        assert status_of(await client.send(asking(b"", path))) == 200, "no browser"
        answer = await client.send(asking(b"Host: shop.example\r\n", path))
        assert status_of(answer) == (200 if settings else 421)
        answer = await client.send(asking(b"Host: localhost\r\nhost: localhost\r\n", path))
        assert status_of(answer) == 400
        assert await client.reader.read() == b"", "the connection goes on"
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert problem["type"] == "urn:tickrec:problem:invalid-http"


async def vary(client: Client, target: str, headers: bytes = b"") -> list[bytes]:
    """Return what the `Vary` headers of an answer name."""
    answer = await client.send(asking(b"Host: localhost\r\n", headers, target))
    lines = answer.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    values = [line.partition(b":")[2] for line in lines if line.startswith(b"vary:")]
    return [name.strip() for value in values for name in value.split(b",")]


async def test_where_pages_of_other_origins_may_ask_a_cache_keeps_answers_by_origin(
    where: dict[str, Any],
) -> None:
    targets = ["/instruments/similar/4", "/v1/instruments/4/similar", "/health/live", "/nowhere"]
    origins = [b"Origin: https://%b.example\r\n" % name for name in (b"shop", b"other")]
    asked = list(itertools.product(targets, [HOT, ORDINARY, *origins]))
    shop = "https://shop.example"
    async with serving(**where, api_cors_origins=shop) as (_, port), connected(port) as client:
        for target, headers in asked:
            assert (await vary(client, target, headers)) == [b"origin"], (target, headers)
            assert sorted(await vary(client, "/", headers)) == [b"accept-encoding", b"origin"]
    async with serving(**where) as (_, port), connected(port) as client:
        for target, headers in asked:
            assert (await vary(client, target, headers)) == [], (target, headers)


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
    assert found.startswith(b"HTTP/1.1 200 ")


@pytest.fixture
async def visitor(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A visitor without a key, of an API that has one; it overrides the common fixture."""
    async with serve(api_keys="secret") as visitor:
        yield visitor


async def test_the_page_allows_its_own_files_which_are_there_and_nothing_inline(
    visitor: httpx.AsyncClient,
) -> None:
    page = await visitor.get("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'sha256-")
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy
    assert page.headers["x-frame-options"] == "DENY"
    named = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    (imports,) = re.findall(r'type="importmap">(.*?)</script>', page.text, re.DOTALL)
    for url in {*named, *json.loads(imports)["imports"].values()} - {"/openapi.json"}:
        assert url.startswith("/page/")
        assert (await visitor.get(url)).status_code == 200, url


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/vendor/lightweight-charts.mjs"])
async def test_a_file_is_sent_again_only_if_it_changed(
    visitor: httpx.AsyncClient, path: str
) -> None:
    first = await visitor.get(path)
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-encoding"] == "gzip"
    again = await visitor.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    plain = await visitor.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == first.content
    assert plain.headers["etag"] != first.headers["etag"]
    head = await visitor.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == first.headers["etag"]
    assert (await visitor.options(path)).headers["allow"] == "GET, HEAD, OPTIONS"


@each(
    "path",
    ["/page/", "/page/nothing.js", "/page/package.json", "/page/..%2fapp.py", "/page/vendor"],
)
async def test_nothing_else_is_served(visitor: httpx.AsyncClient, path: str) -> None:
    answer = await visitor.get(path)
    assert problem(answer) == (404, "not-found")


EXPECTED = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}


async def test_the_documentation_allows_its_own_script_and_files_and_no_other(
    visitor: httpx.AsyncClient,
) -> None:
    page = await visitor.get("/docs")
    loaded = [url for url in re.findall(r'(?:src|href)="([^"]+)"', page.text) if url[:5] != "data:"]
    assert loaded
    for url in loaded:
        assert url.startswith("/docs/assets/")
        assert (await visitor.get(url)).status_code == 200
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["connect-src"] == "'self'"
    others = {name: value for name, value in EXPECTED.items() if "policy" not in name}
    assert others.items() <= dict(page.headers).items()
