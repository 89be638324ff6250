"""Traces: off unless a receiver is set, and nothing waits for a receiver."""

import logging
import socket
from collections.abc import Iterator

import pytest
import structlog
from structlog.typing import EventDict

import runtime.otlp
from runtime.tracing import OFF, Tracing, tracing_to
from tests.otlp import AT_ONCE, SPAN, TRACE, TRACEPARENT, receiving
from tests.patience import PATIENCE_S, eventually


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AT_ONCE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def said() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def test_traces_that_are_off_record_nothing_and_give_records_no_header() -> None:
    with OFF.span("process quotes", {}) as place, OFF.sends(["quotes"]) as headers:
        assert (headers, OFF.headers()) == ((), ())
    assert not place.is_valid


def test_a_span_arrives_with_its_service_its_parent_and_its_links() -> None:
    with receiving() as receiver:
        tracing = tracing_to(f"{receiver.url}/", "stream_processors")
        place = tracing.place(TRACEPARENT.encode())
        with tracing.span("process quotes", {"n": 3}, consumes=True, links=[place]) as batch:
            tracing.note({"more": "noted"})
        with tracing.span("flush quotes", {}, parent=batch):
            pass
        tracing.close()
    of_batch, of_flush = receiver.one("process quotes"), receiver.one("flush quotes")
    assert of_batch.service == "tickrec-stream-processors"
    assert of_batch.attributes == {"n": 3, "more": "noted"}
    assert (of_batch.links, of_batch.parent) == ([(TRACE, SPAN)], "")
    assert (of_flush.trace, of_flush.parent) == (of_batch.trace, of_batch.span)
    assert not of_batch.failed


def test_what_is_sent_says_in_its_headers_which_span_sent_it() -> None:
    with receiving() as receiver:
        tracing = tracing_to(receiver.url, "api")
        with tracing.sends(["quotes", "interactions", "quotes"]) as headers:
            pass
        tracing.close()
    sent = receiver.one("send interactions, quotes")
    ((name, value),) = headers
    assert (name, value.decode().split("-")[:3]) == ("traceparent", ["00", sent.trace, sent.span])
    assert sent.attributes["messaging.batch.message_count"] == 3


@pytest.mark.parametrize(
    "header", [b"", b"00-0-0-01", b"\xff", TRACEPARENT.replace("-01", "-00").encode()]
)
def test_a_header_that_names_no_span_or_one_that_is_not_recorded_is_no_place(header: bytes) -> None:
    with receiving() as receiver:
        tracing = tracing_to(receiver.url, "api")
        assert tracing.place(header) is None
        tracing.close()


def test_an_unreachable_receiver_is_logged_once_and_once_when_it_is_back(
    said: list[EventDict], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.otlp, "CLOSED_WITHIN_S", PATIENCE_S)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    tracing = tracing_to(f"http://127.0.0.1:{port}", "api")
    with caplog.at_level(logging.DEBUG):
        record(tracing)
        eventually(lambda: len(said) == 1, "the loss is reported")
        record(tracing, 3_000)  # more than the SDK's queue holds
        with receiving(port):
            eventually(lambda: len(said) == 2, "the recovery is reported")
            tracing.close()
    lost, again = said
    assert (lost["event"], lost["log_level"]) == ("spans are lost; nothing else is", "warning")
    assert "Connection" in lost["why"]
    assert again["event"] == "spans are delivered again"
    assert not [line for line in caplog.records if line.name.startswith("opentelemetry")]


def test_a_program_exits_though_its_receiver_never_answers_and_logs_the_loss(
    said: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.otlp, "CLOSED_WITHIN_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        tracing = tracing_to(f"http://127.0.0.1:{deaf.getsockname()[1]}", "api")
        record(tracing)
        tracing.close()
    (lost,) = said
    assert lost["event"] == "spans are lost; nothing else is"
    assert lost["why"] == "not taken within 0.1 s, and the program ends"


def record(tracing: Tracing, n: int = 1) -> None:
    for _ in range(n):
        with tracing.span("process quotes", {}):
            pass
