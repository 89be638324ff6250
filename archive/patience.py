"""Retries while catalog, store, disk or broker are unavailable, and reports it."""

import threading
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

import structlog
from pyiceberg.exceptions import CommitFailedException
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_when_event_set,
    wait_random_exponential,
)

from archive.state import State
from runtime.archive.catalog import is_passing

_BACKOFF: Final = wait_random_exponential(multiplier=0.5, max=30)

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)


class StoppedError(RuntimeError):
    """A stop was requested while it waited for an unreachable server."""


class Patience:
    """Retries calls that fail because a server is unreachable."""

    def __init__(self, state: State, stop: threading.Event) -> None:
        self._state, self._stop = state, stop

    def __call__(
        self,
        sleep: Callable[[float], None],
        call: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return the result of `call`, once all servers are reachable.

        Args:
            sleep: how to wait between two attempts.
            call: what to try.
            *args: of it.
            **kwargs: of it.

        Raises:
            StoppedError: a stop was requested before that.
        """
        tries = Retrying(
            retry=retry_if_exception(is_worth_another_try),
            wait=_BACKOFF,
            stop=stop_when_event_set(self._stop),
            sleep=sleep,
            before_sleep=self._log_retry,
            reraise=True,
        )
        try:
            result = tries(call, *args, **kwargs)
        except Exception as error:
            if self._stop.is_set() and is_worth_another_try(error):
                raise StoppedError(str(error)) from error
            raise
        if self._state.waits_for is not None:
            log.info("goes on", after=self._state.waits_for)
        self._state.waits_for = None
        return result

    def _log_retry(self, tries: RetryCallState) -> None:
        error = tries.outcome.exception() if tries.outcome else None
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        self._state.waits_for = what
        log.warning("waits", why=what, attempt=tries.attempt_number)


def is_worth_another_try(error: BaseException) -> bool:
    """Whether a server is unreachable, or other commits came first each time."""
    return is_passing(error) or isinstance(error, CommitFailedException)
