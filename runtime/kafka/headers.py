"""The headers of a record, as confluent-kafka returns them.

Kafka takes any bytes for the name of a header. confluent-kafka makes text of it, and fails with an
error of the interpreter where that is not UTF-8. Such a record is a bad one, as for the workers.
"""

import gc
import threading
from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from contracts.messages import Ints

_UNREADABLE: Final[list[tuple[str, str | bytes | None]]] = []
"""Stands in for unreadable headers: recognized by identity."""

_one_at_a_time: Final = threading.Lock()

Headers = tuple[tuple[str, bytes | None], ...]


class UnreadableHeadersError(ValueError):
    """The name of a header is not UTF-8."""


def headers_of(record: Message) -> Headers:
    """Return the headers of a record, in their order.

    Raises:
        UnreadableHeadersError: the name of one is not UTF-8.
    """
    return tuple(cast("list[tuple[str, bytes | None]]", _read(record) or ()))


def has_readable_headers(record: Message) -> bool:
    """Return whether `headers_of` would return any, or none."""
    try:
        _read(record)
    except UnreadableHeadersError:
        return False
    return True


def _read(record: Message) -> Any:
    # The call returns a list with holes, and leaves an error pending. A call out of Python may not
    # look at that, once its place is specialized (PEP 659); one out of `map` always does. Garbage
    # collected within the call, as before Python 3.12, would clear the error.
    with _one_at_a_time:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            headers = next(map(Message.headers, (record,)))
        except (SystemError, UnicodeDecodeError):
            # It has kept a list with holes, and reading that crashes the interpreter.
            record.set_headers(_UNREADABLE)
            headers = _UNREADABLE
        finally:
            if was_enabled:
                gc.enable()
    if headers is _UNREADABLE:
        where = f"{record.topic()}/{record.partition()} at offset {record.offset()}"
        raise UnreadableHeadersError(f"{where}: a header's name is not UTF-8")
    return headers


def clock_ms(records: Sequence[Message], now_ms: int) -> Ints:
    """Return the time by which each record is judged as ahead, epoch ms, (n,).

    When the broker appended the record, if the broker stamps the topic's records. Otherwise the
    timestamp is the producer's, which may be slow, and our clock counts: `now_ms`. The workers have
    the same rule, `stream_processors.transport.batches`.
    """
    stamps = (record.timestamp() for record in records)
    times = (at_ms if kind == TIMESTAMP_LOG_APPEND_TIME else now_ms for kind, at_ms in stamps)
    return np.fromiter(times, np.int64, len(records))
