"""Bodies with feedback into messages, and what is counted of them. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple, get_args

from api.answers import Source
from api.events import parse_each
from contracts.feedback import Feedback, FeedbackType, decode_feedback, parse_request_id

UNKNOWN: Final = "unknown"
"""Counts what a request id names and this server does not know."""

_SOURCES: Final = frozenset(get_args(Source))


class Counted(NamedTuple):
    """The labels that feedback is counted by: few values each, whatever clients send."""

    kind: FeedbackType
    variant: str
    source: str


def parse_feedback(body: bytes, now_ms: int) -> list[Feedback]:
    """Return the messages of a body: one, or an array of up to `api.events.MAX_EVENTS`.

    Raises:
        MalformedBodyError: it is not JSON.
        InvalidEventsError: one breaks a rule, or there are none or too many.
    """
    return parse_each(body, lambda feedback: decode_feedback(feedback, now_ms))


def count(messages: Iterable[Feedback], known_variants: Collection[str]) -> Counter[Counted]:
    """Return how much feedback there is of each kind, on each variant and source.

    A request id may be made up, so what it names counts as `unknown` unless it is known.
    """
    return Counter(_labels(message, known_variants) for message in messages)


def _labels(message: Feedback, known_variants: Collection[str]) -> Counted:
    request = parse_request_id(message.request_id)
    return Counted(
        message.type,
        request.variant if request.variant in known_variants else UNKNOWN,
        request.source if request.source in _SOURCES else UNKNOWN,
    )
