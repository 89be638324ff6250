"""Tombstones on `interactions`: records without a value, which remove the user in the key. Pure."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from contracts.messages import MAX_AHEAD_MS, check_user_id
from contracts.times import HOUR_MS, MAX_TS_MS
from contracts.topics import INTERACTIONS

LAST_EVENT_BEFORE_HEADER: Final = "last_event_before"
"""Epoch ms in ASCII: remove the user only if the last event is older. A user who came back while
the record was in transit is kept."""
ERASED_AT_HEADER: Final = "erased_at"
"""Epoch ms in ASCII: when the user's erasure was requested. A copy of the log preserves it, unlike
the record's own timestamp."""
KEPT_MS: Final = INTERACTIONS.retention_h * HOUR_MS
"""How long an erasure is remembered: as long as the topic retains its record."""

NEVER_MS: Final = 0
# Up to here, a float, such as a score in Redis, represents every integer.
_MOST_DIGITS: Final = 15


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The removal of a user."""

    user_id: str
    last_event_before_ms: int | None = None
    """None: unconditional"""
    erased_at_ms: int | None = None
    """None: not given"""

    def applies_to(self, last_event_ms: int) -> bool:
        """Return whether it removes a user with this last event time, epoch ms."""
        return self.last_event_before_ms is None or last_event_ms < self.last_event_before_ms

    def leaves_out_before_ms(self, last_event_ms: int) -> int:
        """Return the time, epoch ms, before which later-arriving events are ignored.

        A client may resend events from before the erasure, or send them late. A user who was only
        inactive was not erased, and may come back with any event. One without events has -1.

        >>> Tombstone("ABC", erased_at_ms=1629061628123).leaves_out_before_ms(1629061620000)
        1629061628123
        >>> Tombstone("ABC").leaves_out_before_ms(1629061620000)
        1629061620001
        """
        if self.last_event_before_ms is not None:
            return NEVER_MS
        return max(self.erased_at_ms or NEVER_MS, last_event_ms + 1)


def pseudonym(user_id: str) -> str:
    """Return the pseudonym of an erased user: only someone with the id can find it.

    >>> pseudonym("ABC")
    'a6b73c0f84c9f0e87e1f017ee3a01268'
    """
    return blake2b(user_id.encode(), digest_size=16).hexdigest()


def encode_tombstone(tombstone: Tombstone) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return a tombstone's key and headers."""
    times = {
        LAST_EVENT_BEFORE_HEADER: tombstone.last_event_before_ms,
        ERASED_AT_HEADER: tombstone.erased_at_ms,
    }
    headers = [(name, b"%d" % ms) for name, ms in times.items() if ms is not None]
    return tombstone.user_id.encode(), headers


def decode_tombstone(
    key: bytes | None, headers: tuple[tuple[str, bytes | None], ...], now_ms: int = MAX_TS_MS
) -> Tombstone:
    """Decode the tombstone of a record without a value.

    An erasure dated further ahead of the clock than an event may be counts as of that limit: as of
    its own time, it would leave out later events, and have other erasures forgotten.

    >>> decode_tombstone(b"ABC", (("last_event_before", b"1629061628123"),))
    Tombstone(user_id='ABC', last_event_before_ms=1629061628123, erased_at_ms=None)

    Raises:
        ValueError: it names no user, or a header is not a time.
    """
    if not key:
        raise ValueError("the record has no value, and no key that names the user to remove")
    try:
        user_id = key.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the record has no value, and its key is not UTF-8: {error}") from None
    check_user_id(user_id)
    times = {
        name: _epoch_ms(name, value)
        for name, value in reversed(headers)  # the first of several counts
        if name in (LAST_EVENT_BEFORE_HEADER, ERASED_AT_HEADER)
    }
    erased_at_ms = times.get(ERASED_AT_HEADER)
    if erased_at_ms is not None:
        erased_at_ms = min(erased_at_ms, now_ms + MAX_AHEAD_MS)
    return Tombstone(user_id, times.get(LAST_EVENT_BEFORE_HEADER), erased_at_ms)


def _epoch_ms(name: str, value: bytes | None) -> int:
    if value is None or not value.isdigit() or len(value) > _MOST_DIGITS:
        raise ValueError(f"header {name} is {value!r}, not epoch ms in ASCII")
    return int(value)
