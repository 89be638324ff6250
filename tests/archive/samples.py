"""Messages for tests, as (topic, key, value)."""

import time
from collections.abc import Iterator

from contracts.feedback import Feedback, encode_feedback, feedback_key
from contracts.messages import Interaction, Quote, encode, key_of
from contracts.topics import FEEDBACK, INTERACTIONS, QUOTES

REQUEST_ID = "default.20210815T211000Z-7.history.BAA.Jq3xT0mBzv9cWd2LrK5uYAbRqW9nT2xYc0LmVd8sKfPA"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def quotes(n: int, first: int = 0) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield n quotes of 50 instruments, whose sizes are their numbers from `first` on."""
    ts = now_ms()
    for i in range(first, first + n):
        quote = Quote(instrument_id=i % 50, price=1 + i % 7, size=i, ts=ts - n + i - first)
        yield QUOTES.name, key_of(quote), encode(quote)


def interaction(
    user_id: str, instrument_id: int, ts: int, **other: object
) -> tuple[str, bytes, bytes]:
    event = Interaction(user_id=user_id, instrument_id=instrument_id, ts=ts, **other)  # type: ignore[arg-type]
    return INTERACTIONS.name, key_of(event), encode(event)


def tombstone(user_id: str) -> tuple[str, bytes, None]:
    return INTERACTIONS.name, user_id.encode(), None


def feedback(user_id: str, instrument_id: int, ts: int) -> tuple[str, bytes, bytes]:
    sample = Feedback(
        type="click", request_id=REQUEST_ID, user_id=user_id, instrument_id=instrument_id,
        position=1, ts=ts,
    )  # fmt: skip
    return FEEDBACK.name, feedback_key(sample), encode_feedback(sample)
