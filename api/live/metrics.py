"""Every metric of the live bars."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class LiveMetrics:
    """The metrics of the streams of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.clients = Gauge(
            "api_stream_clients", "Clients with an open stream of bars", registry=registry
        )
        self.events = Counter(
            "api_stream_events_total", "Bars sent to clients of streams", registry=registry
        )
        self.conflated = Counter(
            "api_stream_conflated_total",
            "Bars not sent, because a later state arrived before the client read them",
            registry=registry,
        )
        self.dropped = Counter(
            "api_stream_dropped_total",
            "Streams ended because their clients read nothing for too long",
            registry=registry,
        )
        self.interruptions = Counter(
            "api_stream_interruptions_total",
            "Times that the subscription was lost and clients were notified",
            registry=registry,
        )
