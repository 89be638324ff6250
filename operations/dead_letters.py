"""Reads the dead letters, and shows them as a table, or as editable lines of JSON.

A line has the record's place in the original topic, and its reason, key and value. A value that is
a JSON object is embedded as one, so that editors and jq can correct it; other text is a string, and
anything not UTF-8 is base64. `operations.republish` reads such lines.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from rich.table import Table
from rich.text import Text

from contracts.topics import Topic, dead_letters
from runtime.kafka import broker
from runtime.kafka.broker import Admin
from runtime.kafka.config import KafkaConfig
from runtime.kafka.headers import UnreadableHeadersError, headers_of
from runtime.kafka.refusals import describe_error

_ANSWER_WITHIN_S: Final = 10
_SHOWN_BYTES: Final = 120

NO_VALUE: Final = msgspec.Raw(b"null")


class DeadLetter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An invalid record, as a line of JSON."""

    topic: str
    partition: int
    offset: int
    rejected_at: datetime
    reason: str
    key: str | None = None
    key_base64: bytes | None = None
    value: msgspec.Raw = NO_VALUE
    value_base64: bytes | None = None


def read(client: Admin, kafka: KafkaConfig, topic: Topic, limit: int | None) -> list[DeadLetter]:
    """Return a topic's newest dead letters, newest last; all of them without a limit.

    A letter that a worker published again after a crash is included once.

    Raises:
        broker.BrokerError: the broker does not answer, or has no such topic.
    """
    name = kafka.topic(dead_letters(topic).name)
    partitions = broker.partitions_of(client).get(name)
    if partitions is None:
        raise broker.BrokerError(
            f"there is no topic {name}: run `python -m operations.topics` first"
        )
    consumer = Consumer(
        {
            **kafka.librdkafka(),
            # Required, although nothing is ever committed.
            "group.id": kafka.topic("tickrec-dead-letters"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    try:
        letters = [_from_record(r) for r in _records(consumer, name, range(partitions), limit)]
    except KafkaException as silent:
        raise broker.BrokerError(f"cannot read {name}: {describe_error(silent.args[0])}") from None
    finally:
        consumer.close()
    letters = list({_identity(letter): letter for letter in letters}.values())
    letters.sort(key=lambda letter: letter.rejected_at)
    return letters if limit is None else letters[-limit:]


def table(letters: Sequence[DeadLetter]) -> Table:
    """Return the letters as a table."""
    shown = Table("rejected at (UTC)", "record", "key", box=None, header_style="bold")
    shown.add_column("reason", overflow="fold", ratio=3)
    shown.add_column("value", no_wrap=True, ratio=2)
    for letter in letters:
        shown.add_row(
            f"{letter.rejected_at:%Y-%m-%d %H:%M:%S}",
            f"{letter.topic}/{letter.partition}@{letter.offset}",
            *(
                Text(_printable(text))
                for text in (_text_of_key(letter), letter.reason, _text_of_value(letter))
            ),
        )
    return shown


def lines(letters: Sequence[DeadLetter]) -> Iterator[bytes]:
    """Return a line of JSON for each letter."""
    for letter in letters:
        yield msgspec.json.encode(letter) + b"\n"


def _records(
    consumer: Consumer, topic: str, partitions: Collection[int], limit: int | None
) -> Iterator[Message]:
    """Return at least the last `limit` records of each partition, to the logs' ends."""
    consumer.assign([_start(consumer, TopicPartition(topic, p), limit) for p in partitions])
    unread = set(partitions)
    while unread:
        record = consumer.poll(_ANSWER_WITHIN_S)
        if record is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 (its name)
        error = record.error()
        if error is None:
            yield record
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its name)
            unread.discard(record.partition())
        else:
            raise KafkaException(error)


def _start(consumer: Consumer, partition: TopicPartition, limit: int | None) -> TopicPartition:
    earliest, end = consumer.get_watermark_offsets(partition, timeout=_ANSWER_WITHIN_S)
    offset = earliest if limit is None else max(earliest, end - limit)
    return TopicPartition(partition.topic, partition.partition, offset)


def _from_record(record: Message) -> DeadLetter:
    headers = _headers(record)
    letter = DeadLetter(
        topic=headers["topic"].decode(),
        partition=int(headers["partition"]),
        offset=int(headers["offset"]),
        rejected_at=datetime.fromtimestamp(record.timestamp()[1] / 1000, UTC),
        reason=headers["reason"].decode(),
    )
    key, value = record.key(), record.value()
    try:
        letter.key = None if key is None else key.decode()
    except UnicodeDecodeError:
        letter.key_base64 = key
    try:
        letter.value = NO_VALUE if value is None else _as_json(value.decode())
    except UnicodeDecodeError:
        letter.value_base64 = value
    return letter


def _identity(letter: DeadLetter) -> tuple[object, ...]:
    """Return a letter's identity; a recreated topic may have another record at its place."""
    place = (letter.topic, letter.partition, letter.offset)
    return (*place, bytes(letter.value), letter.value_base64)


def _headers(record: Message) -> dict[str, bytes]:
    """Return the headers.

    Raises:
        broker.BrokerError: one of ours is missing.
    """
    try:
        headers = {name: value for name, value in headers_of(record) if value is not None}
    except UnreadableHeadersError:
        headers = {}
    missing = {"topic", "partition", "offset", "reason"} - headers.keys()
    if missing:
        raise broker.BrokerError(
            f"{record.topic()}@{record.offset()} has no header {', '.join(sorted(missing))}: "
            "it was not written by the stream processors"
        )
    return headers


def _as_json(text: str) -> msgspec.Raw:
    """Return an object unchanged, on one line, and any other text as a string."""
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))
    except (msgspec.MsgspecError, RecursionError):
        return msgspec.Raw(msgspec.json.encode(text))


def _text_of_key(letter: DeadLetter) -> str:
    if letter.key_base64 is not None:
        return letter.key_base64[:_SHOWN_BYTES].decode(errors="backslashreplace")
    return "none" if letter.key is None else letter.key[:_SHOWN_BYTES]


def _text_of_value(letter: DeadLetter) -> str:
    if letter.value_base64 is not None:
        return letter.value_base64[:_SHOWN_BYTES].decode(errors="backslashreplace")
    raw = bytes(letter.value)
    if raw == bytes(NO_VALUE):
        return "none"
    text = msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode()
    return text[:_SHOWN_BYTES]


def _printable(text: str) -> str:
    """Return text without control characters of a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
