"""Log metadata from the broker: topic ids, and where partitions begin and end.

It uses librdkafka: aiokafka's version of the protocol has no topic ids.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from concurrent.futures import wait
from typing import Final, NamedTuple

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin._listoffsets import OffsetSpec
from faust.types import TP

from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.lasting import LastingAdmin
from runtime.kafka.rights import Right, check_rights
from runtime.kafka.tokens import TokenError
from stream_processors.patience import BROKER, Patience

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_TIMEOUT_S: Final = 5.0
_ANSWER_WITHIN_S: Final = 7.0
"""A client that has not even reported a timeout by then is stuck."""
_NO_RECORD: Final = (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET)  # noqa: SLF001 (their public names)
_MISSING_RETRY_S: Final = 0.5
"""Retry interval for a topic that does not exist: it is being recreated."""


class TopicRecreatedError(RuntimeError):
    """A topic was deleted and recreated: its offsets now refer to other records."""


class LogBounds(NamedTuple):
    """Where a partition's log begins and ends."""

    topic_id: str
    earliest: int
    end: int
    """the last stable offset: that of the first record of an open transaction, if any"""


class LogEnd(NamedTuple):
    """Where a partition's log ends."""

    end: int
    """after its last record, committed or not"""
    stable: int
    """up to where it can be read: an open transaction holds back everything from its first record
    on"""


class Log:
    """Asks the broker, retrying while it is unreachable or does not have the topic."""

    def __init__(self, kafka: KafkaConfig) -> None:
        """Connects lazily, and reconnects as needed."""
        self._kafka = kafka
        self._admin = LastingAdmin(
            kafka,
            client_id="tickrec-stream-processors",
            # Otherwise a leader's epoch comes from the cache, minutes after it has changed.
            metadata_max_age_ms=3_000,
        )
        self._patiently = Patience(BROKER, lambda error: isinstance(error, KafkaException))
        self._next: _IdsRequest | None = None
        self._requesting: asyncio.Task[None] | None = None

    async def check_rights(self, needed: Sequence[Right]) -> None:
        """Check that the broker authenticates us, and grants the required rights.

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
        # In this order: records committed in between would otherwise look held back.
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
        """Wait until the broker confirms that the topic has this id.

        Raises:
            TopicRecreatedError: it has another id.
        """
        found = await self._id_of(topic)
        if found != topic_id:
            raise TopicRecreatedError(
                f"the topic {topic} was deleted and recreated: its id was {topic_id} and is {found}"
            )

    async def _id_of(self, topic: str) -> str:
        """Return a topic's current id; waits for a topic that does not exist."""
        while True:
            # A running request may predate this call: the next one serves all waiting callers.
            request = self._next = self._next or _IdsRequest()
            request.topics.add(topic)
            if self._requesting is None:
                self._requesting = asyncio.create_task(self._request())
            found = await asyncio.shield(request.ids)
            if topic in found:
                return found[topic]
            await asyncio.sleep(_MISSING_RETRY_S)

    async def _request(self) -> None:
        """Serve requests one after the other, until no caller waits."""
        while request := self._next:
            self._next = None
            try:
                request.ids.set_result(await self._patiently(self._ids, request.topics))
            except Exception as error:  # noqa: BLE001 (every waiting caller gets it)
                request.ids.set_exception(error)
        self._requesting = None

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
            # An error without a topic concerns the connection, or the group, which is not needed.
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


class _IdsRequest:
    """A result that several callers wait for."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.ids: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()


def is_reachable(kafka: KafkaConfig, topics: Collection[str]) -> bool:
    """Return whether a new client is answered by all partition leaders of some topics; it blocks.

    A long-lived client may be stuck while the broker is healthy.

    A topic that does not exist, or has a partition without leader, is unreachable. So is one with a
    replica that is behind: its leader may answer, but accept no records.
    """
    try:
        with Admin(kafka, client_id="tickrec-stream-processors") as client:
            return _leaders_answer(client, [kafka.topic(topic) for topic in topics])
    except (KafkaException, TokenError):
        return False


def _leaders_answer(client: Admin, topics: Collection[str]) -> bool:
    there = client.list_topics(timeout=_TIMEOUT_S).topics
    if not all(topic in there and there[topic].partitions for topic in topics):
        return False
    partitions = [(topic, one) for topic in topics for one in there[topic].partitions.values()]
    if any(len(one.isrs) < len(one.replicas) for _, one in partitions):
        return False
    ends = {Place(topic, one.id): _LATEST for topic, one in partitions}
    asked = client.list_offsets(ends, request_timeout=_TIMEOUT_S).values()
    wait(asked, _ANSWER_WITHIN_S)
    return all(future.done() and future.exception() is None for future in asked)
