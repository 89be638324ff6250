"""Decodes Protobuf records framed as Confluent's serializers do it, by descriptors in a file."""

from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from producers.adapt.mapping import MappingError

_TIMESTAMP: Final = Timestamp.DESCRIPTOR.full_name
Convert = Callable[[Any], Any]


def protobuf_decoder(path: Path, name: str) -> Callable[[bytes], Any]:
    """Return a function from a record's value to the fields of its message, by name.

    A field without a value is left out if its presence is known, as that of an `optional` one;
    otherwise it has its default. Enums are names, `google.protobuf.Timestamp` is a datetime.

    Args:
        path: of the descriptors, as `protoc --include_imports --descriptor_set_out` writes them.
        name: of the message, with its package.

    Raises:
        MappingError: the file cannot be read, or does not describe such a message.
    """
    kind = GetMessageClass(_descriptor(path, name))
    deserialize = ProtobufDeserializer(kind, {"use.deprecated.format": False})
    convert = _message_converter(kind.DESCRIPTOR, {})
    return lambda data: convert(deserialize(data, None))


def _descriptor(path: Path, name: str) -> Descriptor:
    """Return the descriptor of a message.

    Raises:
        MappingError: there is none.
    """
    pool = DescriptorPool()
    try:
        for file in FileDescriptorSet.FromString(path.read_bytes()).file:
            pool.Add(file)
        return pool.FindMessageTypeByName(name)
    except OSError as error:
        raise MappingError(f"schema {path}: {error.strerror}: name a readable file") from None
    except (DecodeError, TypeError) as error:
        raise MappingError(f"schema {path} has no descriptors in it: {error}") from None
    except KeyError:
        raise MappingError(f"schema {path} does not describe the message {name}") from None


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
