"""Reads Protobuf, by the schema that a record names, or by descriptors in a file.

After the id of its schema, a record has the place of its message in the schema: how many numbers
follow, and each number, the index of a message within the one before. Zero stands for one number,
zero: the first message of the file. All are varints, zigzag-encoded.
"""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from confluent_kafka.schema_registry import Schema
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError

from producers.adapt.descriptors import described, in_pool, parser
from producers.adapt.fields import UnmappableError
from producers.adapt.registry import FRAME, Read, Registry, schema_id_in

_SERIALIZED: Final = "serialized"
"""What the registry calls descriptors, instead of the text of a .proto file."""
_LONGEST_SHIFT: Final = 28
"""Of numbers with 32 bits. Longer ones take time that grows with the square of their length."""


class _TextOnlyError(UnmappableError):
    """The registry gives the text of a .proto file, which nothing here compiles."""


def protobuf_reader(registry: Registry, path: Path | None, name: str) -> Read:
    """Return a function from a record's value to the fields of its message, by name.

    With a registry, it raises `UnmappableError` for a record of another message, and reads a record
    by the schema that it names, or by that in the file if there is one.

    Args:
        registry: of the schemas.
        path: of descriptors, as `protoc --include_imports --descriptor_set_out` writes them.
        name: of the message, with its package.

    Raises:
        MappingError: the file cannot be read, or does not describe such a message; or there is
            neither a file nor a registry.
    """
    own = None if path is None else parser(described(path, name))
    if not registry.is_set and own is not None:
        read_own = _unchecked(own)

        def skip_id(data: bytes) -> Any:
            schema_id_in(data)
            return read_own(data[FRAME.size :])

        return skip_id

    def read_as(schema: Schema) -> Read:
        if schema.schema_type != "PROTOBUF":
            raise UnmappableError(f"its schema is one of {schema.schema_type}, not of PROTOBUF")
        try:
            files = _files(registry, schema)
        except _TextOnlyError:
            if own is None:
                raise
            return _unchecked(own)
        known: dict[tuple[int, ...], Read] = {}

        def read(data: bytes) -> Any:
            place, end = _place(data, 0)
            found = known.get(place)
            if found is None:
                written = _message_at(files[-1], place)
                if written != name:
                    raise UnmappableError(f"its message is {written}, not {name}")
                found = known[place] = own or parser(in_pool(files, name))
            return found(data[end:])

        return read

    return registry.framed(read_as, _SERIALIZED)


def _unchecked(parse: Read) -> Read:
    return lambda data: parse(data[_place(data, 0)[1] :])


def _place(data: bytes, start: int) -> tuple[tuple[int, ...], int]:
    """Return the place of a record's message in its schema, and where the message begins.

    >>> _place(bytes([0, 8]), 0)
    ((0,), 1)
    >>> _place(bytes([4, 2, 0, 8]), 0)
    ((1, 0), 3)

    Raises:
        UnmappableError: it is cut off, or is none.
    """
    try:
        n, end = _varint(data, start)
        if n < 0:
            raise UnmappableError(f"it has {n} numbers of a place in its schema")
        place = []
        for _ in range(n):
            index, end = _varint(data, end)
            place.append(index)
    except IndexError:
        raise UnmappableError("it ends before its message begins") from None
    return tuple(place) or (0,), end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while data[at] & 0x80:
        if shift >= _LONGEST_SHIFT:
            raise UnmappableError("a number of its place in its schema is too long")
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    value |= data[at] << shift
    return (value >> 1) ^ -(value & 1), at + 1


def _files(registry: Registry, schema: Schema) -> list[FileDescriptorProto]:
    """Return the files that a schema refers to, each after those that it imports, and its own.

    Raises:
        _TextOnlyError: the registry gives only text.
    """
    files: dict[str, FileDescriptorProto] = {}

    def add(name: str, its: Schema) -> None:
        for imported, part in registry.references(its, _SERIALIZED):
            if imported not in files:
                add(imported, part)
        files[name] = _file(name, its)

    # The schemas that import a file name it; nothing imports this one.
    add("", schema)
    return [*files.values()]


def _file(name: str, schema: Schema) -> FileDescriptorProto:
    try:
        file = FileDescriptorProto.FromString(
            base64.b64decode(schema.schema_str or "", validate=True)
        )
    except (ValueError, DecodeError):
        raise _TextOnlyError(
            "the registry gives a Protobuf schema as text, although asked for `format=serialized`: "
            "name its descriptors as `schema`"
        ) from None
    file.name = name or file.name or "schema.proto"
    return file


def _message_at(file: FileDescriptorProto, place: Sequence[int]) -> str:
    """Return the full name of a message.

    Raises:
        UnmappableError: there is none.
    """
    names = [file.package] if file.package else []
    kinds: Sequence[DescriptorProto] = file.message_type
    for index in place:
        if not 0 <= index < len(kinds):
            raise UnmappableError(f"its schema has no message at {'.'.join(map(str, place))}")
        names.append(kinds[index].name)
        kinds = kinds[index].nested_type
    return ".".join(names)
