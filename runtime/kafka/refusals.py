"""Why Kafka rejects a client or its request, and what an operator can do about it."""

from typing import Final

from confluent_kafka import KafkaError

RIGHTS: Final = "grant the user of KAFKA_SASL_USERNAME the rights listed in docs/kafka.md"
_REMEDIES: Final = {
    KafkaError._AUTHENTICATION: (  # noqa: SLF001 (its public name)
        "set KAFKA_SASL_MECHANISM to the broker's, and KAFKA_SASL_USERNAME and "
        "KAFKA_SASL_PASSWORD to one of its users"
    ),
    KafkaError._SSL: (  # noqa: SLF001 (its public name)
        "set KAFKA_SECURITY_PROTOCOL to the listener's, and KAFKA_SSL_CA_FILE to the authority of "
        "the broker's certificate"
    ),
    KafkaError.TOPIC_AUTHORIZATION_FAILED: RIGHTS,
    KafkaError.GROUP_AUTHORIZATION_FAILED: RIGHTS,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: RIGHTS,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: RIGHTS,
}
_NOT_LET_IN: Final = (KafkaError._AUTHENTICATION, KafkaError._SSL)  # noqa: SLF001


def with_remedy(code: int, said: str) -> str:
    """Return an error of Kafka's protocol, with a remedy if there is one.

    >>> with_remedy(29, "Broker: Topic authorization failed")[:56]
    'Broker: Topic authorization failed: grant the user of KA'
    """
    remedy = _REMEDIES.get(code)
    return said if remedy is None else f"{said}: {remedy}"


def describe_error(error: KafkaError) -> str:
    """Return an error of librdkafka's, with a remedy if there is one."""
    return with_remedy(error.code(), error.str())


class Refusals:
    """The `error_cb` of a client, which keeps why the broker rejects it."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take an error that librdkafka reports.

        A TLS error that is not about a certificate may come from a broker that is just starting.
        """
        is_passing = error.code() == KafkaError._SSL and "certificate" not in error.str()  # noqa: SLF001
        if error.code() in _NOT_LET_IN and not is_passing:
            self._last = error

    def forget(self) -> None:
        """Note that the broker has accepted the client."""
        self._last = None

    @property
    def why(self) -> str | None:
        """Why the broker last rejected the client; None if it gave no reason."""
        return None if self._last is None else describe_error(self._last)
