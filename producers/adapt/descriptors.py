"""Messages of Protobuf as dictionaries, by the descriptors of their files.

A field without a value is left out if its presence is known, as that of an `optional` one;
otherwise it has its default. Enums are names, `google.protobuf.Timestamp` is `EpochMs`.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from producers.adapt.fields import EpochMs
from producers.adapt.mapping import MappingError
from producers.adapt.registry import Read

_TIMESTAMP: Final = Timestamp.DESCRIPTOR.full_name
_BUILT_IN: Final = {"google/": "", "confluent/": "confluent_kafka.schema_registry."}
"""Beginnings of files that no schema refers to, as everyone has them -> packages with them."""
Convert = Callable[[Any], Any]


def described(path: Path, name: str) -> Descriptor:
    """Return the descriptor of a message that a file has.

    Raises:
        MappingError: it has none.
    """
    try:
        return in_pool(FileDescriptorSet.FromString(path.read_bytes()).file, name)
    except OSError as error:
        raise MappingError(f"schema {path}: {error.strerror}: name a readable file") from None
    except (DecodeError, TypeError) as error:
        raise MappingError(f"schema {path} has no descriptors in it: {error}") from None
    except KeyError:
        raise MappingError(f"schema {path} does not describe the message {name}") from None


def in_pool(files: Sequence[FileDescriptorProto], name: str) -> Descriptor:
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


def parser(kind: Descriptor) -> Read:
    """Return a function from a message's bytes to its fields, by name."""
    parse, convert = GetMessageClass(kind).FromString, _message_converter(kind, {})
    return lambda data: convert(parse(data))


def _message_converter(kind: Descriptor, known: dict[str, Convert]) -> Convert:
    """Return a function from a message to a dictionary."""
    if kind.full_name == _TIMESTAMP:
        return lambda its: EpochMs(its.seconds * 1_000 + its.nanos // 1_000_000)
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
