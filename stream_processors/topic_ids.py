"""Kafka's ids of topics: a topic that was deleted and made anew under its name has another one."""

import asyncio
from collections.abc import Collection
from typing import Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from stream_processors.patience import Patience

_TIMEOUT_S: Final = 5


class TopicIds:
    """Asks the broker; aiokafka's protocol version does not carry the ids."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._patiently = Patience("broker", lambda error: isinstance(error, KafkaException))

    async def of(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids by name; waits out a broker that is away."""
        return await self._patiently(asyncio.to_thread, self._ask, topics)

    def _ask(self, topics: Collection[str]) -> dict[str, str]:
        wanted = TopicCollection(sorted(topics))
        answers = self._admin.describe_topics(wanted, request_timeout=_TIMEOUT_S)
        return {name: str(answer.result().topic_id) for name, answer in answers.items()}
