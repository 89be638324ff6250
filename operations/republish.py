"""Republishes corrected dead letters, from the lines of `operations.dead_letters`.

Every line is checked before the first is published. A record's key is derived from its value, so
that it gets to the right partition even if its original key was wrong.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from contracts.input_rules import ANY, InputRules
from contracts.instruments import decode_instrument, instrument_key
from contracts.messages import decode_interaction, decode_quote, key_of
from contracts.partitioning import LIBRDKAFKA_PARTITIONER
from contracts.topics import INSTRUMENTS, INTERACTIONS, QUOTES
from operations.dead_letters import NO_VALUE
from runtime.kafka.config import KafkaConfig

_TAKEN_WITHIN_S: Final = 30
_ON_THE_WAY: Final = 10_000
_ERRORS_SHOWN: Final = 20
_KEY_OF: Final[Mapping[str, Callable[[bytes, int, InputRules], bytes]]] = {
    QUOTES.name: lambda value, now_ms, rules: key_of(decode_quote(value, now_ms, rules)),
    INTERACTIONS.name: lambda value, now_ms, rules: key_of(
        decode_interaction(value, now_ms, rules)
    ),
    INSTRUMENTS.name: lambda value, _, rules: instrument_key(
        decode_instrument(value, rules).instrument_id
    ),
}
"""topic -> a function that validates a value and returns its key"""


class RepublishError(RuntimeError):
    """A line cannot be published, or the broker did not accept some."""


class Corrected(NamedTuple):
    """A record to publish, and its line."""

    line: int
    topic: str
    key: bytes
    value: bytes


class _Line(msgspec.Struct, kw_only=True):
    """The relevant fields of a line; the rest is for people."""

    topic: str
    value: msgspec.Raw = NO_VALUE
    value_base64: bytes | None = None


_line = msgspec.json.Decoder(_Line)


def read(lines: Iterable[bytes], rules: InputRules = ANY) -> list[Corrected]:
    """Return the lines' records, validated as by the stream processors; skips empty lines.

    Raises:
        RepublishError: some lines are invalid; names them and the reasons.
    """
    now_ms = time.time_ns() // 1_000_000
    corrected: list[Corrected] = []
    errors: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            corrected.append(_read_one(number, line, now_ms, rules))
        except (ValueError, RecursionError) as error:
            errors.append(f"line {number}: {error}")
    if errors:
        more = len(errors) - _ERRORS_SHOWN
        raise RepublishError(
            "\n".join(errors[:_ERRORS_SHOWN])
            + (f"\nand {more} lines more" if more > 0 else "")
            + "\nnothing was published: correct these lines, or take them out"
        )
    return corrected


def publish(kafka: KafkaConfig, corrected: Sequence[Corrected]) -> Mapping[str, int]:
    """Publish the records, wait until the broker has them all, and return the count per topic.

    Raises:
        RepublishError: the broker did not accept all in time; names the lines that it may not have.
    """
    producer = Producer(
        {
            **kafka.librdkafka(),
            "partitioner": LIBRDKAFKA_PARTITIONER,
            "enable.idempotence": True,
            "message.timeout.ms": _TAKEN_WITHIN_S * 1000,
            "log_level": 0,
        }
    )
    missing = {record.line for record in corrected}

    def note(line: int) -> Callable[[KafkaError | None, Message], None]:
        return lambda error, _: None if error else missing.discard(line)

    for line, topic, key, value in corrected:
        producer.poll(0)
        while len(producer) >= _ON_THE_WAY:
            producer.poll(0.1)
        producer.produce(kafka.topic(topic), value, key, on_delivery=note(line))
    producer.flush(_TAKEN_WITHIN_S + 1)
    if missing:
        raise RepublishError(
            f"the broker did not acknowledge {len(missing)} of {len(corrected)} records. "
            "Publish only these lines again, the others would count twice: "
            + ", ".join(map(str, sorted(missing)))
        )
    return Counter(record.topic for record in corrected)


def _read_one(number: int, line: bytes, now_ms: int, rules: InputRules) -> Corrected:
    """Read one line.

    Raises:
        ValueError: the line is invalid.
    """
    said = _line.decode(line)
    key_of_value = _KEY_OF.get(said.topic)
    if key_of_value is None:
        raise ValueError(f"topic {said.topic!r} takes no corrections, only {', '.join(_KEY_OF)} do")
    value = _value(said)
    return Corrected(number, said.topic, key_of_value(value, now_ms, rules), value)


def _value(said: _Line) -> bytes:
    """Return the bytes of the record's value.

    Raises:
        ValueError: there is none.
    """
    raw = bytes(said.value)
    if raw != bytes(NO_VALUE):
        return msgspec.json.decode(raw, type=str).encode() if raw.startswith(b'"') else raw
    if said.value_base64 is not None:
        return said.value_base64
    raise ValueError("it has no value: write one, or take the line out")
