"""What workers publish to Kafka: changes for `cooccurrences`, and dead letters."""

from collections.abc import Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

log = structlog.get_logger()

_MAX_MESSAGE_BYTES: Final = 1_000_000


class Publisher:
    """Publishes and waits until the broker has it; a retry may put it there twice.

    Readers expect that: changes carry their event's offset, dead letters their record's place.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers.split(","),
            client_id="tickrec-stream-processors",
            acks="all",
            # aiokafka's lz4 is its level 9: a tenth of the speed, for the same size here.
            compression_type="snappy",
            max_request_size=_MAX_MESSAGE_BYTES,
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
        """Wait for what is on its way, and disconnect."""
        await self._producer.stop()

    async def partitions_of(self, topic: str) -> int:
        """Return the number of partitions that the broker has of a topic."""
        return len(await self._producer.partitions_for(topic))

    async def publish(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Publish one record and wait for its acknowledgement, again while the broker is away."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            before_sleep=_say,
        ):
            with attempt:
                await self._producer.send_and_wait(
                    topic, value=value, key=key, partition=partition, headers=list(headers)
                )


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, KafkaError) and bool(error.retriable)


def _say(state: RetryCallState) -> None:
    if state.attempt_number % 10 == 1 and state.outcome:
        log.warning("the broker is away, trying again", error=str(state.outcome.exception()))
