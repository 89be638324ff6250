"""The framework's routes of a table of endpoints, and what all of them do alike."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from starlette.convertors import PathConvertor, register_url_convertor

from api.http.endpoint import ActionEndpoint, Endpoint, ReadEndpoint, Table, request_values
from api.http.openapi import operation_of, responses_of
from api.http.replies import conditional, joined, response
from api.redis.store import Store


class _AnyPath(PathConvertor):
    """`{user_id:path}` in a route: Starlette's own ends at a line break, which ids may have."""

    regex = r"[\s\S]*"


register_url_convertor("path", _AnyPath())


def install_endpoints(app: FastAPI, table: Table, store: Store) -> None:
    """Have `app` answer the endpoints of a table; reads are run on `store`."""
    for endpoint in table:
        app.add_api_route(
            _route(endpoint),
            _view(endpoint, store),
            methods=[endpoint.method],
            tags=[endpoint.tag],
            summary=endpoint.summary,
            description=endpoint.description,
            status_code=endpoint.success.status,
            response_class=Response,
            responses=responses_of(endpoint),
            openapi_extra=operation_of(endpoint),
        )


def _view(endpoint: Endpoint, store: Store) -> Callable[[Request], Awaitable[Response]]:
    if isinstance(endpoint, ReadEndpoint):
        return _reading(endpoint, store)
    assert isinstance(endpoint, ActionEndpoint)  # noqa: S101 (there is no third kind)
    return _acting(endpoint)


def _reading(endpoint: ReadEndpoint, store: Store) -> Callable[[Request], Awaitable[Response]]:
    async def view(request: Request) -> Response:
        read = endpoint.read(**request_values(endpoint, request))
        tags = joined(value.encode("latin-1") for value in request.headers.getlist("if-none-match"))
        return response(conditional(await store.answer(read), tags))

    return view


def _acting(endpoint: ActionEndpoint) -> Callable[[Request], Awaitable[Response]]:
    async def view(request: Request) -> Response:
        return await endpoint.act(request, **request_values(endpoint, request))

    return view


def _route(endpoint: Endpoint) -> str:
    """Return an endpoint's path as the framework has it."""
    path = endpoint.path
    for parameter in endpoint.parameters:
        if parameter.may_have_slashes:
            path = path.replace(f"{{{parameter.name}}}", f"{{{parameter.name}:path}}")
    return path
