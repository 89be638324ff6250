"""Handling of unexpected exceptions."""

import logging
from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.failures import BugBarrier

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


async def test_the_client_learns_that_the_error_is_ours_and_no_more() -> None:
    answer = await get(failing())
    assert problem(answer) == (500, "internal")
    assert "secret" not in answer.text
    assert "KeyError" not in answer.text


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


async def test_with_debug_the_log_holds_the_messages(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="api.http.failures"):
        await get(failing())
    assert "secret-user" in caplog.text


async def test_a_cause_that_was_never_raised_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise KeyError("secret-user") from OSError("secret-cause")

    await get(app)
    assert "from builtins.OSError" in caplog.records[0].__dict__["where"]


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
