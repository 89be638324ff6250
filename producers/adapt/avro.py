"""Reads Avro, by the schema that a record names."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka.schema_registry import Schema
from fastavro import _read_py

from producers.adapt.mapping import MappingError
from producers.adapt.registry import Read, Registry, content_of


def avro_reader(registry: Registry, path: Path | None) -> Read:
    """Return a function that reads Avro, with the schema in a file if one is given.

    Raises:
        MappingError: the file has no schema, or no registry is set.
    """
    reader = _schema_in(path) if path is not None else None

    def read_as(schema: Schema) -> Read:
        named = _named(registry, schema)
        writer = fastavro.parse_schema(content_of(schema), named)
        # The compiled reader has no limit of depth: a record of a few KB ends the process.
        is_deep = any(map(_contains_itself, named.values()))
        read = _read_py.schemaless_reader if is_deep else fastavro.schemaless_reader
        return lambda data: read(BytesIO(data), writer, reader)

    return registry.framed(read_as)


def _named(registry: Registry, schema: Schema) -> dict[str, Any]:
    """Return the types that a schema refers to, by name."""
    named: dict[str, Any] = {}
    for _, part in registry.references(schema):
        named |= _named(registry, part)
        fastavro.parse_schema(content_of(part), named)
    return named


def _contains_itself(schema: Any, within: tuple[str, ...] = ()) -> bool:
    """Whether a type, parsed, has values of its own type in it, as a list of nodes has."""
    if isinstance(schema, str):
        return schema in within
    if isinstance(schema, list):
        return any(_contains_itself(each, within) for each in schema)
    within = (*within, schema["name"]) if "name" in schema else within
    parts = (schema[its] for its in ("type", "items", "values", "fields") if its in schema)
    return any(_contains_itself(part, within) for part in parts)


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
