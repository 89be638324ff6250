"""Reads Avro, by the schema that a record names."""

import contextlib
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import fastavro
from confluent_kafka.schema_registry import Schema
from fastavro import _read_py
from fastavro.read import LOGICAL_READERS

from producers.adapt.fields import EpochMs
from producers.adapt.mapping import MappingError
from producers.adapt.registry import Read, Registry, content_of

_PER_MS: Final = {"millis": 1, "micros": 1_000, "nanos": 1_000_000}
Convert = Callable[..., Any]
"""the value as it is stored, and its schemas -> the value"""


def _epoch_ms(per_ms: int) -> Convert:
    return lambda value, *_: EpochMs(value // per_ms)


def _where_possible(convert: Convert) -> Convert:
    """Leave a value as it is stored if its type does not have it, as the date of `infinity`."""

    def converted(value: Any, *schemas: Any) -> Any:
        with contextlib.suppress(Exception):  # it may be in a field that nothing maps
            return convert(value, *schemas)
        return value

    return converted


LOGICAL_READERS.update(
    {name: _where_possible(convert) for name, convert in LOGICAL_READERS.items()}
    | {
        f"long-{kind}-{unit}": _epoch_ms(per_ms)
        for kind in ("timestamp", "local-timestamp")
        for unit, per_ms in _PER_MS.items()
    }
)


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
