"""The topics are created once, and their partitions are recorded permanently."""

import os
import subprocess
import sys
import time

import pytest
from confluent_kafka import Producer, TopicCollection
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from contracts.keyspace import Keyspace
from contracts.topics import ALL, BARS, COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES
from operations.topics import ensure
from operations.topics.configs import Asked
from runtime.kafka import broker as brokers
from runtime.kafka.admin import Admin
from runtime.kafka.config import KafkaConfig, plain
from runtime.redis.stores import Store, connect
from runtime.topology import Topology, TopologyError
from tests.patience import PATIENCE_S

NAMES = [topic.name for topic in ALL]


@pytest.fixture(scope="session")
def client(broker: str) -> Admin:
    return brokers.admin(plain(broker))


@pytest.fixture
def no_topics(client: Admin) -> None:
    brokers.delete(client, brokers.partitions_of(client).keys() & set(NAMES))


@pytest.fixture(scope="session")
def store(store_url: str) -> Store:
    return connect(store_url, "tests")


@pytest.fixture
def keyspace(namespace: str) -> Keyspace:
    return Keyspace(namespace)


def run_topics(
    *arguments: str, broker: str, store_url: str, namespace: str
) -> subprocess.CompletedProcess[str]:
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": broker,
        "REDIS_URL": store_url,
        "NAMESPACE": namespace,
        "COLUMNS": "200",
    }
    argv = [sys.executable, "-m", "operations.topics", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **settings})


def test_missing_topics_are_created_as_the_contracts_say(
    client: Admin, store: Store, keyspace: Keyspace, no_topics: None
) -> None:
    rows = ensure(client, store, keyspace, {})
    assert [(row.topic.name, row.created) for row in rows] == [(name, True) for name in NAMES]
    seen = brokers.partitions_of(client)
    assert {name: seen[name] for name in NAMES} == {t.name: t.partitions for t in ALL}
    assert Topology.from_hash(store.hgetall(keyspace.topics())) == Topology(8, 8, 8, 8)


def test_a_second_run_changes_nothing(
    client: Admin, store: Store, keyspace: Keyspace, broker: str, no_topics: None
) -> None:
    ensure(client, store, keyspace, {QUOTES.name: 3})
    producer = Producer({"bootstrap.servers": broker})
    producer.produce(QUOTES.name, b"kept", partition=2)
    assert producer.flush(PATIENCE_S) == 0
    noted = store.hgetall(keyspace.topics())

    rows = ensure(client, store, keyspace, {})

    assert not any(row.created for row in rows)
    assert (
        store.hgetall(keyspace.topics())
        == noted
        == {
            QUOTES.name: "3",
            INTERACTIONS.name: "8",
            COOCCURRENCES.name: "8",
            INSTRUMENTS.name: "8",
        }
    )
    offsets: list[int] = []
    producer.produce(
        QUOTES.name, b"next", partition=2, on_delivery=lambda _, m: offsets.append(m.offset())
    )
    assert producer.flush(PATIENCE_S) == 0
    assert offsets == [1]


@pytest.mark.kafka_only
@pytest.mark.usefixtures("no_topics")
def test_the_broker_compacts_the_catalog_and_lets_go_of_the_other_topics_by_age(
    client: Admin, store: Store, keyspace: Keyspace
) -> None:
    ensure(client, store, keyspace, {})
    catalog, quotes = (_configured(client, topic.name) for topic in (INSTRUMENTS, QUOTES))
    assert catalog["cleanup.policy"] == "compact"
    assert catalog["delete.retention.ms"] == str(365 * 24 * 3_600_000)
    assert (quotes["cleanup.policy"], quotes["retention.ms"]) == ("delete", "86400000")


def _configured(client: Admin, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (found,) = client.describe_configs([resource]).values()
    return {name: entry.value for name, entry in found.result(PATIENCE_S).items()}


@pytest.mark.usefixtures("no_topics")
def test_another_number_than_the_broker_has_is_refused(
    client: Admin, store: Store, keyspace: Keyspace
) -> None:
    ensure(client, store, keyspace, {QUOTES.name: 2})
    with pytest.raises(TopologyError, match=r"quotes.*3 says the command line.*2 says the broker"):
        ensure(client, store, keyspace, {QUOTES.name: 3})


@pytest.mark.usefixtures("no_topics")
def test_closed_bars_have_as_many_partitions_as_quotes_wherever_the_number_is_from(
    client: Admin, store: Store, keyspace: Keyspace
) -> None:
    ensure(client, store, keyspace, {QUOTES.name: 3})
    assert brokers.partitions_of(client)[BARS.name] == 3
    brokers.delete(client, [BARS.name])
    ensure(client, store, keyspace, {})
    assert brokers.partitions_of(client)[BARS.name] == 3
    brokers.delete(client, [BARS.name])
    store.delete(keyspace.topics())
    ensure(client, store, keyspace, {})  # which only the broker knows then
    assert brokers.partitions_of(client)[BARS.name] == 3
    with pytest.raises(TopologyError, match=r"topic bars.*5 says the command line.*3 says"):
        ensure(client, store, keyspace, {BARS.name: 5})


@pytest.mark.usefixtures("no_topics")
def test_topics_recreated_with_another_number_than_in_redis_are_refused(
    client: Admin, store: Store, keyspace: Keyspace, namespace: str
) -> None:
    ensure(client, store, keyspace, {INTERACTIONS.name: 2})
    brokers.delete(client, NAMES)
    ensure(client, store, Keyspace(f"{namespace}-other"), {INTERACTIONS.name: 5})

    with pytest.raises(TopologyError, match=r"interactions.*2 says meta:topics.*5 says the broker"):
        ensure(client, store, keyspace, {})

    assert store.hget(keyspace.topics(), INTERACTIONS.name) == "2"


@pytest.mark.usefixtures("no_topics")
def test_nothing_is_created_when_one_topic_is_refused(
    client: Admin, store: Store, keyspace: Keyspace
) -> None:
    store.hset(keyspace.topics(), COOCCURRENCES.name, "4")
    with pytest.raises(TopologyError, match="cooccurrences"):
        ensure(client, store, keyspace, {COOCCURRENCES.name: 5})
    assert brokers.partitions_of(client).keys().isdisjoint(NAMES)


@pytest.mark.usefixtures("no_topics")
def test_a_broker_that_lost_its_topics_gets_them_back_with_the_noted_partitions(
    client: Admin, store: Store, keyspace: Keyspace
) -> None:
    ensure(client, store, keyspace, {QUOTES.name: 3})
    brokers.delete(client, NAMES)
    ensure(client, store, keyspace, {})
    assert brokers.partitions_of(client)[QUOTES.name] == 3


@pytest.mark.usefixtures("no_topics")
def test_a_store_that_lost_everything_gets_the_brokers_partitions_noted(
    client: Admin, store: Store, keyspace: Keyspace
) -> None:
    ensure(client, store, keyspace, {QUOTES.name: 3})
    store.delete(keyspace.topics())
    ensure(client, store, keyspace, {})
    assert store.hget(keyspace.topics(), QUOTES.name) == "3"


@pytest.mark.usefixtures("no_topics")
def test_the_command_prints_each_topic_and_says_whether_it_was_there(
    broker: str, store_url: str, namespace: str
) -> None:
    for state in ("created", "exists"):
        done = run_topics(
            "--partitions", "quotes=1", broker=broker, store_url=store_url, namespace=namespace
        )
        assert done.returncode == 0, done.stderr
        header, *rows = done.stdout.splitlines()
        assert header.split() == ["topic", "partitions", "retention", "state"]
        assert [row.split()[0] for row in rows] == NAMES
        assert rows[0].split() == ["quotes", "1", "24", "h", state]
        assert rows[3].split() == ["instruments", "8", "compacted", state]
        assert all(row.split()[-1] == state for row in rows)


@pytest.mark.parametrize(
    ("option", "says"),
    [("trades=1", "no topic 'trades'"), ("quotes", "TOPIC=N"), ("quotes=0", "TOPIC=N")],
)
def test_a_bad_option_is_named_with_what_would_be_good(
    option: str, says: str, broker: str, store_url: str, namespace: str
) -> None:
    done = run_topics(
        "--partitions", option, broker=broker, store_url=store_url, namespace=namespace
    )
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.usefixtures("no_topics")
def test_the_command_ends_with_1_and_says_why_when_it_refuses(
    store: Store, keyspace: Keyspace, broker: str, store_url: str, namespace: str
) -> None:
    store.hset(keyspace.topics(), QUOTES.name, "4")
    done = run_topics(
        "--partitions", "quotes=5", broker=broker, store_url=store_url, namespace=namespace
    )
    assert done.returncode == 1
    assert "use another NAMESPACE" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.kafka_only
def test_topics_of_another_prefix_are_made_as_asked_and_what_differs_is_named(
    broker: str, store: Store, keyspace: Keyspace, namespace: str
) -> None:
    client = brokers.admin(KafkaConfig(bootstrap_servers=broker, prefix=f"{namespace}."))
    asked = Asked({QUOTES.name: 2}, {INSTRUMENTS.name: 48}, 1, 1)
    try:
        ensure(client, store, keyspace, asked)
        there = brokers.partitions_of(client)
        assert [there[f"{namespace}.{name}"] for name in NAMES] == [2, 8, 8, 8, 8, 2, 1, 1, 1, 1]

        rows = {row.topic: row for row in ensure(client, store, keyspace, {})}
        assert rows[INSTRUMENTS].differences == [
            f"delete.retention.ms={48 * 3_600_000}, not {365 * 24 * 3_600_000}"
        ]
        assert not any(row.differences for topic, row in rows.items() if topic != INSTRUMENTS)

        _alter(client, f"{namespace}.quotes", "message.timestamp.type", "CreateTime")
        with pytest.raises(
            TopologyError,
            match=rf"topic {namespace}.quotes has message.timestamp.type=CreateTime, not "
            r"LogAppendTime: .* --add-config message.timestamp.type=LogAppendTime",
        ):
            ensure(client, store, keyspace, asked)
    finally:
        brokers.delete(client, [f"{namespace}.{name}" for name in NAMES])


def _alter(client: Admin, topic: str, setting: str, value: str) -> None:
    change = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[change])
    for altered in client.incremental_alter_configs([resource]).values():
        altered.result(PATIENCE_S)
    while _configured(client, topic)[setting] != value:
        time.sleep(0.02)


def test_more_acknowledgements_than_replicas_are_refused(
    broker: str, store_url: str, namespace: str
) -> None:
    arguments = ("--replication-factor", "1", "--min-insync-replicas", "2")
    done = run_topics(*arguments, broker=broker, store_url=store_url, namespace=namespace)
    assert done.returncode == 2
    assert "2 of 1 replicas never acknowledge a record" in done.stderr


@pytest.mark.kafka_only
@pytest.mark.parametrize("command", ["continue", "start-over"])
def test_an_operators_decision_on_a_topic_concerns_only_partitions_with_another_id(
    client: Admin, store: Store, namespace: str, keyspace: Keyspace, broker: str, store_url: str,
    no_topics: None, command: str,
) -> None:  # fmt: skip
    ensure(client, store, keyspace, {QUOTES.name: 3})
    answer = client.describe_topics(TopicCollection([QUOTES.name]))[QUOTES.name]
    now = str(answer.result().topic_id)
    before = {"next": "7", "last": "6:abc:2", "epoch": "5"}
    store.hset(keyspace.position(QUOTES, 0), mapping={**before, "topic_id": "another"})
    store.hset(keyspace.position(QUOTES, 1), mapping={**before, "topic_id": now})
    done = run_topics(command, "quotes", broker=broker, store_url=store_url, namespace=namespace)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("partitions 0 of quotes ")
    without = {name: value for name, value in before.items() if name != "last"}
    goes_on, starts_over = (
        {**before, "last": "6:abc", "topic_id": now},
        {**without, "topic_id": "another"},
    )
    assert store.hgetall(keyspace.position(QUOTES, 0)) == (
        goes_on if command == "continue" else starts_over
    )
    assert store.hgetall(keyspace.position(QUOTES, 1)) == {**before, "topic_id": now}
    assert not store.exists(keyspace.position(QUOTES, 2))
