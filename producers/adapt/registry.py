"""Reads records whose schemas are in a Schema Registry.

Such a record begins with a zero byte and the id of its schema, as Confluent's serializers write it.
confluent-kafka's client fetches the schemas. Its deserializers are not used: they prepare a schema
for each record again, which takes longer than reading the record. `avro` and `protobuf` read the
rest of a record by its schema.
"""

import json
import struct
import time
from collections.abc import Callable
from functools import lru_cache
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

_SCHEMAS_KEPT: Final = 1_000
"""As confluent-kafka's client does."""
_USELESS_FOR_S: Final = 1.0
"""Else each record would ask for such a schema: a batch may take longer than the group waits."""

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

        The function raises `UnmappableError` and `RegistryError`; `read_as` returns what reads the
        rest of a record by its schema, which the registry gives in a form (none: as registered).

        Raises:
            MappingError: no registry is set.
        """
        if self._client is None:
            raise MappingError("no registry is set: name its address as SCHEMA_REGISTRY_URL")
        useless: dict[int, tuple[float, str]] = {}
        """id -> until when its schema counts as missing or unreadable, and why"""

        @lru_cache(_SCHEMAS_KEPT)
        def reader(schema_id: int) -> Read:
            until_s, reason = useless.get(schema_id, (0.0, ""))
            if time.monotonic() < until_s:
                raise UnmappableError(reason)
            try:
                return read_as(self._schema(schema_id, form))
            except RegistryError:
                raise
            except Exception as error:  # whatever a malformed schema leads to
                if len(useless) >= _SCHEMAS_KEPT:
                    useless.clear()
                useless[schema_id] = time.monotonic() + _USELESS_FOR_S, reason_of(error)
                raise

        return lambda data: reader(schema_id_in(data))(data[FRAME.size :])

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


def reason_of(error: Exception) -> str:
    """Return why something cannot be read."""
    return str(error) or type(error).__name__


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
