"""The framework's routes for a table of endpoints, and their shared behaviour."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.convertors import PathConvertor, register_url_convertor

from api.http.access import Access
from api.http.endpoint import ActionEndpoint, Endpoint, ReadEndpoint, Table
from api.http.keys.key import note_key
from api.http.openapi import operation_of, responses_of
from api.http.replies import conditional, joined, response
from api.redis.store import Store

View = Callable[[Request], Awaitable[Response]]


class _AnyPath(PathConvertor):
    """`{user_id:path}` in a route: Starlette's own stops at a line break, which ids may contain."""

    regex = r"[\s\S]*"


register_url_convertor("path", _AnyPath())


def install_endpoints(app: FastAPI, table: Table, store: Store, access: Access) -> None:
    """Install the endpoints of a table in `app`; `access` admits requests, reads use `store`."""
    for endpoint in sorted(table, key=_takes_what_is_left):
        app.add_api_route(
            _route(endpoint),
            _view(endpoint, store, access),
            methods=[endpoint.method],
            tags=[endpoint.tag],
            summary=endpoint.summary,
            description=endpoint.description,
            status_code=endpoint.success.status,
            response_class=Response,
            responses=responses_of(endpoint),
            openapi_extra=operation_of(endpoint),
        )


def _takes_what_is_left(endpoint: Endpoint) -> bool:
    """Return whether a route would also match others' paths: it must come after them."""
    return endpoint.may_have_slashes and endpoint.path.endswith("}")


def _view(endpoint: Endpoint, store: Store, access: Access) -> View:
    if isinstance(endpoint, ReadEndpoint):
        return _reading(endpoint, store, access)
    assert isinstance(endpoint, ActionEndpoint)  # noqa: S101 (there is no third kind)
    return _acting(endpoint, access)


def _reading(endpoint: ReadEndpoint, store: Store, access: Access) -> View:
    async def view(request: Request) -> Response:
        read = endpoint.read(**_admitted_values(endpoint, request, access))
        tags = joined(value.encode("latin-1") for value in request.headers.getlist("if-none-match"))
        return response(conditional(await store.answer(read), tags))

    return view


def _acting(endpoint: ActionEndpoint, access: Access) -> View:
    async def view(request: Request) -> Response:
        return await endpoint.act(request, **_admitted_values(endpoint, request, access))

    return view


def _admitted_values(endpoint: Endpoint, request: Request, access: Access) -> dict[str, Any]:
    """Admit a request, note its key, and return the values of its parameters."""
    scope = request.scope
    query = scope["query_string"].decode("latin-1")
    values, key = access.admit(endpoint, request.path_params, query, scope["headers"])
    if key is not None:
        note_key(request, key)
    return values


def _route(endpoint: Endpoint) -> str:
    """Return an endpoint's path in the framework's notation."""
    path = endpoint.path
    for parameter in endpoint.parameters:
        if parameter.may_have_slashes:
            path = path.replace(f"{{{parameter.name}}}", f"{{{parameter.name}:path}}")
    return path
