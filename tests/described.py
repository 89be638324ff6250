"""What the API's OpenAPI document says of its operations, with an example of each part."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

_REF: Final = "#/components/schemas/"
SWITCHING_PROTOCOLS: Final = 101
"""The status of a WebSocket's success."""
_PARAMETER: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path."""

    name: str
    """its `operationId`"""
    method: str
    path: str
    """as `/v1/users/{user_id}`"""
    in_path: Mapping[str, Sequence[Any]]
    """examples of each parameter, by its name"""
    in_query: Mapping[str, Sequence[Any]]
    """the same, and their bounds"""
    needed: tuple[str, ...]
    """the parameters that a query must have"""
    bodies: tuple[Any, ...]
    """examples of the request's body"""
    status: int
    """of the success"""
    answer: Any
    """an example of it"""
    members: frozenset[str]
    """what each such answer has, if it is a JSON object"""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def arguments(self, method: str, target: str) -> dict[str, str] | None:
        """Return the parameters of a request, None if it is another operation's."""
        path, _, query = target.partition("?")
        found = re.fullmatch(_PARAMETER.sub(r"(?P<\1>[^/]+)", self.path), path)
        if found is None or method != self.method:
            return None
        in_path = {name: unquote(value) for name, value in found.groupdict().items()}
        return {**in_path, **dict(parse_qsl(query))}

    def target(self, query: Iterable[str], values: Mapping[str, Any]) -> str:
        """Return a target with these parameters in its query: the values, or the first examples."""
        shown = {**self.in_path, **self.in_query}
        first = {name: examples[0] for name, examples in shown.items() if examples}
        given = {**first, **values}
        path = self.path.format(**{name: text_of(given[name]) for name in self.in_path})
        pairs = "&".join(f"{name}={text_of(given[name])}" for name in query)
        return f"{path}?{pairs}" if pairs else path


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield all operations of a document."""
    for path, of_path in document["paths"].items():
        for method, described in of_path.items():
            yield _operation(document, path, method.upper(), described)


def _operation(
    document: Mapping[str, Any], path: str, method: str, described: Mapping[str, Any]
) -> Operation:
    parameters = described.get("parameters", ())
    status, success = next(
        (int(status), answer) for status, answer in described["responses"].items() if status < "300"
    )
    forms = success.get("content", {"": {"example": None, "schema": {}}})
    content = next(iter(forms.values()))  # JSON comes first, then CSV
    body = described.get("requestBody", {"content": {}})["content"].get("application/json", {})
    return Operation(
        described["operationId"],
        method,
        path,
        {p["name"]: _examples(p["schema"]) for p in parameters if p["in"] == "path"},
        {p["name"]: _examples(p["schema"]) for p in parameters if p["in"] == "query"},
        tuple(p["name"] for p in parameters if p["in"] == "query" and p["required"]),
        tuple(example["value"] for example in body.get("examples", {}).values()),
        status,
        content["example"],
        _members(document, content["schema"]),
    )


def _members(document: Mapping[str, Any], schema: Mapping[str, Any]) -> frozenset[str]:
    name = schema.get("$ref", "").removeprefix(_REF)
    found = document["components"]["schemas"][name] if name else schema
    return frozenset(found.get("required", ()))


def _examples(schema: Mapping[str, Any]) -> list[Any]:
    """Return valid values: examples, a default, words, bounds."""
    of_kind = [True, False] if schema.get("type") == "boolean" else schema.get("enum", ())
    found = [*schema.get("examples", ()), schema.get("default"), *of_kind]
    found += [schema.get("minimum"), schema.get("maximum")]
    return [value for value in found if value is not None]


def text_of(value: Any) -> str:
    """Return a parameter as it is written in a URL: what a list has is separated by commas."""
    if isinstance(value, list):
        return ",".join(map(text_of, value))
    return quote(str(value).lower() if isinstance(value, bool) else str(value), safe="")
