"""The workers' producer: changes for `cooccurrences`, closed bars, and dead letters."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from runtime.kafka.config import KafkaConfig
from runtime.tracing import OFF, Tracing
from stream_processors.patience import BROKER, Patience
from stream_processors.transport.credentials import connecting

_MAX_REQUEST_BYTES: Final = 1_000_000


class Outgoing(NamedTuple):
    """A record to publish."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Producer:
    """Publishes records, and returns once the broker has acknowledged them.

    A retry may publish a record twice, but never before an earlier record of the same caller.
    Readers recognize duplicates: changes carry their event's offset, dead letters their record's
    offset.
    """

    def __init__(self, kafka: KafkaConfig, tracing: Tracing = OFF) -> None:
        self._tracing = tracing
        self._patiently = Patience(BROKER, _may_pass)
        self._kafka = kafka
        self._producer = AIOKafkaProducer(
            **connecting(kafka),
            client_id="tickrec-stream-processors",
            acks="all",
            # aiokafka uses lz4 at level 9: a tenth of the speed, for the same size here.
            compression_type="snappy",
            max_request_size=_MAX_REQUEST_BYTES,
            max_batch_size=_MAX_REQUEST_BYTES,
        )

    async def start(self) -> None:
        """Connect.

        Raises:
            aiokafka.errors.KafkaConnectionError: no broker answers.
        """
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise

    async def stop(self) -> None:
        """Wait for records in flight, and disconnect."""
        await self._producer.stop()

    async def partitions_of(self, topic: str) -> int:
        """Return how many partitions a topic has on the broker."""
        return len(await self._producer.partitions_for(self._kafka.topic(topic)))

    async def answers(self) -> bool:
        """Return whether a broker currently answers."""
        return bool(await self._producer.client.force_metadata_update())

    async def publish(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Publish one record and wait for its acknowledgement, even through a broker outage.

        Adds the headers of the publishing span.
        """
        await self._patiently(
            self._producer.send_and_wait,
            self._kafka.topic(topic),
            value=value,
            key=key,
            partition=partition,
            headers=[*headers, *self._tracing.headers()],
        )

    async def publish_all(self, topic: str, partition: int, records: Sequence[Outgoing]) -> None:
        """Publish records in few requests and wait for all acknowledgements, as `publish`.

        A record that exceeds the size of a request is sent alone: the broker decides whether to
        accept it.

        Raises:
            aiokafka.errors.MessageSizeTooLargeError: the broker rejects one as too large.
        """
        at = 0
        while at < len(records):
            at += await self._patiently(self._publish_some, topic, partition, records, at)

    async def _publish_some(
        self, topic: str, partition: int, records: Sequence[Outgoing], start: int
    ) -> int:
        """Publish as many records as fit into a request; return how many."""
        request = self._producer.create_batch()
        for key, value, headers in records[start:]:
            if not request.append(timestamp=None, key=key, value=value, headers=headers):
                break
        request.close()
        name = self._kafka.topic(topic)
        await (await self._producer.send_batch(request, name, partition=partition))
        return int(request.record_count())


def _may_pass(error: BaseException) -> bool:
    # The timeout is of a record behind others of its partition, which the broker does not take.
    return isinstance(error, KafkaTimeoutError) or (
        isinstance(error, KafkaError) and bool(error.retriable)
    )
