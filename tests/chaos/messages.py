"""The messages of a run, good and bad.

Event time runs a minute a second, so that bars also leave their retention; within five minutes the
messages come in any order. Prices, sizes and values are whole numbers or multiples of 1/64: their
sums are exact in any order, and may be compared with `==`.
"""

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from contracts.event_types import BUILT_IN
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.tombstones import Tombstone, encode_tombstone
from contracts.topics import COOCCURRENCES, INTERACTIONS, QUOTES
from tests.raw_batches import POISON, Raw

PUBLISHED: Final = (QUOTES, INTERACTIONS)
"""The topics of the feed."""
FOLLOWED: Final = (*PUBLISHED, COOCCURRENCES)
"""The topics of a run, in the order of the pipeline: the catalog, which is folded too, has no
records in it."""
UNREADABLE: Final = "unreadable"
"""A field of the value, by which the recomputation knows an unreadable record."""
FAR: Final = 1_000_000
"""Offsets by which a record may be outside its batch; no log of a run is as long."""

_EVENT_TIME_SPEED: Final = 60
# Far enough in the past that event time does not reach the clock, however it jumps.
_STARTS_BEFORE_MS: Final = 2 * 86_400_000
_DISORDER_MS: Final = 5 * 60_000
_INSTRUMENTS: Final = 50
_USERS: Final = 150
_BAD_SHARE: Final = 0.005
_BAD_VALUES: Final = (b"", b"not JSON", b'{"instrument_id":-1}', b"\xff\xfe")
_TOPIC_WEIGHTS: Final = (2, 1)
_EVENTS_OF_NOW: Final = 20
# Fibonacci hashing multiplies by it and takes the upper bits (Knuth, TAOCP 3, 6.4).
_FIBONACCI: Final = 0x9E3779B97F4A7C15
_CHOSEN_IDS: Final = 4_000
_NEXT_YEAR_MS: Final = 400 * 86_400_000
# A rule allows for five minutes.
_TOO_FAR_AHEAD_MS: Final = 6 * 60_000


class Publication(NamedTuple):
    """A message for the log."""

    topic: str
    key: bytes
    value: bytes | None
    """None erases the user whose id is the key"""
    headers: Sequence[tuple[str, bytes]] = ()


class EventTime:
    """Of a run: it begins long ago and runs fast."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._starts_ms = time.time_ns() // 1_000_000 - _STARTS_BEFORE_MS

    def now_ms(self) -> int:
        since_ms = (time.monotonic() - self._began_s) * 1000 * _EVENT_TIME_SPEED
        return self._starts_ms + int(since_ms)


def _publication(message: Quote | Interaction) -> Publication:
    topic = QUOTES if isinstance(message, Quote) else INTERACTIONS
    return Publication(topic.name, key_of(message), encode(message))


def of_now(rng: random.Random) -> list[Publication]:
    """Return events of users of their own at the clock's time, one of them too far ahead of it."""
    now_ms = time.time_ns() // 1_000_000
    ahead_ms = [0] * _EVENTS_OF_NOW + [_TOO_FAR_AHEAD_MS]
    events = [
        Interaction(
            user_id=f"now-{rng.randrange(_USERS)}",
            instrument_id=rng.randrange(_INSTRUMENTS),
            ts=now_ms + ahead,
        )
        for ahead in ahead_ms
    ]
    return list(map(_publication, events))


def of_chosen_ids(time: EventTime) -> list[Publication]:
    """Return quotes and events of ids whose Fibonacci hashes begin with the same bits."""
    inverse = pow(_FIBONACCI, -1, 2**64)
    colliding = (n * inverse % 2**64 for n in itertools.count(1))
    ids = itertools.islice((i for i in colliding if i < 2**63), _CHOSEN_IDS)
    messages: list[Publication] = []
    for n, i in enumerate(ids):
        quote = Quote(instrument_id=i, price=1.5, size=1, ts=time.now_ms())
        event = Interaction(user_id=f"chosen-{n % _USERS}", instrument_id=i, ts=time.now_ms())
        messages += [_publication(quote), _publication(event)]
    return messages


def of_skewed_clock(rng: random.Random, time: EventTime) -> list[Publication]:
    """Return an erasure that a clock of next year requests, amid a user's events."""
    user = f"skewed-{rng.randrange(_USERS)}"
    event = Interaction(user_id=user, instrument_id=rng.randrange(_INSTRUMENTS), ts=time.now_ms())
    its = _publication(event)
    key, headers = encode_tombstone(Tombstone(user, erased_at_ms=time.now_ms() + _NEXT_YEAR_MS))
    return [its, Publication(INTERACTIONS.name, key, None, headers), its]


def with_unreadable(rng: random.Random, messages: Sequence[Publication]) -> list[Raw]:
    """Return messages as a batch, of which Kafka accepts one that no client should read.

    The one in the middle breaks it by a header's name or an offset.
    """
    batch = [Raw(one.value, one.key) for one in messages]
    middle = batch[len(batch) // 2]
    assert middle.value is not None
    value = middle.value.replace(b"{", f'{{"{UNREADABLE}":true,'.encode(), 1)
    middle = middle._replace(value=value)
    wrong = (middle._replace(headers=[(POISON, b"")]), middle._replace(delta=FAR))
    batch[len(batch) // 2] = rng.choice(wrong)
    return batch


@dataclass
class Messages:
    rng: random.Random
    time: EventTime
    bad_share: float = _BAD_SHARE
    erased_share: float = 0

    def next(self) -> Publication:
        (topic,) = self.rng.choices(PUBLISHED, _TOPIC_WEIGHTS)
        if topic == QUOTES:
            quote = self._quote()
            return Publication(topic.name, key_of(quote), self._or_bad(encode(quote)))
        event = self._interaction()
        is_erasure = self.rng.random() < self.erased_share
        erased_or_sent = None if is_erasure else self._or_bad(encode(event))
        return Publication(topic.name, key_of(event), erased_or_sent)

    def _or_bad(self, value: bytes) -> bytes:
        is_bad = self.rng.random() < self.bad_share
        return self.rng.choice(_BAD_VALUES) if is_bad else value

    def _quote(self) -> Quote:
        rng = self.rng
        return Quote(
            instrument_id=rng.randrange(_INSTRUMENTS),
            price=rng.randint(64, 64_000) / 64,
            size=rng.randint(0, 500),
            ts=self._event_time_ms(),
        )

    def _interaction(self) -> Interaction:
        rng = self.rng
        has_price, has_quantity = rng.random() < 0.5, rng.random() < 0.5
        return Interaction(
            user_id=f"user-{rng.randrange(_USERS)}",
            instrument_id=int(_INSTRUMENTS * rng.random() ** 2),
            event=rng.choice(list(BUILT_IN)),
            price=rng.randint(1, 64_000) / 64 if has_price else None,
            quantity=rng.randint(1, 5_000) if has_quantity else None,
            ts=self._event_time_ms(),
        )

    def _event_time_ms(self) -> int:
        # Whole seconds make ties, which the log's order decides.
        return (self.time.now_ms() - self.rng.randrange(_DISORDER_MS)) // 1000 * 1000
