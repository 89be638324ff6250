"""Waits for conditions, with a bound; never for a fixed time."""

import time
from collections.abc import Callable
from typing import Final

import httpx
from redis.exceptions import RedisError

from infra.compose_check.engine import CheckError
from runtime.kafka.broker import BrokerError

_LOOK_EVERY_S: Final = 0.5

Problem = Callable[[], str | None]
"""Returns the current problem, None if there is none."""


def until_well(problem: Problem, within_s: float) -> None:
    """Wait until there is no problem.

    Raises:
        CheckError: there is still one after the timeout.
    """
    deadline = time.monotonic() + within_s
    while (said := _asked(problem)) is not None:
        if time.monotonic() > deadline:
            raise CheckError(f"still so after {within_s:g} s: {said}")
        time.sleep(_LOOK_EVERY_S)


def _asked(problem: Problem) -> str | None:
    try:
        return problem()
    except (httpx.HTTPError, BrokerError, RedisError, CheckError) as error:
        return f"{type(error).__name__}: {error}"
