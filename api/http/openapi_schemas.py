"""Schemas of bodies, answers, problems and headers in the OpenAPI description."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import msgspec

from api.http.answer_headers import NAME as REQUEST_ID
from api.http.bodies import MAX_EVENTS
from api.http.endpoint import Endpoint, Success
from api.http.idempotency import REPLAYED
from api.http.instrument_refs import either_form
from api.http.parameters import Schema
from api.http.problems import MEDIA_TYPE, UNAUTHORIZED, ProblemType
from api.http.reply import ANSWER, CSV, encode

_NOT_FOUND: Final = HTTPStatus.NOT_FOUND
CACHE_CONTROL: Final = "Cache-Control"
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
        "description": "the JSON answer's other members; `omitted` names those that do not fit",
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
            ("RateLimit-Policy", "the quota that applies", '"requests";q=1000;w=1'),
            ("RateLimit", "what is left of the quota", '"requests";r=999;t=1'),
        )
    },
    "WWW-Authenticate": {"description": "how to authenticate", "schema": {"type": "string"}},
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
        "request_id": {"type": "string", "description": f"`{REQUEST_ID}` of this answer"},
        "errors": {
            "type": "array",
            "description": "the reason for each invalid field or event",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer", "description": "index of the event in the body"},
                    "field": {"type": "string"},
                    "reason": {"type": "string"},
                },
                "required": ["reason"],
            },
        },
        "acknowledged": {"type": "integer", "description": "messages that Kafka acknowledged"},
    },
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
}


def success_responses(success: Success, *, once: bool) -> Schema:
    """Describe a success, and 304 if it has an `ETag`; `once`: whether it may be a replay."""
    if success.status == HTTPStatus.SWITCHING_PROTOCOLS:
        return {str(success.status): {"description": "The WebSocket is open", "headers": {}}}
    if success.kind is None:
        schema = success.schema or {"type": "string"}
    else:
        schema = schema_of(success.kind)
    content = {"schema": schema, "example": msgspec.to_builtins(success.example)}
    headers = _headers(success.headers)
    if once:
        headers |= _headers((REPLAYED,), required=False)
    described: Schema = {
        "description": "Success",
        "headers": headers,
        "content": {success.media_type: content},
    }
    if success.to_csv is not None:
        headers |= _headers((ANSWER,), required=False)
        rows, _ = success.to_csv(encode(success.example))
        described["content"][CSV] = {"schema": {"type": "string"}, "example": rows.decode()}
    if ETAG not in success.headers:
        return {str(success.status): described}
    unchanged = {
        "description": "Not modified",
        "headers": _headers(success.headers),
    }
    return {str(success.status): described, "304": unchanged}


def problem_responses(cases: Mapping[ProblemType, str]) -> Schema:
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


def added_headers(endpoint: Endpoint) -> Schema:
    """Return the headers that are added to any answer of an endpoint."""
    limited = _headers(_QUOTA, required=False) if endpoint.scope else {}
    return {**_headers((REQUEST_ID,)), **limited}


def _headers(names: Sequence[str], *, required: bool = True) -> Schema:
    return {name: {**_HEADERS[name], "required": required} for name in names}


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


_REF: Final = "#/components/schemas/{name}"


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


@cache
def schemas_of(*kinds: Any) -> tuple[list[Schema], Schema]:
    """Return the schema of each type, and the components that they refer to; not to be changed."""
    found, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return list(found), either_form(components)


def schema_of(kind: Any) -> Schema:
    """Return the schema of a message."""
    ((schema,), _) = schemas_of(kind)
    return schema
