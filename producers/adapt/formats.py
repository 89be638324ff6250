"""Decodes keys and values of records, by the formats that a mapping names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from producers.adapt.avro import avro_reader
from producers.adapt.fields import UnmappableError
from producers.adapt.mapping import KEY, Format, MappingError, Source
from producers.adapt.protobuf import protobuf_reader
from producers.adapt.registry import FRAME, Registry, RegistryError, reason_of, schema_id_in

Decode = Callable[[bytes | None], Any]
_REASON_MOST = 300


class Decoders(NamedTuple):
    """The decoders of a source; without bytes there is None."""

    key: Decode
    value: Decode


def decoders(source: Source, folder: Path, registry: Registry) -> Decoders:
    """Return the decoders of a source, which raise `UnmappableError` and `RegistryError`.

    Its paths are relative to the folder.

    Raises:
        MappingError: a schema cannot be read, or no registry is set.
    """
    try:
        schema = folder / source.schema if source.schema is not None else None
        if source.message is not None:
            value = protobuf_reader(registry, schema, source.message)
        else:
            value = _decoder(source.format, registry, schema)
        reads_key = any(path.split(".")[0] == KEY for path in source.paths)
        key = _checked(_decoder(source.key_format, registry), "key") if reads_key else _nothing
    except MappingError as error:
        raise MappingError(f"topic {source.topic}: {error}") from None
    return Decoders(key, _checked(value, "value"))


def _decoder(
    name: Literal["text"] | Format, registry: Registry, schema: Path | None = None
) -> Callable[[bytes], Any]:
    if name == "text":
        return lambda data: data.decode()
    if name == "json":
        return msgspec.json.decode
    return avro_reader(registry, schema) if name == "avro" else _json_after_id


def _json_after_id(data: bytes) -> Any:
    """Return the JSON of a record that names a JSON Schema, which is not read."""
    schema_id_in(data)
    return msgspec.json.decode(data[FRAME.size :])


def _checked(decode: Callable[[bytes], Any], what: str) -> Decode:
    """Return a decoder that takes None, and says of which part an error is."""

    def checked(data: bytes | None) -> Any:
        if data is None:
            return None
        try:
            return decode(data)
        except RegistryError:
            raise
        except Exception as error:  # noqa: BLE001 (bytes of another format lead to any)
            reason = reason_of(error)[:_REASON_MOST]
            raise UnmappableError(f"the {what} cannot be decoded: {reason}") from None

    return checked


def _nothing(_: bytes | None) -> None:
    """Stand in for a key that no rule reads."""
