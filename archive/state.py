"""The archive's state, for HTTP probes while it works."""

import time
from typing import Final

STALLED_AFTER_S: Final = 120.0
"""Without an iteration of the loop: longer than any commit that is not stuck."""
MAINTENANCE_STALLED_AFTER_S: Final = 3_600.0
"""Without a finished table: compacting a large one takes some minutes."""


class State:
    """Written by the loop, read by the server of health."""

    def __init__(self, stalled_after_s: float = STALLED_AFTER_S) -> None:
        self._beat_s, self._stalled_after_s = time.monotonic(), stalled_after_s
        self.waits_for: str | None = None
        """what is unreachable, with its error"""
        self.has_begun = False
        """whether all tables were opened"""

    def beat(self) -> None:
        """Note that the loop is running."""
        self._beat_s = time.monotonic()

    @property
    def is_stalled(self) -> bool:
        """Whether the loop has been stalled for a while."""
        return time.monotonic() - self._beat_s > self._stalled_after_s

    @property
    def is_ready(self) -> bool:
        """Whether what is read can be committed."""
        return self.has_begun and self.waits_for is None and not self.is_stalled
