"""Reads records whose schemas are in a Schema Registry.

Such a record begins with a zero byte and the id of its schema, as Confluent's serializers write it.
confluent-kafka's client fetches the schemas. Its deserializers are not used: they prepare a schema
for each record again, which takes longer than reading the record. `avro`, `json_schema` and
`protobuf` read the rest of a record by its schema.
"""

import json
import struct
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from producers.adapt.fields import UnmappableError
from producers.adapt.mapping import MappingError

FRAME: Final = struct.Struct(">bI")
_HIGHEST_ID: Final = 2**31 - 1
"""A registry answers a higher one as it does a wrong address."""
_NOT_FOUND: Final = (40402, 40403)
"""Confluent's codes: no such version, no such schema. Any other 404 is not about the schema: the
address of the registry may be wrong."""

Read = Callable[[bytes], Any]


class RegistryError(RuntimeError):
    """The registry does not answer, or refuses; the records are not at fault."""


class Registry:
    """The schemas of a registry."""

    def __init__(self, client: SchemaRegistryClient | None) -> None:
        """Take the client; None if no registry is set."""
        self._client = client

    @property
    def is_set(self) -> bool:
        """Whether there is a registry."""
        return self._client is not None

    def framed(self, read_as: Callable[[Schema], Read], form: str | None = None) -> Read:
        """Return a function that reads a record by the schema that it names.

        The function raises `UnmappableError` and `RegistryError`.

        Args:
            read_as: returns what reads the rest of a record, by its schema.
            form: in which the registry is to give a schema; none: as it was registered.

        Raises:
            MappingError: no registry is set.
        """
        if self._client is None:
            raise MappingError("no registry is set: name its address as SCHEMA_REGISTRY_URL")
        known: dict[int, Read] = {}

        def read(data: bytes) -> Any:
            schema_id = schema_id_in(data)
            found = known.get(schema_id)
            if found is None:
                found = known[schema_id] = read_as(self._schema(schema_id, form))
            return found(data[FRAME.size :])

        return read

    def references(self, schema: Schema, form: str | None = None) -> list[tuple[str, Schema]]:
        """Return the names of the schemas that a schema refers to, and these."""
        return [
            (
                str(its.name),
                self._fetched(
                    lambda client, its=its: (
                        client.get_version(  # type: ignore[misc]
                            its.subject, its.version, deleted=True, fmt=form
                        ).schema
                    ),
                    f"version {its.version} of {its.subject}",
                ),
            )
            for its in schema.references or ()
        ]

    def _schema(self, schema_id: int, form: str | None) -> Schema:
        return self._fetched(
            lambda client: client.get_schema(schema_id, fmt=form), f"schema {schema_id}"
        )

    def _fetched(self, fetch: Callable[[SchemaRegistryClient], Schema], what: str) -> Schema:
        """Return what the registry answers.

        Raises:
            UnmappableError: it has no such schema.
            RegistryError: it does not answer, or refuses.
        """
        assert self._client is not None  # noqa: S101 (`framed` has checked it)
        try:
            return fetch(self._client)
        except SchemaRegistryError as error:
            if error.error_code in _NOT_FOUND:
                raise UnmappableError(f"the registry has no {what}") from None
            raise RegistryError(f"no {what}: {error}") from error
        except Exception as error:
            # Errors of its HTTP client and of its token endpoint, which have no common type.
            raise RegistryError(f"no {what}: {type(error).__name__}: {error}") from error


def content_of(schema: Schema) -> Any:
    """Return a schema that is JSON, decoded."""
    return json.loads(schema.schema_str or "null")


def schema_id_in(data: bytes) -> int:
    """Return the id of a record's schema.

    Raises:
        UnmappableError: the record does not begin with one.
    """
    if len(data) < FRAME.size or data[0] != 0:
        raise UnmappableError(
            f"it does not begin with the id of a schema, but with {data[:5].hex(' ') or 'nothing'}"
        )
    schema_id: int = FRAME.unpack_from(data)[1]
    if schema_id > _HIGHEST_ID:
        raise UnmappableError(f"the registry has no schema {schema_id}")
    return schema_id
