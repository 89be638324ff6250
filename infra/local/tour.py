"""Asks a newly started stack all questions that it should be able to answer."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, TypeVar

import httpx
from redis.exceptions import RedisError

from contracts.keyspace import Keyspace
from infra.local.asking import Answer, Ask, Question
from infra.local.process import READY_WITHIN_S, NotReadyError
from infra.local.subjects import Subjects, find_subjects
from runtime.redis.stores import Store

PLAUSIBLE_WITHIN_S: Final = 60
_PAUSE_S: Final = 0.1
T = TypeVar("T")

Pause = Callable[[float], None]
"""Lets so many seconds pass."""


def await_subjects(
    pause: Pause, keyspace: Keyspace, store: Store, client: httpx.Client, logs: str
) -> Subjects:
    """Return the subjects, once there are quotes, events and a first generation.

    Args:
        pause: between two polls.
        keyspace: of the stack.
        store: of the stack.
        client: of its API.
        logs: their folder, for the error.

    Raises:
        NotReadyError: there are none within `READY_WITHIN_S`.
    """

    def find() -> Subjects | None:
        try:
            return find_subjects(store, keyspace, client)
        except (RedisError, httpx.HTTPError):
            return None

    found = _patiently(pause, find, lambda subjects: subjects is not None, READY_WITHIN_S)
    if found is None:
        raise NotReadyError(
            f"no bars, histories and lists within {READY_WITHIN_S} s: see the logs of worker, "
            f"trainer and api in {logs}"
        )
    return found


def answers(pause: Pause, ask: Ask, questions: Iterable[Question]) -> Iterator[Answer]:
    """Ask each question until its answer is plausible; yield that, or the last one in time."""
    for question in questions:
        asked = partial(ask, question)
        yield _patiently(pause, asked, lambda answer: answer.problem is None, PLAUSIBLE_WITHIN_S)


def _patiently(
    pause: Pause, attempt: Callable[[], T], good: Callable[[T], bool], within_s: float
) -> T:
    deadline = time.monotonic() + within_s
    while not good(result := attempt()) and time.monotonic() < deadline:
        pause(_PAUSE_S)
    return result
