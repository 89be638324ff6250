"""Publishes invalid records to the dead-letter topic, and decides when too many stop a partition.

The limit is modeled on Arroyo's `DlqLimit`: a single bad record belongs in the dead letters, but a
producer that writes nothing else fills them for no benefit, and should be noticed.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from faust.types import TP

from contracts.topics import STREAMED, Letter, Place, dead_letters, emptied, letter_of
from stream_processors import metrics
from stream_processors.transport.batches import BadRecord
from stream_processors.transport.producer import Outgoing, Producer

WINDOW: Final = 1_000
"""Records over which the share of bad ones is computed."""


class TooManyBadRecordsError(RuntimeError):
    """More of a partition's latest records are invalid than the setting allows."""

    def __init__(self, bad: int, share_max: float, before: int) -> None:
        super().__init__(
            f"{bad} of the latest {WINDOW} records are invalid, more than "
            f"DEAD_LETTER_RATIO_MAX={share_max:g} allows: see the topic's dead letters, which "
            "contain them, fix the producer, and restart the worker; nothing is lost"
        )
        self.before = before
        """how many of the given bad records were within the limit"""


class BadRecords:
    """The bad ones among a partition's latest records."""

    def __init__(self, share_max: float) -> None:
        self._share_max = share_max
        self._seen = 0
        self._bad: deque[int] = deque()
        """numbers of the bad ones among the latest `WINDOW` records"""

    def add(self, records: int, bad: Sequence[int]) -> None:
        """Count records in.

        Args:
            records: how many.
            bad: the indices of bad ones among them, ascending.

        Raises:
            TooManyBadRecordsError: at one of the bad ones, their share of the window exceeds the
                setting.
        """
        for nth, place in enumerate(bad):
            number = self._seen + place
            self._bad.append(number)
            while self._bad[0] <= number - WINDOW:
                self._bad.popleft()
            if len(self._bad) > self._share_max * WINDOW:
                raise TooManyBadRecordsError(len(self._bad), self._share_max, nth)
        self._seen += records


_TOPIC_OF: Final = {topic.name: topic for topic in STREAMED}
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)


class DeadLetters:
    """Publishes bad records unchanged, with the reason and their origin in the headers.

    Folding continues in the meantime: before a position is written, `settled` must have returned.
    After a crash a record may arrive twice, with the same topic, partition and offset. A partition
    that is assigned again has new ones: those of its earlier life may have been cancelled.
    """

    def __init__(self, producer: Producer, tp: TP) -> None:
        self._producer = producer
        self._tp = tp
        # The latest. A failed one stays: no later position may pass its records.
        self._publishing: asyncio.Task[None] | None = None

    async def publish(self, bad: Sequence[BadRecord]) -> None:
        """Start publishing once the broker has the earlier letters.

        So at most one batch of bad records per partition is in memory.

        Raises:
            aiokafka.errors.KafkaError: it refuses the earlier ones permanently.
        """
        if not bad:
            return
        metrics.REJECTED.labels(self._tp.topic).inc(len(bad))
        await self.settled()
        topic = _TOPIC_OF[self._tp.topic]
        letters = [_letter(self._tp, record) for record in bad]
        self._publishing = asyncio.create_task(self._publish(dead_letters(topic).name, letters))

    async def settled(self) -> None:
        """Wait until the broker has all letters so far.

        Raises:
            aiokafka.errors.KafkaError: it refuses them permanently.
        """
        if self._publishing:
            await self._publishing

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
