"""For how long the same batch has failed. Pure."""

from typing import Final

_FORGOTTEN_AFTER_S: Final = 10.0
"""Without another failure. A failed batch is fetched and tried again within less."""


class Failing:
    """Distinguishes failures that last from those that pass."""

    def __init__(self, within_s: float) -> None:
        """Take how long failures may last."""
        self._within_s = within_s
        self._since_s: float | None = None
        self._last_s = 0.0

    def failed(self, now_s: float) -> bool:
        """Note a failure, and return whether they have lasted for too long.

        >>> its = Failing(5)
        >>> its.failed(0), its.failed(4), its.failed(6)
        (False, False, True)
        >>> its.passed(20)
        >>> its.failed(20)
        False
        """
        if self._since_s is None:
            self._since_s = now_s
        self._last_s = now_s
        return now_s - self._since_s > self._within_s

    def succeeded(self) -> None:
        """Note that a batch was published."""
        self._since_s = None

    def passed(self, now_s: float) -> None:
        """Note that there was nothing to publish: maybe nothing yet."""
        if now_s - self._last_s > _FORGOTTEN_AFTER_S:
            self._since_s = None
