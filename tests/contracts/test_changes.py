"""Changes survive a round trip, and other messages are an error."""

import math
import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import (
    VERSION,
    Blocks,
    Changes,
    TakenOut,
    UnknownVersionError,
    decode_changes,
    encode_changes,
)
from contracts.log_position import mark
from stream_processors.cooccurrences.applied import Applied, unapplied

ids = st.integers(0, 200) | st.integers(0, 2**63 - 1)
offsets = st.integers(0, 300) | st.integers(0, 2**48 - 1)
deltas = st.integers(-300, 300).map(float) | st.floats(allow_nan=False, allow_infinity=False)
ones = st.just(1.0)
Event = tuple[int, int, list[tuple[int, float]]]
"""offset, item, and of each row the other item and the delta"""


def blocks_of(events: list[Event]) -> Blocks:
    rows = [row for _, _, its in events for row in its]
    return Blocks(
        offset=np.array([offset for offset, _, _ in events], np.int64),
        item=np.array([item for _, item, _ in events], np.int64),
        rows=np.array([len(its) for _, _, its in events], np.int64),
        other=np.array([other for other, _ in rows], np.int64),
        delta=np.array([delta for _, delta in rows], np.float64),
    )


def event_lists(deltas: st.SearchStrategy[float]) -> st.SearchStrategy[Blocks]:
    rows = st.lists(st.tuples(ids, deltas), max_size=5)
    return st.lists(st.tuples(offsets, ids, rows), max_size=8).map(
        lambda events: blocks_of(sorted(events, key=lambda event: event[0]))
    )


def columns(ids_and_numbers: list[tuple[int, float]]) -> tuple[Any, Any]:
    return (
        np.array([one for one, _ in ids_and_numbers], np.int64),
        np.array([number for _, number in ids_and_numbers], np.float64),
    )


affinities = st.floats(0, 1e154)
items = st.lists(st.tuples(ids, ones | affinities), max_size=5).map(columns)
blocks = event_lists(ones) | event_lists(deltas)
taken_out = st.builds(
    lambda offset, here, all_: TakenOut(offset, *here, *all_), offsets, items, items
)
small = st.integers(0, 1_000)


def counted(blocks: Blocks) -> Blocks:
    """The same with changes of the number of users who have an item."""
    return replace(blocks, holders=np.arange(len(blocks.offset)) % 3 - 1)


own = blocks | blocks.map(counted)
changes = st.builds(Changes, small, small, offsets, own, blocks, st.lists(taken_out, max_size=2))


def plain(value: Any) -> Any:
    """Lists, which compare as a whole, in the place of arrays, with the type of their numbers."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    if isinstance(value, list):
        return [plain(each) for each in value]
    if hasattr(value, "__slots__"):
        return [plain(getattr(value, name)) for name in value.__slots__]
    return value


@given(changes)
def test_changes_are_read_back_as_they_were_written(written: Changes) -> None:
    read = decode_changes(encode_changes(written))
    assert plain(read) == plain(written)
    assert len(read) == len(written)


pack = msgspec.msgpack.encode


@pytest.mark.parametrize("version", [0, 2, -1])
def test_a_message_of_another_version_is_refused_by_name_and_not_taken_for_a_broken_one(
    version: int,
) -> None:
    with pytest.raises(
        UnknownVersionError, match=rf"version {version}, and .* only version 1: run the version"
    ) as raised:
        decode_changes(pack({"version": version, "bytes": b"\0"}))
    assert not isinstance(raised.value, ValueError)


BLOCKS: dict[str, Any] = {
    "events": 1,
    "n": 2,
    "offset": b"\0",
    "item": b"\4",
    "rows": b"\2",
    "other": b"\4\5",
    "delta": {"is_whole": True, "column": b"\1\1"},
}
LEAVING: dict[str, Any] = {
    "offset": 3,
    "k": 1,
    "h": 2,
    "i": b"\1",
    "r_i": {"is_whole": True, "column": b"\1"},
    "j": b"\1\2",
    "r_j": {"is_whole": True, "column": b"\1\1"},
}
GOOD: dict[str, Any] = {
    "version": VERSION,
    "source": 0,
    "incarnation": 0,
    "lineage": 0,
    "first_offset": 0,
    "own": BLOCKS,
    "mirrored": BLOCKS,
    "taken_out": [LEAVING],
}


def with_own(**broken: Any) -> bytes:
    return pack(GOOD | {"own": BLOCKS | broken})


def with_user(**broken: Any) -> bytes:
    return pack(GOOD | {"taken_out": [LEAVING | broken]})


def floats(*numbers: float) -> dict[str, Any]:
    return {"is_whole": False, "column": np.array(numbers).tobytes()}


def test_the_messages_that_are_broken_below_are_ones() -> None:
    assert len(decode_changes(pack(GOOD))) == 2 + 2 + 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "truncated"),
        (b"not msgpack", "must be an object"),
        (pack({}), "version"),
        (pack({"version": 1}), "source"),
        (pack({"version": "1"}), "version"),
        (pack(GOOD | {"source": -1}), "source"),
        (with_user(i=b""), "column taken_out.i has 0 bytes"),
        (with_user(i=b"\xff" * 8), "out of range"),
        (with_user(j=b"\0" * 15 + b"\xff"), "out of range"),
        *[
            (with_user(**{column: floats(*[number] * n)}), "an affinity is out of range")
            for number in (math.nan, math.inf, -1.0, 1e200)
            for n, column in ((1, "r_i"), (2, "r_j"))
        ],
        (with_own(item=b"\0\1\2"), "column own.item has 3 bytes for 1 rows"),
        (with_own(other=b""), "column own.other has 0 bytes for 2 rows"),
        (with_own(other=b"\0" * 6), "column own.other has 6 bytes for 2 rows"),
        (with_own(n=0), "own: the events do not have 0 rows in total"),
        (with_own(n=3), "own: the events do not have 3 rows in total"),
        (with_own(events=2**63), "bytes for 9223372036854775808 rows"),
        (
            with_own(events=2, offset=b"\0\0", item=b"\0\0", rows=b"\xff" * 8 + b"\3" + b"\0" * 7),
            "rows",
        ),
        (with_own(delta={"is_whole": False, "column": b"\1\1"}), "column own.delta has 2 bytes"),
        (with_own(delta=floats(0, math.nan)), "not finite"),
        (with_own(item=b"\xff" * 8), "out of range"),
        (with_own(offset=b"\xff" * 7 + b"\x7f"), "out of range"),
        (pack(GOOD | {"first_offset": 2**64 - 1}), "first_offset"),
        (pack(GOOD | {"incarnation": 2**40}), "incarnation"),
        (b"\x81\xa1x" + b"\x91" * 100_000, "recursion"),
    ],
)
def test_what_are_no_changes_is_an_error(value: bytes | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_changes(value)


def test_whatever_the_bytes_are_they_are_changes_or_an_error() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole = pack(GOOD)
    for _ in range(20_000):
        value = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            value[chance.randrange(len(value))] = chance.randrange(256)
        with suppress(ValueError, UnknownVersionError):
            unapplied(decode_changes(bytes(value)), {0: Applied(mark(0, 5), 0)})


def test_an_entry_of_one_of_50_000_items_takes_three_bytes() -> None:
    events, rows = 100, 200
    others = np.tile(np.arange(rows) + 49_000, events)
    offset, item = np.arange(events) + 2**40, np.arange(events)
    own = Blocks(offset, item, np.full(events, rows), others, np.ones(events * rows))
    message = encode_changes(Changes(0, 0, 0, own, Blocks.none()))
    assert len(message) < 3.1 * events * rows
