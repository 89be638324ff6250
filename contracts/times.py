"""Event times: epoch milliseconds, UTC."""

from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
MINUTE_S: Final = MINUTE_MS // 1000
HOUR_S: Final = HOUR_MS // 1000
DAY_S: Final = DAY_MS // 1000
MAX_TS_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, as far as dates in text go."""
