"""The producer on a real broker, and without one."""

import pytest

from infra.local.process import free_port
from producers import publisher as publisher_module
from producers.batch import Record
from producers.publisher import Publisher, PublishingError
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.patience import PATIENCE_S

from .conftest import ReadAll

KEYS = [b"4", b"17850", b"user-1", "Zoë".encode(), b"0", b"9223372036854775807"]
RECORDS: list[Record] = [
    ("quotes", KEYS[place % len(KEYS)], b"%d" % place) for place in range(3000)
]


def nothing() -> None:
    pass


def publish_all(publisher: Publisher, records: list[Record]) -> None:
    while records:
        records = records[publisher.publish(records) :]
        publisher.poll(0.01)
    publisher.flush(PATIENCE_S, nothing)


def test_a_full_queue_takes_what_fits_and_the_rest_later(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch, read_all: ReadAll
) -> None:
    monkeypatch.setattr(publisher_module, "QUEUE_RECORDS", 10)
    publisher = Publisher(plain(broker), delivery_timeout_s=PATIENCE_S)
    assert publisher.publish(RECORDS[:100]) == 10
    publish_all(publisher, RECORDS[10:100])
    assert publisher.delivered == 100
    assert {m.value() for m in read_all("quotes", 100)} == {v for _, _, v in RECORDS[:100]}


def test_a_missing_topic_is_named_with_the_remedy(broker: str) -> None:
    publisher = Publisher(plain(broker), delivery_timeout_s=PATIENCE_S)
    with pytest.raises(
        PublishingError, match=r"no topic nonesuch: run `python -m operations\.topics`"
    ):
        publisher.await_topics(["nonesuch"], lambda: False)


def test_records_the_broker_never_accepted_count_as_failed_with_the_reason() -> None:
    publisher = Publisher(plain(f"127.0.0.1:{free_port()}"), delivery_timeout_s=1)
    assert publisher.publish(RECORDS[:50]) == 50
    publisher.flush(PATIENCE_S, nothing)
    assert publisher.delivered == 0
    assert publisher.failures == {"_MSG_TIMED_OUT": 50}


def test_a_flush_ends_in_time_and_counts_what_is_left_as_failed() -> None:
    # Only the flush's own timeout can expire: the delivery timeout never does.
    publisher = Publisher(plain(f"127.0.0.1:{free_port()}"), delivery_timeout_s=600)
    publisher.publish(RECORDS[:50])
    publisher.flush(0.1, nothing)
    assert publisher.failures == {"_PURGE_QUEUE": 50}


def test_a_record_that_the_client_refuses_is_an_error() -> None:
    publisher = Publisher(plain(f"127.0.0.1:{free_port()}"), delivery_timeout_s=1)
    with pytest.raises(PublishingError, match="MSG_SIZE_TOO_LARGE"):
        publisher.publish([("quotes", b"1", b"x" * 2_000_000)])
