"""An admin client of librdkafka's that knows why the broker does not let it in."""

from typing import Any

from confluent_kafka.admin import AdminClient

from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import Refusals


class Admin(AdminClient):
    """Connects by itself, and again whenever it must."""

    def __init__(self, kafka: KafkaConfig, **options: Any) -> None:
        """Take how to reach Kafka, and librdkafka's options with `_` for their dots."""
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
        """Return why the broker did not let us in when it was last tried; None if it did."""
        self.poll(0)
        return self._refusals.why
