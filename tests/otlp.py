"""A receiver of traces, in the tests' own process: OTLP over HTTP, as protobuf."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http_server import Handler, serving
from tests.patience import comes

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
"""As a client of ours sends it."""
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
"""Makes a program send its spans after so many ms."""


@dataclass(frozen=True)
class Span:
    """A span as it was received."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    links: list[tuple[str, str]]
    """trace and span of each"""
    attributes: Mapping[str, Any]
    kind: int
    failed: bool


@dataclass(frozen=True)
class Receiver:
    """The receiver's address, and the received spans."""

    url: str
    spans: list[Span] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """of each request"""

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name received so far."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str, **where: Any) -> Span:
        """Wait for the first span of a name with these fields."""

        def found() -> list[Span]:
            wanted = where.items()
            spans = self.named(name)
            return [s for s in spans if all(getattr(s, key) == value for key, value in wanted)]

        comes(lambda: bool(found()), every_s=0.02)
        assert found(), f"no {name} {where} among {[s.name for s in self.spans]}"
        return found()[0]


@contextlib.contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Receive spans for the block; port 0: the system chooses."""

    class Traces(Handler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            receiver.headers.append(dict(self.headers))
            receiver.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            self.send(200)

    with serving(Traces, port) as address:
        receiver = Receiver(f"http://{address}")
        yield receiver


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for of_service in request.resource_spans:
        service = _values(of_service.resource.attributes)["service.name"]
        for of_scope in of_service.scope_spans:
            for span in of_scope.spans:
                yield Span(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    _values(span.attributes),
                    span.kind,
                    span.status.code == span.status.STATUS_CODE_ERROR,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
