"""Publishes invalid records to the dead-letter topic."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from faust.types import TP

from contracts.topics import STREAMED, Letter, Place, dead_letters, emptied, letter_of
from stream_processors import metrics
from stream_processors.transport.batches import BadRecord
from stream_processors.transport.producer import Outgoing, Producer

_TOPIC_OF: Final = {topic.name: topic for topic in STREAMED}
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)


class DeadLetters:
    """Publishes bad records unchanged, with the reason and their origin in the headers.

    Folding continues in the meantime: before a position is written, `settled` must have returned.
    After a crash a record may arrive twice, with the same topic, partition and offset.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        # The latest of each partition. A failed one stays: no later position may pass its records.
        self._publishing: dict[TP, asyncio.Task[None]] = {}

    async def publish(self, tp: TP, bad: Sequence[BadRecord]) -> None:
        """Start publishing once the broker has the partition's earlier letters.

        So at most one batch of bad records per partition is in memory.

        Raises:
            aiokafka.errors.KafkaError: it refuses the earlier ones permanently.
        """
        if not bad:
            return
        metrics.REJECTED.labels(tp.topic).inc(len(bad))
        await self.settled(tp)
        letters = [_letter(tp, record) for record in bad]
        self._publishing[tp] = asyncio.create_task(
            self._publish(dead_letters(_TOPIC_OF[tp.topic]).name, letters)
        )

    async def settled(self, tp: TP) -> None:
        """Wait until the broker has all of a partition's letters so far.

        Raises:
            aiokafka.errors.KafkaError: it refuses them permanently.
        """
        publishing = self._publishing.get(tp)
        if publishing:
            await publishing

    async def _publish(self, topic: str, letters: Sequence[Outgoing]) -> None:
        """Publish, shortened if the dead-letter topic refuses the size."""
        try:
            await self._producer.publish_all(topic, 0, letters)
        except _TOO_LARGE:
            if len(letters) == 1:
                await self._producer.publish_all(
                    topic, 0, [Outgoing(*emptied(Letter(*letters[0])))]
                )
                return
            half = len(letters) // 2
            await self._publish(topic, letters[:half])
            await self._publish(topic, letters[half:])


def _letter(tp: TP, record: BadRecord) -> Outgoing:
    place = Place(tp.topic, tp.partition, record.offset)
    topic = _TOPIC_OF[tp.topic]
    return Outgoing(*letter_of(topic, place, record.key, record.value, record.reason))
