"""The problems that several endpoints share, with examples for /docs."""

from typing import Final

from api.http.problems import (
    GENERATION_REPLACED,
    INCOMPLETE_BODY,
    INVALID_EVENTS,
    INVALID_REQUEST,
    LOG_UNAVAILABLE,
    MALFORMED_JSON,
    NO_MODEL_YET,
    OVERLOADED,
    RATE_LIMITED,
    STORE_UNAVAILABLE,
    TOO_LARGE,
    TOPICS_UNKNOWN,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemType,
)

NO_SUCH_SYMBOL: Final = "No instrument has the symbol 'AAPL'"
READING: Final[dict[ProblemType, str]] = {
    INVALID_REQUEST: "instrument: must be a whole number from 0 to 9223372036854775807",
    OVERLOADED: "256 requests are in flight already: try again in a second",
    STORE_UNAVAILABLE: "Redis: no answer in 0.2 s",
    TOPICS_UNKNOWN: "meta:topics in Redis has no partitions for quotes: "
    "run `python -m operations.topics` first",
}
READING_LISTS: Final[dict[ProblemType, str]] = {
    **READING,
    NO_MODEL_YET: "The trainer has not published a model yet: try again after its next run",
    GENERATION_REPLACED: "The model was replaced while it was read: try again",
}
LONG_USER_ID: Final[dict[ProblemType, str]] = {
    INVALID_REQUEST: "user_id: must have 1 to 128 bytes of UTF-8, got 129"
}
WRITING: Final[dict[ProblemType, str]] = {
    MALFORMED_JSON: "JSON is malformed: invalid character (byte 12)",
    INCOMPLETE_BODY: "4 s are allowed for a whole body: send fewer events at a time",
    UNSUPPORTED_MEDIA_TYPE: "Send `Content-Type: application/json`, not 'text/plain'",
    TOO_LARGE: "At most 1048576 bytes are accepted: send the events in parts",
    INVALID_EVENTS: "1 of 2 events break a rule, so none was taken; the first is at index 1: "
    "Expected `float` >= 1e-18 - at `$.price`",
    RATE_LIMITED: "At most 10000 events in 1 s: try again after 1 s",
    OVERLOADED: "64 requests are in flight already: try again in a second",
    LOG_UNAVAILABLE: "Kafka acknowledged 0 of 2 messages: Local: Message timed out. "
    "Those may be counted again if all are sent again",
}
