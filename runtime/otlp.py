"""Traces that are on: OpenTelemetry's SDK, which sends spans by OTLP over HTTP.

Spans wait in a queue of the SDK, and a thread sends them. Nothing waits for the receiver: while it
is away, spans are dropped. The standard variables that are not settings of ours are the SDK's
to read, such as `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_TRACES_SAMPLER`.
"""

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Final

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime.tracing import TRACEPARENT, Attributes, Headers, Place, Tracing

log = structlog.get_logger()

CLOSED_WITHIN_S: Final = 2.0
"""A program that stops waits no longer for the receiver."""
_PATH: Final = "url.path"
_LOGGERS: Final = (trace_exporter.__name__, "opentelemetry.sdk._shared_internal")
"""of the exporter, and of the queue before it"""
_w3c: Final = TraceContextTextMapPropagator()


class OtlpTracing(Tracing):
    """The traces of one program."""

    def __init__(self, endpoint: str, program: str) -> None:
        """Take where to send spans, and the program's name; begins to send by itself."""
        service = f"tickrec-{program.replace('_', '-')}"  # as in the logs
        resource = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version("tickrec")})
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(_WithoutPaths())
        self._exporter = _Exporter(endpoint)
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self.provider.get_tracer("tickrec")

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
        """As `Tracing.span`; an exception that leaves the block is the span's status."""
        with self._tracer.start_as_current_span(
            name,
            None if parent is None else _within(parent),
            SpanKind.CONSUMER if consumes else SpanKind.INTERNAL,
            attributes,
            [Link(place) for place in links],
        ) as span:
            yield span.get_span_context()

    @contextlib.contextmanager
    def sends(self, topics: Iterable[str]) -> Iterator[Headers]:
        """As `Tracing.sends`."""
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
        """As `Tracing.headers`."""
        carried: dict[str, str] = {}
        _w3c.inject(carried)
        return [(name, value.encode()) for name, value in carried.items()]

    def note(self, attributes: Attributes) -> None:
        """As `Tracing.note`."""
        trace.get_current_span().set_attributes(attributes)

    def place(self, traceparent: bytes) -> Place | None:
        """As `Tracing.place`."""
        try:
            carried = {TRACEPARENT: traceparent.decode()}
        except UnicodeDecodeError:
            return None
        found = trace.get_current_span(_w3c.extract(carried, Context())).get_span_context()
        return found if found.is_valid and found.trace_flags.sampled else None

    def close(self) -> None:
        """As `Tracing.close`, within `CLOSED_WITHIN_S`."""
        closing = threading.Thread(target=self.provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSED_WITHIN_S)
        if closing.is_alive():
            self._exporter.give_up()


def _within(place: SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(place), Context())


class _WithoutPaths(SpanProcessor):
    """Takes paths out of spans, as they may name a user: the route is in `http.route`."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 (the SDK's signature)
        """Overwrite the path with the word that OpenTelemetry has for it."""
        if span.attributes and _PATH in span.attributes:
            span.set_attribute(_PATH, "REDACTED")


class _Losses(logging.Filter):
    """Intercepts the SDK's errors, several for each batch of spans, and logs only the first.

    One per process, like the SDK's logger.
    """

    def __init__(self) -> None:
        super().__init__()
        self._receiver = ""
        self._is_reported = False

    def begin(self, receiver: str) -> None:
        """Intercept errors about a receiver from here on."""
        self._receiver, self._is_reported = receiver, False
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the SDK's message."""
        self.report(record.getMessage())
        return False

    def report(self, why: str) -> None:
        """Log that spans are lost, unless already logged."""
        if not self._is_reported:
            self._is_reported = True
            log.warning("spans are lost; nothing else is", receiver=self._receiver, why=why)

    def end(self) -> None:
        """Note that spans are delivered."""
        if self._is_reported:
            self._is_reported = False
            log.info("spans are delivered again", receiver=self._receiver)


_losses: Final = _Losses()


class _Exporter(trace_exporter.OTLPSpanExporter):
    """Sends spans; says once that they are lost, and once that they no longer are."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        _losses.begin(endpoint)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            _losses.end()
        return result

    def give_up(self) -> None:
        """Stop sending, even with requests in flight."""
        _losses.report(f"not taken within {CLOSED_WITHIN_S:g} s, and the program ends")
        self.shutdown()  # type: ignore[no-untyped-call]
