"""The security headers, on every kind of answer, once each."""

import base64
import hashlib
import re
from pathlib import Path

import httpx
import pytest

from api.http.security import SECURITY_HEADERS
from contracts.partitioning import user_partition
from infra.local.process import free_port, running
from tests.infra.door import door, needs_nginx
from tests.patience import PATIENCE_S

from .conftest import TOPOLOGY, Filled, Serve
from .test_main import api

EXPECTED = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}


def security_headers(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return those of an answer, sorted, as often as each is there."""
    return sorted((name, value) for name, value in answer.headers.multi_items() if name in EXPECTED)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/metrics", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs/assets/swagger-ui-bundle.js", 200),
        ("POST", "/v1/events", 401),
        ("GET", "/v1/users/nobody/history", 404),
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/events", 405),
        ("GET", "/v1/instruments/4/bars?limit=0", 422),
        ("GET", "/v1/users/broken/history", 500),
    ],
)
async def test_every_answer_has_the_security_headers(
    serve: Serve, store_url: str, filled: Filled, method: str, path: str, status: int
) -> None:
    key = filled.keys.history(user_partition("broken", TOPOLOGY.interactions), "broken")
    filled.store.hset(key, "4", "no JSON")
    settings = {"redis_url": store_url, "namespace": filled.keys.namespace, "api_keys": "secret"}
    async with serve(**settings) as client:
        keyed = {} if status == 401 else {"X-API-Key": "secret"}
        answer = await client.request(method, path, headers=keyed)
    assert answer.status_code == status
    assert security_headers(answer) == sorted(EXPECTED.items())


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


@needs_nginx
def test_behind_nginx_each_header_is_sent_once(tmp_path: Path) -> None:
    port = free_port()
    nginx = door(tmp_path, [port], "/health/live")
    with (
        running(api(port, tmp_path, {})),
        running(nginx),
        httpx.Client(timeout=PATIENCE_S) as client,
    ):
        paths = ("/nowhere", "/metrics", "/docs")
        answers = {path: client.get(nginx.address + path) for path in paths}
        policy = client.get(f"http://127.0.0.1:{port}/docs").headers["content-security-policy"]
    for path in ("/nowhere", "/metrics"):
        assert security_headers(answers[path]) == sorted(EXPECTED.items()), path
    of_the_page = EXPECTED | {"content-security-policy": policy}
    assert security_headers(answers["/docs"]) == sorted(of_the_page.items())
