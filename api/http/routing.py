"""The framework's routes for a table of endpoints, and what HTTP requires of every resource.

A `HEAD` is answered as `GET` without the body, `OPTIONS` with the methods of the path, and a 405
lists them all: the framework would list only those of one route.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from fastapi import FastAPI, Request, Response
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.answer_headers import AnswerFields, answer_fields
from api.http.endpoint import ActionEndpoint, Endpoint, ReadEndpoint, Table, WriteEndpoint
from api.http.failures import problem_response
from api.http.idempotency import Once
from api.http.keys.access import Access, Key, RawHeaders, note_key
from api.http.problems import NOT_FOUND, Problem
from api.http.reply import conditional, csv_answer, joined, prefers_csv, response
from api.redis.store import Store

_ORDER: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

View = Callable[[Request], Awaitable[Response]]


class _NotedRoute(Route):
    """A route that metrics and traces find in a request's scope.

    Those of the framework would read parameters from a view's signature, for which each application
    would take half of the time to create it.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether it is the route of a request, and what it adds to its scope."""
        match, added = super().matches(scope)
        return match, {**added, "route": self} if match is not Match.NONE else added


class _AnyPath(PathConvertor):
    """`{user_id:path}` in a route: Starlette's own stops at a line break, which ids may contain."""

    regex = r"[\s\S]*"


register_url_convertor("path", _AnyPath())


def install_endpoints(app: FastAPI, table: Table, store: Store, access: Access) -> None:
    """Install the endpoints of a table in `app`; `access` admits requests, reads use `store`."""
    once = Once(store)
    for endpoint in sorted(table, key=_takes_what_is_left):
        view = _view(endpoint, store, access, once)
        app.router.routes.append(_NotedRoute(_route(endpoint), view, methods=[endpoint.method]))


def _takes_what_is_left(endpoint: Endpoint) -> bool:
    """Return whether a route would also match others' paths: it must come after them."""
    return endpoint.may_have_slashes and endpoint.path.endswith("}")


def _view(endpoint: Endpoint, store: Store, access: Access, once: Once) -> View:
    if isinstance(endpoint, ReadEndpoint):
        return _reading(endpoint, store, access)
    if isinstance(endpoint, WriteEndpoint):
        return _writing(endpoint, access, once)
    assert isinstance(endpoint, ActionEndpoint)  # noqa: S101 (there is no other kind)
    return _acting(endpoint, access)


def _reading(endpoint: ReadEndpoint, store: Store, access: Access) -> View:
    async def view(request: Request) -> Response:
        read = _admitted(access.begin_read, endpoint, request)
        tags = joined(value.encode("latin-1") for value in request.headers.getlist("if-none-match"))
        answer = await store.answer(read)
        to_csv = endpoint.success.to_csv
        if to_csv is not None and prefers_csv(request.headers.getlist("accept")):
            answer = await csv_answer(answer, to_csv)
        found = conditional(answer, tags)
        if found.request_id:
            answer_fields(request.scope).request_id = found.request_id
        return response(found)

    return view


def _acting(endpoint: ActionEndpoint, access: Access) -> View:
    async def view(request: Request) -> Response:
        return await endpoint.act(request, **_admitted(access.admit, endpoint, request))

    return view


def _writing(endpoint: WriteEndpoint, access: Access, once: Once) -> View:
    async def view(request: Request) -> Response:
        values = _admitted(access.admit, endpoint, request)
        body = await endpoint.receive(request)
        return await once.answer(request, body, partial(endpoint.act, request, body, **values))

    return view


E = TypeVar("E", bound=Endpoint)
T = TypeVar("T")


def _admitted(
    admit: Callable[[E, Mapping[str, str], str, RawHeaders, AnswerFields], tuple[T, Key | None]],
    endpoint: E,
    request: Request,
) -> T:
    """Admit a request, note its key, and return what `admit` makes of it."""
    scope = request.scope
    query = scope["query_string"].decode("latin-1")
    headers, answer = scope["headers"], answer_fields(scope)
    found, key = admit(endpoint, request.path_params, query, headers, answer)
    if key is not None:
        note_key(request, key)
    return found


def _route(endpoint: Endpoint) -> str:
    """Return an endpoint's path in the framework's notation."""
    path = endpoint.path
    for parameter in endpoint.parameters:
        if parameter.may_have_slashes:
            path = path.replace(f"{{{parameter.name}}}", f"{{{parameter.name}:path}}")
    return path


class Methods:
    """Handles HTTP methods for `app`, whose routes are `routes`."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        method = scope["method"] if scope["type"] == "http" else None
        if method == "HEAD":
            await self._head(scope, receive, send)
        elif method == "OPTIONS" and (allowed := self._allowed(scope)):
            headers = [(b"allow", allowed), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        elif method is not None:
            await self._app(scope, receive, self._naming_methods(scope, send))
        else:
            await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as `GET` without the body; a stream ends at its headers."""
        as_get = {**scope, "method": "GET"}
        ended = False

        async def without_body(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b""})

        try:
            await self._app(as_get, receive, self._naming_methods(as_get, without_body))
        finally:
            if "route" in as_get:
                scope["route"] = as_get["route"]  # request metrics use it

    def _naming_methods(self, scope: Scope, send: Send) -> Send:
        replaced = False

        async def naming(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 405:
                allowed = self._allowed(scope)
                headers = [pair for pair in message["headers"] if pair[0] != b"allow"]
                message = {**message, "headers": [*headers, (b"allow", allowed)]}
                replaced = not allowed
                if replaced:
                    await _send_not_found(scope, send)
            if not replaced:
                await send(message)

        return naming

    def _allowed(self, scope: Scope) -> bytes:
        """Return the methods of a path for `Allow`; empty if there is no such path.

        Slashes in an id are encoded: a path with more than its endpoint has names no resource.
        """
        as_get = {**scope, "method": "GET"}
        matching = [r for r in self._routes if r.matches(as_get)[0] is not Match.NONE]
        # A route that allows slashes matches longer paths, too, which are other resources.
        first = matching[0] if matching else None
        path = getattr(first, "path_format", "")
        if isinstance(first, _NotedRoute) and scope["raw_path"].count(b"/") > path.count("/"):
            return b""
        methods = {
            method
            for route in matching
            if getattr(route, "path_format", "") == path
            for method in _methods_of(route)
        }
        if "GET" in methods:
            methods.add("HEAD")
        if methods:
            methods.add("OPTIONS")
        return ", ".join(sorted(methods, key=_ORDER.index)).encode()


async def _send_not_found(scope: Scope, send: Send) -> None:
    detail = f"{scope['method']} {scope['path']}: not found. All endpoints: /docs"
    answer = problem_response(Request(scope), Problem(NOT_FOUND, detail))
    await answer(scope, _no_body, send)


async def _no_body() -> Message:
    return {"type": "http.disconnect"}


def _methods_of(route: BaseRoute) -> Iterable[str]:
    if isinstance(route, Mount):  # of files
        return ("GET",)
    return getattr(route, "methods", None) or ()
