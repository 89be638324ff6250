"""What clients ask a broker, and how they live with one that does not answer."""

import gc
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicCollection
from confluent_kafka.cimpl import NewTopic

from contracts.archive import INTERACTIONS_TABLE, QUOTES_TABLE
from contracts.messages import Quote, encode
from contracts.topics import FEEDBACK, INTERACTIONS, QUOTES
from infra.local.process import free_port, running
from infra.local.tansu import tansu
from operations import dead_letters
from operations.repartition.placement import LEFT_OUT, Partitions, Records, place
from runtime.kafka import broker as brokers
from runtime.kafka.broker import Admin
from runtime.kafka.config import plain
from runtime.kafka.headers import UnreadableHeadersError, has_readable_headers, headers_of
from runtime.kafka.lasting import FAILURES, LastingAdmin
from tests.kafka_log import records_of
from tests.patience import PATIENCE_S
from tests.raw_batches import POISON, Raw, publish
from tests.stream_processors.transport.conftest import new_topic

SHORT_S = 0.05


def test_a_topic_of_tansu_that_is_deleted_and_made_again_begins_at_offset_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tansu(free_port(), tmp_path)
    with running(server) as process:
        client = brokers.Admin(plain(server.address))
        assert brokers.is_tansu(client)
        producer = Producer({"bootstrap.servers": server.address})
        offsets: list[int] = []
        for _ in range(2):
            brokers.create(client, [NewTopic("again", 1)])
            producer.produce("again", b"", on_delivery=lambda _, m: offsets.append(m.offset()))
            assert producer.flush(PATIENCE_S) == 0
            brokers.delete(client, ["again"])
            assert "again" not in brokers.partitions_of(client)
        monkeypatch.setattr(brokers, "_CALL_S", SHORT_S)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # until then, a thread may answer
        with pytest.raises(brokers.BrokerError, match="cannot create topic again: no answer in"):
            brokers.create(client, [NewTopic("again", 1)])
        process.send_signal(signal.SIGCONT)
    assert offsets == [0, 0]
    assert not brokers.answers(client)


@pytest.mark.kafka_only
def test_kafka_is_not_taken_for_tansu(broker: str) -> None:
    assert not brokers.is_tansu(brokers.Admin(plain(broker)))


@pytest.fixture
def lasting() -> LastingAdmin:
    return LastingAdmin(plain(f"127.0.0.1:{free_port()}"))


def never(_: Admin) -> list[Future[str]]:
    return [Future()]


async def test_a_client_that_never_answers_or_reaches_no_broker_is_replaced_after_a_few_failures(
    lasting: LastingAdmin,
) -> None:
    first = lasting.client
    for _ in range(FAILURES):
        assert lasting.client is first
        with pytest.raises(KafkaException, match="has not answered in"):
            await lasting.ask(never, SHORT_S)
    second = lasting.client
    for _ in range(FAILURES):
        assert lasting.client is second is not first
        (answer,) = await lasting.ask(
            lambda admin: admin.describe_topics(
                TopicCollection(["any"]), request_timeout=SHORT_S
            ).values(),
            PATIENCE_S,
        )
        assert isinstance(answer, KafkaException)
    assert lasting.client is not second


@pytest.mark.parametrize("refuses", [False, True])
def test_a_client_is_kept_as_long_as_a_broker_answers(
    lasting: LastingAdmin, *, refuses: bool
) -> None:
    first, answer = lasting.client, Future[str]()
    if refuses:
        answer.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
    else:
        answer.set_result("an answer")
    for _ in range(FAILURES):
        for _ in range(FAILURES - 1):
            with pytest.raises(KafkaException):
                lasting.ask_now(never, SHORT_S)
        lasting.ask_now(lambda _: [answer], SHORT_S)
    assert lasting.client is first
    lasting.close().join(PATIENCE_S)
    with pytest.raises(KafkaException):
        _ = lasting.client


TS = 1_629_061_628_123
QUOTE = encode(Quote(instrument_id=4, price=1.5, ts=TS))

N = 100


@pytest.fixture(scope="module")
def read(broker: str) -> Iterator[list[Message]]:
    """N times: a quote, the same with a poisoned header, and a tombstone with one."""
    poisoned = [(b"fine", b"yes"), (POISON, b"x")]
    quote = Raw(QUOTE, b"4", [(b"fine", b"yes"), (b"none", None)])
    raws = [quote, Raw(QUOTE, b"4", poisoned), Raw(None, b"ABC", poisoned)]
    with new_topic(broker) as name:
        publish(broker, name, 0, raws * N)
        yield records_of(plain(broker), name)


@pytest.mark.parametrize("threshold", [1, gc.get_threshold()[0]])
def test_headers_are_read_or_refused_however_often_asked_and_whenever_garbage_is_collected(
    read: list[Message], threshold: int
) -> None:
    usual = gc.get_threshold()
    gc.set_threshold(threshold)
    try:
        readable = [has_readable_headers(record) for record in read]
    finally:
        gc.set_threshold(*usual)
    assert readable == [True, False, False] * N
    assert headers_of(read[0]) == (("fine", b"yes"), ("none", None))
    with pytest.raises(UnreadableHeadersError, match="/0 at offset 1: a header's name is not"):
        headers_of(read[1])


def test_no_program_reads_such_a_record(read: list[Message]) -> None:
    from archive.reading.records import Place, rows_of

    quotes = rows_of(QUOTES_TABLE, Place(0, 0, (1,)), read[:2], TS)
    assert (quotes.batch["offset"].to_pylist(), quotes.rejected) == ([0], 1)
    events = rows_of(INTERACTIONS_TABLE, Place(0, 0, (1,)), read[2:3], TS)
    assert (events.batch.num_rows, events.rejected) == (0, 1)
    for topic, n_good in ((QUOTES, 1), (FEEDBACK, 1), (INTERACTIONS, 0)):
        records = Records.of(0, read[:3], time.time_ns() // 1_000_000)
        places = place(topic, records, Partitions(1, 1))  # of a copy
        assert places == [0] * n_good + [LEFT_OUT] * (3 - n_good)
    with pytest.raises(brokers.BrokerError, match="not written by the stream processors"):
        dead_letters._headers(read[1])
