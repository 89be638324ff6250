"""`python -m producers adapt` on a real broker: what is published, and what is rejected."""

import json

import httpx
import msgspec
import pytest

from contracts.instruments import Instrument, encode_instrument, instrument_key
from contracts.messages import Quote
from contracts.topics import INSTRUMENTS, QUOTES
from infra.local.metrics import parse
from infra.local.process import free_port, start, stop
from runtime.topology import Topology
from tests.integration.conftest import dead_letters
from tests.patience import PATIENCE_S, eventually

from .conftest import Company, committed

pytestmark = pytest.mark.kafka_only

TICKS = """
[[sources]]
topic = "{topic}"
into = "quotes"
example = '{{"sym": "AAPL", "bid": 15.4, "ask": 15.5, "at": 1795731420}}'
[sources.fields]
instrument_id.symbol = "sym"
price.mean = ["bid", "ask"]
ts = {{ path = "at", unit = "s" }}
"""


def ticks(n: int) -> list[tuple[bytes, bytes]]:
    """Ticks of ten symbols; each has rising times and prices."""
    return [tick(f"S{k % 10}", k) for k in range(n)]


def tick(symbol: str, k: int) -> tuple[bytes, bytes]:
    row = {"sym": symbol, "bid": k, "ask": k + 2, "at": 1_700_000_000 + k}
    return symbol.encode(), json.dumps(row).encode()


def catalog(company: Company, n: int = 10) -> None:
    entries = [Instrument(i, symbol=f"S{i}", name=f"S{i}") for i in range(n)]
    company.publish(
        INSTRUMENTS.name,
        [(instrument_key(each.instrument_id), encode_instrument(each)) for each in entries],
    )


def quotes(company: Company) -> dict[int, list[Quote]]:
    found: dict[int, list[Quote]] = {}
    for value in company.values(QUOTES.name):
        quote = msgspec.json.decode(value, type=Quote)
        found.setdefault(quote.instrument_id, []).append(quote)
    return found


def test_two_copies_publish_each_record_once_in_order_and_what_cannot_be_mapped_with_a_reason(
    company: Company, topology: Topology
) -> None:
    topic = company.topic("ticks")
    company.map(TICKS.format(topic=topic))
    catalog(company)
    bad = [(b"?", b"{"), (b"?", json.dumps({"sym": "?", "bid": 1, "ask": 1, "at": 1}).encode())]
    company.publish(topic, [*ticks(20_000), *bad])
    with company.copies("one", "two"):
        company.wait_until_read()
    its = quotes(company)
    assert {i: [quote.price for quote in of] for i, of in its.items()} == {
        i: [float(k + 1) for k in range(i, 20_000, 10)] for i in range(10)
    }
    letters = dead_letters(company.kafka.bootstrap_servers, QUOTES.name)
    assert {value: headers["topic"] for value, headers in letters} == {
        value: topic.encode() for _, value in bad
    }
    assert [headers["reason"].decode() for _, headers in letters] == [
        "the value cannot be decoded: Input data was truncated",
        "instrument_id: the catalog has no instrument with the symbol '?'",
    ]


def test_what_is_read_published_rejected_and_not_read_yet_is_counted(
    company: Company, topology: Topology
) -> None:
    topic = company.topic("ticks")
    company.map(TICKS.format(topic=topic))
    catalog(company)
    port = free_port()
    company.settings["METRICS_PORT"] = str(port)
    company.publish(topic, [*ticks(50), (b"?", b"{")])

    def counts() -> dict[str, float]:
        said = parse(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
        return {
            name: sum(
                its for (of, _), its in said.items() if of.removesuffix("_total") == f"adapt_{name}"
            )
            for name in ("records_read", "records_published", "records_rejected", "lag_records")
        }

    with company.copies("one"):
        company.wait_until_read()
        expected = dict(zip(counts(), (51, 50, 1, 0), strict=True))
        eventually(lambda: counts() == expected, f"it says {expected}")


def test_an_instrument_that_is_listed_while_it_runs_is_found(
    company: Company, topology: Topology
) -> None:
    topic = company.topic("ticks")
    company.map(TICKS.format(topic=topic))
    catalog(company, 1)
    with company.copies("one"):
        company.publish(topic, [tick("S0", 1)])
        company.wait_until_read()
        catalog(company, 2)
        company.publish(topic, [tick("S1", 1)])
        company.wait_until_read()
    assert sorted(quotes(company)) == [0, 1]


def test_a_second_copy_of_the_same_name_stops_the_first(
    company: Company, topology: Topology
) -> None:
    topic = company.topic("ticks")
    company.map(TICKS.format(topic=topic))
    catalog(company)
    command = company.command("one")
    first = start(command)
    try:
        company.publish(topic, ticks(10))
        company.wait_until_read()
        with company.copies("one"):
            company.publish(topic, ticks(10))
            company.wait_until_read()
            assert first.wait(PATIENCE_S) == 1
    finally:
        stop((first, command))
    assert "another copy runs under the same name" in command.log.read_text()
    assert sum(map(len, quotes(company).values())) == 20


def test_records_wait_for_a_registry_that_is_away(company: Company, topology: Topology) -> None:
    topic = company.topic("ticks")
    company.map(TICKS.format(topic=topic).replace("into =", 'format = "avro"\ninto =', 1))
    company.settings["SCHEMA_REGISTRY_URL"] = f"http://127.0.0.1:{free_port()}"
    company.settings["DELIVERY_TIMEOUT_S"] = "5"
    company.publish(topic, [(b"S1", b"\0\0\0\0\1x")])
    code, said = outcome(company)
    assert (code, "check SCHEMA_REGISTRY_URL" in said) == (1, True)
    assert committed(company) == {}
    assert dead_letters(company.kafka.bootstrap_servers, QUOTES.name) == []


def test_a_missing_topic_is_named(company: Company, topology: Topology) -> None:
    company.map(TICKS.format(topic="nowhere"))
    code, said = outcome(company)
    assert (code, "has no topic nowhere: correct `topic` in the mapping" in said) == (1, True)


def outcome(company: Company) -> tuple[int, str]:
    """Run a copy to its end; return its exit code, and its log."""
    command = company.command("one")
    return start(command).wait(PATIENCE_S), command.log.read_text()
