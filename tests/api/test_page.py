"""How the API serves the page: `/`, and its files under `/page/`."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.local.process import free_port, running
from tests.cases import each
from tests.infra.door import door, needs_nginx
from tests.patience import PATIENCE_S

from .conftest import Serve
from .problems import problem
from .test_main import api


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, of an API that has one; it overrides the common fixture."""
    async with serve(api_keys="secret") as client:
        yield client


async def test_the_page_needs_no_key(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert (await client.get("/v1/pipeline")).status_code == 401


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


@pytest.mark.stack
@needs_nginx
def test_behind_nginx_two_processes_serve_the_same_page(tmp_path: Path) -> None:
    apis = [api(free_port(), _folder(tmp_path, name), {}) for name in ("one", "other")]
    nginx = door(tmp_path, [int(one.address.rpartition(":")[2]) for one in apis], "/")
    with (
        running(apis[0]),
        running(apis[1]),
        running(nginx),
        httpx.Client(timeout=PATIENCE_S) as client,
    ):
        answers = [client.get(nginx.address + path) for path in ("/", "/page/main.js") * 4]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 2
    assert all(answer.headers["content-encoding"] == "gzip" for answer in answers)


def _folder(inside: Path, name: str) -> Path:
    folder = inside / name
    folder.mkdir()
    return folder
