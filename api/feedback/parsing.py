"""Parses feedback into messages, and counts them. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from msgspec.structs import replace

from api.events.parsing import parse_each
from api.generations.request_ids import Signer
from api.http.bodies import strict_decoder
from api.http.instrument_refs import as_sent, id_of, no_symbols
from api.http.parsing import Resolve
from contracts.decoding import decode_alone
from contracts.feedback import (
    Feedback,
    FeedbackType,
    SentFeedback,
    feedback_of,
    may_be_of,
    parse_request_id,
)
from contracts.input_rules import ANY, InputRules

UNKNOWN: Final = "unknown"
"""Label for a variant in a request id that this server does not know."""

SENT_FEEDBACK: Final = as_sent(SentFeedback)
_strict: Final = strict_decoder(SENT_FEEDBACK)


class Counted(NamedTuple):
    """The labels of the feedback counter: few values each, whatever clients send."""

    kind: FeedbackType
    variant: str
    source: str


def parse_feedback(
    body: bytes,
    signer: Signer,
    now_ms: int,
    rules: InputRules = ANY,
    resolve: Resolve = no_symbols,
) -> list[Feedback]:
    """Return the messages of a body: one, or an array of up to `api.events.parsing.MAX_EVENTS`.

    Raises:
        MalformedBodyError: it is not JSON.
        InvalidEventsError: one is invalid or not about an answer that the signer issued to this
            user, or there are none or too many.
    """

    def message(value: bytes) -> Feedback:
        sent = decode_alone(_strict, value)
        sent = replace(sent, instrument_id=id_of(sent.instrument_id, resolve))
        return _verified(feedback_of(sent, now_ms, rules), signer)

    return parse_each(body, message)


def count(messages: Iterable[Feedback], known_variants: Collection[str]) -> Counter[Counted]:
    """Count feedback by kind, variant and source.

    A variant that is no longer served counts as `unknown`: their number is unbounded over time.
    """
    return Counter(_labels(message, known_variants) for message in messages)


def _verified(feedback: Feedback, signer: Signer) -> Feedback:
    if not signer.made(feedback.request_id, feedback.user_id):
        raise ValueError(
            f"request_id {feedback.request_id!r:.450} was not issued by this service for "
            f"user_id {feedback.user_id!r}"
        )
    if not may_be_of(parse_request_id(feedback.request_id), feedback.instrument_id):
        raise ValueError(
            f"instrument_id {feedback.instrument_id} was not in the answer of request_id "
            f"{feedback.request_id!r:.450}"
        )
    return feedback


def _labels(message: Feedback, known_variants: Collection[str]) -> Counted:
    request = parse_request_id(message.request_id)
    variant = request.variant if request.variant in known_variants else UNKNOWN
    return Counted(message.type, variant, request.source)
