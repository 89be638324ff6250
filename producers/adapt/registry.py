"""Decodes records whose schemas are in a Schema Registry: Avro and JSON Schema.

Such a record begins with a zero byte and the id of its schema, as Confluent's serializers write it.
confluent-kafka's client fetches the schemas, but fastavro and jsonschema read the records: its
deserializers prepare a schema for each record again, which takes longer than reading the record.
"""

import json
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import fastavro
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from jsonschema import ValidationError
from jsonschema.validators import validator_for
from referencing import Registry as References
from referencing import Resource
from referencing.jsonschema import DRAFT7

from producers.adapt.fields import UnmappableError
from producers.adapt.mapping import MappingError

_FRAME: Final = struct.Struct(">bI")
_NOT_FOUND: Final = 404

Read = Callable[[bytes], Any]


class RegistryError(RuntimeError):
    """The registry does not answer, or refuses; the records are not at fault."""


class Registry:
    """The schemas of a registry."""

    def __init__(self, client: SchemaRegistryClient | None) -> None:
        """Take the client; None if no registry is set."""
        self._client = client

    def avro(self, path: Path | None) -> Read:
        """Return a function that reads Avro, with the schema in a file if one is given.

        Raises:
            MappingError: the file has no schema, or no registry is set.
        """
        reader = _avro_in(path) if path is not None else None

        def read_as(schema: Schema) -> Read:
            writer = fastavro.parse_schema(_content(schema), self._named(schema))
            return lambda data: fastavro.schemaless_reader(BytesIO(data), writer, reader)

        return self._framed(read_as)

    def json_schema(self) -> Read:
        """Return a function that reads JSON, and validates it against its schema.

        Raises:
            MappingError: no registry is set.
        """

        def read_as(schema: Schema) -> Read:
            content = _content(schema)
            kind = validator_for(content)
            validator = kind(content, registry=References().with_resources(self._parts(schema)))

            def read(data: bytes) -> Any:
                value = json.loads(data)
                try:
                    validator.validate(value)
                except ValidationError as error:
                    raise UnmappableError(
                        f"not as its schema has it, at {error.json_path}: {error.message:.200}"
                    ) from None
                return value

            return read

        return self._framed(read_as)

    def _framed(self, read_as: Callable[[Schema], Read]) -> Read:
        """Return a function that reads a record by the schema that it names.

        Raises:
            MappingError: no registry is set.
        """
        if self._client is None:
            raise MappingError("no registry is set: name its address as SCHEMA_REGISTRY_URL")
        known: dict[int, Read] = {}

        def read(data: bytes) -> Any:
            schema_id = _schema_id(data)
            if schema_id not in known:
                known[schema_id] = read_as(self._schema(schema_id))
            return known[schema_id](data[_FRAME.size :])

        return read

    def _schema(self, schema_id: int) -> Schema:
        return self._fetched(lambda client: client.get_schema(schema_id), f"schema {schema_id}")

    def _fetched(self, fetch: Callable[[SchemaRegistryClient], Schema], what: str) -> Schema:
        """Return what the registry answers.

        Raises:
            UnmappableError: it has no such schema.
            RegistryError: it does not answer, or refuses.
        """
        assert self._client is not None  # noqa: S101 (`_framed` has checked it)
        try:
            return fetch(self._client)
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                raise UnmappableError(f"the registry has no {what}") from None
            raise RegistryError(f"no {what}: {error}") from error
        except Exception as error:
            # Errors of its HTTP client and of its token endpoint, which have no common type.
            raise RegistryError(f"no {what}: {type(error).__name__}: {error}") from error

    def _references(self, schema: Schema) -> list[tuple[str, Schema]]:
        """Return the names of the schemas that a schema refers to, and these."""
        return [
            (
                str(its.name),
                self._fetched(
                    lambda client, its=its: (
                        client.get_version(  # type: ignore[misc]
                            its.subject, its.version, deleted=True
                        ).schema
                    ),
                    f"version {its.version} of {its.subject}",
                ),
            )
            for its in schema.references or ()
        ]

    def _named(self, schema: Schema) -> dict[str, Any]:
        """Return the Avro types that a schema refers to, by name."""
        named: dict[str, Any] = {}
        for _, part in self._references(schema):
            named |= self._named(part)
            fastavro.parse_schema(_content(part), named)
        return named

    def _parts(self, schema: Schema) -> list[tuple[str, Resource[Any]]]:
        """Return the JSON Schemas that a schema refers to."""
        parts = []
        for name, part in self._references(schema):
            content = _content(part)
            resource = Resource.from_contents(content, default_specification=DRAFT7)
            parts += [(name, resource), *self._parts(part)]
        return parts


def _content(schema: Schema) -> Any:
    return json.loads(schema.schema_str or "null")


def _schema_id(data: bytes) -> int:
    """Return the id of a record's schema.

    Raises:
        UnmappableError: the record does not begin with one.
    """
    if len(data) < _FRAME.size or data[0] != 0:
        raise UnmappableError(
            f"it does not begin with the id of a schema, but with {data[:5].hex(' ') or 'nothing'}"
        )
    schema_id: int = _FRAME.unpack_from(data)[1]
    return schema_id


def _avro_in(path: Path) -> Any:
    """Return the Avro schema in a file.

    Raises:
        MappingError: there is none.
    """
    try:
        return fastavro.parse_schema(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise MappingError(f"schema {path}: {error.strerror}: name a readable file") from None
    except Exception as error:  # noqa: BLE001 (whatever a malformed schema leads to)
        raise MappingError(f"schema {path} is not one of Avro's: {error}") from None
