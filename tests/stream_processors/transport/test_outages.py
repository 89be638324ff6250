import asyncio
import signal
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import structlog
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic
from faust.types import TP

from infra.local.kafka.jars import NoKafkaError
from infra.local.kafka.server import kafka
from infra.local.process import Server, await_ready, free_port, start, stop
from runtime.kafka import broker as brokers
from runtime.kafka.config import plain
from stream_processors.transport import consumer_thread
from stream_processors.transport.consumer_thread import PartitionReader
from tests.patience import until

from .conftest import WAIT_S
from .test_consumer import App, started

pytestmark = pytest.mark.slow


class OwnBroker:
    """This test's own broker, which it may stop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.address = server.address
        self.come()

    def come(self) -> None:
        self._process = start(self._server.command)
        await_ready(self._server, self._process)

    def go(self) -> None:
        self._process.kill()
        self._process.wait(WAIT_S)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        stop((self._process, self._server.command))

    def write(self, topic: str, value: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.address})
        producer.produce(topic, value=value, partition=0)
        assert producer.flush(WAIT_S) == 0


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[OwnBroker]:
    try:
        own = OwnBroker(kafka(free_port(), tmp_path))
    except NoKafkaError as why:
        pytest.skip(str(why))
    yield own
    own.stop()


class Following(App):
    """Resumes where it was, in each assignment."""

    def begin(self, readers: Mapping[TP, PartitionReader]) -> None:
        super().begin(readers)
        for tp in readers:
            self.add_future(self.seek(tp, self.followed(tp)[0], len(self.begun)))

    def followed(self, tp: TP) -> tuple[int, list[bytes | None]]:
        """Return the end of the contiguous batches from offset 0, and their values."""
        at, values = 0, []
        for batch in self.batches:
            if batch.tp == tp and batch.start == at:
                at, values = batch.end, values + batch.values()
        return at, values


@pytest.fixture
async def app(own_broker: OwnBroker) -> Following:
    topic = f"transport-{uuid.uuid4().hex[:8]}"
    brokers.create(brokers.Admin(plain(own_broker.address)), [NewTopic(topic, 2, 1)])
    app = await started(Following(own_broker.address, topic, "outages"))
    await until(lambda: app.begun == [app.tps], "both partitions begin, once")
    return app


async def test_a_broker_that_comes_back_is_read_from_where_the_fetch_had_ended(
    app: Following, own_broker: OwnBroker
) -> None:
    tp = min(app.tps)
    await asyncio.to_thread(own_broker.write, tp.topic, b"before")
    await until(lambda: app.followed(tp) == (1, [b"before"]), "what was there before")
    await asyncio.to_thread(own_broker.go)
    await asyncio.to_thread(own_broker.come)
    await asyncio.to_thread(own_broker.write, tp.topic, b"after")
    await until(lambda: app.followed(tp) == (2, [b"before", b"after"]), "what came after")
    assert app.failures == []
    # It leads again, in a later epoch than that of the first record.
    epochs = {batch.leader_epoch for batch in app.batches if batch.tp == tp}
    assert [await app.readers[tp].epoch_end(epoch) for epoch in sorted(epochs)] == [1, 2]
    await app.stop()


async def test_whose_a_partition_is_is_asked_until_the_coordinator_answers(
    app: Following, own_broker: OwnBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_thread, "ANSWER_WITHIN_S", 0.2)
    own_broker.signal(signal.SIGSTOP)
    with structlog.testing.capture_logs() as logs:
        asking = asyncio.ensure_future(app.readers[min(app.tps)].is_ours())
        await until(lambda: logs or asking.done(), "it does not answer in time")
    own_broker.signal(signal.SIGCONT)
    is_ours = await asking
    await app.stop()
    assert is_ours


async def test_a_worker_stops_in_time_even_without_the_broker(
    app: Following, own_broker: OwnBroker
) -> None:
    await until(lambda: app.room == app.tps, "both are fetched")
    own_broker.go()
    begun_s = time.monotonic()
    await app.stop()
    assert time.monotonic() - begun_s < 30
