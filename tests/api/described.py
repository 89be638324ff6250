"""A check of each answer that a test gets: the OpenAPI document declares its status and headers."""

from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.routing import Match

from api.http.endpoint import Table
from api.http.openapi import operation_of

Check = Callable[[httpx.Response], Awaitable[None]]


def described_by(app: FastAPI) -> Check:
    """Return a hook that asserts that an answer of `app` is one of its operation's."""

    async def check(answer: httpx.Response) -> None:
        assert len(b"".join(chain(*answer.headers.raw))) < 6000, "too much for nginx"
        operation = _operation(app, answer.request)
        if operation is None:
            return
        declared = operation["responses"].get(str(answer.status_code))
        where = f"{operation['operationId']}: {answer.status_code}"
        assert declared is not None, f"{where} is not described"
        required = {name for name, one in declared.get("headers", {}).items() if one["required"]}
        missing = {name for name in required if name not in answer.headers}
        assert not missing, f"{where} has no {missing}"

    return check


def _operation(app: FastAPI, request: httpx.Request) -> dict[str, Any] | None:
    """Return the operation of a request; None of a path or a method that is not described."""
    scope = {"type": "http", "method": request.method, "path": request.url.path, "headers": []}
    for route in app.routes:
        if route.matches(scope)[0] is Match.FULL:
            # A resource below one whose last parameter may have slashes.
            path = getattr(route, "path_format", "")
            if request.url.raw_path.partition(b"?")[0].count(b"/") > path.count("/"):
                return None
            return _operation_of(app.state.table, request.method, path)
    return None


def _operation_of(table: Table, method: str, path: str) -> dict[str, Any] | None:
    """Return an operation without making the whole document."""
    for endpoint in table:
        if (endpoint.method, endpoint.path) == (method, path):
            return operation_of(endpoint, keyed=False)
    return None
