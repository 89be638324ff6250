"""What the life of a partition is decided by: folds, position, time, bad records."""

import asyncio
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, cycle
from typing import cast

import pytest
import structlog
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from contracts.topics import QUOTES
from stream_processors.partition.dead_letters import (
    WINDOW,
    BadRecords,
    DeadLetters,
    TooManyBadRecordsError,
)
from stream_processors.partition.fold import Folds
from stream_processors.partition.resume import Resume, report, where_to_resume
from stream_processors.partition.rules import FlushTimes
from stream_processors.store.chunks import Channel, Group, Groups, Unwritten
from stream_processors.transport.batches import BadRecord
from stream_processors.transport.log import LogBounds
from stream_processors.transport.producer import Outgoing, Producer
from tests.stream_processors.folding import InMemoryProducer, groups_of
from tests.stream_processors.simulated_store import settled
from tests.stream_processors.simulation import World

FIRST, SECOND = Group("a", ["SET"]), Group("b", ["DEL"])


@dataclass
class Fold:
    """Has what it is given."""

    records_at_once: int = 10
    is_full: bool = False
    is_due: bool = False
    groups: Groups = ()
    fields: dict[str, str] = field(default_factory=dict)
    channel: Channel | None = None
    n_written: int = 0

    def begun(self) -> Unwritten:
        return Unwritten(self.groups, self.fields, self.channel)

    async def take(self, records: list[int]) -> None:
        """Take nothing."""

    async def unwritten(self) -> Unwritten:
        return self.begun()

    def written(self) -> None:
        self.n_written += 1


def folds(*each: Fold) -> Folds[list[int]]:
    return Folds(lambda _: ([], []), each)


async def test_they_are_written_together_in_their_order() -> None:
    channel = Channel("changed", bytes)
    each = (
        Fold(groups=[SECOND], fields={"b": "1"}),
        Fold(groups=[FIRST], fields={"a": "2"}, channel=channel),
    )
    joined = folds(*each)

    for unwritten in (joined.begun(), await joined.unwritten()):
        assert await groups_of(unwritten) == [SECOND, FIRST]
        assert (unwritten.fields, unwritten.channel) == ({"b": "1", "a": "2"}, channel)
    joined.written()
    assert [one.n_written for one in each] == [1, 1]


@pytest.mark.parametrize("is_one", [False, True])
def test_the_strictest_one_decides(*, is_one: bool) -> None:
    joined = folds(Fold(records_at_once=7), Fold(records_at_once=3, is_full=is_one, is_due=is_one))
    assert (joined.records_at_once, joined.is_full, joined.is_due) == (3, is_one, is_one)


@pytest.mark.parametrize(
    "both", [{"fields": {"closed": "1"}}, {"channel": Channel("changed", bytes)}]
)
def test_no_two_may_write_the_same_field_or_publish(both: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"two folds .* (closed|changed)"):
        folds(Fold(**both), Fold(**both)).begun()  # type: ignore[arg-type]


offsets = st.integers(0, 2**47)
incarnations = st.integers(0, 1_000)
ids = st.sampled_from(["one", "another"])
bounds = st.builds(
    lambda topic_id, a, b: LogBounds(topic_id, min(a, b), max(a, b)), ids, offsets, offsets
)
LOG = LogBounds("one", 3, 9)


def position(next_offset: int, incarnation: int = 0, topic_id: str = "one") -> dict[str, str]:
    return {
        "epoch": "5",
        "next": str(next_offset),
        "incarnation": str(incarnation),
        "topic_id": topic_id,
    }


GROWN = LogBounds("one", 3, 20)
WHOLE = LogBounds("one", 0, 9)
NEW, EMPTY, RECREATED = {"epoch": "1"}, "redis was empty", "topic was recreated"


@pytest.mark.parametrize(
    ("stored", "log", "is_refused", "epoch_end", "resume", "may_miss_records", "logged"),
    [
        (NEW, LogBounds("one", 0, 0), False, None, Resume(0, 0, EMPTY), False, None),
        (NEW, WHOLE, False, None, Resume(0, 0, EMPTY), False, "info"),
        (NEW, LOG, False, None, Resume(3, 0, EMPTY), True, "warning"),
        *((position(at, 2), LOG, False, None, Resume(at, 2), False, None) for at in (3, 5, 9)),
        *(
            (position(at, 2, "another"), log, False, None, Resume(log.earliest, 3, RECREATED), True,
             "warning")
            for at in (0, 5, 10)
            for log in (LOG, WHOLE)
        ),
        # The broker that was asked may be behind.
        (position(10, 2), LOG, False, None, Resume(10, 2), False, None),
        (position(7, 2), LOG, True, None, Resume(7, 2), False, None),
        (position(12, 2), LOG, True, 12, Resume(12, 2), False, None),
        (position(12, 2), LOG, True, None, Resume(9, 3, "log lost its end"), False, "error"),
        (position(12, 2), GROWN, False, 7, Resume(7, 3, "log lost its end"), False, "error"),
        (position(12, 2), GROWN, False, 1, Resume(3, 3, "log lost its end"), False, "error"),
        (position(1, 2), LOG, True, None, Resume(3, 2, "log was cut", missing=2), True, "error"),
    ],
)  # fmt: skip
def test_a_partition_resumes_by_its_position_and_the_bounds_of_its_log(
    stored: dict[str, str],
    log: LogBounds,
    epoch_end: int | None,
    resume: Resume,
    logged: str | None,
    *,
    is_refused: bool,
    may_miss_records: bool,
) -> None:
    found = where_to_resume(stored, log, is_refused=is_refused, epoch_end=epoch_end)
    assert (found, found.may_miss_records) == (resume, may_miss_records)
    with structlog.testing.capture_logs() as logs:
        report(TP("quotes", 3), resume, log.end)
    assert [line["log_level"] for line in logs] == ([logged] if logged else [])
    if logged in ("warning", "error"):
        assert [line["why"] for line in logs] == [resume.incident]


@given(at=offsets, incarnation=incarnations, noted=ids, log=bounds, is_refused=st.booleans())
def test_it_never_goes_back_in_a_log_and_gives_a_reason_if_not_at_the_position(
    *, at: int, incarnation: int, noted: str, log: LogBounds, is_refused: bool
) -> None:
    resume = where_to_resume(position(at, incarnation, noted), log, is_refused=is_refused)
    assert (resume.incarnation, resume.next_offset) >= (incarnation, at)
    assert (resume.next_offset == at and resume.incarnation == incarnation) or resume.incident
    assert resume.missing == 0 or resume.incident == "log was cut"


intervals = st.floats(0.05, 600)
partitions = st.integers(1, 64).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))


@given(intervals, st.integers(2, 64), st.floats(0, 1e6))
def test_partitions_written_at_once_are_due_spread_over_the_next_interval(
    interval_s: float, n: int, now_s: float
) -> None:
    due = []
    for partition in range(n):
        times = FlushTimes(interval_s, partition, n)
        times.written(now_s)
        due.append(times.in_s(now_s))
    due.sort()
    gaps = [later - earlier for earlier, later in itertools.pairwise(due)]
    assert min(gaps) > interval_s / n * 0.99 - 1e-6
    assert max(gaps) < interval_s / n * 1.01 + 1e-6


@given(
    intervals, partitions, st.floats(0, 1e6), st.lists(st.floats(0, 3), min_size=20, max_size=20)
)
def test_the_first_write_is_due_at_once_the_next_in_an_interval_and_a_slow_one_is_not_caught_up(
    interval_s: float, of: tuple[int, int], now_s: float, took: list[float]
) -> None:
    times, began = FlushTimes(interval_s, *of), list[float]()
    assert times.in_s(now_s) == 0
    for intervals_long in took:
        now_s += times.in_s(now_s)
        began.append(now_s)
        times.written(now_s)
        assert 0 < times.in_s(now_s) <= interval_s * (1 + 2e-6)
        now_s += intervals_long * interval_s
    partition, n = of
    periods = {math.floor(at / interval_s - partition / n + 1e-6) for at in began}
    assert len(periods) == len(began)


TPS = [TP(QUOTES.name, partition) for partition in range(3)]


def bad(*offsets: int, value: bytes = b"bad") -> list[BadRecord]:
    return [BadRecord(offset, None, value, "malformed") for offset in offsets]


async def test_a_batch_continues_while_its_letters_are_in_flight_and_the_next_waits_for_them() -> (
    None
):
    world = World(sizes=cycle([1]), make={})
    producer = InMemoryProducer(world.logs, world.turns).as_producer()
    letters, others, quiet = (DeadLetters(producer, tp) for tp in TPS)

    def offsets() -> list[bytes]:
        return [letter["offset"] for letter in world.dead_letters()]

    await letters.publish(bad(0))
    second = asyncio.ensure_future(letters.publish(bad(1)))
    await settled()
    assert (second.done(), len(world.turns.waiting)) == (False, 1)
    await world.turns.until(second)
    assert offsets() == [b"0"]
    await world.turns.until(letters.settled())
    assert offsets() == [b"0", b"1"]
    # Those of one partition do not wait for those of another.
    await letters.publish(bad(2))
    await others.publish(bad(0))
    await quiet.settled()
    await settled()
    assert len(world.turns.waiting) == 2


class Refusing:
    """A topic with a limit of the sizes of a request, and which may refuse all."""

    def __init__(self, bytes_at_most: int = 0, why: Exception | None = None) -> None:
        self.values: list[bytes | None] = []
        self._at_most = bytes_at_most
        self._why = why

    async def publish_all(self, _topic: str, _partition: int, records: Sequence[Outgoing]) -> None:
        if self._why:
            raise self._why
        values = [record.value for record in records]
        if sum(map(len, filter(None, values))) > self._at_most:
            raise MessageSizeTooLargeError
        self.values += values


async def test_a_permanent_refusal_reaches_every_caller_that_would_pass_it() -> None:
    refusing = Refusing(why=TopicAuthorizationFailedError())
    letters = DeadLetters(cast("Producer", refusing), TPS[0])
    await letters.publish(bad(0))
    for waiting in (letters.settled(), letters.publish(bad(1)), letters.settled()):
        with pytest.raises(TopicAuthorizationFailedError):
            await waiting


async def test_letters_that_are_too_large_are_split_and_a_single_one_is_emptied() -> None:
    topic = Refusing(bytes_at_most=10)
    letters = DeadLetters(cast("Producer", topic), TPS[0])
    await letters.publish([*bad(0, 1, value=b"6 byte"), *bad(2, value=bytes(11))])
    await letters.settled()
    assert topic.values == [b"6 byte", b"6 byte", None]


Piece = tuple[int, list[int]]
"""Records, and the indices of bad ones."""
pieces = st.lists(
    st.integers(1, 2_500).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)).map(sorted))
    ),
    max_size=8,
)


@given(pieces, st.floats(0.001, 0.5))
def test_it_stops_at_the_first_record_where_the_share_of_the_latest_1000_is_above_the_settings(
    seen: list[Piece], share_max: float
) -> None:
    bad_records = BadRecords(share_max)
    starts = accumulate((records for records, _ in seen), initial=0)
    numbers: list[int] = []
    for start, (records, bad) in zip(starts, seen, strict=False):
        for nth, place in enumerate(bad):
            numbers.append(start + place)
            among = sum(number > start + place - WINDOW for number in numbers)
            if among > share_max * WINDOW:
                with pytest.raises(TooManyBadRecordsError, match=f"{among} of the latest") as found:
                    bad_records.add(records, bad)
                assert found.value.before == nth
                return
        bad_records.add(records, bad)
