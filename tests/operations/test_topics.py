"""The topics are created once, and their partitions are recorded permanently."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from confluent_kafka import Producer, TopicCollection
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
from redis import Redis

from contracts.keyspace import Keyspace
from contracts.topics import ALL, BARS, COOCCURRENCES, INSTRUMENTS, INTERACTIONS, QUOTES, STREAMED
from operations.topics import Row, ensure
from operations.topics.options import TopicOptions
from runtime.kafka import broker as brokers
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig, plain
from runtime.redis.stores import Store, connect
from runtime.topology import TopologyError
from tests.operations.conftest import TopicsCommand
from tests.patience import PATIENCE_S

NAMES = [topic.name for topic in ALL]


@dataclass(frozen=True)
class Servers:
    client: Admin
    store: Store
    keyspace: Keyspace

    def ensure(self, asked: dict[str, int] | TopicOptions) -> list[Row]:
        return ensure(self.client, self.store, self.keyspace, asked)

    def partitions(self) -> dict[str, int]:
        return brokers.partitions_of(self.client)

    def noted(self) -> dict[str, str]:
        return self.store.hgetall(self.keyspace.topics())

    def note(self, partitions: dict[str, str]) -> None:
        self.store.hset(self.keyspace.topics(), mapping={"format": "1"} | partitions)


@pytest.fixture
def servers(broker: str, store_url: str, namespace: str) -> Iterator[Servers]:
    """Without any of our topics."""
    with connect(store_url, "tests") as store:
        its = Servers(brokers.Admin(plain(broker)), store, Keyspace(namespace))
        brokers.delete(its.client, its.partitions().keys() & set(NAMES))
        yield its


def test_a_second_run_changes_nothing(servers: Servers, broker: str) -> None:
    servers.ensure({QUOTES.name: 3})
    producer = Producer({"bootstrap.servers": broker})
    producer.produce(QUOTES.name, b"kept", partition=2)
    assert producer.flush(PATIENCE_S) == 0
    noted = servers.noted()

    rows = servers.ensure({})

    assert not any(row.created for row in rows)
    others = (INTERACTIONS, COOCCURRENCES, INSTRUMENTS)
    expected = {"format": "1", QUOTES.name: "3"} | {topic.name: "8" for topic in others}
    assert servers.noted() == noted == expected
    offsets: list[int] = []
    producer.produce(
        QUOTES.name, b"next", partition=2, on_delivery=lambda _, m: offsets.append(m.offset())
    )
    assert producer.flush(PATIENCE_S) == 0
    assert offsets == [1]


@pytest.mark.kafka_only
def test_the_broker_compacts_the_catalog_and_ages_out_other_topics(servers: Servers) -> None:
    servers.ensure({})
    catalog, quotes = (_configured(servers.client, topic.name) for topic in (INSTRUMENTS, QUOTES))
    assert catalog["cleanup.policy"] == "compact"
    assert catalog["delete.retention.ms"] == str(365 * 24 * 3_600_000)
    assert (quotes["cleanup.policy"], quotes["retention.ms"]) == ("delete", "86400000")
    assert quotes["segment.ms"] == "21600000"


def _configured(client: Admin, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (found,) = client.describe_configs([resource]).values()
    return {name: entry.value for name, entry in found.result(PATIENCE_S).items()}


def test_bars_have_as_many_partitions_as_quotes_wherever_that_is_from(servers: Servers) -> None:
    servers.ensure({QUOTES.name: 3})
    assert servers.partitions()[BARS.name] == 3
    brokers.delete(servers.client, [BARS.name])
    servers.ensure({})
    assert servers.partitions()[BARS.name] == 3
    brokers.delete(servers.client, [BARS.name])
    servers.store.delete(servers.keyspace.topics())
    servers.ensure({})  # which only the broker knows then
    assert servers.partitions()[BARS.name] == 3
    with pytest.raises(TopologyError, match=r"topic bars.*5 says the command line.*3 says"):
        servers.ensure({BARS.name: 5})


def test_topics_recreated_with_another_number_than_in_redis_are_refused(
    servers: Servers, namespace: str
) -> None:
    servers.ensure({INTERACTIONS.name: 2})
    brokers.delete(servers.client, NAMES)
    ensure(servers.client, servers.store, Keyspace(f"{namespace}-other"), {INTERACTIONS.name: 5})

    with pytest.raises(TopologyError, match=r"interactions.*2 says meta:topics.*5 says the broker"):
        servers.ensure({})

    assert servers.store.hget(servers.keyspace.topics(), INTERACTIONS.name) == "2"


@pytest.mark.parametrize(
    ("noted", "asked", "says"),
    [
        ({"format": "2", QUOTES.name: "3"}, {}, "says format 2, and this program reads only 1"),
        ({"format": "1", COOCCURRENCES.name: "4"}, {COOCCURRENCES.name: 5}, "cooccurrences"),
    ],
)
def test_nothing_is_changed_when_a_format_or_one_topic_is_refused(
    servers: Servers, noted: dict[str, str], asked: dict[str, int], says: str
) -> None:
    servers.note(noted)
    with pytest.raises(TopologyError, match=says):
        servers.ensure(asked)
    assert servers.noted() == noted
    assert servers.partitions().keys().isdisjoint(NAMES)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--partitions trades=1", "no topic 'trades'"),
        ("--partitions quotes", "TOPIC=N"),
        ("--partitions quotes=0", "TOPIC=N"),
        (
            "--replication-factor 1 --min-insync-replicas 2",
            "2 of 1 replicas never acknowledge a record",
        ),
        ("dead-letters trades", "'trades'"),
    ],
)
def test_a_bad_option_is_named_with_what_would_be_good(
    arguments: str, says: str, topics_command: TopicsCommand
) -> None:
    done = topics_command(*arguments.split())
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.kafka_only
def test_topics_of_another_prefix_are_made_as_asked_and_what_differs_is_named(
    broker: str, servers: Servers, namespace: str
) -> None:
    client = brokers.Admin(KafkaConfig(bootstrap_servers=broker, prefix=f"{namespace}."))
    its = replace(servers, client=client)
    asked = TopicOptions({QUOTES.name: 2}, {INSTRUMENTS.name: 48}, 1, 1)
    try:
        its.ensure(asked)
        there = its.partitions()
        assert [there[f"{namespace}.{name}"] for name in NAMES] == [
            *[2, 8, 8, 8, 8, 2],
            *[1] * len(STREAMED),
        ]

        rows = {row.topic: row for row in its.ensure({})}
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
            its.ensure(asked)
    finally:
        brokers.delete(client, [f"{namespace}.{name}" for name in NAMES])


def _alter(client: Admin, topic: str, setting: str, value: str) -> None:
    change = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[change])
    for altered in client.incremental_alter_configs([resource]).values():
        altered.result(PATIENCE_S)
    while _configured(client, topic)[setting] != value:
        time.sleep(0.02)


@pytest.mark.kafka_only
@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("command", ["continue", "start-over"])
def test_an_operators_decision_on_a_topic_concerns_only_partitions_with_another_id(
    servers: Servers,
    topics_command: TopicsCommand,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    *,
    is_killed: bool,
) -> None:
    servers.ensure({QUOTES.name: 3})
    answer = servers.client.describe_topics(TopicCollection([QUOTES.name]))[QUOTES.name]
    now = str(answer.result().topic_id)
    before = {"next": "7", "last": "6:abc:2", "epoch": "5"}
    copied, kept, none = (servers.keyspace.position(QUOTES, p) for p in range(3))
    servers.store.hset(copied, mapping={**before, "topic_id": "another"})
    servers.store.hset(kept, mapping={**before, "topic_id": now})
    if is_killed:  # after its first write; then it is run again
        name = {"continue": "hset", "start-over": "hdel"}[command]
        write = getattr(Redis, name)

        def write_and_die(*arguments: Any, **more: Any) -> None:
            write(*arguments, **more)
            raise SystemExit(9)

        with monkeypatch.context() as patched:
            patched.setattr(Redis, name, write_and_die)
            assert topics_command(command, "quotes").exit_code == 9
    done = topics_command(command, "quotes")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("partitions 0 of quotes ") or is_killed
    without = {name: value for name, value in before.items() if name != "last"}
    goes_on, starts_over = (
        {**before, "last": "6:abc:-1", "topic_id": now},
        {**without, "topic_id": "another"},
    )
    assert servers.store.hgetall(copied) == (goes_on if command == "continue" else starts_over)
    assert servers.store.hgetall(kept) == {**before, "topic_id": now}
    assert not servers.store.exists(none)


def test_the_command_ends_with_1_and_says_why_when_it_refuses(
    servers: Servers, topics_command: TopicsCommand
) -> None:
    servers.note({QUOTES.name: "4"})
    done = topics_command("--partitions", "quotes=5")
    assert done.exit_code == 1
    assert "use another NAMESPACE" in done.stderr
