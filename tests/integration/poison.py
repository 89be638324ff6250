"""Invalid records of every kind, generated from a seed; and valid ones that look odd.

A kind is a function of a `random.Random` and a valid message's fields that returns a record's
value, paired with what its reason must contain.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from contracts.messages import MAX_AHEAD_MS, MAX_INSTRUMENT_ID, MAX_USER_ID_BYTES
from contracts.partitioning import partition_of
from contracts.times import MAX_TS_MS
from contracts.topics import INTERACTIONS, QUOTES, Topic

BASE_MS = 1_700_000_040_000
INSTRUMENTS = 50
USERS = 40
PARTITIONS = 2
# What librdkafka takes by default, its own bytes included.
ALMOST_1_MB = 999_000
COMPRESSES_WELL_BYTES = 5_000_000
# Including a batch's overhead just what the broker accepts; a dead letter's headers exceed it.
WHAT_THE_BROKER_TAKES = QUOTES.max_message_bytes - 90

Fields = dict[str, Any]
Kind = Callable[[random.Random, Fields], bytes | None]


class Record(NamedTuple):
    """A record to publish, and its expected outcome."""

    topic: Topic
    partition: int
    key: bytes | None
    value: bytes | None
    reason: str | None
    """what its dead letter must say; None if it is valid"""


def with_field(name: str, *values: Any) -> Kind:
    """A valid message except for one field."""
    return lambda chance, good: json(good | {name: chance.choice(values)})


def with_text(name: str, *texts: bytes) -> Kind:
    """A valid message except for a field that no JSON library would write."""
    mark = "\x00"
    return lambda chance, good: json(good | {name: mark}).replace(json(mark), chance.choice(texts))


def without(name: str) -> Kind:
    return lambda _, good: json({k: v for k, v in good.items() if k != name})


def json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def ahead(chance: random.Random, good: Fields) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return json(good | {"ts": now_ms + 2 * MAX_AHEAD_MS + chance.randrange(1_000_000)})


def truncated(chance: random.Random, good: Fields) -> bytes:
    return json(good)[: -chance.randint(1, 2)]


HUGE = (b"1e999", b"9" * 400, b"-1e400")
NO_NUMBERS = (b"NaN", b"Infinity", b"-Infinity", b"nan", b"1.", b"1x10", b"1_000")
COMMON: list[tuple[str, Kind]] = [
    ("no value", lambda *_: None),
    ("truncated", lambda *_: b""),
    ("truncated", truncated),
    ("malformed", lambda chance, _: b"\xff\xfe" + chance.randbytes(20)),
    ("must be an object", lambda chance, _: chance.choice([b"[]", b"null", b"1", b'"x"', b"true"])),
    ("recursion", lambda chance, _: b'{"x":' + b'{"y":[' * chance.randint(2_000, 4_000)),
    ("instrument_id", without("instrument_id")),
    ("instrument_id", with_field("instrument_id", None, "4", 4.5, [4], {}, -1)),
    ("instrument_id", with_field("instrument_id", MAX_INSTRUMENT_ID + 1, 2**64 - 1)),
    ("instrument_id", with_text("instrument_id", *HUGE)),
    ("price", with_field("price", "1", 0, -3, [], -0.0)),
    ("price", with_text("price", *HUGE)),
    ("malformed", with_text("price", *NO_NUMBERS)),
    ("ts", without("ts")),
    ("ts", with_field("ts", None, "now", -1, 1.5, MAX_TS_MS + 1)),
    ("ts", with_text("ts", *HUGE)),
    ("ahead", ahead),
    ("epoch milliseconds", lambda _, good: json(good | {"ts": good["ts"] // 1000})),
]
BAD: Mapping[Topic, list[tuple[str, Kind]]] = {
    QUOTES: [
        *COMMON,
        ("price", without("price")),
        ("price", with_field("price", None)),
        ("size", with_field("size", None, "100", -1, [])),
        ("malformed", with_text("size", *NO_NUMBERS)),
    ],
    INTERACTIONS: [
        *COMMON,
        ("user_id", without("user_id")),
        ("user_id", with_field("user_id", None, 17850, "", "x" * (MAX_USER_ID_BYTES + 1))),
        ("bytes of UTF-8", with_field("user_id", "é" * (MAX_USER_ID_BYTES // 2 + 1))),
        ("UTF-8", with_text("user_id", b'"\xff"', b'"a\xc3"', b'"\xed\xa0\x80"')),
        ("malformed", with_text("user_id", b'"\\ud800"')),
        ("event", with_field("event", "buy", "TRADE", "", None, 3)),
        ("quantity", with_field("quantity", 0, -2, "2")),
    ],
}
# Each of about a megabyte or more: a few suffice.
LARGE: list[tuple[str, bytes]] = [
    ("must be an object", b"[" * ALMOST_1_MB),
    ("recursion", b'{"x":' + b"[" * (ALMOST_1_MB - 5)),
    ("malformed", b"\xff" + random.Random(1).randbytes(WHAT_THE_BROKER_TAKES - 1)),
    ("are left out, see the original", b"[" * COMPRESSES_WELL_BYTES),
]


def good_fields(topic: Topic, chance: random.Random) -> Fields:
    """A valid message's fields, and some unknown ones."""
    fields: Fields = {"instrument_id": chance.randrange(INSTRUMENTS)}
    if topic is QUOTES:
        fields |= {"price": chance.randint(1, 10_000) / 100, "size": chance.randrange(1_000)}
    else:
        fields |= {"user_id": f"u{chance.randrange(USERS)}"}
    fields["ts"] = BASE_MS + chance.randrange(180_000)
    return fields | chance.choice([{}, {"venue": "X"}, {"nested": {"a": [None, 1.5, "é"]}}])


def records(topic: Topic, good: int, bad: int, chance: random.Random) -> Iterator[Record]:
    """Return records in a random order; the large ones are among the bad."""
    made = [_good(topic, chance) for _ in range(good)]
    made += [_bad(topic, chance) for _ in range(bad - len(LARGE))]
    made += [Record(topic, chance.randrange(PARTITIONS), None, v, why) for why, v in LARGE]
    chance.shuffle(made)
    return iter(made)


def _good(topic: Topic, chance: random.Random) -> Record:
    """A valid record in its partition; its key may still be missing."""
    fields = good_fields(topic, chance)
    key = _key(fields)
    return Record(
        topic, partition_of(key, PARTITIONS), chance.choice([key, None]), json(fields), None
    )


def _bad(topic: Topic, chance: random.Random) -> Record:
    fields = good_fields(topic, chance)
    key = _key(fields)
    partition = partition_of(key, PARTITIONS)
    its_key = chance.choice([key, None, b"", b"\xff", b"another"])
    if chance.random() < 1 / 20:
        # One without a value is a tombstone, of a user of the other partition.
        elsewhere = [(its_key, json(fields)), *([(key, None)] if topic is INTERACTIONS else [])]
        return Record(topic, 1 - partition, *chance.choice(elsewhere), "does not belong")
    reason, kind = chance.choice(BAD[topic])
    value = kind(chance, fields)
    if topic is INTERACTIONS and value is None:
        its_key = chance.choice([None, b"", b"\xff"])  # with a user's it would be a tombstone
    return Record(topic, partition, its_key, value, reason)


def _key(fields: Fields) -> bytes:
    return str(fields.get("user_id", fields["instrument_id"])).encode()
