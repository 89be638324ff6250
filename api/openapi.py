"""The description at /docs, made from the very types that answers are encoded from."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import answers, examples
from api.events import MAX_EVENTS, EventError
from api.problems import MEDIA_TYPE, ProblemType
from contracts.messages import Interaction, Quote

Responses = dict[int | str, dict[str, Any]]

_TYPES: Final = (
    answers.Bars,
    answers.Similar,
    answers.Recommendations,
    answers.History,
    answers.Accepted,
    dict[str, answers.LegacyBar],
    answers.PredictedItems,
    answers.LegacyAdded,
    answers.Liveness,
    answers.Readiness,
    answers.LegacyEvent,
    EventError,
    Quote,
    Interaction,
)
_SCHEMAS, _COMPONENTS = msgspec.json.schema_components(
    _TYPES, ref_template="#/components/schemas/{name}"
)
_SCHEMA_OF: Final = dict(zip(map(str, _TYPES), _SCHEMAS, strict=True))

_PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "RFC 9457. Clients may branch on `type`; other members may be added.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {"type": "array", "items": _SCHEMA_OF[str(EventError)]},
    },
    "required": ["type", "title", "status", "detail", "instance"],
}


def answered(kind: Any, example: answers.Answer, status: int = 200) -> Responses:
    """Return the documentation of a success."""
    content = {"schema": _SCHEMA_OF[str(kind)], "example": msgspec.to_builtins(example)}
    return {status: {"description": "Success", "content": {"application/json": content}}}


def failed(cases: Mapping[ProblemType, str]) -> Responses:
    """Return the documentation of the problems of a route, each with the detail of an example."""
    by_status: defaultdict[int, list[ProblemType]] = defaultdict(list)
    for kind in cases:
        by_status[kind.status].append(kind)
    return {
        status: {
            "description": " / ".join(kind.title for kind in kinds),
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
    return _body({"schema": _SCHEMA_OF[str(answers.LegacyEvent)], "example": example})


def events_body() -> dict[str, Any]:
    """Return the documentation of one event or several."""
    event = {"oneOf": [_tagged(Quote, "quote"), _tagged(Interaction, "interaction")]}
    several = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    shown = {
        "one": {"value": examples.QUOTE_EVENT},
        "several": {"value": [examples.QUOTE_EVENT, examples.INTERACTION_EVENT]},
    }
    return _body({"schema": {"oneOf": [event, several]}, "examples": shown})


def install_openapi(app: FastAPI) -> None:
    """Have `app` describe itself with the answers' types among its components."""

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
            )
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(_COMPONENTS, Problem=_PROBLEM_SCHEMA)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign]


def _example(kind: ProblemType, detail: str) -> dict[str, Any]:
    body = {"type": kind.uri, "title": kind.title, "status": kind.status, "detail": detail}
    return {"summary": kind.title, "value": body}


def _tagged(message: type, tag: str) -> dict[str, Any]:
    says = {"type": "object", "required": ["type"], "properties": {"type": {"const": tag}}}
    return {"allOf": [says, _SCHEMA_OF[str(message)]]}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
