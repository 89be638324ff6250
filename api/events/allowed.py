"""Whether Kafka allows the server's user what it needs: asked until it does, then no more."""

import asyncio
from typing import Final

from confluent_kafka import KafkaException

from runtime.kafka.admin import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import RightsError, check_rights, rights

_ANSWER_WITHIN_S: Final = 0.5


class Allowed:
    """Asks Kafka, one call at a time."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._asking: asyncio.Task[str | None] | None = None

    async def why_not(self) -> str | None:
        """Return which rights are lacking; None if none is, or Kafka does not say so in time."""
        asking = self._asking
        if asking is None or (asking.done() and asking.result() is not None):
            asking = self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        done, _ = await asyncio.wait([asking], timeout=_ANSWER_WITHIN_S)
        return asking.result() if done else None

    def _ask(self) -> str | None:
        try:
            check_rights(Admin(self._kafka), self._kafka, rights("")["api"])
        except RightsError as lacking:
            return str(lacking)
        except KafkaException as away:
            return str(away)
        return None
