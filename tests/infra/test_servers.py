"""Starting broker and store, and the guarantees that others rely on."""

import dataclasses
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.cimpl import NewTopic

from infra.local import store as stores
from infra.local.kafka.jars import NoKafkaError, jars
from infra.local.kafka.server import kafka
from infra.local.process import (
    Command,
    NotReadyError,
    Server,
    await_ready,
    free_port,
    running,
    start,
    stop,
)
from infra.local.tansu import tansu
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from tests.patience import PATIENCE_S


@pytest.fixture
def needs_kafka() -> None:
    try:
        jars()
    except NoKafkaError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("starter", [stores.valkey, stores.redis_server, tansu])
def test_a_server_answers_once_it_runs_and_is_gone_afterwards(
    starter: Callable[[int, Path], Server], tmp_path: Path
) -> None:
    try:
        server = starter(free_port(), tmp_path)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    assert not server.answers()
    with running(server) as process:
        assert server.answers()
    assert not server.answers()
    assert not psutil.pid_exists(process.pid)


def test_a_server_that_ends_at_once_is_reported_with_its_exit_code_and_log(tmp_path: Path) -> None:
    port = free_port()
    with running(stores.valkey(port, tmp_path)):
        on_the_same_port = stores.valkey(port, tmp_path)
        never = dataclasses.replace(on_the_same_port, answers=lambda: False)
        process = start(never.command)
        with pytest.raises(NotReadyError, match=r"store ended with exit code 1: see .*store\.log"):
            await_ready(never, process)
    assert "bind" in never.command.log.read_text()


@pytest.mark.usefixtures("needs_kafka")
@pytest.mark.slow
def test_kafka_keeps_its_records_when_it_is_killed_and_started_again(tmp_path: Path) -> None:
    port = free_port()
    server = kafka(port, tmp_path)
    with running(server) as process:
        brokers.create(brokers.admin(plain(server.address)), [NewTopic("kept", 1)])
        producer = Producer({"bootstrap.servers": server.address, "acks": "all"})
        for n in range(100):
            producer.produce("kept", b"%d" % n)
        assert producer.flush(PATIENCE_S) == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
    again = kafka(port, tmp_path)
    with running(again):
        consumer = Consumer({"bootstrap.servers": again.address, "group.id": "tests"})
        consumer.assign([TopicPartition("kept", 0, 0)])
        values = [message.value() for message in consumer.consume(100, timeout=PATIENCE_S)]
        consumer.close()
    assert values == [b"%d" % n for n in range(100)]
    assert "bind" not in again.command.log.read_text()


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    command = Command("true", ("true",), tmp_path / "log")
    process = start(command)
    process.wait()
    stop((process, command))
    stop((process, command))
    assert process.returncode == 0
