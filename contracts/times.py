"""Event times: epoch milliseconds, UTC."""

from typing import Final

MAX_TS_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, as far as dates in text go."""
