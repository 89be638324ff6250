"""The traces of a program: OpenTelemetry's interface, which records nothing without a receiver.

A span records when a piece of work began and ended, and which other work caused it. While traces
are off, nothing is recorded, and no record gets a header. `runtime.otlp`, which is imported when
they are on, has OpenTelemetry's SDK and sends spans.

Between programs a trace continues in the header `traceparent` of W3C Trace Context, in HTTP and in
Kafka alike: https://www.w3.org/TR/trace-context/.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NoOpTracerProvider, SpanContext, SpanKind, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT: Final = "traceparent"
_w3c: Final = TraceContextTextMapPropagator()

Attributes = Mapping[str, str | int]
Headers = Sequence[tuple[str, bytes]]
"""of a record"""
Place = SpanContext
"""a span's ids, which others link to"""


class Tracing:
    """The traces of one program."""

    def __init__(
        self, provider: TracerProvider | None = None, close: Callable[[], None] = lambda: None
    ) -> None:
        """Take what makes spans, None if traces are off, and what sends the last of them."""
        self.provider, self.close = provider, close
        self._tracer = (provider or NoOpTracerProvider()).get_tracer("tickrec")

    @contextlib.contextmanager
    def span(
        self,
        name: str,
        attributes: Attributes,
        *,
        consumes: bool = False,
        parent: Place | None = None,
        links: Iterable[Place] = (),
    ) -> Iterator[Place]:
        """Record the block as a span, which is current inside it; yields its place.

        An exception that leaves the block is the span's status.

        Args:
            name: the same for the same kind of work.
            attributes: of the span.
            consumes: whether it takes records from Kafka.
            parent: another span than the current one.
            links: the places of what else caused it.
        """
        with self._tracer.start_as_current_span(
            name,
            None
            if parent is None
            else trace.set_span_in_context(trace.NonRecordingSpan(parent), Context()),
            SpanKind.CONSUMER if consumes else SpanKind.INTERNAL,
            attributes,
            [Link(place) for place in links],
        ) as span:
            yield span.get_span_context()

    @contextlib.contextmanager
    def sends(self, topics: Iterable[str]) -> Iterator[Headers]:
        """Record the block as a span that sends a record to each of `topics`.

        Yields the headers that the records must have.
        """
        if self.provider is None:
            yield ()
            return
        every = list(topics)
        named = ", ".join(sorted(set(every)))
        attributes: Attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": named,
            "messaging.batch.message_count": len(every),
        }
        with self._tracer.start_as_current_span(
            f"send {named}", kind=SpanKind.PRODUCER, attributes=attributes
        ):
            yield self.headers()

    def headers(self) -> Headers:
        """Return the headers of a record that the current span sends."""
        if self.provider is None:
            return ()
        carried: dict[str, str] = {}
        _w3c.inject(carried)
        return [(name, value.encode()) for name, value in carried.items()]

    def note(self, attributes: Attributes) -> None:
        """Add attributes to the current span."""
        if self.provider is not None:
            trace.get_current_span().set_attributes(attributes)

    def place(self, traceparent: bytes) -> Place | None:
        """Return the span context in a `traceparent`; None if it is invalid or not sampled."""
        try:
            carried = {TRACEPARENT: traceparent.decode()}
        except UnicodeDecodeError:
            return None
        found = trace.get_current_span(_w3c.extract(carried, Context())).get_span_context()
        return found if found.is_valid and found.trace_flags.sampled else None


OFF: Final = Tracing()


def tracing_to(endpoint: str | None, program: str) -> Tracing:
    """Return the traces of a program: off without an endpoint.

    Args:
        endpoint: base URL of a receiver of OTLP over HTTP; spans go to `/v1/traces` below it.
        program: as in its logs.
    """
    if endpoint is None:
        return OFF
    from runtime.otlp import Sending  # 10 MB of memory that nobody needs while it is off

    sending = Sending(endpoint, program)
    return Tracing(sending.provider, sending.close)
