"""Records that broke a rule, on their way to the dead-letter topic."""

import asyncio
from collections.abc import Sequence

from contracts.messages import Rejection
from contracts.topics import STREAMED, dead_letters
from stream_processors import metrics
from stream_processors.publisher import Publisher
from stream_processors.transport import RecordBatch

_TOPICS = {topic.name: dead_letters(topic).name for topic in STREAMED}


class DeadLetters:
    """Publishes rejected records as they were, with the reason and the place in the headers."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def publish(self, batch: RecordBatch, rejections: Sequence[Rejection]) -> None:
        """Publish and wait for the acknowledgement, so that the position may move past them.

        After a crash a record may arrive twice, with the same topic, partition and offset.
        """
        if not rejections:
            return
        topic = batch.tp.topic
        metrics.REJECTED.labels(topic).inc(len(rejections))
        await asyncio.gather(*(self._publish_one(batch, rejection) for rejection in rejections))

    async def _publish_one(self, batch: RecordBatch, rejection: Rejection) -> None:
        record = batch.records[rejection.place]
        await self._publisher.publish(
            _TOPICS[batch.tp.topic],
            0,
            record.value,
            key=record.key,
            headers=[
                ("reason", rejection.reason.encode()),
                ("topic", batch.tp.topic.encode()),
                ("partition", b"%d" % batch.tp.partition),
                ("offset", b"%d" % record.offset),
            ],
        )
