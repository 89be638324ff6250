"""What the broker says of the log: the ids of its topics, and where partitions begin and end.

Asked of librdkafka: aiokafka's version of the protocol does not carry the ids.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
)
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin._listoffsets import OffsetSpec
from faust.types import TP

from runtime.kafka.config import KafkaConfig
from runtime.kafka.lasting import LastingAdmin
from runtime.kafka.rights import Right, check_rights
from stream_processors.patience import BROKER, Patience

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_TIMEOUT_S: Final = 5.0
_ANSWER_WITHIN_S: Final = 7.0
"""A client that has said nothing by then, not even that it timed out, is stuck."""
_NO_RECORD: Final = (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET)  # noqa: SLF001 (their public names)
_MISSING_AGAIN_S: Final = 0.5
"""How long until a topic that does not exist is asked for again: someone is making it anew."""


class TopicMadeAnewError(RuntimeError):
    """A topic was deleted and made anew: its offsets mean other records now."""


class LogBounds(NamedTuple):
    """Where a partition's log begins and ends."""

    topic_id: str
    earliest: int
    end: int
    """of what is committed: the offset of the first record of a transaction that is under way"""


class LogEnd(NamedTuple):
    """Where a partition's log ends."""

    end: int
    """after its last record, committed or not"""
    stable: int
    """up to where it can be read: an open transaction holds back all from its first record on"""


class Log:
    """Asks the broker, again and again while it is away or lacks the topic."""

    def __init__(self, kafka: KafkaConfig) -> None:
        """Connects by itself, and again whenever it must."""
        self._kafka = kafka
        self._admin = LastingAdmin(
            kafka,
            client_id="tickrec-stream-processors",
            # Else a leader's epoch is asked for from the cache, minutes after it has changed.
            metadata_max_age_ms=3_000,
        )
        self._patiently = Patience(BROKER, lambda error: isinstance(error, KafkaException))
        self._coming: _Ask | None = None
        self._asking: asyncio.Task[None] | None = None

    async def check_rights(self, needed: Sequence[Right]) -> None:
        """Return if the broker lets us in, and allows what is needed.

        Raises:
            runtime.kafka.rights.RightsError: it does not.
            KafkaException: it does not answer.
        """
        await asyncio.to_thread(check_rights, self._admin.client, self._kafka, needed)

    async def bounds(self, topic: str, partition: int) -> LogBounds:
        """Return a topic's id, and where one of its partitions begins and ends.

        Tansu 0.6 reports the first offset of the last batch + 1 as the end, which may be too low.
        """
        place = TP(topic, partition)
        while True:
            topic_id = await self._id_of(topic)
            earliest, ends = await asyncio.gather(
                self._patiently(self._offsets, [place], _EARLIEST),
                self._patiently(self._offsets, [place], _LATEST),
            )
            if await self._id_of(topic) == topic_id:
                return LogBounds(topic_id, earliest[place], ends[place])

    async def ends(self, tps: Collection[TP]) -> dict[TP, LogEnd]:
        """Return where the partitions' logs end."""
        if not tps:
            return {}
        # In this order: what is committed in between would look as if it was held back.
        ends = await self._patiently(self._offsets, tps, _LATEST, IsolationLevel.READ_UNCOMMITTED)
        stable = await self._patiently(self._offsets, tps, _LATEST)
        return {tp: LogEnd(max(ends[tp], stable[tp]), stable[tp]) for tp in tps}

    async def record(
        self, topic: str, partition: int, offset: int
    ) -> tuple[bytes | None, bytes | None] | None:
        """Return key and value of the record at an offset, None if there is none."""
        place = Place(self._kafka.topic(topic), partition, offset)
        return await self._patiently(asyncio.to_thread, _read, self._kafka, place)

    async def check(self, topic: str, topic_id: str) -> None:
        """Return once the broker was found to have the topic under this id, after the call.

        Raises:
            TopicMadeAnewError: it has another id.
        """
        found = await self._id_of(topic)
        if found != topic_id:
            raise TopicMadeAnewError(
                f"the topic {topic} was deleted and made anew: its id was {topic_id}, it is {found}"
            )

    async def _id_of(self, topic: str) -> str:
        """Return a topic's id, as of after the call; waits for a topic that does not exist."""
        while True:
            # An ask that is under way may have been answered already: the next one serves all who
            # came meanwhile.
            ask = self._coming = self._coming or _Ask()
            ask.topics.add(topic)
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            found = await asyncio.shield(ask.ids)
            if topic in found:
                return found[topic]
            await asyncio.sleep(_MISSING_AGAIN_S)

    async def _ask(self) -> None:
        """Answer one ask after the other, until nobody waits for one."""
        while ask := self._coming:
            self._coming = None
            try:
                ask.ids.set_result(await self._patiently(self._ids, ask.topics))
            except Exception as error:  # noqa: BLE001 (whoever waits for the answer gets it)
                ask.ids.set_exception(error)
        self._asking = None

    async def _ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the ids of those topics that exist."""
        names = sorted(map(self._kafka.topic, topics))
        answers = await self._admin.ask(
            lambda admin: admin.describe_topics(
                TopicCollection(names), request_timeout=_TIMEOUT_S
            ).values(),
            _ANSWER_WITHIN_S,
        )
        found = {}
        for name, answer in zip(names, answers, strict=True):
            if not isinstance(answer, KafkaException):
                found[self._kafka.name(name)] = str(answer.topic_id)
            elif answer.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise answer
        return found

    async def _offsets(
        self,
        tps: Collection[TP],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> dict[TP, int]:
        places = {Place(self._kafka.topic(tp.topic), tp.partition): spec for tp in tps}
        answers = await self._admin.ask(
            lambda admin: admin.list_offsets(
                places, isolation_level=isolation, request_timeout=_TIMEOUT_S
            ).values(),
            _ANSWER_WITHIN_S,
        )
        offsets = {}
        for tp, answer in zip(tps, answers, strict=True):
            if isinstance(answer, KafkaException):
                raise answer
            offsets[tp] = answer.offset
        return offsets


def _read(kafka: KafkaConfig, place: Place) -> tuple[bytes | None, bytes | None] | None:
    """Return key and value of the record at a place, None if there is none.

    Raises:
        KafkaException: the broker does not answer.
    """
    consumer = Consumer(
        {
            **kafka.librdkafka(),
            "client.id": "tickrec-stream-processors",
            "group.id": kafka.topic("last-record"),  # required, and never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
            "log_level": 0,
        }
    )
    deadline = time.monotonic() + _TIMEOUT_S
    try:
        consumer.assign([place])
        while (left_s := deadline - time.monotonic()) > 0:
            message = consumer.poll(left_s)
            # An error without a topic is of the connection, or of the group, which is not needed.
            if message is None or message.topic() is None:
                continue
            error = message.error()
            if error is None:
                found = message.key(), message.value()
                return found if message.offset() == place.offset else None
            if error.code() in _NO_RECORD:
                return None
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 (its public name)
    finally:
        consumer.close()


class _Ask:
    """What several callers wait for at once."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.ids: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
