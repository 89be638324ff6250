"""Schemas of a real Schema Registry: how records are read as their schemas change."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
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

from infra.local.process import Server, free_port
from producers.adapt.fields import EpochMs, UnmappableError
from producers.adapt.formats import decoders
from producers.adapt.mapping import Source
from producers.adapt.protobuf import protobuf_reader
from producers.adapt.registry import Registry, RegistryError
from producers.adapt.settings import AdaptSettings
from runtime.settings import read_settings
from tests.http_server import Handler, serving

pytestmark = pytest.mark.slow

TICK = {"sym": "AAPL", "bid": 15.4, "ask": 15.5, "at": 1795731420}
CONTEXT = SerializationContext("ticks", MessageField.VALUE)


def record(*fields: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Tick",
        "namespace": "shop",
        "fields": [{"name": name, "type": of, **more.get(name, {})} for name, of in fields],
    }


def avro_bytes(client: SchemaRegistryClient, schema: dict[str, Any], row: dict[str, Any]) -> bytes:
    conf = {"subject.name.strategy": lambda ctx, name: f"evolved-{len(schema['fields'])}-{name}"}
    return AvroSerializer(client, json.dumps(schema), conf=conf)(row, CONTEXT)


def framed(id_: int, data: bytes = b"") -> bytes:
    return b"\0" + id_.to_bytes(4, "big") + data


def read(
    client: SchemaRegistryClient | None, folder: Path, format_: str, schema: Any = None
) -> Callable[[bytes], Any]:
    more = {}
    if schema is not None:
        (folder / "tick.avsc").write_text(json.dumps(schema))
        more["schema"] = "tick.avsc"
    fields = {"instrument_id": "id", "price": "bid", "ts": "at"}
    source = Source(topic="t", into="quotes", fields=fields, example="{}", format=format_, **more)
    return decoders(source, folder, Registry(client)).value


OLD = [("ticker", "string"), ("bid", "double"), ("at", "long")]
READER = record(
    *(("sym", "string"), ("bid", "double"), ("at", "long"), ("venue", "string")),
    sym={"aliases": ["ticker"]},
    venue={"default": "NASDAQ"},
)


def test_with_a_schema_to_read_with_renamed_new_and_missing_fields_are_resolved(
    client: SchemaRegistryClient, tmp_path: Path
) -> None:
    decode = read(client, tmp_path, "avro", READER)
    old = {"ticker": "AAPL", "bid": 15.4, "at": 5}
    expected = {"sym": "AAPL", "bid": 15.4, "at": 5, "venue": "NASDAQ"}
    assert decode(avro_bytes(client, record(*OLD), old)) == expected
    # A field that the reader does not know is left out, and a number may become wider.
    newer = record(
        ("ticker", "string"), ("bid", "float"), ("at", "int"), ("lot", "int"), ("x", "int")
    )
    row = {"ticker": "AAPL", "bid": 15.5, "at": 5, "lot": 100, "x": 1}
    assert decode(avro_bytes(client, newer, row)) == {**expected, "bid": 15.5}


@pytest.mark.parametrize("kind", ["timestamp", "local-timestamp"])
@pytest.mark.parametrize(("unit", "per_ms"), [("millis", 1), ("micros", 10**3), ("nanos", 10**6)])
def test_a_time_is_read_by_its_type_and_one_that_nothing_maps_may_be_infinite(
    client: SchemaRegistryClient, tmp_path: Path, kind: str, unit: str, per_ms: int
) -> None:
    names = {"at": f"{kind}-{unit}", "until": f"{kind}-{unit}", "day": "date"}
    stored = {"at": "long", "until": "long", "day": "int"}
    types = {name: {"type": stored[name], "logicalType": names[name]} for name in names}
    schema = Schema(json.dumps(record(*types.items())), "AVRO")
    id_ = client.register_schema(f"times-{kind}-{unit}", schema)
    row = {"at": 1795731420123 * per_ms, "until": 2**63 - 1, "day": 2**31 - 1}
    written = io.BytesIO()
    fastavro.schemaless_writer(written, fastavro.parse_schema(record(*stored.items())), row)
    found = read(client, tmp_path, "avro")(framed(id_, written.getvalue()))
    assert found == {"at": 1795731420123, "until": (2**63 - 1) // per_ms, "day": 2**31 - 1}
    assert isinstance(found["at"], EpochMs)


@pytest.mark.parametrize("way", ["itself", "referred to"])
def test_a_record_that_is_nested_too_deep_is_a_bad_one_and_does_not_end_the_process(
    client: SchemaRegistryClient, tmp_path: Path, way: str
) -> None:
    node = {**record(("n", "int"), ("next", ["null", "shop.Tick"])), "namespace": "shop"}
    subject = f"nested-{way[:3]}"
    id_ = client.register_schema(f"{subject}-node", Schema(json.dumps(node), "AVRO"))
    if way == "referred to":
        whole = {"type": "record", "name": "W", "fields": [{"name": "list", "type": "shop.Tick"}]}
        references = [SchemaReference("shop.Tick", f"{subject}-node", 1)]
        id_ = client.register_schema(subject, Schema(json.dumps(whole), "AVRO", references))
    decode = read(client, tmp_path, "avro")
    found = decode(framed(id_, b"\2\2" * 9 + b"\2\0"))
    assert "'next': {'n': 1, 'next': {'n': 1, 'next': None}" in str(found)
    with pytest.raises(UnmappableError, match="recursion"):
        decode(framed(id_, b"\2\2" * 100_000 + b"\2\0"))


def test_json_of_a_schema_is_read_without_the_registry(tmp_path: Path) -> None:
    decode = read(None, tmp_path, "json-schema")
    good = b"\0\0\0\0\1" + json.dumps(TICK).encode()
    assert decode(good) == TICK
    with pytest.raises(UnmappableError, match="the value cannot be decoded: JSON is malformed"):
        decode(good.replace(b"15.4", b"NaN"))
    with pytest.raises(UnmappableError, match="begin with the id of a schema, but with 7b"):
        decode(good[5:])


def test_a_missing_schema_is_not_asked_for_by_each_record_that_names_it(tmp_path: Path) -> None:
    """A batch without schemas would otherwise take longer than a member of the group may."""
    asked: list[str] = []

    class Empty(Handler):
        def answer(self) -> None:
            asked.append(self.path)
            body = {"error_code": 40403, "message": "Schema not found"}
            self.send(404, json.dumps(body).encode(), Content_Type="application/json")

    with serving(Empty) as address:
        decode = read(SchemaRegistryClient({"url": f"http://{address}"}), tmp_path, "avro")
        for _ in range(50):
            with pytest.raises(UnmappableError, match="the registry has no schema 7"):
                decode(b"\0\0\0\0\7x")
    assert len(asked) < 10


def test_bytes_that_name_no_schema_are_bad_records_but_a_registry_that_is_away_is_not_their_fault(
    server: Server, client: SchemaRegistryClient, tmp_path: Path
) -> None:
    decode = read(client, tmp_path, "avro")
    with pytest.raises(
        UnmappableError, match="does not begin with the id of a schema, but with 7b"
    ):
        decode(b'{"sym": "AAPL"}')
    for id_ in (2**31 - 1, 2**31, 2**32 - 1):
        with pytest.raises(UnmappableError, match=f"the registry has no schema {id_}"):
            decode(framed(id_, b"12"))
    elsewhere = SchemaRegistryClient({"url": f"{server.address}/elsewhere", "max.retries": 0})
    with pytest.raises(RegistryError, match=r"no schema 1: .*404"):
        read(elsewhere, tmp_path, "avro")(b"\0\0\0\0\1x")
    away = SchemaRegistryClient({"url": f"http://127.0.0.1:{free_port()}", "max.retries": 0})
    with pytest.raises(RegistryError, match="no schema 1: ConnectError"):
        read(away, tmp_path, "avro")(b"\0\0\0\0\1x")


def test_the_clients_settings_for_tls_a_certificate_and_a_login_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "some.pem"
    file.touch()
    given = {"url": "https://registry", "basic.auth.user.info": "reader:secret"}
    given |= dict.fromkeys(
        ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location"), str(file)
    )
    for name, value in given.items():
        monkeypatch.setenv(f"SCHEMA_REGISTRY_{name.replace('.', '_').upper()}", value)
    assert given.items() <= read_settings(AdaptSettings).schema_registry.client().items()


NAME = "shop.Tick"

SHOP = FileDescriptorProto(name="shop.proto", package="shop", syntax="proto3")
"""what protoc would write of a company's messages"""
for kind, names in (("Tick", TICK), ("Order", ("customer", "sym"))):
    message = SHOP.message_type.add(name=kind)
    for number, name in enumerate(names, start=1):
        of = {"sym": FieldDescriptorProto.TYPE_STRING, "at": FieldDescriptorProto.TYPE_INT64}
        message.field.add(
            name=name,
            number=number,
            type=of.get(name, FieldDescriptorProto.TYPE_DOUBLE),
            label=FieldDescriptorProto.LABEL_OPTIONAL,
        )


def described(folder: Path) -> Path:
    path = folder / "shop.desc"
    path.write_bytes(FileDescriptorSet(file=[SHOP]).SerializeToString())
    return path


def protobuf(kind: str, client: SchemaRegistryClient, row: dict[str, Any]) -> bytes:
    pool = DescriptorPool()
    pool.Add(SHOP)
    message = GetMessageClass(pool.FindMessageTypeByName(f"shop.{kind}"))
    conf = {"subject.name.strategy.type": "TOPIC", "use.deprecated.format": False}
    context = SerializationContext("shop", MessageField.VALUE)
    return bytes(ProtobufSerializer(message, client, conf)(message(**row), context))


@pytest.mark.parametrize("described_in", ["the registry", "a file"])
def test_a_record_is_read_by_the_schema_that_it_names_and_one_of_another_message_is_bad(
    client: SchemaRegistryClient, tmp_path: Path, described_in: str
) -> None:
    path = described(tmp_path) if described_in == "a file" else None
    decode = protobuf_reader(Registry(client), path, NAME)
    assert decode(protobuf("Tick", client, TICK)) == TICK
    order = {"customer": 17, "sym": "AAPL"}
    with pytest.raises(UnmappableError, match=r"its message is shop.Order, not shop.Tick"):
        decode(protobuf("Order", client, order))
    with pytest.raises(UnmappableError, match=r"its schema is one of AVRO, not of PROTOBUF"):
        decode(avro_bytes(client, record(("n", "int")), {"n": 1}))


def test_where_the_registry_has_only_text_the_file_is_used_or_asked_for(
    client: SchemaRegistryClient, tmp_path: Path
) -> None:
    text = 'syntax = "proto3"; package shop; message Tick { string sym = 1; }'
    id_ = client.register_schema("text-proto", Schema(text, "PROTOBUF"))
    data = framed(id_, b"\0\n\1A")
    found = protobuf_reader(Registry(client), described(tmp_path), NAME)(data)
    assert found == {"sym": "A", "bid": 0, "ask": 0, "at": 0}
    with pytest.raises(UnmappableError, match="name its descriptors as `schema`"):
        protobuf_reader(Registry(client), None, NAME)(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        *((data, "it ends before its message begins") for data in (b"", b"\2", b"\2\xff")),
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
    its_id = protobuf("Tick", client, TICK)[:5]
    with pytest.raises(UnmappableError, match=reason):
        protobuf_reader(Registry(client), None, NAME)(its_id + data)
