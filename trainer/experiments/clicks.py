"""How often what two generations recommended was clicked, by the topic `feedback`.

What was sent twice counts once: messages are known by `(request_id, instrument_id, type)`. A
request id names its generation, and proves nothing: whoever may send feedback can make one up
(`contracts.feedback`). It is read once, when a canary is judged, from the time that it began.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from contracts.feedback import Feedback, FeedbackType, decode_feedback, parse_request_id
from contracts.topics import FEEDBACK
from trainer.experiments.verdict import Clicked, Clicks

TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.2
ATTEMPTS: Final = 3
PAUSE_S: Final = 1.0
"""A partition changes its leader in about that time."""
RECORDS_AT_ONCE: Final = 10_000
RECORDS_MOST: Final = 5_000_000
"""Of all partitions; what is beyond is not read. Some 20 s, and 500 MB if no two are the same."""

log = structlog.get_logger(__name__)
_library_log = logging.getLogger(__name__)  # librdkafka would write to standard error


def read_clicks(
    bootstrap_servers: str, generations: tuple[str, str], since_ms: int, now_ms: int
) -> Clicks | None:
    """Return what was shown and clicked of both generations; None if Kafka does not tell.

    Args:
        bootstrap_servers: of Kafka.
        generations: the served one's name, the canary's.
        since_ms: feedback that Kafka has had since then.
        now_ms: the clock.
    """

    def read() -> Clicks:
        with closing(_consumer(bootstrap_servers)) as consumer:
            return count(_messages(consumer, since_ms, now_ms), generations)

    tries = Retrying(
        retry=retry_if_exception_type(KafkaException),
        wait=wait_fixed(PAUSE_S),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    try:
        return tries(read)
    except KafkaException as error:
        log.warning("no feedback is read: Kafka does not answer", error=str(error))
        return None


def count(messages: Iterable[Feedback], generations: tuple[str, str]) -> Clicks:
    """Return what was shown and clicked of both generations. Pure."""
    found: Counter[tuple[str, FeedbackType]] = Counter()
    known: set[tuple[str, int, FeedbackType]] = set()
    for message in messages:
        generation = parse_request_id(message.request_id).generation
        identity = (message.request_id, message.instrument_id, message.type)
        if generation in generations and identity not in known:
            known.add(identity)
            found[generation, message.type] += 1
    served, canary = (
        Clicked(found[generation, "impression"], found[generation, "click"])
        for generation in generations
    )
    return Clicks(served, canary)


def _consumer(bootstrap_servers: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "trainer",  # asked for by librdkafka; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        },
        logger=_library_log,
    )


def _messages(consumer: Consumer, since_ms: int, now_ms: int) -> Iterator[Feedback]:
    """Yield the feedback since then, up to where each partition ends now.

    Raises:
        KafkaException: the broker does not tell.
    """
    left = _assign(consumer, since_ms)
    read, patient_until = 0, time.monotonic() + TIMEOUT_S
    while left and read < RECORDS_MOST:
        records = consumer.consume(RECORDS_AT_ONCE, POLL_S)
        if records:
            patient_until = time.monotonic() + TIMEOUT_S
        elif time.monotonic() > patient_until:
            raise KafkaException(f"{FEEDBACK.name} sent nothing for {TIMEOUT_S} s")
        for record in records:
            error = record.error()
            if error is None:
                read += 1
                yield from _decoded(record.value(), since_ms, now_ms)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
                left.discard(record.partition())
            else:
                raise KafkaException(error)


def _assign(consumer: Consumer, since_ms: int) -> set[int]:
    """Read each partition from that time on; return those with anything to be read."""
    topic = consumer.list_topics(FEEDBACK.name, TIMEOUT_S).topics[FEEDBACK.name]
    if topic.error is not None:
        raise KafkaException(topic.error)
    wanted = [TopicPartition(FEEDBACK.name, p, since_ms) for p in topic.partitions]
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
