"""Each answer has the id of its request, which its problem, log lines and span have, too."""

import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.http.answer_headers import given_id
from api.redis.store import Store
from runtime.logs import configure_logs

from .conftest import Filled
from .http import ORDINARY, serving
from .problems import problem

TARGETS = ["/instruments/4", "/v1/instruments/4/bars", "/v1/pipeline", "/nothing", "/v1/movers?n=0"]
SENT = "Root=1-67891233-abcdef"
FOR_FRAMEWORK = {"Content-Length": "0"}
"""A header that no hot request has."""


@pytest.fixture
async def client(where: dict[str, Any], filled: Filled) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server, which has both paths."""
    filled.generation("g1", {"4": [("5", 0.5, 2)]}, popular=[("7", 3)])
    async with (
        serving(**where) as (_, port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


@pytest.mark.parametrize("way", [b"", ORDINARY])
async def test_recommendations_of_the_first_version_have_theirs_for_feedback(
    client: httpx.AsyncClient, way: bytes
) -> None:
    headers = {"X-Request-Id": SENT, **(FOR_FRAMEWORK if way else {})}
    answer = await client.get("/instruments/similar/ABC", headers=headers)
    (request_id,) = answer.headers.get_list("x-request-id")
    assert request_id.startswith("default.g1.popular.")


@pytest.mark.parametrize("way", [{}, FOR_FRAMEWORK])
async def test_a_line_of_the_log_names_its_request(
    client: httpx.AsyncClient, way: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise KeyError("secret")

    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    handlers = logging.root.handlers[:]
    configure_logs("api", "INFO")
    monkeypatch.setattr(Store, "topology", failing)
    try:
        answer = await client.get("/v1/instruments/4/bars", headers=way)
    finally:
        logging.root.handlers[:] = handlers
    assert problem(answer) == (500, "internal")
    assert "secret" not in answer.text + written.getvalue()
    (line,) = [json.loads(line) for line in written.getvalue().splitlines() if "failed" in line]
    assert line["http"] == {"request": {"id": answer.headers["x-request-id"]}}


def test_of_several_ids_the_last_counts() -> None:
    assert given_id([(b"x-request-id", b"a"), (b"x-request-id", b"b")]) == b"b"
    assert given_id([(b"x-other", b"a")]) is None
