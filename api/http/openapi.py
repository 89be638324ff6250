"""The OpenAPI description, made from the table of endpoints."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import metadata
from typing import Any, Final

from fastapi import FastAPI

from api.http.endpoint import ActionEndpoint, Endpoint, Table, WriteEndpoint
from api.http.idempotency import HEADER, MAX_KEY_CHARACTERS
from api.http.keys.access import MISSING, missing_scope
from api.http.limits import MAX_READS, WATCHED
from api.http.openapi_schemas import (
    PROBLEM,
    added_headers,
    problem_responses,
    schemas_of,
    success_responses,
)
from api.http.parameters import REQUIRED, Parameter, Schema
from api.http.problems import (
    FORBIDDEN,
    INTERNAL,
    INVALID_HTTP,
    OVERLOADED,
    RATE_LIMITED,
    UNAUTHORIZED,
    UNKNOWN_HOST,
    WRITING_ONCE,
    ProblemType,
)

_IDEMPOTENCY_KEY: Final[Schema] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "for a day, the same request with the same key takes effect once, and gets the "
    "first answer again",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS,
               "pattern": '^"?[!#-~]+"?$', "examples": ["8e03978e-40d5-43dd-bc93-6894a57f9324"]},
}  # fmt: skip
_SECURITY_SCHEMES: Final[Schema] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "the same key"},
}
_TAGS: Final[Mapping[str, str]] = {
    "instruments": "The catalog and market data: bars, latest quotes, movers.",
    "users": "A user's recommendations and data.",
    "recommendations": "Recommendations for baskets and for many users, and trending instruments.",
    "models": "The served models, decisions on them, and experiments.",
    "events": "Quotes, interactions and feedback, to Kafka.",
    "health": "Health and progress of the processes.",
    "first version": "Endpoints before `/v1`, unchanged for their clients.",
}
"""What the tags of the endpoints stand for, in the order in which documentation shows them."""
_OF_ALL: Final[Mapping[ProblemType, str]] = {
    INVALID_HTTP: "Not a valid HTTP request: it cannot be parsed",
    UNKNOWN_HOST: "Host 'shop.example': without API keys the server answers only to localhost, to "
    "IP addresses and to the names in API_HOSTS",
    INTERNAL: "The server's log says why",
}
"""The problems that a request to any endpoint may have."""
_SHED: Final[Mapping[ProblemType, str]] = {
    OVERLOADED: f"{MAX_READS} requests are in flight already: try again in a second"
}
_LICENSE: Final = metadata("tickrec")["License-Expression"]
_NEEDED: Final = "Requires a key with the scope `{scope}`, if the server has keys."
_SOMETIMES_NEEDED: Final = (
    "For a user it requires a key with the scope `{scope}`, if the server has keys."
)
_LIMITED: Final = "At most 1000 requests in 1 s: try again after 1 s"


def document(app: FastAPI, table: Table, *, keyed: bool) -> Schema:
    """Return the description of an API; `keyed`: whether there are API keys."""
    paths: defaultdict[str, Schema] = defaultdict(dict)
    for endpoint in table:
        paths[endpoint.path][endpoint.method.lower()] = operation_of(endpoint, keyed=keyed)
    _, named = schemas_of(*_kinds(table))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": app.title,
            "summary": app.summary,
            "description": app.description,
            "version": app.version,
            "license": {"name": _LICENSE, "identifier": _LICENSE},
        },
        "servers": [{"url": "/", "description": "the server that this description comes from"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {**named, "Problem": PROBLEM},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def install_openapi(app: FastAPI, table: Table, *, keyed: bool) -> None:
    """Make `app` serve the description of the table, which is built once."""
    app.openapi = cache(lambda: document(app, table, keyed=keyed))  # type: ignore[method-assign]


def operation_of(endpoint: Endpoint, *, keyed: bool) -> Schema:
    """Describe an endpoint, and whether it needs a key."""
    operation: Schema = {
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": endpoint.description,
        "operationId": endpoint.name,
    }
    if parameters := _parameters(endpoint):
        operation["parameters"] = parameters
    if isinstance(endpoint, ActionEndpoint) and endpoint.body is not None:
        operation["requestBody"] = endpoint.body
    shed = {} if endpoint.path in WATCHED else _SHED
    is_write = isinstance(endpoint, WriteEndpoint)
    of_kind = WRITING_ONCE if is_write else {}
    problems = {**shed, **of_kind, **endpoint.problems, **_refused(endpoint), **_OF_ALL}
    responses = {
        **success_responses(endpoint.success, once=is_write),
        **problem_responses(problems),
    }
    for response in responses.values():
        response["headers"] |= added_headers(endpoint)
    operation["responses"] = responses
    scope = endpoint.scope
    if scope is not None:
        sometimes = endpoint.needs_scope is not None
        said = _SOMETIMES_NEEDED if sometimes else _NEEDED
        operation["description"] += "\n\n" + said.format(scope=scope)
        security: list[Schema] = [{name: [scope]} for name in _SECURITY_SCHEMES]
        operation["security"] = security if keyed and not sometimes else [*security, {}]
    return operation


def _kinds(table: Table) -> Iterable[Any]:
    for endpoint in table:
        if endpoint.success.kind is not None:
            yield endpoint.success.kind
        if isinstance(endpoint, ActionEndpoint):
            yield from endpoint.body_kinds


def _parameters(endpoint: Endpoint) -> list[Schema]:
    described = [_described(p, in_path=p.name in endpoint.in_path) for p in endpoint.parameters]
    return [*described, _IDEMPOTENCY_KEY] if isinstance(endpoint, WriteEndpoint) else described


def _described(parameter: Parameter, *, in_path: bool) -> Schema:
    described = {
        "name": parameter.name,
        "in": "path" if in_path else "query",
        "required": parameter.default is REQUIRED,
        "description": parameter.description,
        "schema": parameter.schema,
    }
    if parameter.schema.get("type") == "array":  # comma-separated, unless it may be repeated
        described |= {"style": "form", "explode": parameter.most > 1}
    return described


def _refused(endpoint: Endpoint) -> Mapping[ProblemType, str]:
    """Return the access problems that an endpoint may answer."""
    scope = endpoint.scope
    if scope is None:
        return {}
    limited = {RATE_LIMITED: _LIMITED} if endpoint.cost else {}
    return {UNAUTHORIZED: MISSING, FORBIDDEN: missing_scope(scope), **limited}
