"""The messages on `feedback`, and the `request_id` that links them to an answer.

They record impressions and clicks, to measure experiments. A client that retries may publish the
same messages twice. Readers of the topic recognize duplicates by `(request_id, user_id,
instrument_id, type)`: users share the ids of answers that are for no user.
"""

import base64
import re
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from contracts.decoding import Decoders, decode_one
from contracts.input_rules import ANY, InputRules
from contracts.messages import EpochMs, InstrumentId, UserId, check_time, check_user_id

MAX_POSITION: Final = 1000
"""Ten times the longest list that is served."""
TOKEN_CHARACTERS: Final = 22
SIGNATURE_CHARACTERS: Final = 22
NAME: Final = "[A-Za-z0-9_-]{1,32}"
"""The allowed names of variants, generations and sources, as they are part of a request id."""

FeedbackType = Literal["impression", "click"]
FEEDBACK_TYPES: Final[tuple[FeedbackType, ...]] = get_args(FeedbackType)

MAX_SHOWN: Final = 100
"""Instruments per answer, the first ones if it has more."""
SHARED_SOURCES: Final = frozenset({"items", "similar", "trending"})
"""Sources of answers that are made for no user: any user may have been shown them. They say what
was requested, also where popular instruments took the place of others."""
NO_VARIANT: Final = "none"
"""The variant of answers that no model made: trending instruments."""
_SHOWN_MASK: Final = 0xFFFF
_SHOWN: Final = rf"[A-Za-z0-9_-]{{0,{(16 * MAX_SHOWN + 5) // 6}}}"
_TOKEN: Final = f"[A-Za-z0-9_-]{{{TOKEN_CHARACTERS}}}"
_SIGNATURE: Final = f"[A-Za-z0-9_-]{{{SIGNATURE_CHARACTERS}}}"
_PATTERN: Final = rf"^({NAME})\.({NAME})\.({NAME})\.({_SHOWN})\.({_TOKEN})({_SIGNATURE})$"
_request_id: Final = re.compile(_PATTERN)


class RequestId(NamedTuple):
    """The parts of a request id: at most 411 URL-safe characters.

    They are in this order; all but the last two are followed by a dot.
    """

    variant: str
    generation: str
    source: str
    """of the recommendations: the user's own list, the live history, or popular items; or one of
    `SHARED_SOURCES`"""
    shown: str
    """the recommended items: see `encode_shown`"""
    token: str
    """random, unique for each answer; of those that are kept for all, a digest of the answer"""
    signature: str
    """of all other parts and the user, if it was made for one; verified with the key
    (`api.generations.request_ids`)"""


class Reaction(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """An instrument of an answer was shown to a user, or clicked."""

    type: FeedbackType
    request_id: Annotated[str, Meta(extra_json_schema={"pattern": _PATTERN})]
    """of the answer that recommended it"""
    user_id: UserId
    instrument_id: InstrumentId
    position: Annotated[int, Meta(ge=1, le=MAX_POSITION)]
    """the rank at which it was shown, from 1"""


class SentFeedback(Reaction, gc=False, frozen=True, kw_only=True):
    """Feedback as sent by a client: `ts` defaults to now."""

    ts: EpochMs | None = None


class Feedback(Reaction, gc=False, frozen=True, kw_only=True):
    """Feedback as stored in the topic."""

    ts: EpochMs


_decoders = Decoders(SentFeedback)
_encoder = msgspec.json.Encoder()


def encode_feedback(feedback: Feedback) -> bytes:
    """Return the record value of feedback; the key is the user's id, `feedback_key`."""
    return _encoder.encode(feedback)


def feedback_key(feedback: Feedback) -> bytes:
    """Return the record key of feedback: the user's id."""
    return feedback.user_id.encode()


def decode_feedback(
    value: bytes,
    now_ms: int,
    rules: InputRules = ANY,
    unknown_fields: Counter[str] | None = None,
) -> Feedback:
    """Decode feedback; `ts` defaults to `now_ms`. The first unknown field is counted, by name.

    Raises:
        ValueError: it is invalid; the text is the reason.
    """
    sent = decode_one(_decoders, value, rules, unknown_fields)
    return feedback_of(sent, now_ms, rules)


def feedback_of(sent: SentFeedback, now_ms: int, rules: InputRules = ANY) -> Feedback:
    """Return feedback as it is stored; `ts` defaults to `now_ms`.

    Raises:
        ValueError: it breaks a rule that its type cannot express; the text is the reason.
    """
    parse_request_id(sent.request_id)
    check_user_id(sent.user_id)
    ts = now_ms if sent.ts is None else sent.ts
    check_time(ts, now_ms, rules)
    return Feedback(
        type=sent.type,
        request_id=sent.request_id,
        user_id=sent.user_id,
        instrument_id=sent.instrument_id,
        position=sent.position,
        ts=ts,
    )


def encode_shown(instrument_ids: Sequence[int]) -> str:
    """Return the part of a request id that encodes the instruments of the answer.

    It has the last 16 bits of each, in base64: enough to distinguish the instruments of a catalog.

    >>> encode_shown([4, 70001]), encode_shown([])
    ('BABxEQ', '')
    """
    bits = [instrument_id & _SHOWN_MASK for instrument_id in instrument_ids[:MAX_SHOWN]]
    packed = struct.pack(f"<{len(bits)}H", *bits)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def may_be_of(request: RequestId, instrument_id: int) -> bool:
    """Return whether a request id's answer may have had an instrument.

    >>> request = parse_request_id("v.g.history." + encode_shown([4, 70001]) + "." + 44 * "A")
    >>> may_be_of(request, 70001), may_be_of(request, 5)
    (True, False)
    """
    return instrument_id & _SHOWN_MASK in decode_shown(request.shown)


def decode_shown(shown: str) -> tuple[int, ...]:
    """Return the last 16 bits of each instrument of an answer, in its order.

    >>> decode_shown(encode_shown([4, 70001]))
    (4, 4465)
    """
    packed = base64.urlsafe_b64decode(shown + "=" * (-len(shown) % 4))
    return struct.unpack(f"<{len(packed) // 2}H", packed[: len(packed) // 2 * 2])


def parse_request_id(text: str) -> RequestId:
    """Parse a request id without verifying its signature: its form proves nothing.

    >>> parts = "default.20210815T211000Z-7.history.BAA."
    >>> parse_request_id(parts + "Jq3xT0mBzv9cWd2LrK5uYA" + "bRqW9nT2xYc0LmVd8sKfPA").source
    'history'

    Raises:
        ValueError: it is not a request id.
    """
    found = _request_id.fullmatch(text)
    if found is None:
        raise ValueError(f"request_id {text!r:.450} is not the id of an answer")
    return RequestId(*found.groups())
