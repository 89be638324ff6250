"""The messages on `feedback`, and the `request_id` that ties them to the answer they are about.

What was shown and what was clicked, for whoever measures an experiment: no program folds them. A
client that sends again what it has sent makes the same messages twice. Readers of the topic know
them by `(request_id, instrument_id, type)`, which is the same then.
"""

import re
from typing import Annotated, Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from contracts.messages import (
    EpochMs,
    InstrumentId,
    UserId,
    check_not_ahead,
    check_user_id,
    decode_alone,
)

MAX_POSITION: Final = 1000
"""Ten times the longest list that is served."""
TOKEN_CHARACTERS: Final = 22
SIGNATURE_CHARACTERS: Final = 22
NAME: Final = "[A-Za-z0-9_-]{1,32}"
"""What a variant, a generation and a source may be called, to stand in a request id."""

FeedbackType = Literal["impression", "click"]
FEEDBACK_TYPES: Final[tuple[FeedbackType, ...]] = get_args(FeedbackType)

_UNSIGNED: Final = rf"^({NAME})\.({NAME})\.({NAME})\.([A-Za-z0-9_-]{{{TOKEN_CHARACTERS}}})"
_SIGNATURE: Final = rf"([A-Za-z0-9_-]{{{SIGNATURE_CHARACTERS}}})"
_SENT: Final = rf"{_UNSIGNED}{_SIGNATURE}$"
_IN_TOPIC: Final = rf"{_UNSIGNED}{_SIGNATURE}?$"
"""Those that are older than signatures have none."""
_request_id: Final = re.compile(_IN_TOPIC)


class RequestId(NamedTuple):
    """The parts of a request id: at most 143 characters of a URL's.

    All but the last two are followed by a dot.
    """

    variant: str
    generation: str
    source: str
    """of the recommendations: the user's own list, the live history, or what is popular"""
    token: str
    """random: no two answers have the same"""
    signature: str | None = None
    """of all of that and the user; who has the key can check it (`api.models.request_ids`)"""


class Reaction(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """That an instrument of an answer was shown to a user, or clicked."""

    type: FeedbackType
    request_id: Annotated[str, Meta(extra_json_schema={"pattern": _IN_TOPIC})]
    """of the answer that recommended it"""
    user_id: UserId
    instrument_id: InstrumentId
    position: Annotated[int, Meta(ge=1, le=MAX_POSITION)]
    """its place in what was shown, the first is 1"""


class SentFeedback(Reaction, gc=False, frozen=True, kw_only=True):
    """Feedback as a client may send it: without `ts` it is about now."""

    request_id: Annotated[str, Meta(extra_json_schema={"pattern": _SENT})]
    ts: EpochMs | None = None


class Feedback(Reaction, gc=False, frozen=True, kw_only=True):
    """Feedback as it stands in the topic."""

    ts: EpochMs


_sent = msgspec.json.Decoder(SentFeedback)
_encoder = msgspec.json.Encoder()


def encode_feedback(feedback: Feedback) -> bytes:
    """Return the record value of feedback; the key is the user's id, `feedback_key`."""
    return _encoder.encode(feedback)


def feedback_key(feedback: Feedback) -> bytes:
    """Return the record key of feedback: the user's id."""
    return feedback.user_id.encode()


def decode_feedback(value: bytes, now_ms: int) -> Feedback:
    """Decode feedback; what has no `ts` gets `now_ms`.

    Raises:
        ValueError: it breaks a rule; the text is the reason.
    """
    sent = decode_alone(_sent.decode, value)
    parse_request_id(sent.request_id)
    check_user_id(sent.user_id)
    ts = now_ms if sent.ts is None else sent.ts
    check_not_ahead(ts, now_ms)
    return Feedback(
        type=sent.type,
        request_id=sent.request_id,
        user_id=sent.user_id,
        instrument_id=sent.instrument_id,
        position=sent.position,
        ts=ts,
    )


def parse_request_id(text: str) -> RequestId:
    """Return the parts of a request id, whose signature is not checked: its form proves nothing.

    >>> parts = "default.20210815T211000Z-7.history."
    >>> parse_request_id(parts + "Jq3xT0mBzv9cWd2LrK5uYA" + "bRqW9nT2xYc0LmVd8sKfPA").source
    'history'

    Raises:
        ValueError: it is none.
    """
    found = _request_id.fullmatch(text)
    if found is None:
        raise ValueError(f"request_id {text!r:.150} is none that an answer carried")
    return RequestId(*found.groups())
