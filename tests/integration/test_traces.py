"""One event's trace, from a request through Kafka to what the workers wrote."""

import httpx
import pytest

from tests.integration.conftest import Pipeline
from tests.otlp import AT_ONCE, SPAN, TRACE, TRACEPARENT, Receiver, Span, receiving

TRADE = {"type": "interaction", "user_id": "ABC", "instrument_id": 4, "ts": 1629061628123}
QUOTE = {"type": "quote", "instrument_id": 4, "price": 30.72, "ts": 1629061628123}


@pytest.mark.stack
def test_a_requests_trace_is_linked_by_each_batch_and_flush_of_its_events(
    pipeline: Pipeline,
) -> None:
    with receiving() as receiver:
        pipeline.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **AT_ONCE}
        with pipeline.worker(), pipeline.api() as address:
            answer = httpx.post(
                f"{address}/v1/events", json=[QUOTE, TRADE], headers={"traceparent": TRACEPARENT}
            )
            assert answer.status_code == 202
            pipeline.wait_until_folded()
            request = receiver.one("POST /v1/events")
            sent = receiver.one("send interactions, quotes")
            assert (request.trace, request.parent) == (TRACE, SPAN)
            assert (sent.trace, sent.parent) == (TRACE, request.span)
            for topic in ("quotes", "interactions"):
                batch, flush = folded(receiver, topic)
                assert batch.links == flush.links == [(TRACE, sent.span)]
            # An event's changes go to another topic while its history is flushed.
            batch, flush_of_counts = folded(receiver, "cooccurrences")
            assert batch.links == flush_of_counts.links == [(flush.trace, flush.span)]


def folded(receiver: Receiver, topic: str) -> tuple[Span, Span]:
    """Return the spans of a topic's only record: its batch, and the flush of its results."""
    batch = receiver.one(f"process {topic}")
    flush = receiver.one(f"flush {topic}", parent=batch.span)
    for span in (batch, flush):
        assert (span.service, span.trace) == ("tickrec-stream-processors", batch.trace)
        assert span.attributes["messaging.destination.name"] == topic
    assert batch.attributes["messaging.batch.message_count"] == 1
    assert (batch.attributes["tickrec.offset.first"], batch.attributes["tickrec.offset.last"]) == (
        0,
        0,
    )
    assert flush.attributes["tickrec.records"] == 1
    assert flush.attributes["tickrec.values"] >= 1
    return batch, flush
