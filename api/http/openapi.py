"""The OpenAPI description, made from the table of endpoints."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from importlib.metadata import metadata
from typing import Any, Final

import msgspec
from fastapi import FastAPI

from api.http.bodies import MAX_EVENTS
from api.http.endpoint import ActionEndpoint, Endpoint, Success, Table, WriteEndpoint
from api.http.forms import ANSWER, Form
from api.http.idempotency import HEADER, MAX_KEY_CHARACTERS, REPLAYED
from api.http.ids import either_form
from api.http.keys.access import MISSING, missing_scope
from api.http.limits import MAX_READS, WATCHED
from api.http.parameters import REQUIRED, Parameter, Schema
from api.http.problems import (
    FORBIDDEN,
    INTERNAL,
    INVALID_HTTP,
    MEDIA_TYPE,
    OVERLOADED,
    RATE_LIMITED,
    UNAUTHORIZED,
    UNKNOWN_HOST,
    WRITING_ONCE,
    ProblemType,
)

_REF: Final = "#/components/schemas/{name}"
_NOT_FOUND: Final = HTTPStatus.NOT_FOUND
CACHE_CONTROL: Final = "Cache-Control"
REQUEST_ID: Final = "X-Request-Id"
_QUOTA: Final = ("RateLimit-Policy", "RateLimit")
"""Of answers to requests that a quota applies to."""
ETAG: Final = "ETag"
KEPT: Final = (CACHE_CONTROL, ETAG)
"""The headers of a cacheable answer."""
_HEADERS: Final[Mapping[str, Schema]] = {
    CACHE_CONTROL: {"description": "who may cache it, and how long", "schema": {"type": "string"}},
    ETAG: {
        "description": "a value for `If-None-Match`, to get a 304",
        "schema": {"type": "string", "pattern": '^(W/)?"[^"]*"$'},
    },
    "Retry-After": {
        "description": "seconds after which a retry may succeed",
        "schema": {"type": "integer", "minimum": 1},
    },
    REPLAYED: {
        "description": "`true`: the first answer to this key, sent again",
        "schema": {"const": "true"},
    },
    ANSWER: {
        "description": "the rest of the JSON answer, if the form has no place for it",
        "schema": {"type": "string", "contentMediaType": "application/json"},
    },
    REQUEST_ID: {
        "description": "the request's id: the client's, if it sent a valid one",
        "schema": {"type": "string", "minLength": 1},
    },
    **{
        name: {
            "description": f"{what}, as in draft-ietf-httpapi-ratelimit-headers-10",
            "schema": {"type": "string", "examples": [example]},
        }
        for name, what, example in (
            ("RateLimit-Policy", "the quota that applies", '"reads";q=1000;w=1'),
            ("RateLimit", "what is left of the quota", '"reads";r=999;t=1'),
        )
    },
    "WWW-Authenticate": {"description": "how to authenticate", "schema": {"type": "string"}},
}
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
PROBLEM: Final[Schema] = {
    "title": "Problem",
    "description": "RFC 9457. Clients may branch on `type`; other members may be added.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string", "description": "`X-Request-Id` of this answer"},
        "errors": {
            "type": "array",
            "description": "the reason for each invalid field or event",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer", "description": "index of the event in the body"},
                    "line": {"type": "integer", "description": "of NDJSON and CSV, from 1"},
                    "field": {"type": "string"},
                    "reason": {"type": "string"},
                },
                "required": ["reason"],
            },
        },
        "acknowledged": {"type": "integer", "description": "messages that Kafka did acknowledge"},
    },
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
}
_TAGS: Final[Mapping[str, str]] = {
    "instruments": "The catalog, and what is made of quotes: bars, latest quotes, movers.",
    "users": "What is known of a user, and recommended to it.",
    "recommendations": "Recommendations for baskets and for many users, and what is trending.",
    "models": "What the trainer made, what is served of it, and experiments.",
    "events": "Quotes, interactions and feedback, to Kafka.",
    "health": "Whether the processes are alive, ready, and keep up.",
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
_NEEDED: Final = "Needs a key with the scope `{scope}`, if the server has keys."
_SOMETIMES_NEEDED: Final = (
    "For a user it needs a key with the scope `{scope}`, if the server has keys."
)
_LIMITED: Final = "At most 1000 requests in 1 s: try again after 1 s"


def document(app: FastAPI, table: Table, *, keyed: bool) -> Schema:
    """Return the description of an API; `keyed`: whether there are API keys."""
    paths: defaultdict[str, Schema] = defaultdict(dict)
    for endpoint in table:
        paths[endpoint.path][endpoint.method.lower()] = _operation(endpoint, keyed=keyed)
    _, named = schemas_of(_kinds(table))
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
    """Make `app` serve the description of the table, which is made once."""
    app.openapi = cache(lambda: document(app, table, keyed=keyed))  # type: ignore[method-assign]


def array_of(item: Schema) -> Schema:
    """Return the schema of a body with several items.

    One without brackets is accepted, too, but not described: of "one or an array of such"
    generators of clients make code that does not compile.
    """
    return {"type": "array", "items": item, "minItems": 1, "maxItems": MAX_EVENTS}


def json_body(schema: Schema, **shown: Any) -> Schema:
    """Describe a JSON body, with named examples."""
    examples = {name: {"value": msgspec.to_builtins(value)} for name, value in shown.items()}
    content = {"application/json": {"schema": schema, "examples": examples}}
    return {"required": True, "content": content}


def schemas_of(kinds: Iterable[Any]) -> tuple[list[Schema], Schema]:
    """Return the schema of each type, and the components that they refer to."""
    found, components = msgspec.json.schema_components([*kinds], ref_template=_REF)
    return list(found), either_form(components)


def schema_of(kind: Any) -> Schema:
    """Return the schema of a message."""
    ((schema,), _) = schemas_of([kind])
    return schema


def _operation(endpoint: Endpoint, *, keyed: bool) -> Schema:
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
    once = isinstance(endpoint, WriteEndpoint)
    shed = {} if endpoint.path in WATCHED else _SHED
    of_kind = WRITING_ONCE if once else {}
    problems = {**shed, **of_kind, **endpoint.problems, **_refused(endpoint), **_OF_ALL}
    responses = {**_answered(endpoint.success, once=once), **_failed(problems)}
    for response in responses.values():
        response["headers"] |= _added(endpoint)
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
    if parameter.schema.get("type") == "array":  # comma-separated
        described |= {"style": "form", "explode": False}
    return described


def _answered(success: Success, *, once: bool) -> Schema:
    """Describe a success, and 304 if it has an `ETag`; `once`: whether it may be a replay."""
    if success.kind is None:
        schema = success.schema or {"type": "string"}
    else:
        schema = schema_of(success.kind)
    content = {"schema": schema, "example": msgspec.to_builtins(success.example)}
    headers = _headers(success.headers)
    if once:
        headers |= _headers((REPLAYED,), required=False)
    if success.forms:
        headers |= _headers((ANSWER,), required=False)
    described: Schema = {
        "description": "Success",
        "headers": headers,
        "content": {
            success.media_type: content,
            **{form.media_type: _form(form, success.example) for form in success.forms},
        },
    }
    if ETAG not in success.headers:
        return {str(success.status): described}
    unchanged = {
        "description": "The client has it already",
        "headers": _headers(success.headers),
    }
    return {str(success.status): described, "304": unchanged}


def _form(form: Form, example: Any) -> Schema:
    """Describe a form of an answer; those that are not text have no example."""
    if not form.media_type.startswith("text/"):
        return {"schema": {}}
    return {"schema": {"type": "string"}, "example": form.encode(example, b"").decode()}


def _failed(cases: Mapping[ProblemType, str]) -> Schema:
    """Describe problems, each with an example of a detail."""
    by_status: defaultdict[int, list[ProblemType]] = defaultdict(list)
    for kind in cases:
        by_status[kind.status].append(kind)
    return {
        str(status): {
            "description": " / ".join(kind.title for kind in kinds),
            "headers": _problem_headers(kinds),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {kind.slug: _example(kind, cases[kind]) for kind in kinds},
                }
            },
        }
        for status, kinds in by_status.items()
    }


def _refused(endpoint: Endpoint) -> Mapping[ProblemType, str]:
    """Return the access problems that an endpoint may answer."""
    scope = endpoint.scope
    if scope is None:
        return {}
    limited = {} if scope == "write" else {RATE_LIMITED: _LIMITED}
    return {UNAUTHORIZED: MISSING, FORBIDDEN: missing_scope(scope), **limited}


def _headers(names: Sequence[str], *, required: bool = True) -> Schema:
    return {name: {**_HEADERS[name], "required": required} for name in names}


def _added(endpoint: Endpoint) -> Schema:
    """Return the headers that are added to any answer of an endpoint."""
    limited = _headers(_QUOTA, required=False) if endpoint.scope else {}
    return {**_headers((REQUEST_ID,)), **limited}


def _problem_headers(kinds: Sequence[ProblemType]) -> Schema:
    """Return the headers of problems that share a status: required if each of them has it."""
    headers = _headers((CACHE_CONTROL,))
    retried = [kind.retry_after_s is not None for kind in kinds]
    if any(retried):
        # The framework's own 404 for unknown paths does not have it.
        headers |= _headers(
            ("Retry-After",), required=all(retried) and kinds[0].status != _NOT_FOUND
        )
    if UNAUTHORIZED in kinds:
        headers |= _headers(("WWW-Authenticate",))
    return headers


def _example(kind: ProblemType, detail: str) -> dict[str, Any]:
    body = {"type": kind.uri, "title": kind.title, "status": kind.status, "detail": detail}
    return {"summary": kind.title, "value": body}
