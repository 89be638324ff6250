"""The security headers, on every kind of answer, once each."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import httpx

from api.http.answer_headers import SECURITY_HEADERS
from infra.local.process import running
from tests.infra.door import door, needs_nginx
from tests.patience import PATIENCE_S

from .http import serving

EXPECTED = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}


def security_headers(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return those of an answer, sorted, as often as each is there."""
    return sorted((name, value) for name, value in answer.headers.multi_items() if name in EXPECTED)


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
async def test_behind_nginx_each_header_is_sent_once(where: dict[str, Any], tmp_path: Path) -> None:
    async with serving(**where) as (_, port), httpx.AsyncClient(timeout=PATIENCE_S) as client:
        with running(nginx := door(tmp_path, [port], "/health/live")):
            answers = {
                path: await client.get(nginx.address + path)
                for path in ("/nowhere", "/metrics", "/docs")
            }
        answer = await client.get(f"http://127.0.0.1:{port}/docs")
    of_the_page = EXPECTED | {"content-security-policy": answer.headers["content-security-policy"]}
    for path, expected in (("/nowhere", EXPECTED), ("/metrics", EXPECTED), ("/docs", of_the_page)):
        assert security_headers(answers[path]) == sorted(expected.items()), path
