"""The smoke's questions as calls of generated clients: an operation, arguments by name, a body."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.local.asking import NDJSON, Question
from infra.local.described import operations

_NUMBERS: Final = {"integer", "number", "boolean"}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an operation."""

    operation: str
    """its `operationId`"""
    arguments: Mapping[str, Any]
    """parameters by their names in the document, in their types"""
    body: Any
    """JSON, or a string of NDJSON; None without a body"""
    parameters: tuple[str, ...] = ()
    """names of all parameters that the operation has, but for the body"""


def call_of(question: Question, document: Mapping[str, Any]) -> Call | None:
    """Return the call that asks a question, None for a stream, which no generated client reads."""
    if question.until is not None:
        return None
    for operation in operations(document):
        arguments = operation.arguments(question.method, question.path)
        if arguments is None:
            continue
        described = document["paths"][operation.path][operation.method.lower()]
        schemas = {one["name"]: one["schema"] for one in described.get("parameters", ())}
        typed = {name: _typed(schemas[name], text) for name, text in arguments.items()}
        is_text = question.media_type == NDJSON
        body = question.content().decode() if is_text else question.body
        return Call(operation.name, typed, body, tuple(schemas))
    return None


def _typed(schema: Mapping[str, Any], text: str) -> Any:
    """Return a parameter as its type, from how it is written in a URL.

    >>> _typed({"type": "array", "items": {"type": "integer"}}, "4,7")
    [4, 7]
    >>> _typed({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "AAPL")
    'AAPL'
    """
    if schema.get("type") == "array":
        return [_typed(schema["items"], part) for part in text.split(",")]
    types = {one.get("type") for one in schema.get("anyOf", [schema])}
    try:
        return json.loads(text) if types & _NUMBERS else text
    except ValueError:
        return text


def in_typescript(call: Call, apis: Mapping[str, str]) -> str:
    """Return a call as an expression, for code that `openapi-generator` made.

    Args:
        call: what to ask.
        apis: the source of each class of operations, by its name.

    >>> raw = "async userHistoryRaw(r: UserHistoryRequest)"
    >>> call = Call("user_history", {"user_id": "ABC"}, None, ("user_id",))
    >>> in_typescript(call, {"UsersApi": raw})
    'new UsersApi(config).userHistoryRaw({"userId": "ABC"})'
    """
    name = _camel(call.operation)
    (api,) = (api for api, source in apis.items() if f"async {name}Raw(" in source)
    given = {_camel(key): value for key, value in call.arguments.items()}
    if call.body is not None:
        members = _members(f"{name[0].upper()}{name[1:]}Request", apis[api])
        (body,) = members - set(map(_camel, call.parameters))
        given[body] = _camel_keys(call.body)
    # An operation with parameters, all of which are optional, takes an empty object.
    passed = json.dumps(given) if given or call.parameters else ""
    return f"new {api}(config).{name}Raw({passed})"


def _members(interface: str, source: str) -> set[str]:
    (inside,) = re.findall(rf"interface {interface} \{{(.*?)\n\}}", source, re.DOTALL)
    return set(re.findall(r"^ +(\w+)\??: ", inside, re.MULTILINE))


def _camel_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel_keys(one) for one in value]
    if isinstance(value, dict):
        return {_camel(key): _camel_keys(one) for key, one in value.items()}
    return value


def _camel(name: str) -> str:
    """Return the name of a parameter as TypeScript's generator spells it.

    >>> _camel("user_id"), _camel("Idempotency-Key")
    ('userId', 'idempotencyKey')
    """
    joined = re.sub(r"[_-](\w)", lambda found: found[1].upper(), name)
    return joined[0].lower() + joined[1:]
