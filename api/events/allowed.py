"""Checks whether Kafka grants the server's user the rights it needs, until it does."""

import asyncio
from typing import Final

from confluent_kafka import KafkaException

from runtime.kafka.admin import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.rights import RightsError, check_rights, rights

_ANSWER_WITHIN_S: Final = 0.5


class Allowed:
    """Checks the rights, one call at a time."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._asking: asyncio.Task[str | None] | None = None

    async def why_not(self) -> str | None:
        """Return the missing rights; None if none are, or if Kafka does not answer in time."""
        asking = self._asking
        if asking is None or (asking.done() and asking.result() is not None):
            asking = self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        done, _ = await asyncio.wait([asking], timeout=_ANSWER_WITHIN_S)
        return asking.result() if done else None

    def _ask(self) -> str | None:
        try:
            check_rights(Admin(self._kafka), self._kafka, rights("")["api"])
        except RightsError as missing:
            return str(missing)
        except KafkaException as away:
            return str(away)
        return None
