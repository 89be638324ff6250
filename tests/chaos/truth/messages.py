"""Which records of the log count, and which are dead letters."""

import json
from collections.abc import Iterable
from typing import Any, Final

from contracts.tombstones import ERASED_AT_HEADER, LAST_EVENT_BEFORE_HEADER
from contracts.topics import INTERACTIONS, QUOTES, Topic
from runtime.topology import Topology
from tests.chaos.log import Log, Mark, Record
from tests.chaos.messages import PUBLISHED, UNREADABLE

_AHEAD_MAX_MS: Final = 5 * 60_000

Marked = tuple[Mark, dict[str, Any]]
"""a message under its mark"""


def good(records: Iterable[tuple[Mark, Record]], topic: Topic = QUOTES) -> list[Marked]:
    """Return the messages that break no rule; a removal has the times in its headers, or 0."""
    messages = []
    for mark, record in records:
        message = _message(record, topic)
        if message is not None:
            messages.append((mark, message))
    return messages


def expected_dead_letters(log: Log, topology: Topology) -> set[tuple[str, int, int]]:
    """Return topic, partition and offset of each record that ever broke a rule."""
    return {
        (topic.name, p, record.offset)
        for topic in PUBLISHED
        for p in range(topology.of(topic))
        for record in log.records[topic.name, p]
        if _message(record, topic) is None
    }


def _message(record: Record, topic: Topic) -> dict[str, Any] | None:
    """Return the message, None if it is a dead letter.

    The feed's bad ones are no JSON objects, or are missing most fields. A future event is ahead of
    the broker's clock, whatever the workers' clocks show.
    """
    if record.value is None:
        if topic != INTERACTIONS or not record.key:
            return None
        erased_ms = int(record.headers.get(ERASED_AT_HEADER, 0))
        bound_ms = record.stamp_ms + _AHEAD_MAX_MS
        return {
            "user_id": record.key.decode(),
            "erased_at": min(erased_ms, bound_ms),
            "last_before": int(record.headers.get(LAST_EVENT_BEFORE_HEADER, 0)),
        }
    try:
        message = json.loads(record.value)
    except ValueError:
        return None
    if "ts" not in message or UNREADABLE in message:
        return None
    return message if message["ts"] <= record.stamp_ms + _AHEAD_MAX_MS else None
