"""Takes rows out of the envelopes of Kafka Connect and Debezium. Pure.

Connect's JSON converter writes `{"schema": ..., "payload": ...}` unless `schemas.enable=false`.
Debezium's payload is a change of a row: `before`, `after` and `op`. A delete is followed by a
tombstone, a record without a value, which only serves compaction.
"""

from typing import Any, Final, NamedTuple

from producers.adapt.fields import UnmappableError
from producers.adapt.mapping import Envelope

_WRAPPED: Final = {"schema", "payload"}
_ADDED: Final = ("c", "r")
"""created, or read by a snapshot"""
_UPDATED: Final = "u"
_DELETED: Final = "d"


class Change(NamedTuple):
    """What a record says of a row."""

    row: Any
    """as it is now, or was before its removal; None if that is unknown"""
    is_update: bool = False
    is_removal: bool = False
    envelope: Any = None
    before: Any = None
    """the row before its update; None if that is unknown"""


def unwrap(envelope: Envelope, value: Any) -> Change | None:
    """Return what a record says; None if it says nothing, as a tombstone of Debezium's.

    >>> unwrap("debezium", {"payload": {"before": None, "after": {"id": 4}, "op": "c"}}).row
    {'id': 4}

    Raises:
        UnmappableError: it is not in such an envelope.
    """
    if value is None:
        return None if envelope == "debezium" else Change(None, is_removal=True)
    if envelope == "none":
        return Change(value)
    payload = payload_of(value)
    if envelope == "debezium":
        return _change(payload)
    # Connect's converter wraps a tombstone, too, if it has a schema.
    return Change(payload, is_removal=payload is None, envelope=value)


def payload_of(value: Any) -> Any:
    """Return what the JSON converter has wrapped, and anything else unchanged."""
    if isinstance(value, dict) and "payload" in value and value.keys() <= _WRAPPED:
        return value["payload"]
    return value


def _change(payload: Any) -> Change | None:
    if payload is None:
        return None
    op = payload.get("op") if isinstance(payload, dict) else None
    if op == _DELETED:
        return Change(payload.get("before"), is_removal=True, envelope=payload)
    row = payload.get("after") if op in (*_ADDED, _UPDATED) else None
    if row is None:
        raise UnmappableError(
            f"op {op!r:.20} with a row in `after` is needed, one of c, r and u, or op d: is this "
            "an event of Debezium's?"
        )
    return Change(row, is_update=op == _UPDATED, envelope=payload, before=payload.get("before"))
