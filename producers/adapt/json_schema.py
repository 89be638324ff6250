"""Reads JSON, and validates it by the schema that a record names."""

from typing import Any, Final

import msgspec
from confluent_kafka.schema_registry import Schema
from jsonschema_rs import ValidationError, validator_for

from producers.adapt.fields import UnmappableError
from producers.adapt.registry import Read, Registry, content_of

_BASE: Final = "json-schema:///"
"""The validator puts it before the name of a schema that is no address."""


def json_schema_reader(registry: Registry) -> Read:
    """Return a function that reads JSON, and validates it against its schema.

    As in `jsonschema`, `format` is not checked.

    Raises:
        MappingError: no registry is set.
    """

    def read_as(schema: Schema) -> Read:
        parts = _parts(registry, schema)
        validate = validator_for(
            content_of(schema),
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


def _parts(registry: Registry, schema: Schema) -> dict[str, Any]:
    """Return the schemas that a schema refers to, by name."""
    parts: dict[str, Any] = {}
    for name, part in registry.references(schema):
        parts |= {name: content_of(part), **_parts(registry, part)}
    return parts
