"""Sends spans: OpenTelemetry's SDK, by OTLP over HTTP.

Spans wait in a queue of the SDK, and a thread sends them. Nothing waits for the receiver: while it
is away, spans are dropped. The standard variables that are not settings of ours are the SDK's
to read, such as `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_TRACES_SAMPLER`.
"""

import logging
import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

log = structlog.get_logger()

CLOSED_WITHIN_S: Final = 2.0
"""A program that stops waits no longer for the receiver."""
_PATH: Final = "url.path"
_LOGGERS: Final = (trace_exporter.__name__, "opentelemetry.sdk._shared_internal")
"""of the exporter, and of the queue before it"""


class Sending:
    """What makes and sends the spans of one program; begins to send by itself."""

    def __init__(self, endpoint: str, program: str) -> None:
        """Take where to send spans, and the program's name."""
        service = f"tickrec-{program.replace('_', '-')}"  # as in the logs
        resource = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: version("tickrec")})
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(_WithoutPaths())
        self._exporter = _Exporter(endpoint)
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter))

    def close(self) -> None:
        """Send what is recorded, as far as the receiver accepts it within `CLOSED_WITHIN_S`."""
        closing = threading.Thread(target=self.provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSED_WITHIN_S)
        if closing.is_alive():
            self._exporter.give_up()


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
