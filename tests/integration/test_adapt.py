"""A company's own topics, in each format, become bars and recommendations."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES, dead_letters
from infra.local.maven import NoJarsError
from infra.local.process import free_port, running
from tests.integration.conftest import Pipeline
from tests.patience import eventually
from tests.producers.adapt import formats
from tests.producers.adapt.conftest import Company
from tests.registry.server import registry

pytestmark = [pytest.mark.kafka_only, pytest.mark.slow]

BASE_S: Final = 1_700_000_040
TICKS: Final = 5
USERS: Final = 3
WRITERS: Final = {
    "json": formats.plain_json,
    "avro": formats.avro,
    "protobuf": formats.protobuf,
    "json-schema": formats.json_schema,
    "debezium": formats.debezium,
}
"""Instrument n has ticks, and users, in the n-th format."""
SYMBOLS: Final = [name.upper() for name in WRITERS]
PRODUCTS: Final = """
[[sources]]
topic = "{topic}"
into = "instruments"
envelope = "debezium"
example = '{{"before": null, "after": {{"id": 0, "sym": "JSON"}}, "op": "c"}}'
[sources.fields]
instrument_id = "id"
symbol = "sym"
name = "sym"
"""
OF_TICKS: Final = """
[[sources]]
topic = "{topic}"
into = "quotes"
example = '{example}'
{format}
[sources.fields]
instrument_id.symbol = "sym"
price.mean = ["bid", "ask"]
ts = {{ path = "at", unit = "s" }}
"""
OF_ORDERS: Final = """
[[sources]]
topic = "{topic}"
into = "interactions"
example = '{example}'
{format}
[sources.fields]
user_id = "customer"
instrument_id.symbol = "sym"
event = {{ path = "side", values = {{ BUY = "trade", LOOK = "view" }} }}
ts = {{ path = "at", unit = "s" }}
"""


@pytest.fixture
def company(pipeline: Pipeline, tmp_path: Path) -> Iterator[Company]:
    """A company with a Schema Registry."""
    company = Company(pipeline.broker, tmp_path)
    try:
        server = registry(free_port(), tmp_path)
    except NoJarsError as error:
        pytest.skip(str(error))
    with running(server):
        company.settings["SCHEMA_REGISTRY_URL"] = server.address
        yield company
    company.delete_topics()


def ticks(n: int) -> list[dict[str, Any]]:
    low = 10 * (n + 1)
    return [
        {"sym": SYMBOLS[n], "bid": low + k, "ask": low + k + 1.0, "at": BASE_S + k}
        for k in range(TICKS)
    ]


def orders(n: int) -> list[dict[str, Any]]:
    """Each user of a format trades its instrument and the next one; the first only its own."""
    both = SYMBOLS[n], SYMBOLS[(n + 1) % len(SYMBOLS)]
    return [
        {"customer": 10 * n + user, "sym": symbol, "side": "BUY", "at": BASE_S + user}
        for user in range(USERS)
        for symbol in (both if user else both[:1])
    ]


def format_of(name: str) -> str:
    if name == "debezium":
        return 'envelope = "debezium"'
    more = '\nschema = "shop.desc"\nmessage = "shop.{kind}"' if name == "protobuf" else ""
    return f'format = "{name}"{more}'


def publish_all(company: Company) -> None:
    """Publish instruments, and once they are known, ticks and orders in each format."""
    client = SchemaRegistryClient({"url": company.settings["SCHEMA_REGISTRY_URL"]})
    (company.folder / "shop.desc").write_bytes(formats.descriptors().SerializeToString())
    products = company.topic("products")
    mapping = [PRODUCTS.format(topic=products)]
    records = {}
    for n, (name, writer) in enumerate(WRITERS.items()):
        for kind, rows, text in (("Tick", ticks(n), OF_TICKS), ("Order", orders(n), OF_ORDERS)):
            topic = company.topic(f"{kind}-{name}")
            write = writer(kind, topic, client)
            records[topic] = [(row["sym"].encode(), write(row)) for row in rows]
            example = json.dumps(formats.changed(rows[0]) if name == "debezium" else rows[0])
            of = format_of(name).format(kind=kind)
            mapping.append(text.format(topic=topic, example=example, format=of))
    company.map("".join(mapping))
    with company.copies("one", "two"):
        write = formats.debezium("Product", products, client)
        company.publish(
            products,
            [(None, write({"id": n, "sym": symbol})) for n, symbol in enumerate(SYMBOLS)],
        )
        company.wait_until_read()
        for topic, its in records.items():
            company.publish(topic, its)
        company.wait_until_read()


def test_each_format_becomes_bars_and_recommendations(pipeline: Pipeline, company: Company) -> None:
    publish_all(company)
    for topic in (QUOTES, INTERACTIONS, INSTRUMENTS):
        assert company.values(dead_letters(topic).name) == []
    with pipeline.worker():
        pipeline.wait_until_folded()
        pipeline.run("trainer", "once")
        with pipeline.api() as address:
            for n, symbol in enumerate(SYMBOLS):
                start = f"start={BASE_S * 1000}&end={(BASE_S + 60) * 1000}"
                found = httpx.get(f"{address}/v1/instruments/{symbol}/bars?{start}").json()["bars"]
                low = 10 * (n + 1) + 0.5
                assert [(bar["o"], bar["h"], bar["l"], bar["c"], bar["n"]) for bar in found] == [
                    (low, low + TICKS - 1, low, low + TICKS - 1, TICKS)
                ], symbol
                eventually(lambda n=n: recommends_next(address, n), f"{symbol} leads to the next")


def recommends_next(address: str, n: int) -> bool:
    """Whether the user with the n-th instrument only is recommended the next one."""
    body = httpx.get(f"{address}/v1/users/{10 * n}/recommendations").raise_for_status().json()
    ids = {item["instrument_id"] for item in body["items"]}
    return body["source"] != "popular" and (n + 1) % len(SYMBOLS) in ids
