"""Faults of containers."""

import contextlib
import time
from functools import partial
from typing import Final

from infra.compose_check.engine import CheckError, Container, docker
from infra.compose_check.stack import Stack
from infra.compose_check.waiting import until_well

STARVED_S: Final = 75
"""Longer than Kafka's clients wait for a response."""
_PERIOD_US: Final = 100_000
_STARVED_US: Final = 1_000
"""Of a period, 1 % of one core, the least that Docker gives: Kafka accepts connections, and answers
nothing in time."""
_UNLIMITED: Final = -1
_AGAIN_S: Final = 180


def starve(stack: Stack, service: str) -> None:
    """Starve a container of CPU for a while."""
    container = stack.only(service).id
    _limit(container, _STARVED_US)
    try:
        time.sleep(STARVED_S)
    finally:
        _limit(container, _UNLIMITED)


def restart(stack: Stack, service: str) -> None:
    """Stop a server as an update does, and restart it."""
    stack.compose("restart", service, within_s=_AGAIN_S)


def crash(stack: Stack, service: str) -> None:
    """Kill a server that is its container's first process, and restart it.

    The engine restarts what crashes by itself, but nothing that its own command killed.
    """
    stack.compose("kill", "--signal", "KILL", service)
    stack.compose("start", service, within_s=_AGAIN_S)


def kill_process(stack: Stack, service: str) -> None:
    """Kill a program in one of its containers, and wait until the engine has restarted it.

    Docker's init is the first process there: it ends with the program, as after a crash.
    """
    victim = stack.containers(service)[0]
    # The shell that kills all others dies with the container.
    with contextlib.suppress(CheckError):
        docker("exec", victim.id, "sh", "-c", "kill -9 -1")
    until_well(partial(_not_started_again, stack, victim), _AGAIN_S)


def _not_started_again(stack: Stack, victim: Container) -> str | None:
    now = next(one for one in stack.containers(victim.service) if one.id == victim.id)
    if now.restarts > victim.restarts and now.status == "running":
        return None
    return f"{victim.service} is {now.status}, started again {now.restarts} times"


def _limit(container: str, quota_us: int) -> None:
    docker("update", f"--cpu-period={_PERIOD_US}", f"--cpu-quota={quota_us}", container)
