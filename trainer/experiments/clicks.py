"""What the users of two generations were shown and clicked, from the topic `feedback`.

An impression or a click that was sent twice counts once: both are identified by `(request_id,
instrument_id)`. A click counts if there is an impression for it, in any order in the log. Clicks
without one are counted separately.

A canary's user may still report what was shown before the trial began: for a user with impressions
of the canary, those of the served generation are left out. The topic is read from the start of the
trial each time that the canary may be judged.
"""

import logging
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt
import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from contracts.feedback import Feedback, decode_feedback, parse_request_id
from contracts.topics import FEEDBACK
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import describe_error
from runtime.kafka.tokens import TokenError
from trainer.experiments.verdict import Clicked, Clicks

TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.2
ATTEMPTS: Final = 3
PAUSE_S: Final = 1.0
"""A partition changes its leader in about that time."""
RECORDS_AT_ONCE: Final = 10_000
RECORDS_MOST: Final = 5_000_000
"""Of all partitions; what is beyond is not read, which the log says. They take up to 300 MB."""

_Hashes = npt.NDArray[np.uint64]
_NOBODY: Final[_Hashes] = np.empty(0, np.uint64)

log = structlog.get_logger(__name__)
_library_log = logging.getLogger(__name__)  # librdkafka would write to standard error


def read_clicks(
    kafka: KafkaConfig, generations: tuple[str, str], since_ms: int, now_ms: int
) -> Clicks | None:
    """Return what was shown and clicked of both generations; None if Kafka does not answer.

    Args:
        kafka: how to reach it.
        generations: the served one's name, the canary's.
        since_ms: feedback that Kafka has had since then.
        now_ms: the clock.
    """

    def read() -> Clicks:
        with closing(_consumer(kafka)) as consumer:
            messages = _messages(consumer, kafka.topic(FEEDBACK.name), since_ms, now_ms)
            return count(messages, generations)

    tries = Retrying(
        retry=retry_if_exception_type(KafkaException),
        wait=wait_fixed(PAUSE_S),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    try:
        return tries(read)
    except (KafkaException, TokenError) as error:
        log.warning("no feedback is read: Kafka does not answer", error=_reason(error))
        return None


def _reason(error: Exception) -> str:
    (said,) = error.args
    return describe_error(said) if isinstance(said, KafkaError) else str(said)


def count(messages: Iterable[Feedback], generations: tuple[str, str]) -> Clicks:
    """Return what was shown and clicked of both generations. Pure."""
    served, canary = _Feedback(), _Feedback()
    of = dict(zip(generations, (served, canary), strict=True))
    for message in messages:
        feedback = of.get(parse_request_id(message.request_id).generation)
        if feedback is not None:
            feedback.add(message)
    shown_canary = np.unique(np.frombuffer(canary.shown_to, np.uint64))
    return Clicks(served.clicked(without=shown_canary), canary.clicked())


class _Feedback:
    """Feedback on one generation: 16 bytes a message, however often it was sent.

    Ids are hashed to 64 bits. Two of 5 million have the same hash with a probability of 10^-6.
    """

    def __init__(self) -> None:
        self.shown = array("Q")
        """(impressions,) what was shown, in the order of the log"""
        self.shown_to = array("Q")
        """(impressions,) to which user"""
        self.chosen = array("Q")
        """(clicks,) what was clicked"""

    def add(self, message: Feedback) -> None:
        identity = _hash(f"{message.request_id}/{message.instrument_id}")
        if message.type == "click":
            self.chosen.append(identity)
        else:
            self.shown.append(identity)
            self.shown_to.append(_hash(message.user_id))

    def clicked(self, without: _Hashes = _NOBODY) -> Clicked:
        """Return what users were shown and clicked, but for the users `without`."""
        shown, first = np.unique(np.frombuffer(self.shown, np.uint64), return_index=True)
        chosen = np.unique(np.frombuffer(self.chosen, np.uint64))
        users = np.frombuffer(self.shown_to, np.uint64)[first]
        counts = ~np.isin(users, without)
        _, user = np.unique(users[counts], return_inverse=True)
        return Clicked(
            impressions=np.bincount(user),
            clicks=np.bincount(
                user[np.isin(shown[counts], chosen)], minlength=user.max(initial=-1) + 1
            ),
            unmatched=int((~np.isin(chosen, shown)).sum()),
        )


def _consumer(kafka: KafkaConfig) -> Consumer:
    return Consumer(
        {
            **kafka.librdkafka(),
            "group.id": kafka.topic("trainer"),  # asked for by librdkafka; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        },
        logger=_library_log,
    )


def _messages(consumer: Consumer, topic: str, since_ms: int, now_ms: int) -> Iterator[Feedback]:
    """Yield the feedback since then, up to where each partition ends now.

    Raises:
        KafkaException: the broker does not answer.
    """
    left = _assign(consumer, topic, since_ms)
    read, patient_until = 0, time.monotonic() + TIMEOUT_S
    while left and read < RECORDS_MOST:
        records = consumer.consume(RECORDS_AT_ONCE, POLL_S)
        if records:
            patient_until = time.monotonic() + TIMEOUT_S
        elif time.monotonic() > patient_until:
            raise KafkaException(f"{topic} sent nothing for {TIMEOUT_S} s")
        for record in records:
            error = record.error()
            if error is None:
                read += 1
                yield from _decoded(record.value(), since_ms, now_ms)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
                left.discard(record.partition())
            else:
                raise KafkaException(error)
    if left:
        log.warning("not all feedback is read", read=read, most=RECORDS_MOST)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _assign(consumer: Consumer, topic: str, since_ms: int) -> set[int]:
    """Read each partition from that time on; return those with anything to be read."""
    there = consumer.list_topics(topic, TIMEOUT_S).topics[topic]
    if there.error is not None:
        raise KafkaException(there.error)
    wanted = [TopicPartition(topic, p, since_ms) for p in there.partitions]
    found = consumer.offsets_for_times(wanted, TIMEOUT_S)
    begun = [partition for partition in found if partition.offset != OFFSET_END]
    consumer.assign(begun)
    return {partition.partition for partition in begun}


def _decoded(value: bytes | None, since_ms: int, now_ms: int) -> Iterator[Feedback]:
    try:
        message = decode_feedback(value or b"", now_ms)
    except ValueError:  # nobody rejects what is not folded: others write to the topic, too
        return
    if message.ts >= since_ms:
        yield message
