"""Schemas of messages and bodies, as the OpenAPI description has them."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import msgspec

from api.http.bodies import MAX_EVENTS
from api.http.ids import either_form
from api.http.parameters import Schema

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


def schemas_of(kinds: Iterable[Any]) -> tuple[list[Schema], Schema]:
    """Return the schema of each type, and the components that they refer to; not to be changed."""
    return _schemas_of(tuple(kinds))


@cache
def _schemas_of(kinds: tuple[Any, ...]) -> tuple[list[Schema], Schema]:
    found, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return list(found), either_form(components)


def schema_of(kind: Any) -> Schema:
    """Return the schema of a message."""
    ((schema,), _) = schemas_of([kind])
    return schema
