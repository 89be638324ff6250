"""Reads Protobuf, by the schema that a record names, or by descriptors in a file.

After the id of its schema, a record has the place of its message in the schema: how many numbers
follow, and each number, the index of a message within the one before. Zero stands for one number,
zero: the first message of the file. All are varints, zigzag-encoded.
"""

import base64
import importlib
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from confluent_kafka.schema_registry import Schema
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from producers.adapt.fields import UnmappableError
from producers.adapt.mapping import MappingError
from producers.adapt.registry import FRAME, Read, Registry, RegistryError, schema_id_in

_TIMESTAMP: Final = Timestamp.DESCRIPTOR.full_name
_SERIALIZED: Final = "serialized"
"""What the registry calls descriptors, instead of the text of a .proto file."""
_BUILT_IN: Final = {"google/": "", "confluent/": "confluent_kafka.schema_registry."}
"""Beginnings of files that no schema refers to, as everyone has them -> packages with them."""
_LONGEST_SHIFT: Final = 28
"""Of numbers with 32 bits. Longer ones take time that grows with the square of their length."""
Convert = Callable[[Any], Any]


class _TextOnlyError(RegistryError):
    """The registry gives the text of a .proto file, which nothing here compiles."""


def protobuf_reader(registry: Registry, path: Path | None, name: str) -> Read:
    """Return a function from a record's value to the fields of its message, by name.

    With a registry, it raises `UnmappableError` for a record of another message, and reads a record
    by the schema that it names, or by that in the file if there is one.

    A field without a value is left out if its presence is known, as that of an `optional` one;
    otherwise it has its default. Enums are names, `google.protobuf.Timestamp` is a datetime.

    Args:
        registry: of the schemas.
        path: of descriptors, as `protoc --include_imports --descriptor_set_out` writes them.
        name: of the message, with its package.

    Raises:
        MappingError: the file cannot be read, or does not describe such a message; or there is
            neither a file nor a registry.
    """
    own = None if path is None else _parser(_described(path, name))
    if not registry.is_set and own is not None:
        read_own = _unchecked(own)

        def skip_id(data: bytes) -> Any:
            schema_id_in(data)
            return read_own(data[FRAME.size :])

        return skip_id

    def read_as(schema: Schema) -> Read:
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
                found = known[place] = own or _parser(_in_pool(files, name))
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


def _described(path: Path, name: str) -> Descriptor:
    """Return the descriptor of a message that a file has.

    Raises:
        MappingError: it has none.
    """
    try:
        return _in_pool(FileDescriptorSet.FromString(path.read_bytes()).file, name)
    except OSError as error:
        raise MappingError(f"schema {path}: {error.strerror}: name a readable file") from None
    except (DecodeError, TypeError) as error:
        raise MappingError(f"schema {path} has no descriptors in it: {error}") from None
    except KeyError:
        raise MappingError(f"schema {path} does not describe the message {name}") from None


def _in_pool(files: Sequence[FileDescriptorProto], name: str) -> Descriptor:
    """Return the descriptor of a message.

    Raises:
        TypeError: an import is missing.
        KeyError: the files do not have the message.
    """
    pool = DescriptorPool()
    added: set[str] = set()

    def add(file: FileDescriptorProto) -> None:
        for imported in file.dependency:
            if imported not in added and (module := _module(imported)) is not None:
                add(FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))
        if file.name not in added:
            added.add(file.name)
            pool.Add(file)

    for file in files:
        add(file)
    return pool.FindMessageTypeByName(name)


def _module(file: str) -> Any:
    """Return the module of a file that everyone has, None if it is not one."""
    for start, package in _BUILT_IN.items():
        if file.startswith(start):
            try:
                return importlib.import_module(
                    package + file.removesuffix(".proto").replace("/", ".") + "_pb2"
                )
            except ImportError:
                return None
    return None


def _parser(kind: Descriptor) -> Read:
    parse, convert = GetMessageClass(kind).FromString, _message_converter(kind, {})
    return lambda data: convert(parse(data))


def _message_converter(kind: Descriptor, known: dict[str, Convert]) -> Convert:
    """Return a function from a message to a dictionary."""
    if kind.full_name == _TIMESTAMP:
        return lambda message: _datetime(message)
    fields: list[tuple[str, bool, Convert | None]] = []

    def convert(message: Message) -> dict[str, Any]:
        return {
            name: getattr(message, name) if change is None else change(getattr(message, name))
            for name, has_presence, change in fields
            if not has_presence or message.HasField(name)
        }

    known[kind.full_name] = convert  # before its fields: a message may contain its own kind
    fields += [(one.name, one.has_presence, _converter(one, known)) for one in kind.fields]
    return convert


def _converter(field: FieldDescriptor, known: dict[str, Convert]) -> Convert | None:
    """Return a function from the value of a field, None if that stays as it is."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = _converter(field.message_type.fields_by_name["value"], known) or _same
        return lambda values: {str(name): inner(value) for name, value in values.items()}
    change: Convert | None = None
    if field.message_type is not None:
        kind = field.message_type
        change = known.get(kind.full_name) or _message_converter(kind, known)
    elif field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        # A number without a name: the writer's schema is newer.
        change = lambda number: names.get(number, number)  # noqa: E731
    if field.is_repeated:
        of_each = change or _same
        return lambda values: [of_each(value) for value in values]
    return change


def _same(value: Any) -> Any:
    return value


def _datetime(message: Any) -> Any:
    return message.ToDatetime(tzinfo=UTC)
