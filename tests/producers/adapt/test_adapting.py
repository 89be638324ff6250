"""`python -m producers adapt` on a real broker: what is published, and what is rejected."""

import contextlib
import json
import random
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from prometheus_client import REGISTRY

from contracts.topics import INSTRUMENTS, QUOTES
from contracts.topics import dead_letters as dead_letters_of
from operations import dead_letters as rejected
from producers.adapt import adapter, command
from producers.adapt.adapter import Adapter
from producers.adapt.catalog import Catalog, Symbols
from producers.publisher import PublishingError
from runtime.kafka import broker as brokers
from runtime.topology import Topology
from tests import raw_batches
from tests.integration.conftest import dead_letters
from tests.patience import PATIENCE_S, eventually
from tests.raw_batches import Raw

from .conftest import TICKS, Company, catalog, committed, quotes, tick, ticks

pytestmark = pytest.mark.kafka_only


def test_two_copies_publish_each_record_once_in_order_and_what_cannot_be_mapped_with_a_reason(
    company: Company, topic: str
) -> None:
    deep = b"[" * 995 + b"]" * 995
    most, chance = dead_letters_of(QUOTES).max_message_bytes, random.Random(1)
    large = [chance.randbytes(most - less) for less in (30, 400, 100_000)]
    values = [b'{"sym": %s, "bid": 1, "ask": 1, "at": 1}' % deep, *large]
    bad = [(b"?", b"{"), tick("?", 1), *((b"?", value) for value in values)]
    for each in bad:
        company.publish(topic, [each])
    company.publish(topic, ticks(4_000))
    with company.copies("one", "two"):
        company.wait_until_read()
    its = quotes(company)
    assert {i: [quote.price for quote in of] for i, of in its.items()} == {
        i: [float(k + 1) for k in range(i, 4_000, 10)] for i in range(10)
    }
    letters = rejected.read(brokers.Admin(company.kafka), company.kafka, QUOTES, len(bad))
    assert [(its.topic, its.offset, its.key, its.reason) for its in letters[:2]] == [
        (topic, 0, "?", "the value cannot be decoded: Input data was truncated"),
        (topic, 1, "?", "instrument_id: the catalog has no instrument with the symbol '?'"),
    ]
    # What does not fit is left out, and the reason says so.
    found = dead_letters(company.kafka.bootstrap_servers, QUOTES.name)
    assert [value for value, _ in found[2:]] == [values[0], None, *values[2:]]
    assert b"bytes of key and value are left out" in found[3][1]["reason"]


def counts(topic: str, names: Iterable[str]) -> dict[str, float]:
    samples = [each for metric in REGISTRY.collect() for each in metric.samples]
    its = [each for each in samples if each.labels.get("topic") == topic]
    return {
        name: sum(each.value for each in its if each.name.removesuffix("_total") == f"adapt_{name}")
        for name in names
    }


PRODUCTS = """
[[sources]]
topic = "{topic}"
into = "instruments"
example = '{{"id": 1, "sym": "S1"}}'
[sources.fields]
instrument_id = "id"
symbol = "sym"
name = "sym"
"""


def product(n: int) -> tuple[bytes, bytes]:
    return b"%d" % n, json.dumps({"id": n, "sym": f"S{n}"}).encode()


def test_records_wait_for_instruments_that_are_in_a_topic_of_the_mapping_and_not_for_others(
    company: Company, topology: Topology
) -> None:
    """A backlog of all topics is read in any order, by copies that know nothing of each other."""
    orders, products = company.topic("ticks"), company.topic("products")
    company.map(TICKS.format(topic=orders) + PRODUCTS.format(topic=products))
    company.publish(orders, [*ticks(3_000), tick("?", 1)])
    company.publish(products, (product(n) for n in range(6_000, -1, -1)))
    with company.copies("one", "two"):
        company.wait_until_read()
    assert {i: len(of) for i, of in quotes(company).items()} == dict.fromkeys(range(10), 300)
    (letter,) = dead_letters(company.kafka.bootstrap_servers, QUOTES.name)
    assert b"the catalog has no instrument with the symbol '?'" in letter[1]["reason"]


def go_on(copy: Adapter) -> None:
    """Return once it has published or rejected a record."""
    copy.run(lambda: copy.published + copy.rejected > 0, lambda: None, PATIENCE_S)


def failure(company: Company) -> str:
    with pytest.raises(command._ERRORS) as failed, company.connected() as copy:
        go_on(copy)
    return command._why(failed.value)


def test_an_instrument_of_another_copy_is_awaited_behind_an_open_transaction(
    company: Company, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group has committed its offsets, but nobody can read its record yet."""
    orders, products = company.topic("ticks"), company.topic("products")
    company.map(TICKS.format(topic=orders) + PRODUCTS.format(topic=products))
    settings = {"bootstrap.servers": company.kafka.bootstrap_servers, "transactional.id": orders}
    other = Producer({**settings, "transaction.timeout.ms": 900_000})  # however slow the copies are
    other.init_transactions()
    other.begin_transaction()
    for partition in range(topology.instruments):
        other.produce(INSTRUMENTS.name, b"{}", b"1", partition=partition)
    other.flush()
    company.publish(products, [product(1)])
    with company.connected() as one:
        go_on(one)
    company.publish(orders, [tick("S1", 1)])
    with company.connected() as two:
        monkeypatch.setattr(adapter, "_CATALOG_WITHIN_S", 0)
        with pytest.raises(PublishingError, match="or a transaction open"):
            go_on(two)
    monkeypatch.undo()
    other.abort_transaction()
    with company.connected() as three:
        go_on(three)
    assert dead_letters(company.kafka.bootstrap_servers, QUOTES.name) == []
    assert sorted(quotes(company)) == [1]


def test_what_becomes_of_records_is_counted_and_marks_of_transactions_are_no_lag(
    company: Company, topology: Topology
) -> None:
    topic = company.topic("ticks")
    where = 'where = [{ path = "sym", not_in = ["TEST"] }]'
    company.map(TICKS.format(topic=topic).replace("[sources.fields]", f"{where}\n[sources.fields]"))
    catalog(company)
    settings = {"bootstrap.servers": company.kafka.bootstrap_servers, "transactional.id": topic}
    producer = Producer(settings)
    producer.init_transactions()
    for key, value in (tick("S1", 1), tick("TEST", 2), (b"?", b"{")):
        producer.begin_transaction()
        producer.produce(topic, value, key)
        producer.commit_transaction()
    producer.begin_transaction()
    producer.produce(topic, *reversed(tick("S1", 3)))
    producer.flush()
    producer.abort_transaction()
    expected = {"records_read": 3, "records_filtered": 1, "records_rejected": 1, "lag_records": 0}
    published = counts(QUOTES.name, ["records_published"])["records_published"]
    with company.copies("one"):
        # To the very end, with the mark of the last transaction.
        company.wait_until_read()
        eventually(lambda: counts(topic, expected) == expected, f"it says {expected}")
    assert counts(QUOTES.name, ["records_published"]) == {"records_published": published + 1}


def test_a_second_copy_of_the_same_name_stops_the_first(company: Company, topic: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(company.run, "one", threading.Event())
        company.publish(topic, ticks(10))
        company.wait_until_read()
        with company.copies("one"):
            company.publish(topic, ticks(10))
            company.wait_until_read()
            with pytest.raises(PublishingError, match="another copy runs under the same name"):
                first.result(PATIENCE_S)
    assert sum(map(len, quotes(company).values())) == 20


def commit(company: Company, offset: int) -> None:
    positions = [TopicPartition(*its, offset) for its in company.ends()]
    its = ConsumerGroupTopicPartitions(company.prefix, positions)
    client = brokers.Admin(company.kafka)
    client.alter_consumer_group_offsets([its])[company.prefix].result(PATIENCE_S)


def test_a_position_beyond_the_end_of_a_log_is_named_and_nothing_is_published_or_passed(
    company: Company, topic: str
) -> None:
    company.publish(topic, ticks(30))
    commit(company, 500)
    assert f"the group has committed 500 of {topic}/" in failure(company)
    assert set(committed(company).values()) == {500}
    assert quotes(company) == {}


def test_a_topic_that_has_lost_its_beginning_or_is_created_anew_is_read_from_its_beginning(
    company: Company, topic: str
) -> None:
    company.publish(topic, [tick("S1", k) for k in range(10)])
    commit(company, 2)
    client = brokers.Admin(company.kafka)
    ((of, end),) = company.ends().items()  # of the only key
    client.delete_records([TopicPartition(*of, end - 3)])[TopicPartition(*of)].result(PATIENCE_S)
    with company.copies("one"):
        eventually(lambda: len(quotes(company).get(1, ())) == 3, "the last three are published")
        company.delete_topics()
        company.topics.clear()
        company.topic("ticks")
        company.publish(topic, [tick("S1", k) for k in range(5)])
        eventually(lambda: len(quotes(company)[1]) == 8, "the five are, too")


def test_a_recreated_catalog_is_read_from_its_start(company: Company, topology: Topology) -> None:
    symbols, client = Symbols(), brokers.Admin(company.kafka)
    catalog(company, range(200))
    with contextlib.closing(Catalog(client, company.prefix, symbols)) as reader:
        reader.load(topology.instruments, PATIENCE_S)
        brokers.delete(client, [INSTRUMENTS.name])
        brokers.create(client, [NewTopic(INSTRUMENTS.name, topology.instruments, 1)])
        catalog(company, range(200, 220))

        def found() -> bool:
            with contextlib.suppress(KafkaException):
                reader.refresh()
            return all(symbols.find(f"S{i}") == i for i in range(200, 220))

        eventually(found, "it has what the new topic has")


def test_a_record_outside_its_batch_does_not_move_the_position_beyond_the_log(
    company: Company, topic: str
) -> None:
    company.publish(topic, [tick("S1", 0)])
    (((_, partition), _),) = company.ends().items()
    key, value = tick("S1", 1)
    with company.copies("one"):
        batch = [Raw(value, key), Raw(value, key, delta=1_000_000)]
        raw_batches.publish(company.kafka.bootstrap_servers, topic, partition, batch)
        eventually(lambda: len(quotes(company).get(1, ())) == 3, "the batch is published")
        company.publish(topic, [tick("S1", 2)])
        company.wait_until_read()
    assert len(quotes(company)[1]) == 4
