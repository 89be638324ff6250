"""Records are published when they are due, in order, on a real broker and without one."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.process import free_port
from producers import publisher as publisher_module
from producers.batch import Batch, Record
from producers.feed import LONGEST_WAIT_S, SHORTEST_WAIT_S, feed, parse_speed
from producers.publisher import Publisher, PublishingError
from runtime.kafka.config import plain
from runtime.topology import Topology
from tests.patience import PATIENCE_S

from .conftest import ReadAll


def nothing() -> None:
    pass


class Stage:
    """A clock that advances only by waiting, and a small sink that logs what it accepts."""

    def __init__(self, room: int = 1_000_000, fail_after: int | None = None) -> None:
        self.now_s = 1000.0
        self.room = room
        self.queue = 0
        self.fail_after = fail_after
        self.stopped_at_s = math.inf
        self.taken: list[tuple[float, Record]] = []

    @property
    def failed(self) -> int:
        return int(self.fail_after is not None and len(self.taken) >= self.fail_after)

    def publish(self, records: Sequence[Record]) -> int:
        fitting = records[: self.room - self.queue]
        self.queue += len(fitting)
        self.taken += [(self.now_s, record) for record in fitting]
        return len(fitting)

    def poll(self, timeout_s: float) -> None:
        self.now_s += timeout_s
        self.queue = 0

    def is_set(self) -> bool:
        return self.now_s >= self.stopped_at_s

    def wait(self, timeout: float) -> bool:
        assert timeout > 0
        self.now_s += timeout
        return self.is_set()

    def run(self, batches: list[Batch], speed: float, event_start_ms: int | None = None) -> None:
        feed(
            batches,
            self,  # type: ignore[arg-type]
            speed=speed,
            event_start_ms=event_start_ms,
            clock=lambda: self.now_s,
            stop=self,  # type: ignore[arg-type]
            after_round=nothing,
        )


def batch_of(times_ms: Sequence[int]) -> Batch:
    return Batch(
        ts_ms=np.array(times_ms, dtype=np.int64),
        records=[("quotes", b"%d" % place, b"%d" % ts) for place, ts in enumerate(times_ms)],
    )


event_times = st.lists(
    st.lists(st.integers(1_000_000, 1_060_000), min_size=1, max_size=20), min_size=1, max_size=5
)


@given(event_times, st.floats(0.5, 100), st.integers(1, 5))
def test_each_record_is_published_once_in_order_and_not_before_it_is_due(
    batches: list[list[int]], speed: float, room: int
) -> None:
    stage = Stage(room)
    stage.run([batch_of(times) for times in batches], speed)
    assert [int(value) for _, (_, _, value) in stage.taken] == [ts for b in batches for ts in b]
    start_ms = batches[0][0]
    for at_s, (_, _, value) in stage.taken:
        assert (at_s - 1000) * speed * 1000 >= int(value) - start_ms - 1e-3


@given(event_times, st.floats(0.5, 100))
def test_with_room_each_record_is_published_within_a_wait_of_being_due(
    batches: list[list[int]], speed: float
) -> None:
    times = sorted(ts for b in batches for ts in b)
    stage = Stage()
    stage.run([batch_of(times)], speed)
    for at_s, (_, _, value) in stage.taken:
        due_s = 1000 + (int(value) - times[0]) / 1000 / speed
        assert at_s - due_s <= max(SHORTEST_WAIT_S, LONGEST_WAIT_S) + 1e-6


def test_a_stop_ends_the_feed_between_two_rounds() -> None:
    stage = Stage()
    stage.stopped_at_s = 1005
    stage.run([batch_of(range(0, 60_000, 1000))], 1)
    assert 5 <= len(stage.taken) <= 6
    assert stage.now_s <= 1005 + LONGEST_WAIT_S


def test_nothing_is_published_after_a_record_that_failed() -> None:
    stage = Stage(room=10, fail_after=30)
    stage.run([batch_of([0] * 100)], math.inf)
    assert len(stage.taken) == 30


@pytest.mark.parametrize(
    ("text", "speed"), [("1x", 1), ("60x", 60), ("0.5x", 0.5), ("max", math.inf)]
)
def test_a_speed_is_a_factor_or_max(text: str, speed: float) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize(
    "text", ["", "x", "5", "0x", "-1x", "infx", "nanx", "1e999x", "fast", "MAX"]
)
def test_anything_else_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(ValueError, match=f"speed '{text}'"):
        parse_speed(text)


KEYS = [b"4", b"17850", b"user-1", "Zoë".encode(), b"0", b"9223372036854775807"]
RECORDS: list[Record] = [
    ("quotes", KEYS[place % len(KEYS)], b"%d" % place) for place in range(3000)
]


def test_a_full_queue_takes_what_fits_and_the_rest_later(
    broker: str, topology: Topology, monkeypatch: pytest.MonkeyPatch, read_all: ReadAll
) -> None:
    monkeypatch.setattr(publisher_module, "QUEUE_RECORDS", 10)
    publisher = Publisher(plain(broker), delivery_timeout_s=PATIENCE_S)
    assert publisher.publish(RECORDS[:100]) == 10
    left = RECORDS[10:100]
    while left:
        left = left[publisher.publish(left) :]
        publisher.poll(0.01)
    publisher.flush(PATIENCE_S, nothing)
    assert publisher.delivered == 100
    assert {m.value() for m in read_all("quotes", 100)} == {v for _, _, v in RECORDS[:100]}


def test_a_missing_topic_is_named_with_the_remedy(broker: str) -> None:
    publisher = Publisher(plain(broker), delivery_timeout_s=PATIENCE_S)
    with pytest.raises(
        PublishingError, match=r"no topic nonesuch: run `python -m operations\.topics`"
    ):
        publisher.await_topics(["nonesuch"], lambda: False)


@pytest.mark.parametrize(
    ("delivered_within_s", "flushed_within_s", "reason"),
    # Of the second, only the flush's own timeout can expire: the delivery timeout never does.
    [(1, PATIENCE_S, "_MSG_TIMED_OUT"), (600, 0.1, "_PURGE_QUEUE")],
)
def test_records_the_broker_never_accepted_count_as_failed_with_the_reason(
    delivered_within_s: float, flushed_within_s: float, reason: str
) -> None:
    publisher = Publisher(plain(f"127.0.0.1:{free_port()}"), delivery_timeout_s=delivered_within_s)
    assert publisher.publish(RECORDS[:50]) == 50
    publisher.flush(flushed_within_s, nothing)
    assert (publisher.delivered, publisher.failures) == (0, {reason: 50})
