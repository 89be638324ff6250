"""Waiting out a server that is away."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

log = structlog.get_logger()

Answer = TypeVar("Answer")


class Patience:
    """Calls a server, again and again while it is away."""

    def __init__(self, server: str, is_away: Callable[[BaseException], bool]) -> None:
        """Take the server's name, for the log, and which errors may pass."""
        self._server = server
        self._is_away = is_away

    async def __call__(
        self, call: Callable[..., Awaitable[Answer]], *arguments: Any, **named: Any
    ) -> Answer:
        """Return the answer of a call."""
        try:
            # Nearly always all that is needed; preparing to retry was a tenth of a worker's time.
            return await call(*arguments, **named)
        except Exception as error:
            if not self._is_away(error):
                raise
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(self._is_away),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            before_sleep=self._say,
        ):
            with attempt:
                return await call(*arguments, **named)
        raise AssertionError("tenacity retries without end")

    def _say(self, state: RetryCallState) -> None:
        if state.attempt_number % 10 == 1 and state.outcome:
            error = str(state.outcome.exception())
            log.warning("a server is away, trying again", server=self._server, error=error)
