"""The links of a partition's spans: the origins of its records, up to a bound."""

from collections.abc import Iterator

import pytest
from faust.types import TP

from runtime.tracing import Tracing, tracing_to
from stream_processors.partition.spans import _HEADERS_READ_MOST, LINKS_MOST, Recorded
from stream_processors.store.chunks import Group
from stream_processors.transport.batches import RecordBatch
from tests.otlp import AT_ONCE, SPAN, Receiver, receiving
from tests.stream_processors.folding import batch_of

QUOTES_1 = TP("quotes", 1)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Recorded, Receiver]]:
    """Spans of a partition, and where they arrive."""
    for name, value in AT_ONCE.items():
        monkeypatch.setenv(name, value)
    with receiving() as receiver:
        tracing = tracing_to(receiver.url, "stream_processors")
        yield Recorded(tracing, QUOTES_1), receiver
        tracing.close()


def trace(number: int) -> str:
    return f"{number:032x}"


def batch_of_traces(start: int, traces: list[int], n: int) -> RecordBatch:
    """Return a batch of n records, the first of which come from these traces."""
    parents = [f"00-{trace(number)}-{SPAN}-01".encode() for number in traces]
    headers = [[("other", None), ("traceparent", parent)] for parent in parents]
    headers += [[]] * (n - len(traces))
    return batch_of(*QUOTES_1, [(at, b"", None, its) for at, its in enumerate(headers, start)])


def test_a_batch_links_once_to_each_span_that_published_some_of_it(
    traced: tuple[Recorded, Receiver],
) -> None:
    spans, receiver = traced
    with spans.batch(batch_of_traces(10, [7, 8, 7, 7], n=1_000)):
        pass
    span = receiver.one("process quotes")
    assert span.links == [(trace(7), SPAN), (trace(8), SPAN)]
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.destination.name": "quotes",
        "messaging.destination.partition.id": "1",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.batch.message_count": 1_000,
        "tickrec.offset.first": 10,
        "tickrec.offset.last": 1_009,
    }


def test_a_flush_is_a_child_of_the_last_batch_and_has_the_links_of_all(
    traced: tuple[Recorded, Receiver],
) -> None:
    spans, receiver = traced
    for number in (1, 2):
        with spans.batch(batch_of_traces(number, [number], n=1)):
            pass
    with spans.flush(2) as counted:
        groups = [Group("a", []), Group("b", [])]
        assert list(counted(groups)) == groups
    with spans.batch(batch_of_traces(3, [3], n=1)), spans.flush(1):
        pass  # as when memory is full in the middle of a batch
    first = receiver.one("flush quotes", links=[(trace(1), SPAN), (trace(2), SPAN)])
    assert (first.attributes["tickrec.records"], first.attributes["tickrec.values"]) == (2, 2)
    second = receiver.one("flush quotes", links=[(trace(3), SPAN)])
    batches = [receiver.one("process quotes", links=[(trace(n), SPAN)]) for n in (1, 2, 3)]
    assert [first.parent, second.parent] == [batches[1].span, batches[2].span]


def test_links_are_few_however_many_traces_there_are_and_a_failed_flush_says_so(
    traced: tuple[Recorded, Receiver],
) -> None:
    spans, receiver = traced
    for start in (0, 100):
        with spans.batch(batch_of_traces(start, list(range(start + 1, start + 101)), n=100)):
            pass
    with pytest.raises(RuntimeError), spans.flush(200):
        raise RuntimeError("replaced")
    assert receiver.one("flush quotes").failed
    for name in ("process quotes", "flush quotes"):
        assert len(receiver.one(name).links) == LINKS_MOST


def test_few_headers_are_read_however_many_traces_are_not_recorded() -> None:
    class Unsampled(Tracing):
        read = 0

        def place(self, traceparent: bytes) -> None:
            self.read += 1

    unsampled = Unsampled()
    with Recorded(unsampled, QUOTES_1).batch(batch_of_traces(0, list(range(1, 1_001)), n=1_000)):
        pass
    assert unsampled.read == _HEADERS_READ_MOST
