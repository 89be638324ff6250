"""Records of a company, in each format, as its own programs would write them."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Row = Mapping[str, Any]
Write = Callable[[Row], bytes]

PROTO: Final = "shop.proto"
_BY_TOPIC: Final = {"subject.name.strategy.type": "TOPIC"}
_FIELDS: Final[Mapping[str, Mapping[str, str]]] = {
    "Tick": {"sym": "string", "bid": "double", "ask": "double", "at": "long"},
    "Order": {"customer": "long", "sym": "string", "side": "string", "at": "long"},
}


def avro(kind: str, topic: str, client: SchemaRegistryClient) -> Write:
    """Return a function that writes Avro."""
    fields = [{"name": name, "type": of} for name, of in _FIELDS[kind].items()]
    schema = json.dumps({"type": "record", "name": kind, "namespace": "shop", "fields": fields})
    write = AvroSerializer(client, schema, conf=_BY_TOPIC)
    return lambda row: write(dict(row), SerializationContext(topic, MessageField.VALUE))


def json_schema(kind: str, topic: str, client: SchemaRegistryClient) -> Write:
    """Return a function that writes JSON of a JSON Schema."""
    # jsonschema makes a parser of URIs at its import: three quarters of a second.
    from confluent_kafka.schema_registry.json_schema import JSONSerializer

    names = {"string": "string", "double": "number", "long": "integer"}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": kind,
        "type": "object",
        "properties": {name: {"type": names[of]} for name, of in _FIELDS[kind].items()},
        "required": [*_FIELDS[kind]],
    }
    write = JSONSerializer(json.dumps(schema), client, conf=_BY_TOPIC)
    return lambda row: write(dict(row), SerializationContext(topic, MessageField.VALUE))


def protobuf(kind: str, topic: str, client: SchemaRegistryClient) -> Write:
    """Return a function that writes Protobuf."""
    pool = DescriptorPool()
    for file in descriptors().file:
        pool.Add(file)
    message = GetMessageClass(pool.FindMessageTypeByName(f"shop.{kind}"))
    write = ProtobufSerializer(message, client, {**_BY_TOPIC, "use.deprecated.format": False})
    return lambda row: write(message(**row), SerializationContext(topic, MessageField.VALUE))


def descriptors() -> FileDescriptorSet:
    """Return what protoc would write of the company's messages."""
    file = FileDescriptorProto(name=PROTO, package="shop", syntax="proto3")
    types = {
        "string": FieldDescriptorProto.TYPE_STRING,
        "double": FieldDescriptorProto.TYPE_DOUBLE,
        "long": FieldDescriptorProto.TYPE_INT64,
    }
    for kind, fields in _FIELDS.items():
        message = file.message_type.add(name=kind)
        for number, (name, of) in enumerate(fields.items(), start=1):
            message.field.add(
                name=name,
                number=number,
                type=types[of],
                label=FieldDescriptorProto.LABEL_OPTIONAL,
            )
    return FileDescriptorSet(file=[file])
