"""Detects that a process runs but no longer answers: it is polled in a thread.

Attempts are counted, not seconds: a machine or a supervisor that was paused for an hour proves
nothing about the process.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

EVERY_S: Final = 5.0
HANGS_AFTER: Final = 12
"""Attempts without an answer, a minute or more, as for the probes of `infra/kubernetes`."""
STARTS_WITHIN: Final = 60
"""The same, while the process has never answered."""
_SILENT_AFTER: Final = 2


class Pulse:
    """Whether one process answers."""

    def __init__(self, answers: Callable[[], bool], clock: Callable[[], float]) -> None:
        self._answers = answers
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Reset: the process has just started."""
        self._asked: Future[bool] | None = None
        self._due_s = self._clock() + EVERY_S
        self._has_answered = False
        self._in_vain = 0

    @property
    def is_silent(self) -> bool:
        """Whether it answered before, and does not now."""
        return self._has_answered and self._in_vain >= _SILENT_AFTER

    @property
    def hangs(self) -> bool:
        """Whether so many attempts failed that it counts as hung."""
        return self._in_vain >= (HANGS_AFTER if self._has_answered else STARTS_WITHIN)

    def look(self) -> None:
        """Process an answer, or a missing one, and poll again when it is time."""
        if self._asked is not None and self._asked.done():
            answered = self._asked.exception() is None and self._asked.result()
            self._asked = None
            self._has_answered |= answered
            self._in_vain = 0 if answered else self._in_vain + 1
        if self._asked is None and self._clock() >= self._due_s:
            self._asked = Future()
            # The supervisor must be able to end even if an answer never arrives.
            threading.Thread(target=self._ask, args=(self._asked,), daemon=True).start()
            self._due_s = self._clock() + EVERY_S

    def _ask(self, asked: Future[bool]) -> None:
        try:
            asked.set_result(self._answers())
        except Exception as error:  # noqa: BLE001 (any is no answer)
            asked.set_exception(error)
