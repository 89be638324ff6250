"""Reads JSON, and validates it by the schema that a record names."""

from typing import Any, Final
from urllib.parse import urljoin

import msgspec
from confluent_kafka.schema_registry import Schema
from jsonschema_rs import Draft7Validator, ValidationError, validator_for

from producers.adapt.fields import UnmappableError
from producers.adapt.registry import Read, Registry, content_of

_BASE: Final = "json-schema:///"
"""The validator puts it before the name of a schema that is no address."""


def json_schema_reader(registry: Registry) -> Read:
    """Return a function that reads JSON, and validates it against its schema.

    As in `jsonschema`, `format` is not checked. A schema that names no draft is of draft 7, as for
    Confluent's serializers in Java.

    Raises:
        MappingError: no registry is set.
    """

    def read_as(schema: Schema) -> Read:
        content = content_of(schema)
        parts = _parts(registry, schema, _address(content, ""))
        names_draft = isinstance(content, dict) and "$schema" in content
        validate = (validator_for if names_draft else Draft7Validator)(
            content,
            validate_formats=False,
            # Only what the schema refers to in the registry: nothing is fetched from elsewhere.
            retriever=lambda uri: parts[uri.removeprefix(_BASE)],
        ).validate

        def read(data: bytes) -> Any:
            value = msgspec.json.decode(data)
            try:
                validate(value)
            except ValidationError as error:
                at = "".join(
                    f".{one}" if isinstance(one, str) else f"[{one}]" for one in error.instance_path
                )
                raise UnmappableError(
                    f"not as its schema has it, at ${at}: {error.message:.200}"
                ) from None
            return value

        return read

    return registry.framed(read_as)


def _parts(registry: Registry, schema: Schema, base: str) -> dict[str, Any]:
    """Return the schemas that a schema refers to, by name, and by address relative to its own."""
    parts: dict[str, Any] = {}
    for name, part in registry.references(schema):
        content = content_of(part)
        at = urljoin(base, name)
        parts |= {name: content, at: content, **_parts(registry, part, _address(content, at))}
    return parts


def _address(content: Any, at: str) -> str:
    """Return the address of a schema: its own id, or where it is."""
    if not isinstance(content, dict):  # true or false
        return at
    return urljoin(at, str(content.get("$id", content.get("id", ""))))
