"""Which failed requests are sent again, and when.

- Reads and erasures: after any 429 or 503, and after a connection that broke.
- Writes to Kafka carry an `Idempotency-Key`, with which a retry counts nothing twice: they are
  also sent again while the first one is still in progress (409).
"""

import random
import time
from collections.abc import Callable
from typing import Final

from .problems import TickrecError, may_pass, retry_after_s

GIVE_UP_AFTER_S: Final = 30
_MAX_SPREAD_S: Final = 2.0

MayRetry = Callable[[BaseException], bool]

REPEATABLE: Final[MayRetry] = may_pass


def keyed(error: BaseException) -> bool:
    """Whether a write with an `Idempotency-Key` may succeed another time."""
    return may_pass(error) or (
        isinstance(error, TickrecError) and error.kind == "request-in-progress"
    )


class Tries:
    """The tries of one request."""

    def __init__(self, may_retry: MayRetry, now_s: Callable[[], float] = time.monotonic) -> None:
        self._may_retry = may_retry
        self._now_s = now_s
        self._give_up_s = now_s() + GIVE_UP_AFTER_S
        self._failed = 0

    def pause_s(self, error: Exception) -> float:
        """Return how long to wait before the next try.

        As long as the API says, and a random while more, so that clients do not all come back at
        once.

        Raises:
            Exception: `error`, if another try cannot succeed, or would come too late.
        """
        self._failed += 1
        spread_s = min(_MAX_SPREAD_S, 0.1 * 2**self._failed)
        pause_s = retry_after_s(error) + random.uniform(0, spread_s)  # noqa: S311 (no secret)
        if not self._may_retry(error) or self._now_s() + pause_s > self._give_up_s:
            raise error
        return pause_s
