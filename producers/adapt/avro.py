"""Reads Avro, by the schema that a record names."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka.schema_registry import Schema

from producers.adapt.mapping import MappingError
from producers.adapt.registry import Read, Registry, content_of


def avro_reader(registry: Registry, path: Path | None) -> Read:
    """Return a function that reads Avro, with the schema in a file if one is given.

    Raises:
        MappingError: the file has no schema, or no registry is set.
    """
    reader = _schema_in(path) if path is not None else None

    def read_as(schema: Schema) -> Read:
        writer = fastavro.parse_schema(content_of(schema), _named(registry, schema))
        return lambda data: fastavro.schemaless_reader(BytesIO(data), writer, reader)

    return registry.framed(read_as)


def _named(registry: Registry, schema: Schema) -> dict[str, Any]:
    """Return the types that a schema refers to, by name."""
    named: dict[str, Any] = {}
    for _, part in registry.references(schema):
        named |= _named(registry, part)
        fastavro.parse_schema(content_of(part), named)
    return named


def _schema_in(path: Path) -> Any:
    """Return the schema in a file.

    Raises:
        MappingError: there is none.
    """
    try:
        return fastavro.parse_schema(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise MappingError(f"schema {path}: {error.strerror}: name a readable file") from None
    except Exception as error:  # noqa: BLE001 (whatever a malformed schema leads to)
        raise MappingError(f"schema {path} is not one of Avro's: {error}") from None
