"""Times: epoch milliseconds, UTC; and the minutes of bars.

A minute is its start in epoch ms. Redis and the messages of changed bars name it in epoch s, which
readers convert by `minute_field` and `minute_of`. A worker counts minutes since the epoch, as it
packs them into a bar's key with the instrument: `stream_processors.bars.stored` converts them for
Redis, `stream_processors.bars.bars` for Kafka.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
MINUTE_S: Final = MINUTE_MS // 1000
HOUR_S: Final = HOUR_MS // 1000
DAY_S: Final = DAY_MS // 1000
US_PER_MS: Final = 1_000
MAX_TS_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, as far as dates in text go."""
_KNOWN_FIELDS: Final = 4096
"""Kept in memory: nearly all requests for bars are for the same few minutes."""


def minute_start(ts_ms: int) -> int:
    """Return the minute that contains a time, epoch ms.

    >>> minute_start(1629061628123)
    1629061620000
    """
    return ts_ms // MINUTE_MS * MINUTE_MS


@lru_cache(_KNOWN_FIELDS)
def minute_field(minute_ms: int) -> str:
    """Return the field of a `bars` hash that holds a minute.

    >>> minute_field(1629061620000)
    '1629061620'
    """
    return str(minute_ms // 1000)


def minute_of(epoch_s: int | str | bytes) -> int:
    """Return the minute that a field or a message names.

    >>> minute_of(b"1629061620")
    1629061620000
    """
    return 1000 * int(epoch_s)


def parse_time(text: str) -> int | None:
    """Return the epoch ms of a time as ISO 8601 has it, None if it is not; UTC without an offset.

    >>> parse_time("2026-12-01T01:00:00.5+01:00"), parse_time("2026-12-01"), parse_time("today")
    (1796083200500, 1796083200000, None)
    """
    try:
        time = datetime.fromisoformat(text)
        return round(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
