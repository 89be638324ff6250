"""The tracing interface of programs: off, unless a receiver is configured.

A span records when a piece of work began and ended, and which other work caused it. This module
is what there is while traces are off: nothing is recorded, and no record gets a header. The
implementation on OpenTelemetry's SDK is in `runtime.otlp`, which is imported when traces are on.

Between programs a trace continues in the header `traceparent` of W3C Trace Context, in HTTP and in
Kafka alike: https://www.w3.org/TR/trace-context/.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

TRACEPARENT: Final = "traceparent"

Attributes = Mapping[str, str | int]
Headers = Sequence[tuple[str, bytes]]
"""of a record"""
Place = Any
"""a span's ids, which others link to"""


class Tracing:
    """Traces that are off."""

    provider: Any = None
    """OpenTelemetry's `TracerProvider`, for libraries that have spans of their own; None: off"""

    def span(
        self,
        name: str,
        attributes: Attributes,  # noqa: ARG002 (this and what follows: for those that are on)
        *,
        consumes: bool = False,  # noqa: ARG002
        parent: Place | None = None,  # noqa: ARG002
        links: Iterable[Place] = (),  # noqa: ARG002
    ) -> AbstractContextManager[Place]:
        """Record the block as a span, which is current inside it; yields its place.

        Args:
            name: the same for the same kind of work.
            attributes: of the span.
            consumes: whether it takes records from Kafka.
            parent: another span than the current one.
            links: the places of what else caused it.
        """
        return nullcontext(name)

    def sends(self, topics: Iterable[str]) -> AbstractContextManager[Headers]:  # noqa: ARG002
        """Record the block as a span that sends a record to each of `topics`.

        Yields the headers that the records must have.
        """
        return nullcontext(())

    def headers(self) -> Headers:
        """Return the headers of a record that the current span sends."""
        return ()

    def note(self, attributes: Attributes) -> None:
        """Add attributes to the current span."""

    def place(self, traceparent: bytes) -> Place | None:  # noqa: ARG002
        """Return the place that a header names; None if it names none, or one not recorded."""
        return None

    def close(self) -> None:
        """Send what is recorded, as far as the receiver accepts it in time."""


OFF: Final = Tracing()


def tracing_to(endpoint: str | None, program: str) -> Tracing:
    """Return the traces of a program: off without an endpoint.

    Args:
        endpoint: base URL of a receiver of OTLP over HTTP; spans go to `/v1/traces` below it.
        program: as in its logs.
    """
    if endpoint is None:
        return OFF
    from runtime.otlp import OtlpTracing  # 10 MB of memory that nobody needs while it is off

    return OtlpTracing(endpoint, program)
