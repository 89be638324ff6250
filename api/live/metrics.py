"""Every metric of the live bars."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class LiveMetrics:
    """The metrics of the streams of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clients = Gauge(
            "api_stream_clients", "Clients that a stream of bars is open to", registry=registry
        )
        self.events = Counter(
            "api_stream_events_total", "Bars sent to clients of streams", registry=registry
        )
        self.conflated = Counter(
            "api_stream_conflated_total",
            "Bars not sent, as a later state came before the client took them",
            registry=registry,
        )
        self.dropped = Counter(
            "api_stream_dropped_total",
            "Streams ended because their clients took nothing for too long",
            registry=registry,
        )
        self.interruptions = Counter(
            "api_stream_interruptions_total",
            "Times that the subscription was lost, and clients were told so",
            registry=registry,
        )
