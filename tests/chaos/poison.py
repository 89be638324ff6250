"""Batches with a record that Kafka accepts and no client should read."""

import random
import time
from collections.abc import Sequence
from typing import Final

from aiokafka.errors import KafkaError

from tests.chaos.messages import Publication
from tests.raw_batches import POISON, Raw, publish

UNREADABLE: Final = "unreadable"
"""A field of the value, by which the recomputation knows such a record."""
FAR: Final = 1_000_000
"""Offsets by which a record may be outside its batch; no log of a run is as long."""

_RETRY_AFTER_S: Final = 0.5


def with_unreadable(rng: random.Random, messages: Sequence[Publication]) -> list[Raw]:
    """Return messages as a batch: one in the middle breaks it by a header's name or an offset."""
    batch = [Raw(one.value, one.key) for one in messages]
    middle = batch[len(batch) // 2]
    assert middle.value is not None
    value = middle.value.replace(b"{", f'{{"{UNREADABLE}":true,'.encode(), 1)
    middle = middle._replace(value=value)
    wrong = (middle._replace(headers=[(POISON, b"")]), middle._replace(delta=FAR))
    batch[len(batch) // 2] = rng.choice(wrong)
    return batch


def publish_patiently(
    bootstrap_servers: str, topic: str, partition: int, batch: Sequence[Raw]
) -> None:
    """Publish a batch, again until the broker has it."""
    while True:
        try:
            publish(bootstrap_servers, topic, partition, batch)
        except KafkaError:
            time.sleep(_RETRY_AFTER_S)
        else:
            return
