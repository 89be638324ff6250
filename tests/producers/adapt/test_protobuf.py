"""Protobuf by the schemas of a real Schema Registry, or by descriptors in a file."""

import base64
from pathlib import Path

import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from producers.adapt.fields import UnmappableError
from producers.adapt.protobuf import protobuf_reader
from producers.adapt.registry import Registry

from . import formats

pytestmark = pytest.mark.slow

TICK = {"sym": "AAPL", "bid": 15.4, "ask": 15.5, "at": 1795731420}
NAME = "shop.Tick"


def described(folder: Path) -> Path:
    path = folder / "shop.desc"
    path.write_bytes(formats.descriptors().SerializeToString())
    return path


def serialized(file: FileDescriptorProto) -> str:
    return base64.b64encode(file.SerializeToString()).decode()


@pytest.mark.parametrize("described_in", ["the registry", "a file"])
def test_a_record_is_read_by_the_schema_that_it_names_and_one_of_another_message_is_bad(
    client: SchemaRegistryClient, tmp_path: Path, described_in: str
) -> None:
    path = described(tmp_path) if described_in == "a file" else None
    decode = protobuf_reader(Registry(client), path, NAME)
    assert decode(formats.protobuf("Tick", "ticks", client)(TICK)) == TICK
    order = {"customer": 17, "sym": "AAPL", "side": "BUY", "at": 5}
    with pytest.raises(UnmappableError, match=r"its message is shop.Order, not shop.Tick"):
        decode(formats.protobuf("Order", "ticks", client)(order))
    with pytest.raises(UnmappableError, match=r"its schema is one of AVRO, not of PROTOBUF"):
        decode(formats.avro("Tick", "avro-ticks", client)(TICK))


def test_a_schema_may_import_others_and_what_everyone_has(
    client: SchemaRegistryClient, tmp_path: Path
) -> None:
    imports = ["price.proto", "google/protobuf/timestamp.proto"]
    price, whole = FileDescriptorProto(name=imports[0]), FileDescriptorProto(dependency=imports)
    of = {"label": FieldDescriptorProto.LABEL_OPTIONAL, "type": FieldDescriptorProto.TYPE_MESSAGE}
    double = {**of, "type": FieldDescriptorProto.TYPE_DOUBLE}
    price.message_type.add(name="Price").field.add(name="bid", number=1, **double)
    fields = whole.message_type.add(name="Outer").nested_type.add(name="Tick").field
    fields.add(name="price", number=1, type_name=".Price", **of)
    fields.add(name="at", number=2, type_name=".google.protobuf.Timestamp", **of)
    client.register_schema("price-proto", Schema(serialized(price), "PROTOBUF"))
    names = [SchemaReference(imports[0], "price-proto", 1)]
    id_ = client.register_schema("tick-proto", Schema(serialized(whole), "PROTOBUF", names))
    data = (
        b"\0" + id_.to_bytes(4, "big") + bytes.fromhex("040000 0a09 09 000000000000f03f 1202 0805")
    )
    assert protobuf_reader(Registry(client), None, "Outer.Tick")(data) == {
        "price": {"bid": 1.0},
        "at": 5_000,
    }


def test_where_the_registry_has_only_text_the_file_is_used_or_asked_for(
    client: SchemaRegistryClient, tmp_path: Path
) -> None:
    text = 'syntax = "proto3"; package shop; message Tick { string sym = 1; }'
    id_ = client.register_schema("text-proto", Schema(text, "PROTOBUF"))
    data = b"\0" + id_.to_bytes(4, "big") + b"\0\n\1A"
    found = protobuf_reader(Registry(client), described(tmp_path), NAME)(data)
    assert found == {"sym": "A", "bid": 0, "ask": 0, "at": 0}
    with pytest.raises(UnmappableError, match="name its descriptors as `schema`"):
        protobuf_reader(Registry(client), None, NAME)(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it ends before its message begins"),
        (b"\2", "it ends before its message begins"),
        (b"\2\xff", "it ends before its message begins"),
        (b"\1x", "it has -1 numbers of a place in its schema"),
        # A number of any length would take time that grows with its square.
        (b"\xff" * 1_000_000, "a number of its place in its schema is too long"),
        (b"\2\4x", "its schema has no message at 2"),
        (b"\2\1x", "its schema has no message at -1"),
    ],
)
def test_bytes_that_name_no_message_is_a_bad_record(
    client: SchemaRegistryClient, tmp_path: Path, data: bytes, reason: str
) -> None:
    its_id = formats.protobuf("Tick", "ticks", client)(TICK)[:5]
    with pytest.raises(UnmappableError, match=reason):
        protobuf_reader(Registry(client), None, NAME)(its_id + data)
