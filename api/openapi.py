"""The description at /docs: what each route answers, with headers and examples."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import answers, examples
from api.problems import MEDIA_TYPE, UNAUTHORIZED, ProblemType
from api.schemas import COMPONENTS, PROBLEM, Schema, events_schema, legacy_schema, schema_of
from contracts.messages import MAX_INSTRUMENT_ID

Responses = dict[int | str, dict[str, Any]]

_NOT_FOUND: Final = HTTPStatus.NOT_FOUND
_CACHE_CONTROL: Final = "Cache-Control"
_ETAG: Final = "ETag"
_HEADERS_OF: Final = {
    str(kind): headers
    for kind, headers in (
        (answers.Bars, (_CACHE_CONTROL, _ETAG)),
        (answers.Similar, (_CACHE_CONTROL, _ETAG)),
        (answers.History, (_CACHE_CONTROL, _ETAG)),
        (dict[str, answers.LegacyBar], (_CACHE_CONTROL, _ETAG)),
        (answers.PredictedItems, (_CACHE_CONTROL,)),
        (answers.Recommendations, (_CACHE_CONTROL,)),
    )
}
"""The headers that every success of a kind has; answers to writes and of health have none."""
_HEADERS: Final[Mapping[str, Schema]] = {
    _CACHE_CONTROL: {"description": "who may keep it, and how long", "schema": {"type": "string"}},
    _ETAG: {
        "description": "what `If-None-Match` names to be answered 304",
        "schema": {"type": "string", "pattern": '^(W/)?"[^"]*"$'},
    },
    "Retry-After": {
        "description": "after so many seconds another try may succeed",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"description": "how to authenticate", "schema": {"type": "string"}},
}
_SECURITY_SCHEMES: Final[Schema] = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "the same key"},
}


def answered(kind: Any, example: answers.Answer, status: int = 200) -> Responses:
    """Return the documentation of a success, and of 304 if it has an `ETag`."""
    content = {"schema": schema_of(kind), "example": msgspec.to_builtins(example)}
    names = _HEADERS_OF.get(str(kind), ())
    success = {"description": "Success", "content": {"application/json": content}}
    if _ETAG not in names:
        return {status: {**success, "headers": _headers(names)}}
    unchanged = {"description": "The client has it already", "headers": _headers(names)}
    return {status: {**success, "headers": _headers(names)}, 304: unchanged}


def failed(cases: Mapping[ProblemType, str]) -> Responses:
    """Return the documentation of the problems of a route, each with the detail of an example."""
    by_status: defaultdict[int, list[ProblemType]] = defaultdict(list)
    for kind in cases:
        by_status[kind.status].append(kind)
    return {
        status: {
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


def legacy_body() -> dict[str, Any]:
    """Return the documentation of a trade in the first version's form."""
    example = msgspec.to_builtins(examples.LEGACY_EVENT)
    return _body({"schema": legacy_schema(), "example": example})


def events_body() -> dict[str, Any]:
    """Return the documentation of one event or several."""
    shown = {
        "one": {"value": examples.QUOTE_EVENT},
        "several": {"value": [examples.QUOTE_EVENT, examples.INTERACTION_EVENT]},
    }
    return _body({"schema": events_schema(), "examples": shown})


def install_openapi(app: FastAPI, *, keyed: bool) -> None:
    """Have `app` describe itself; `keyed`: whoever writes needs an API key."""

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
            )
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).update(COMPONENTS, Problem=PROBLEM)
            _describe_lists(schema)
            _restore_bounds(schema)
            if keyed:
                components["securitySchemes"] = _SECURITY_SCHEMES
                _describe_keys(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]


def _headers(names: Sequence[str], *, required: bool = True) -> Schema:
    return {name: {**_HEADERS[name], "required": required} for name in names}


def _problem_headers(kinds: Sequence[ProblemType]) -> Schema:
    """Return the headers of problems that share a status: required if each of them has it."""
    headers = _headers((_CACHE_CONTROL,))
    retried = [kind.retry_after_s is not None for kind in kinds]
    if any(retried):
        # Where a path may be unknown, too, the framework answers 404 without it.
        headers |= _headers(
            ("Retry-After",), required=all(retried) and kinds[0].status != _NOT_FOUND
        )
    if UNAUTHORIZED in kinds:
        headers |= _headers(("WWW-Authenticate",))
    return headers


def _describe_lists(schema: Schema) -> None:
    """Say that lists in queries are comma-separated: FastAPI has no word for it."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["schema"].get("type") == "array":
                    parameter |= {"style": "form", "explode": False}


def _restore_bounds(node: Any) -> None:
    """Write bounds of whole numbers in full: FastAPI holds floats, and the largest id is none."""
    for each in node.values() if isinstance(node, dict) else node:
        if isinstance(each, dict | list):
            _restore_bounds(each)
    if isinstance(node, dict) and node.get("type") == "integer":
        node |= {name: _whole(node[name]) for name in ("minimum", "maximum") if name in node}


def _whole(bound: float) -> int:
    return MAX_INSTRUMENT_ID if bound == float(MAX_INSTRUMENT_ID) else int(bound)


def _describe_keys(schema: Schema) -> None:
    """Say which operations need an API key: those that write."""
    for operations in schema["paths"].values():
        if "post" in operations:
            operations["post"]["security"] = [{name: []} for name in _SECURITY_SCHEMES]


def _example(kind: ProblemType, detail: str) -> dict[str, Any]:
    body = {"type": kind.uri, "title": kind.title, "status": kind.status, "detail": detail}
    return {"summary": kind.title, "value": body}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
