"""Whether messages can be published: Kafka answers, and has the topics and rights they need."""

import asyncio
import logging
import time
from typing import Final

from confluent_kafka import KafkaException

from api.events.producer import LastingProducer
from contracts.topics import FEEDBACK, INTERACTIONS, QUOTES
from runtime.kafka.broker import Admin
from runtime.kafka.rights import RightsError, check_rights, rights
from runtime.topology import Topology, TopologyError

KEPT_S: Final = 1.0
"""How long a result, which needs a thread and a broker, is reused."""
UNAVAILABLE: Final = "unavailable: the server's log says why"
"""The public reason why nothing can be published; the actual one contains addresses and users."""
_METADATA_TIMEOUT_S: Final = 0.5
_RIGHTS_TIMEOUT_S: Final = 0.5

_log = logging.getLogger(__name__)


class KafkaCheck:
    """Runs one check at a time, which concurrent callers share."""

    def __init__(self, producer: LastingProducer) -> None:
        self._producer = producer
        self._kafka = producer.kafka
        self._asking: asyncio.Task[str | None] | None = None
        """for the rights, until Kafka has granted them"""
        self._asked: Topology | None = None
        self._began_s = 0.0
        self._found: asyncio.Task[str] | None = None
        self._logged = "ok"

    async def status(self, topology: Topology) -> str:
        """Return the public result of the running check, or of one not older than `KEPT_S`.

        A result that differs from the last one is logged.
        """
        task = self._found
        is_old = task is not None and task.done() and time.monotonic() >= self._began_s + KEPT_S
        if task is None or topology != self._asked or is_old:
            self._asked, self._began_s = topology, time.monotonic()
            task = self._found = asyncio.create_task(self.result(topology))
        # A caller that is cancelled does not cancel it for the others.
        found = await asyncio.shield(task)
        if found not in (self._logged, "ok"):
            _log.warning("nothing can be published: %s", found)
        self._logged = found
        return found if found == "ok" else UNAVAILABLE

    async def result(self, topology: Topology) -> str:
        """Return `ok`, or why messages cannot be published as `topology` says."""
        if (failure := self._producer.failure()) is not None:
            missing = await self._missing_rights() if "AUTHORIZATION_FAILED" in failure else None
            return missing or f"{self._kafka.bootstrap_servers}: {failure}"
        list_topics, refusals = self._producer.current.list_topics, self._producer.refusals
        try:
            seen = await asyncio.to_thread(list_topics, timeout=_METADATA_TIMEOUT_S)
        except KafkaException as error:
            why = refusals.why or error.args[0].str()
            return f"{self._kafka.bootstrap_servers}: {why}"
        refusals.forget()
        if (missing := await self._missing_rights()) is not None:
            return missing
        partitions = {
            self._kafka.name(name): len(topic.partitions) for name, topic in seen.topics.items()
        }
        for topic in (QUOTES.name, INTERACTIONS.name, FEEDBACK.name):
            if topic not in partitions:
                name = self._kafka.topic(topic)
                return f"topic {name} is missing: run `python -m operations.topics`"
        for topic in (QUOTES.name, INTERACTIONS.name):
            try:
                topology.check(topic, partitions[topic])
            except TopologyError as error:
                return str(error)
        return "ok"

    async def _missing_rights(self) -> str | None:
        """Return the missing rights; None if none are, or if Kafka does not answer in time."""
        asking = self._asking
        if asking is None or (asking.done() and asking.result() is not None):
            asking = self._asking = asyncio.create_task(asyncio.to_thread(self._ask_for_rights))
        done, _ = await asyncio.wait([asking], timeout=_RIGHTS_TIMEOUT_S)
        return asking.result() if done else None

    def _ask_for_rights(self) -> str | None:
        try:
            check_rights(Admin(self._kafka), self._kafka, rights("")["api"])
        except (RightsError, KafkaException) as error:
            return str(error)
        return None
