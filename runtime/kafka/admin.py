"""A librdkafka admin client that knows why the broker rejects it."""

from typing import Any

from confluent_kafka.admin import AdminClient

from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import Refusals


class Admin(AdminClient):
    """Connects and reconnects automatically."""

    def __init__(self, kafka: KafkaConfig, **options: Any) -> None:
        """Take the Kafka settings, and librdkafka's options with `_` for their dots."""
        self.kafka = kafka
        self._refusals = Refusals()
        config: dict[str, Any] = {
            **kafka.librdkafka(),
            # A caller that is too early or too late learns it from the call, not from the log.
            "log_level": 0,
            "error_cb": self._refusals,
            "reconnect.backoff.max.ms": 500,
            **{name.replace("_", "."): value for name, value in options.items()},
        }
        super().__init__(config)

    def why_refused(self) -> str | None:
        """Return why the broker last rejected the login; None if it accepted it."""
        self.poll(0)
        return self._refusals.why
