"""Waits for unreachable servers, and tracks who is waiting."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

log = structlog.get_logger()

STORE: Final = "store"
BROKER: Final = "broker"

Answer = TypeVar("Answer")


class Waits:
    """The servers that a partition waits for: those whose last call failed."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Start without waiting."""
        self._clock_s = clock_s
        self._calls = Counter[str]()
        self._ended_s: dict[str, float] = {}
        self.answered_s = float("-inf")
        """when a server last answered"""

    def note_answer(self) -> None:
        """Note that a server has answered."""
        self.answered_s = self._clock_s()

    def __bool__(self) -> bool:
        return bool(self._calls)

    def __iter__(self) -> Iterator[str]:
        """Return the servers, by name."""
        return iter(sorted(self._calls))

    def over_for_s(self, server: str) -> float:
        """Return the seconds since it last waited for a server; 0 while it does."""
        if server in self._calls:
            return 0.0
        return self._clock_s() - self._ended_s.get(server, float("-inf"))

    @contextmanager
    def on(self, server: str) -> Iterator[None]:
        """Wait for a server, in the block; several calls may at once."""
        self._calls[server] += 1
        try:
            yield
        finally:
            self._calls[server] -= 1
            if not self._calls[server]:
                del self._calls[server]
            self._ended_s[server] = self._clock_s()


WAITS: Final[ContextVar[Waits]] = ContextVar("waits", default=Waits())  # noqa: B039 (of no partition)
"""Of the partition whose task, or a subtask of it, makes a call."""


class Patience:
    """Calls a server, retrying while it is unreachable."""

    def __init__(self, server: str, is_away: Callable[[BaseException], bool]) -> None:
        """Take the server's name, for the log, and which errors are transient."""
        self._server = server
        self._is_away = is_away

    async def __call__(
        self, call: Callable[..., Awaitable[Answer]], *arguments: Any, **named: Any
    ) -> Answer:
        """Return the result of a call."""
        try:
            # The common case; preparing to retry took a tenth of a worker's time.
            answer = await call(*arguments, **named)
        except Exception as error:
            if not self._is_away(error):
                raise
            with WAITS.get().on(self._server):
                answer = await self._again(call, *arguments, **named)
        WAITS.get().note_answer()
        return answer

    async def _again(
        self, call: Callable[..., Awaitable[Answer]], *arguments: Any, **named: Any
    ) -> Answer:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(self._is_away),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            before_sleep=self._say,
        ):
            with attempt:
                return await call(*arguments, **named)
        raise AssertionError("tenacity retries forever")

    def _say(self, state: RetryCallState) -> None:
        if state.attempt_number % 10 == 1 and state.outcome:
            error = str(state.outcome.exception())
            log.warning("server unreachable, retrying", server=self._server, error=error)
