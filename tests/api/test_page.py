"""How the API serves the page at `/` with its files, the documentation, and their headers."""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from api.http.answer_headers import SECURITY_HEADERS
from tests.cases import each

from .conftest import Serve
from .problems import problem


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, of an API that has one; it overrides the common fixture."""
    async with serve(api_keys="secret") as client:
        yield client


async def test_the_page_allows_its_own_files_and_nothing_inline(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'sha256-")
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy
    assert page.headers["x-frame-options"] == "DENY"


async def test_all_that_the_page_loads_is_there(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    named = re.findall(r'(?:href|src)="([^"]+)"', page)
    (imports,) = re.findall(r'type="importmap">(.*?)</script>', page, re.DOTALL)
    files = {*named, *json.loads(imports)["imports"].values()} - {"/openapi.json"}
    for url in files:
        assert url.startswith("/page/")
        assert (await client.get(url)).status_code == 200, url


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/vendor/lightweight-charts.mjs"])
async def test_a_file_is_sent_again_only_if_it_changed(
    client: httpx.AsyncClient, path: str
) -> None:
    first = await client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-encoding"] == "gzip"
    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    plain = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == first.content
    assert plain.headers["etag"] != first.headers["etag"]
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == first.headers["etag"]


@each(
    "path",
    ["/page/", "/page/nothing.js", "/page/package.json", "/page/..%2fapp.py", "/page/vendor"],
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert problem(answer) == (404, "not-found")


EXPECTED = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}


async def test_the_documentation_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert loaded
    for url in loaded:
        if not url.startswith("data:"):
            assert url.startswith("/docs/assets/")
            assert (await client.get(url)).status_code == 200


async def test_the_documentation_allows_its_own_script_and_no_other(
    client: httpx.AsyncClient,
) -> None:
    page = await client.get("/docs")
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
