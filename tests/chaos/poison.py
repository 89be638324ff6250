"""A record with a header name that is not UTF-8: Kafka accepts it, but no client can read it."""

import time
from typing import Final

from aiokafka.errors import KafkaError

from tests.chaos.messages import Publication
from tests.raw_batches import POISON, Raw, publish

UNREADABLE: Final = "unreadable"
"""A field of the value, by which the recomputation knows such a record."""

_RETRY_AFTER_S: Final = 0.5


def publish_unreadable(bootstrap_servers: str, what: Publication, partition: int) -> None:
    """Publish a message as such a record, again until the broker has it; else it breaks no rule."""
    assert what.value is not None
    value = what.value.replace(b"{", f'{{"{UNREADABLE}":true,'.encode(), 1)
    record = Raw(value, what.key, [(POISON, b"")])
    while True:
        try:
            publish(bootstrap_servers, what.topic, partition, [record])
        except KafkaError:
            time.sleep(_RETRY_AFTER_S)
        else:
            return
