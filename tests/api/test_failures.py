"""Unexpected exceptions, and the id that an answer, its problem and its log lines share."""

import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.failures import BugBarrier
from api.redis.store import Store
from runtime.logs import configure_logs
from runtime.settings import SharedSettings

from .conftest import Filled
from .http import ORDINARY, serving
from .problems import problem

START = {"type": "http.response.start", "status": 200, "headers": []}


def failing(before: Callable[[Send], Awaitable[None]] | None = None) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        if before is not None:
            await before(send)
        try:
            int("secret-cause")
        except ValueError as error:
            raise KeyError("secret-user") from error

    return app


async def get(app: ASGIApp) -> httpx.Response:
    transport = httpx.ASGITransport(BugBarrier(app))  # it lets an exception through to the test
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get("/somewhere")


async def test_the_log_says_what_was_raised_and_where_but_not_what_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await get(failing())
    (record,) = [record for record in caplog.records if record.name == "api.http.failures"]
    assert record.getMessage() == "GET unmatched failed: builtins.KeyError"
    where = record.__dict__["where"]
    assert any(place.endswith("in app") and __file__ in place for place in where)
    assert "from builtins.ValueError" in where
    assert "secret" not in str(record.__dict__)


async def test_half_an_answer_is_not_continued_with_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    async def begin(send: Send) -> None:
        await send(START)

    scope = {"type": "http", "method": "GET", "path": "/"}
    await BugBarrier(failing(begin))(scope, None, send)  # type: ignore[arg-type]
    assert sent == [START]
    assert "KeyError" in caplog.text


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
    configure_logs("api", SharedSettings())
    monkeypatch.setattr(Store, "topology", failing)
    try:
        answer = await client.get("/v1/instruments/4/bars", headers=way)
    finally:
        logging.root.handlers[:] = handlers
    assert problem(answer) == (500, "internal")
    assert "secret" not in answer.text + written.getvalue()
    (line,) = [json.loads(line) for line in written.getvalue().splitlines() if "failed" in line]
    assert line["http"] == {"request": {"id": answer.headers["x-request-id"]}}
