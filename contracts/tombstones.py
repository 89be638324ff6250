"""Records on `interactions` without a value: the user whose id is the key is taken out. Pure."""

from dataclasses import dataclass
from typing import Final

from contracts.messages import user_id_too_long

LAST_EVENT_BEFORE_HEADER: Final = "last_event_before"
"""Epoch ms in ASCII: take the user out only if the last event is older. A user who came back while
the record was on its way stays."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Takes a user out."""

    user_id: str
    last_event_before_ms: int | None = None
    """None: whenever the last event was"""

    def applies_to(self, last_event_ms: int) -> bool:
        """Return whether it takes out a user whose last event was then, epoch ms."""
        return self.last_event_before_ms is None or last_event_ms < self.last_event_before_ms


def encode_tombstone(tombstone: Tombstone) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return a tombstone's key and headers."""
    before_ms = tombstone.last_event_before_ms
    headers = [] if before_ms is None else [(LAST_EVENT_BEFORE_HEADER, b"%d" % before_ms)]
    return tombstone.user_id.encode(), headers


def decode_tombstone(key: bytes | None, headers: tuple[tuple[str, bytes | None], ...]) -> Tombstone:
    """Return the tombstone of a record without a value.

    >>> decode_tombstone(b"ABC", (("last_event_before", b"1629061628123"),))
    Tombstone(user_id='ABC', last_event_before_ms=1629061628123)

    Raises:
        ValueError: it names no user, or the header is not a time.
    """
    if not key:
        raise ValueError("the record has no value, and no key that names the user to take out")
    try:
        user_id = key.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the record has no value, and its key is not UTF-8: {error}") from None
    # Of the rules for ids only this one: who was written before there were others must go, too.
    if (reason := user_id_too_long(user_id)) is not None:
        raise ValueError(reason)
    for name, value in headers:
        if name == LAST_EVENT_BEFORE_HEADER:
            return Tombstone(user_id, _epoch_ms(value))
    return Tombstone(user_id)


def _epoch_ms(value: bytes | None) -> int:
    if value is None or not value.isdigit():
        raise ValueError(f"header {LAST_EVENT_BEFORE_HEADER} is {value!r}, not epoch ms in ASCII")
    return int(value)
