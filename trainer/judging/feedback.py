"""Clicks per list shown, by user, from the topic `feedback`.

What was sent twice counts once, and a click only with an impression of the same answer, in any
order in the log. A user counts with lists of his own variant alone: late feedback on another one's
does not, nor do answers that are the same for all users, such as similar instruments.
"""

import logging
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from typing import Final, TypeVar

import numpy as np
import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from contracts.feedback import SHARED_SOURCES, Feedback, decode_feedback, parse_request_id
from contracts.messages import Floats
from contracts.topics import FEEDBACK
from runtime.kafka.config import KafkaConfig
from runtime.kafka.refusals import describe_error
from runtime.kafka.tokens import TokenError
from trainer.judging.period import VariantOf

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.2
ATTEMPTS: Final = 3
PAUSE_S: Final = 1.0
"""A partition changes its leader in about that time."""
RECORDS_AT_ONCE: Final = 10_000
RECORDS_MOST: Final = 5_000_000
"""Of all partitions; what is beyond is not read, which the log says. They take up to 300 MB."""

log = structlog.get_logger(__name__)
_library_log = logging.getLogger(__name__)  # librdkafka would write to standard error


def clicks_per_list(
    messages: Iterable[Feedback], variants: Collection[str], variant_of: VariantOf
) -> dict[str, Floats]:
    """Return (n_users,) clicks per list of each variant's users who were shown any. Pure.

    It keeps 16 bytes a message. Ids are hashed to 64 bits: two of 5 million are alike with a
    probability of 10^-6.
    """
    shown = {variant: (array("Q"), array("Q")) for variant in variants}
    clicked = {variant: (array("Q"), array("Q")) for variant in variants}
    for message in messages:
        request = parse_request_id(message.request_id)
        variant = request.variant
        if request.source in SHARED_SOURCES or variant not in shown:
            continue
        if variant_of(message.user_id) != variant:
            continue
        kept, identity = shown, message.user_id
        if message.type == "click":
            kept, identity = clicked, f"{message.request_id}/{message.instrument_id}"
        lists, others = kept[variant]
        lists.append(_hash(message.request_id))
        others.append(_hash(identity))
    return {variant: _rates(*shown[variant], *clicked[variant]) for variant in variants}


def _rates(
    shown: "array[int]", shown_to: "array[int]", clicked: "array[int]", clicks: "array[int]"
) -> Floats:
    """Return (n_users,) clicks per list, given the lists of impressions and of clicks by hash."""
    lists, first = np.unique(np.frombuffer(shown, np.uint64), return_index=True)
    users, user = np.unique(np.frombuffer(shown_to, np.uint64)[first], return_inverse=True)
    _, once = np.unique(np.frombuffer(clicks, np.uint64), return_index=True)
    of_clicks = np.frombuffer(clicked, np.uint64)[once]
    places = np.searchsorted(lists, of_clicks[np.isin(of_clicks, lists)])
    n_clicks = np.bincount(user[places], minlength=len(users))
    return np.asarray(n_clicks / np.bincount(user, minlength=len(users)), np.float64)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def read_feedback(
    kafka: KafkaConfig, since_ms: int, now_ms: int, fold: Callable[[Iterable[Feedback]], T]
) -> T | None:
    """Return what the feedback comes to; None if Kafka does not answer.

    Args:
        kafka: how to reach it.
        since_ms: feedback that Kafka has had since then.
        now_ms: the clock.
        fold: is called again, with all of the feedback, if Kafka stops answering halfway.
    """

    def read() -> T:
        with closing(_consumer(kafka)) as consumer:
            return fold(_messages(consumer, kafka.topic(FEEDBACK.name), since_ms, now_ms))

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
