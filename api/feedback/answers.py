"""The answer to feedback."""

import msgspec


class FeedbackAccepted(msgspec.Struct, frozen=True):
    """How many messages of feedback Kafka has acknowledged."""

    impressions: int
    clicks: int
