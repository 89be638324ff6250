"""How long tests wait for a condition: long enough that only a defect makes them give up."""

import asyncio
from collections.abc import Callable
from typing import Final

import httpx
import pytest
import tenacity

PATIENCE_S: Final = 180.0

until_true: Final = tenacity.retry(
    retry=tenacity.retry_if_exception_type(AssertionError),
    stop=tenacity.stop_after_delay(PATIENCE_S),
    wait=tenacity.wait_fixed(0.02),
    reraise=True,
)
"""Repeats a function, or a coroutine, whose assertions do not hold yet."""


def eventually(
    condition: Callable[[], bool], what: str, within_s: float = PATIENCE_S, every_s: float = 0.05
) -> None:
    """Wait until the condition holds; fail if it does not in time."""
    if not comes(condition, within_s, every_s):
        pytest.fail(f"not within {within_s} s: {what}")


def comes(
    condition: Callable[[], bool], within_s: float = PATIENCE_S, every_s: float = 0.05
) -> bool:
    """Wait until the condition holds; return whether it did in time."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda holds: not holds),
        stop=tenacity.stop_after_delay(within_s),
        wait=tenacity.wait_fixed(every_s),
        retry_error_callback=lambda _: False,
    )
    return bool(retrying(condition))


async def until(condition: Callable[[], object], what: str, every_s: float = 0.01) -> None:
    """Wait as `eventually` does, while the event loop runs."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 (there is no event for it)
                await asyncio.sleep(every_s)
    except TimeoutError:
        pytest.fail(f"not within {PATIENCE_S} s: {what}")


def await_answers() -> None:
    """Have httpx wait as patiently where no timeout is given: by itself it gives up after 5 s."""
    default = httpx._config.DEFAULT_TIMEOUT_CONFIG
    default.connect = default.read = default.write = default.pool = PATIENCE_S


def answers(url: str) -> bool:
    """Return whether a URL can be read; nobody may be there."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False
